"""Were the agents that a token names read at all?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Ask, Coverage, Origin, Room
from lkdoctor.doctor.codes import TOKEN_AGENTS_IGNORED
from lkdoctor.doctor.evidence import Evidence, Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(TOKEN_AGENTS_IGNORED)
def token_agents_ignored(rooms: Rooms, coverage: Coverage, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token named an agent, but the room existed already, so the server never read that part.

    ## What it means
    Agents in a token (and in CreateRoom) count only for the request that *makes* the room. Whoever joins a room that is
    there brings no agent, whatever the token says, and no line says that it was ignored. The usual shape: the backend
    calls CreateRoom without agents, then hands out tokens with agents; or a room name is used again before the old room
    has closed.

    ## How it is decided
    The joiner's `starting RTC session` line shows the agents that its token asked for
    (`participantInit.CreateRoom.agents`, from 1.8.2; seen on 1.8.4, 1.9.12, 1.11.0 and 1.13.5) and that the room was
    there before. In its whole life the room has no dispatch of that name, in a log at level info that goes on for 8 s
    or more after the join while the person stays. From 1.8.4 on a dispatch of the name would have shown itself, even if
    it was made before the log begins: every join tries all dispatches of the room once more. From the API: a CreateRoom
    call that is in the evidence named the agent for a room that was there before, and a complete list of the room's
    dispatches, 8 s or more later, does not have it.

    ## How to fix
    Name the agents where the room is made: put `agents` into CreateRoom, or leave CreateRoom out and let the first join
    make the room. For a room that is open: CreateDispatch. Or use a new room name for each session.

    ## When it is not a problem
    The second and third user of a room whose agent is there carry the same token: theirs is not read either, and
    nothing is missing. If a dispatch of that name is in the room, whoever made it, nothing is reported here; whether its
    agent has left meanwhile is LKD607.
    """
    log_end = words.end_of(evidence.runs)
    if coverage.hides_info:
        return
    ignored: dict[str, list[tuple[Room, Ask]]] = {}
    for room in rooms:
        last = log_end if log_end is not None else room.dispatches_at
        if last is None:
            continue
        for ask in room.asks:
            if not _unread(room, ask, last):
                continue
            for name in dict.fromkeys(ask.names):
                if name and not any(one.agent_name == name for one in room.dispatches):
                    ignored.setdefault(name, []).append((room, ask))
    for name, hits in sorted(ignored.items()):
        times = sorted(ask.at for _, ask in hits if ask.at is not None)
        names = list(dict.fromkeys(room.name for room, _ in hits))
        unseen = any(room.opened_at is None for room, _ in hits)
        by_token = any(ask.origin is Origin.TOKEN for _, ask in hits)
        yield Finding(
            TOKEN_AGENTS_IGNORED,
            Subject("agent", agent_name=name),
            f"{'The token' if by_token else 'CreateRoom'} asked for {words.quoted(name)}, but the room existed already, "
            f"so {'its' if by_token else 'the'} agents were not read ({words.counted(len(hits), 'request')}, "
            f"{words.listed(words.marked(each) for each in names)}).",
            TOKEN_AGENTS_IGNORED.severity,
            Confidence.MEDIUM if unseen else Confidence.HIGH,
            {
                "agent_name": name,
                "rooms": names[:20],
                "identities": sorted({ask.who for _, ask in hits if ask.who})[:20],
            },
            words.spread(
                [
                    *(place for room, _ in hits[:1] for place in room.proof[:1]),
                    *words.spread((ask.place for _, ask in hits), 5),
                ]
            ),
            (
                Fix(
                    "Name the agent where the room is made",
                    steps=(
                        "Put `agents` into the CreateRoom call; or drop that call and let the first join make the room.",
                        "For a room that is open, make a dispatch.",
                        "Or use a new room name for each session.",
                    ),
                    commands=(words.dispatch_command(words.open_name(hits[-1][0]), name),),
                    verify=("`assigned job to worker` with the agent's name follows.",),
                ),
            ),
            folds=tuple(dict.fromkeys(Subject("dispatch", room=room.name, agent_name=name) for room, _ in hits)),
            count=len(hits),
            first_at=times[0] if times else None,
            last_at=times[-1] if times else None,
        )


def _unread(room: Room, ask: Ask, last: float) -> bool:
    """Did the agents of this request stay unread, in an old room, for long enough to say so?"""
    if ask.read is not False or not any(ask.names) or ask.at is None:
        return False
    end = min(room.closed_at if room.closed_at is not None else last, last)
    people = [one for one in room.people if not ask.who or one.identity == ask.who]
    if ask.origin is Origin.TOKEN:
        stayed = max((words.present(one.joined_at, one.left_at, ask.at, end) for one in people), default=0.0)
    else:
        stayed = end - ask.at  # a CreateRoom call has nobody who could leave
    if stayed < rules.SETTLE:
        return False
    # An agent that belongs to no known dispatch may be the one that was meant: nothing is said then.
    known = {id(one.participant) for one in room.dispatches if one.participant is not None}
    return not any(
        id(each) not in known and words.present(each.joined_at, each.left_at, ask.at, end) > 0 for each in room.agents
    )
