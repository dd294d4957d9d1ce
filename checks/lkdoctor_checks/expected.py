"""The user names agents that should be dispatched: does any open room ask for them?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import Outcome, Room, Wanted
from lkdoctor.doctor.codes import IMPLICIT_DISPATCH_ONLY, NEVER_ASKED
from lkdoctor.doctor.evidence import Dispatches, Listed, Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _words as words

WAITED = 10.0  # s that a person must have been there
SHOWN = 20


@check(IMPLICIT_DISPATCH_ONLY)
def expected_only_implicit(rooms: Rooms, wanted: Wanted, listed: Listed) -> Iterator[Finding | Inconclusive]:
    """From the API: `--expect` names an agent, no dispatch in any room that was listed names any agent at all, and a
    person (also a SIP caller; no recorder, stream or hidden observer) has been for 10 s in a room with nothing but its
    unnamed dispatch, of which no job came. Without `--expect` nothing is said: such a room is also what two people make
    who talk to each other. Nor is anything said when another room names an agent: then these are without one by choice."""
    names = [name for name in wanted.agents if name]
    if not names:
        return
    every = [room for room in rooms if seen.alone(room)]
    if any(words.wanted(one) for room in every for one in room.dispatches) or any(_named(room) for room in every):
        return
    hit = [room for room in seen.lives(every) if _only_implicit(room) and seen.waiting(room, WAITED)]
    if not hit:
        return
    yield Finding(
        IMPLICIT_DISPATCH_ONLY,
        Subject("server"),
        f"{words.counted(len(hit), 'room')} with people in it ({words.listed(words.marked(room.name) for room in hit)}) got "
        f"only the unnamed dispatch; nobody asked for {words.listed(words.quoted(name) for name in names)}.",
        IMPLICIT_DISPATCH_ONLY.severity,
        Confidence.MEDIUM,
        {"rooms": sorted({room.name for room in hit})[:SHOWN], "expected": names[:SHOWN]},
        words.spread(place for room in hit for place in seen.listings(room, *seen.waiting(room))),
        (
            Fix(
                f"Ask for {words.quoted(names[0])} by name",
                steps=(
                    (
                        "Put the name into the token (`roomConfig.agents`), into CreateRoom (`agents`), or call "
                        "CreateDispatch; the first two count only for the request that makes the room."
                    ),
                    "Or start the worker without a name, if it should come to every room.",
                ),
                commands=(words.dispatch_command(hit[-1].name, names[0]),),
                verify=(f"`lk dispatch list {words.shell(hit[-1].name)}` shows the name, and within 6 s a job.",),
            ),
        ),
        folds=(
            *words.folds_of(one for room in hit for one in room.dispatches),
            *(Subject("agent", agent_name=name) for name in names),
        ),
        count=len(hit),
        first_at=min((room.opened_at for room in hit if room.opened_at is not None), default=None),
        last_at=listed.sampled.last_at,
    )


def _named(room: Room) -> bool:
    """Did a CreateRoom call name agents, or a preset that may hold some? Then LKD307 tells, or nothing can be told."""
    return bool(room.presets) or any(any(ask.names) for ask in room.asks)


def _only_implicit(room: Room) -> bool:
    """Nothing but unnamed dispatches, no job of them, and never an agent in the room."""
    if room.agents or room.dispatches_at is None:
        return False
    return all(one.agent_name == "" and one.outcome is not Outcome.ASSIGNED for one in room.dispatches)


@check(NEVER_ASKED)
def expected_never_asked(
    dispatches: Dispatches, rooms: Rooms, wanted: Wanted, listed: Listed
) -> Iterator[Finding | Inconclusive]:
    """From the API: `--expect` names an agent, and no dispatch of any open room names it, in complete lists of their
    dispatches. For all rooms it is no more than worth knowing: one that has closed took its dispatches with it. Where
    `--room` chose the room in which the agent is expected, and a person has been there for 10 s, it is a warning."""
    chosen = not listed.sampled.every_room
    asked_for = {one.agent_name for one in dispatches} | {
        name for room in rooms for ask in room.asks for name in ask.names
    }
    missing = [name for name in dict.fromkeys(wanted.agents) if name and name not in asked_for]
    looked = [room for room in rooms if room.dispatches_at is not None]
    for name in missing:
        if not looked:
            yield Inconclusive(
                Subject("agent", agent_name=name),
                f"No room was open, so nothing shows whether anybody asks for {words.quoted(name)}.",
                "Begin a call, then run the same command with `--watch 30`.",
            )
            continue
        yield Finding(
            NEVER_ASKED,
            Subject("agent", agent_name=name),
            f"{words.quoted(name)} is expected, and no dispatch names it in {'' if chosen else 'any open room: '}"
            f"{words.listed(words.marked(room.name) for room in looked)}.",
            Severity.WARNING if chosen and _people_wait(looked) else NEVER_ASKED.severity,
            Confidence.MEDIUM,
            {"agent_name": name, "rooms": sorted({room.name for room in looked})[:SHOWN]},
            words.spread(place for room in looked for place in room.proof[:1]),
            (
                Fix(
                    f"If {words.quoted(name)} should have been asked, name it where rooms are made",
                    steps=("Put the name into the token's roomConfig.agents, CreateRoom's agents or CreateDispatch.",),
                    commands=(words.dispatch_command(looked[-1].name if chosen else "ROOM", name),),
                    verify=("`lk dispatch list ROOM` shows the name, and within 6 s a job.",),
                ),
            ),
            first_at=listed.sampled.first_at,
            last_at=listed.sampled.last_at,
        )


def _people_wait(rooms: list[Room]) -> bool:
    """Has a person been in one of these rooms for long enough to be served?"""
    return any(seen.waiting(room, WAITED) for room in seen.lives(rooms))
