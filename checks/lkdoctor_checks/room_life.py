"""Did the room outlive its agent, or close under it?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import AgentParticipant, Outcome, Room
from lkdoctor.doctor.codes import IDLE_CLOSE, REJOIN_OLD_ROOM
from lkdoctor.doctor.evidence import Evidence, Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(REJOIN_OLD_ROOM)
def rejoin_old_room(rooms: Rooms, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """Somebody came into a room that still lived, whose agent had already left, and no agent came again.

    ## What it means
    A room without people stays open for its departure timeout (20 s by default). Whoever reloads the page within that
    time comes back into the *old* room: it is not made anew, so no agent is dispatched, and the agents in the token are
    not read. The agent, which had ended its session when the person left, is gone.

    ## How it is decided
    An agent had come and left; then a person joined the same life of the room and was there for 8 s or more without
    any agent, in a log that goes on (a rejoin 4 s after leaving has the same room id and no new launch on 1.13.5, 1.11.0,
    1.9.12 and 1.8.4). It is surer when the same person comes back, or when the joiner's token names an agent. From the
    API it needs a watch that saw the agent, saw it gone, and then saw somebody come: one look at a person alone is not
    enough.

    ## How to fix
    Use a new room name for each session; or delete the room when the conversation ends; or let the agent outlive a short
    absence (`close_on_disconnect` off, and the person comes back with the same identity); or shorten `departure_timeout`.

    ## When it is not a problem
    An agent that hung up at the end of its talk, while others stay to talk among themselves. Somebody who was in the
    room all the time did not rejoin: nothing is reported for them. An agent that hands its caller over to a colleague:
    the caller stays, the agent leaves, and somebody new comes, whose token names no agent.
    """
    log_end = words.end_of(evidence.runs)
    found: list[tuple[Room, AgentParticipant, AgentParticipant]] = []
    for room in rooms:
        last = log_end if log_end is not None else room.looked_at
        if last is None:
            continue
        for person in room.people:
            gone = _gone_before(room, person)
            if gone is not None and _without_agent(room, person, last) and not _handed_over(room, person, gone):
                found.append((room, person, gone))
    by_room: dict[str, list[tuple[Room, AgentParticipant, AgentParticipant]]] = {}
    for one in found:
        name = next((each.agent_name for each in one[0].dispatches if each.participant is one[2]), "")
        by_room.setdefault(name, []).append(one)
    for name, group in sorted(by_room.items()):
        again = any(_was_here(room, person) or person.asked_agents for room, person, _ in group)
        joins = sorted(person.joined_at or 0.0 for _, person, _ in group)
        hit = [one for room, _, _ in group for one in room.dispatches if one.came_to is Outcome.ASSIGNED]
        yield Finding(
            REJOIN_OLD_ROOM,
            Subject("agent", agent_name=name),
            f"{words.listed(words.marked(person.identity) for _, person, _ in group)} came into "
            f"{words.listed(words.marked(room.name) for room, _, _ in group)} after {words.quoted(name)} had left; the room still "
            "lived, so no agent was dispatched.",
            REJOIN_OLD_ROOM.severity,
            Confidence.HIGH if again else Confidence.MEDIUM,
            {
                "agent_name": name,
                "rooms": sorted({room.name for room, _, _ in group})[:20],
                "seconds_after": [
                    round((person.joined_at or 0.0) - (gone.left_at or 0.0), 1) for _, person, gone in group
                ][:20],
            },
            words.spread(place for _, person, gone in group for place in (*gone.proof[-1:], *person.proof[:1])),
            (
                Fix(
                    "Make a room for each session",
                    steps=(
                        "Use a new room name each time, or delete the room when the conversation ends.",
                        (
                            "Or keep the agent while the person is away for a moment: `close_on_disconnect=False`; it hears them again "
                            "when they come back with the same identity."
                        ),
                        "Or shorten `departure_timeout` where the room is made.",
                    ),
                    commands=(words.dispatch_command(words.open_name(group[-1][0]), name),) if name else (),
                    verify=("The next join has a new room id and an `assigned job to worker` line.",),
                ),
            ),
            folds=words.folds_of(hit),
            count=len(group),
            first_at=joins[0],
            last_at=joins[-1],
        )


def _gone_before(room: Room, person: AgentParticipant) -> AgentParticipant | None:
    """The last agent that had left when this person joined; None when there was none, or one was still there."""
    if person.dependent or person.hidden or person.joined_at is None:
        return None
    if any(one.left_at is None or one.left_at >= person.joined_at for one in room.agents):
        # An agent that was there at the join, or that came after it, was found by the person.
        return None
    gone = [one for one in room.agents if one.left_at is not None and not one.duplicate_removed]
    return max(gone, key=lambda one: one.left_at or 0.0, default=None)


def _without_agent(room: Room, person: AgentParticipant, last: float) -> bool:
    """Was the person there for long enough?"""
    end = min(room.closed_at if room.closed_at is not None else last, last)
    since = person.joined_at or 0.0
    return words.present(since, person.left_at, since, end) >= rules.SETTLE


def _handed_over(room: Room, person: AgentParticipant, gone: AgentParticipant) -> bool:
    """Did the agent leave somebody behind, to whom a newcomer came who asked for no agent?"""
    if person.asked_agents or _was_here(room, person):
        return False
    left, joined = gone.left_at or 0.0, person.joined_at or 0.0
    return any(
        not one.dependent
        and not one.hidden
        and one.joined_at is not None
        and one.joined_at < left
        and (one.left_at is None or one.left_at > joined)
        for one in room.people
        if one is not person
    )


def _was_here(room: Room, person: AgentParticipant) -> bool:
    """Had the same identity been in the room before?"""
    return any(one is not person and one.identity == person.identity for one in room.people)


@check(IDLE_CLOSE)
def idle_close(rooms: Rooms) -> Iterator[Finding | Inconclusive]:
    """A room with agents in it, and never a person, was closed by its empty timeout.

    ## What it means
    Agents do not keep a room open. A room that no person ever joined closes `empty_timeout` (300 s by default) after it
    was *made*, even while agents talk to each other in it. People whose token carries the agent grant count as agents
    here.

    ## How it is decided
    `closing idle room` with `empty timeout`, with agents in the room until it closed, and no person ever (seen: two
    active agents alone, `empty_timeout` 12 s, closed after 12.9 s, on 1.13.5). With one agent only, nobody can have been
    cut off: that is worth knowing, no more.

    ## How to fix
    Make the room with an `empty_timeout` as long as the agents need, or let a person, or a SIP or ingress participant,
    be in it.

    ## When it is not a problem
    Agents that were to wait for a caller who never came: the room was closed as it should be. A room closed by its
    `departure timeout`, after the people had left, is the ordinary end and not reported.
    """
    closed = [room for room in rooms if room.close_reason == "empty timeout" and _agents_only(room)]
    groups: dict[str, list[Room]] = {}
    for room in closed:
        name = next((one.agent_name for one in room.dispatches if one.came_to is Outcome.ASSIGNED), "")
        groups.setdefault(name, []).append(room)
    for name, group in sorted(groups.items()):
        times = sorted(room.closed_at for room in group if room.closed_at is not None)
        lives = [
            room.closed_at - room.opened_at
            for room in group
            if room.closed_at is not None and room.opened_at is not None
        ]
        yield Finding(
            IDLE_CLOSE,
            Subject("agent", agent_name=name),
            f"{words.counted(len(group), 'room')} with agents only ({words.listed(words.marked(room.name) for room in group)}) "
            f"closed by the empty timeout{f', {words.span(min(lives))} after being made' if lives else ''}: agents do "
            "not keep a room open.",
            # One agent alone was waiting for somebody who never came; several may have been at work with each other.
            IDLE_CLOSE.severity if any(len(room.agents) > 1 for room in group) else Severity.INFO,
            Confidence.HIGH,
            {"rooms": sorted({room.name for room in group})[:20], "seconds": [round(one, 1) for one in lives][:20]},
            words.spread(place for room in group for place in room.proof[-1:]),
            (
                Fix(
                    "Give the room a longer empty timeout",
                    steps=(
                        (
                            "Make the room with CreateRoom and an `empty_timeout` (seconds) as long as the agents need, or put it into the "
                            "`roomConfig` of the token whose join makes the room."
                        ),
                        words.ROOM_FIRST,
                    ),
                    commands=(f"lk room create --empty-timeout 3600 {words.shell(group[-1].name)}",),
                    caveats=("A room that nobody leaves stays open that long.",),
                    verify=("No `closing idle room` while the agents are at work.",),
                ),
            ),
            folds=words.folds_of(one for room in group for one in room.dispatches),
            count=len(group),
            first_at=times[0] if times else None,
            last_at=times[-1] if times else None,
        )


def _agents_only(room: Room) -> bool:
    """Agents until the end, and never a person who would have kept it open."""
    if any(not one.dependent for one in room.people) or room.closed_at is None:
        return False
    return any(
        one.joined_at is not None and (one.left_at is None or one.left_at >= room.closed_at - 1) for one in room.agents
    )
