"""What several checks read from API listings: who is there, who waits for an agent, and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lkdoctor.dispatch.addresses import on_cloud
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import AgentParticipant, Dispatch, Room
from lkdoctor.doctor.finding import Fix, Inconclusive, Subject
from lkdoctor_checks import _words as words

BEHALF = "lk.publish_on_behalf"
NOT_WAITING = ("EGRESS", "INGRESS")  # a recorder and a stream talk to nobody; a SIP caller is a person on the telephone
WATCH = "Run the same command again with `--watch 30`, from before the call begins, or add the server's log."


def alone(room: Room) -> bool:
    """True when only listings tell of this room, and no log line does."""
    return not room.stream


def here(one: AgentParticipant) -> bool:
    """Did the last complete listing still show this connection?"""
    return bool(one.listed) and one.gone_by is None


def agents_here(room: Room) -> list[AgentParticipant]:
    """Agents that the last listing showed."""
    return [one for one in room.agents if here(one)]


def waits(one: AgentParticipant) -> bool:
    """Is this somebody for whom an agent would speak: visible, and neither an agent, a recorder nor a stream?"""
    if one.dependent or one.hidden:
        return False
    return not (one.listed and one.listed[-1][1].kind in NOT_WAITING)


def waiting(room: Room, seconds: float = 0.0) -> list[AgentParticipant]:
    """People who are there now and have been for `seconds`."""
    return [one for one in room.people if waits(one) and here(one) and stayed(room, one) >= seconds]


def stayed(room: Room, one: AgentParticipant) -> float:
    """Seconds from the join (of this connection) to the last listing of the room's participants; 0 when unknown."""
    if room.looked_at is None or one.joined_at is None:
        return 0.0
    return max(0.0, room.looked_at - one.joined_at)


def audio_ever(one: AgentParticipant) -> bool:
    """Did any listing show an audio track?"""
    return any(track.type == "AUDIO" for _, info in one.listed for track in info.tracks)


def audio_now(one: AgentParticipant) -> bool:
    """Did the last listing show an audio track?"""
    return bool(one.listed) and any(track.type == "AUDIO" for track in one.listed[-1][1].tracks)


def spoke(one: AgentParticipant) -> bool:
    """Did any listing show the agent speaking? Without a track that is an agent that writes."""
    return any(info.agent_state == "speaking" for _, info in one.listed)


def state(one: AgentParticipant) -> str:
    """`lk.agent.state` as listed last; empty where no session runs."""
    return one.listed[-1][1].agent_state if one.listed else ""


def active(one: AgentParticipant) -> bool:
    """Is the participant connected with media?"""
    return bool(one.listed) and one.listed[-1][1].state == "ACTIVE"


def dispatches_of(room: Room, agent_name: str) -> list[Dispatch]:
    """The room's dispatches of this name, oldest first."""
    return sorted((one for one in room.dispatches if one.agent_name == agent_name), key=lambda one: one.asked_at or 0.0)


def agent_of(room: Room, agent_name: str) -> AgentParticipant | None:
    """The agent of this name that is in the room now; None when there is none."""
    for one in reversed(dispatches_of(room, agent_name)):
        if one.participant is not None and here(one.participant):
            return one.participant
    return None


def listings(room: Room, *others: AgentParticipant) -> Iterator[Place]:
    """The room's listing, then those of its dispatches and of these participants."""
    yield from room.proof[:1]
    yield from (place for one in room.dispatches for place in one.proof[-1:])
    yield from (place for one in others for place in one.proof[-1:])


def lives(rooms: Iterable[Room]) -> Iterator[Room]:
    """Rooms that are open and whose participants were listed completely: where absence means something."""
    return (one for one in rooms if one.looked_at is not None and one.closed_at is None)


def asked_back(group: Sequence[Dispatch], missing: str, how: str, *, weighs: bool = False) -> Inconclusive:
    """One question for all dispatches of one name, however many rooms it is open in."""
    return Inconclusive(
        Subject("agent", agent_name=group[-1].agent_name),
        f"{words.quoted(group[-1].agent_name)} in {words.rooms_of(group)}: {missing}",
        how,
        words.spread(place for one in group for place in one.proof[-1:]),
        weighs,
    )


def asked_at(dispatches: Iterable[Dispatch]) -> str:
    """`--url URL ` of the live server that listed them; empty when the listing was a file."""
    url = _server(dispatches)
    return f"--url {words.shell(url)} " if url else ""


def _server(dispatches: Iterable[Dispatch]) -> str:
    urls = {place.source for one in dispatches for place in one.proof if "://" in place.source}
    return urls.pop() if len(urls) == 1 else ""


def cause_fix(dispatches: Sequence[Dispatch]) -> Fix:
    """Where the cause stands that no API shows."""
    url = asked_at(dispatches)
    probe = f"lkdoctor probe {url}{words.shell(dispatches[-1].agent_name)}"
    call = "Or let lkdoctor call the agent in a room of its own, and time each step; that runs the agent once."
    if on_cloud(_server(dispatches)):  # whose server logs nobody has
        return Fix(
            "Find the cause in the worker's log",
            steps=(
                (
                    "It says under which name and at which URL the worker registered (`registered worker`), and whether it was asked "
                    "(`received job request`)."
                ),
                call,
            ),
            commands=(probe,),
        )
    return Fix(
        "Find the cause in the server's log",
        steps=(
            "The API shows neither workers nor refusals; the server's log has one line for each.",
            "Give lkdoctor the log of every node, from before the dispatch until 10 s after it, at level info.",
            call,
        ),
        commands=(
            f"lkdoctor check {url}server.log",
            probe,
        ),
    )
