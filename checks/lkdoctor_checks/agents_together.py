"""Agents that should talk to each other: are all of them there, and does each accept an agent?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.aftermath import JOIN_PATIENCE
from lkdoctor.dispatch.model import After, AgentParticipant, Dispatch, Outcome, Room, Wanted
from lkdoctor.doctor.codes import DEAF_AGENTS, PARTNER_MISSING
from lkdoctor.doctor.evidence import Listed, Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _words as words

SILENT = 20.0  # s since the join; a session may start some seconds after it
LINKED = 8.0  # s since the session was seen to start: it links to whom it finds, and publishes, within 5 s
PATIENCE = JOIN_PATIENCE + 5  # a cold process needs up to 20 s, the list of jobs up to 5 s more


@check(DEAF_AGENTS)
def deaf_agents(rooms: Rooms, wanted: Wanted, listed: Listed) -> Iterator[Finding | Inconclusive]:
    """Agents that should talk to each other stand in a room, say that they listen, and publish nothing.

    ## What it means
    An AgentSession links to *one* participant, and by default only to people: participants of kind STANDARD, SIP and
    CONNECTOR. Two agents with default options wait for a person, each of them; an unlinked session publishes no track.
    The kind filter applies even when the partner's identity is given.

    ## How it is decided
    `--together` names the group, and all of it is in one room without a visible person. The last to come has been there
    for 20 s; a session runs (`lk.agent.state` is set, for 8 s where a watch saw it begin), no listing showed a track of it, nor the state `speaking`. Two
    real sessions with default options (livekit-agents 1.8.9) look exactly so; with `participant_kinds=[AGENT]` each had
    its track at once. The confidence stays medium: agents that only write have no track either.

    ## How to fix
    Let each session accept agents, give each agent a fixed identity, and let one of them speak first.

    ## When it is not a problem
    Two agents that wait for a caller look the same, and are healthy: without `--together` nothing is said. Agents that
    write (audio output off) are seen speaking without a track and are left out; if they were never seen to, ignore this.
    """
    del listed
    for group in wanted.together:
        hit: list[tuple[Room, list[tuple[str, AgentParticipant]]]] = []
        for room in seen.lives(rooms):
            present = _present(room, group)
            deaf = [(name, one) for name, one in present if _deaf(room, one)]
            long = present and min(seen.stayed(room, one) for _, one in present) >= SILENT
            if deaf and long and len(present) == len(set(group)) > 1 and not seen.waiting(room):
                hit.append((room, deaf))
        if hit:
            yield _deaf_finding(group, hit)


def _deaf(room: Room, one: AgentParticipant) -> bool:
    """Does a session run, and not only since a moment ago, that has published nothing and never spoke?"""
    if not seen.active(one) or not seen.state(one) or seen.audio_ever(one) or seen.spoke(one):
        return False
    if one.listed[0][1].agent_state:
        return True
    since = next(at for at, info in one.listed if info.agent_state)
    return (room.listed_last_at or 0.0) - since >= LINKED


def _deaf_finding(group: Sequence[str], hit: list[tuple[Room, list[tuple[str, AgentParticipant]]]]) -> Finding:
    names = list(dict.fromkeys(name for _, deaf in hit for name, _ in deaf))
    room = hit[-1][0]
    return Finding(
        DEAF_AGENTS,
        Subject("agent", id="+".join(sorted(set(group)))),
        f"{words.listed(words.quoted(name) for name in group)} stand in "
        f"{words.listed(words.marked(each.name) for each, _ in hit)} without a person, and {_who(names, group)} "
        f"published a track or spoke: {'they accept' if len(names) > 1 else 'it accepts'} people only, not agents.",
        DEAF_AGENTS.severity,
        Confidence.MEDIUM,
        {
            "group": list(group),
            "deaf": names,
            "rooms": sorted({each.name for each, _ in hit})[:20],
            "seconds": round(min(seen.stayed(each, one) for each, deaf in hit for _, one in deaf), 1),
        },
        words.spread(place for each, deaf in hit for place in seen.listings(each, *(one for _, one in deaf))),
        (accept_agents(room.name),),
        folds=tuple(Subject("agent", room=each.name, agent_name=name) for each, deaf in hit for name, _ in deaf),
        count=len(hit),
        first_at=max((one.joined_at or 0.0 for _, one in hit[0][1]), default=None),
        last_at=room.looked_at,
    )


def accept_agents(room: str) -> Fix:
    """What lets agents hear each other; for any evidence that shows them deaf."""
    return Fix(
        "Let the sessions accept agents",
        steps=(
            (
                "Python: `session.start(…, room_options=RoomOptions(participant_kinds=[rtc.ParticipantKind."
                "PARTICIPANT_KIND_AGENT], participant_identity=PARTNER))`, after `await ctx.connect()`."
            ),
            "Before livekit-agents 1.3: `room_input_options=RoomInputOptions(…)` with the same two.",
            "Node: `inputOptions: { participantKinds: [ParticipantKind.AGENT], participantIdentity: PARTNER }`.",
            "Give each agent its own fixed identity when it accepts the job, and name the partner's.",
            "One of them must speak first: `session.say(…)` or `generate_reply()` right after the start.",
            "The second command proves on this server that one agent hears another, with the reference worker.",
        ),
        commands=(
            f"lk room participants list {words.shell(room)}",
            "lkdoctor worker --conversations 1 --shape a",
        ),
        caveats=("A session hears one partner only: never a person and an agent at once.",),
        verify=(
            f"The list counts a track of each agent, and `lkdoctor talk {words.shell(room)}` shows sound of both.",
        ),
    )


def _who(deaf: Sequence[str], group: Sequence[str]) -> str:
    """`none of them`, or `"driver-agent" never`."""
    if len(deaf) == len(set(group)):
        return "none of them"
    return f"{words.listed(words.quoted(name) for name in deaf)} never"


def _present(room: Room, group: Sequence[str]) -> list[tuple[str, AgentParticipant]]:
    """The agents of the group that are in the room now."""
    found = ((name, seen.agent_of(room, name)) for name in dict.fromkeys(group))
    return [(name, one) for name, one in found if one is not None]


@check(PARTNER_MISSING)
def partner_missing(rooms: Rooms, wanted: Wanted, listed: Listed) -> Iterator[Finding | Inconclusive]:
    """Of agents that should talk to each other one is in the room, and another never came.

    ## What it means
    The one that is there waits for a partner. Most often the other was never asked for in this room; or its dispatch got
    no job (LKD315), or its job no agent (LKD601), and this is told beneath that.

    ## How it is decided
    `--together` names the group; one of it has been in the room for 25 s, while another has no dispatch in a complete
    list of the room's dispatches, a dispatch without a job, or a job whose agent never came. Where no dispatch names it,
    and a person is in the room, nothing is said: that may be an ordinary call with one of them.

    ## How to fix
    Ask for all of the group where the room is made, or dispatch the missing one.

    ## When it is not a problem
    A partner that comes later, up to 25 s after the first. A dispatch that is younger than that. An agent that has come
    and gone is not reported here.
    """
    del listed
    groups = [tuple(dict.fromkeys(group)) for group in wanted.together]
    hit: dict[str, list[tuple[Room, Dispatch | None, AgentParticipant]]] = {}
    unseen: list[Dispatch] = []
    for room in seen.lives(rooms):
        for group in groups:
            present = _present(room, group)
            if not present or max(seen.stayed(room, one) for _, one in present) < PATIENCE:
                continue
            there = {name for name, _ in present}
            for name in group:
                if name in there:
                    continue
                mine = seen.dispatches_of(room, name)
                last = mine[-1] if mine else None
                if last is not None and _open(room, last):
                    unseen.append(last)
                elif _missing(room, last):
                    hit.setdefault(name, []).append((room, last, present[0][1]))
    for asked in words.by_name(unseen).values():
        yield seen.asked_back(
            asked,
            "its job runs, its partner waits, and it is not there: whether it never came or has left, one look cannot tell.",
            seen.WATCH,
        )
    for name, found in sorted(hit.items()):
        yield _partner_finding(name, found)


def _missing(room: Room, last: Dispatch | None) -> bool:
    if last is None:
        return room.dispatches_at is not None and not seen.waiting(room)
    if last.deleted_at is not None or room.looked_at is None or room.looked_at - (last.asked_at or 0.0) < PATIENCE:
        return False
    never_came = last.outcome is Outcome.ASSIGNED and last.after is After.NEVER_JOINED
    return never_came or last.outcome is Outcome.NOT_ASSIGNED


def _open(room: Room, last: Dispatch) -> bool:
    """A job whose agent is not there, and nobody saw whether it ever was?"""
    if last.outcome is not Outcome.ASSIGNED or last.after is not None or last.participant is not None:
        return False
    return room.looked_at is not None and room.looked_at - (last.asked_at or 0.0) >= PATIENCE


def _never_asked(unasked: Sequence[str], rooms: int) -> str:
    """In which of the rooms no dispatch names it; a room whose dispatch brought nobody is told of by another finding."""
    if not unasked:
        return "."
    if len(unasked) == rooms:
        return f": no dispatch of {'the room names' if rooms == 1 else 'these rooms names'} it."
    return f": in {words.listed(words.marked(name) for name in unasked)} no dispatch names it."


def _partner_finding(name: str, found: list[tuple[Room, Dispatch | None, AgentParticipant]]) -> Finding:
    unasked = [room for room, last, _ in found if last is None]
    names = words.listed(words.marked(room.name) for room, _, _ in found)
    return Finding(
        PARTNER_MISSING,
        Subject("agent", agent_name=name),
        f"{words.quoted(name)} never came into {names}, where its partner waits"
        + _never_asked([room.name for room in unasked], len(found)),
        PARTNER_MISSING.severity,
        Confidence.MEDIUM,
        {
            "agent_name": name,
            "rooms": sorted({room.name for room, _, _ in found})[:20],
            "never_asked_in": sorted({room.name for room in unasked})[:20],
        },
        words.spread(place for room, _, partner in found for place in seen.listings(room, partner)),
        (
            Fix(
                "Ask for all of the group",
                steps=("Name both agents where the room is made: CreateRoom's or the token's `agents`.",),
                commands=(words.dispatch_command(found[-1][0].name, name),),
                verify=("ListParticipants shows both, each of kind AGENT.",),
            ),
        ),
        folds=tuple(dict.fromkeys(Subject("dispatch", room=room.name, agent_name=name) for room, _, _ in found)),
        count=len(found),
        first_at=min((partner.joined_at for _, _, partner in found if partner.joined_at is not None), default=None),
        last_at=max((room.looked_at for room, _, _ in found if room.looked_at is not None), default=None),
    )
