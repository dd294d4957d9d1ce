"""The stories as single happenings in words, each with the ids that it concerns and the line that it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import (
    AgentParticipant,
    Ask,
    Dispatch,
    Launch,
    Origin,
    Outcome,
    Room,
    Stories,
    WorkerSession,
)

Tag = tuple[str, str]  # kind and value: ("room", "support-7"), ("worker", "AW_…")

ENDINGS: Final = {
    Outcome.NAME_NOT_SERVED: ("nobody served that name", "not dispatching agent job"),
    Outcome.NO_RESPONSE: ("the name was known, but nobody listened any more", "failed to send job request"),
    Outcome.NO_HEADROOM: ("no worker of the name had headroom, so none was asked", "failed to send job request"),
    Outcome.DECLINED: ("every worker asked declined", "no worker available to handle job"),
    Outcome.ANSWER_TIMEOUT: ("the worker asked did not answer in time", "failed to assign job to worker"),
    Outcome.REJECTED_TERMINALLY: ("the worker's reject ended the dispatch", ""),
    Outcome.WORKER_CLOSED: ("the worker asked closed its socket", "failed to assign job to worker"),
}
ORIGINS: Final = {
    Origin.ROOM: "CreateRoom asked for",
    Origin.TOKEN: "the joiner's token asked for",
    Origin.API: "CreateDispatch asked for",
    Origin.IMPLICIT: "nobody named an agent, so the server asked for",
    Origin.SEEN: "the server tried to place",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. `says` are words of the server's message that prove it, to be looked for in `places`."""

    at: float | None
    text: str
    tags: frozenset[Tag]
    places: tuple[Place, ...] = ()
    says: tuple[str, ...] = ()
    bad: bool = False


def happenings(stories: Stories) -> Iterator[Happening]:
    """Everything that the stories tell of rooms and workers, in no order."""
    for worker in stories.workers.values():
        yield from _worker(worker)
    for room in stories.rooms:
        yield from _room(room)
        for dispatch in room.dispatches:
            yield from _dispatch(dispatch, room)
    inside = {id(dispatch) for room in stories.rooms for dispatch in room.dispatches}
    for dispatch in stories.dispatches:
        if id(dispatch) not in inside:
            yield from _dispatch(dispatch, None)


def server_lives(stories: Stories) -> Iterator[Happening]:
    """When the servers started and stopped, as far as the evidence shows it."""
    for run in stories.runs:
        node = f" as node {run.node_id}" if run.node_id else ""
        text = f"livekit-server{f' {run.version}' if run.version else ''} started{node}"
        if run.started_at is not None:
            yield Happening(run.started_at, text, frozenset(), tuple(run.proof), ("starting LiveKit server",))


def name_of(agent_name: str) -> str:
    """The agent name in quotes, or what stands for none."""
    return f'"{agent_name}"' if agent_name else "an unnamed agent"


def _worker(one: WorkerSession) -> Iterator[Happening]:
    tags = frozenset({("worker", one.worker_id), ("agent", one.agent_name or "")})
    name = "under no name" if not one.agent_name else f'as "{one.agent_name}"'
    if one.refused:
        yield Happening(one.first_seen_at, f"worker {one.worker_id} was not registered: {one.refused}", tags,
                        tuple(one.proof), ("unable to handle", "failed to register"), bad=True)  # fmt: skip
    elif one.registered_at is not None:
        more = f", deployment {one.deployment}" if one.deployment else ""
        more += f", SDK {one.sdk}" if one.sdk else ""
        yield Happening(one.registered_at, f"worker {one.worker_id} registered {name} ({one.job_type}{more})", tags,
                        tuple(one.proof), ("worker registered",))  # fmt: skip
    if one.closed_at is not None:
        how = "lost its connection" if one.lost_connection else "left"
        text = f"worker {one.worker_id}, registered {name}, {how} after {one.jobs} job{'' if one.jobs == 1 else 's'}"
        yield Happening(one.closed_at, text, tags, tuple(one.proof), ("closing worker", "error reading"))


def _room(room: Room) -> Iterator[Happening]:
    tags = frozenset({("room", room.name), ("room", room.room_id)})
    places = tuple(room.proof)
    if room.opened_at is not None:
        how = {Origin.ROOM: "by CreateRoom", Origin.API: "by CreateDispatch", Origin.TOKEN: "by a join"}
        text = f'room "{room.name}" ({room.room_id or "id not printed"}) was made'
        text += f" {how[room.opened_by]}" if room.opened_by in how else ""
        yield Happening(room.opened_at, text, tags, places)
    for ask in room.asks:
        yield from _ask(ask, tags)
    for person in room.people:
        yield from _participant(person, room, tags, "participant", frozenset())
    for agent in room.agents:
        of = frozenset(tag for one in room.dispatches if one.participant is agent for tag in _tags(one))
        yield from _participant(agent, room, tags, "agent", of)
    if room.closed_at is not None:
        why = f": {room.close_reason}" if room.close_reason else ""
        text = f'room "{room.name}" closed{why}'
        yield Happening(room.closed_at, text, tags, places, ("closing room", "room closed", "closing idle room"))


def _ask(ask: Ask, tags: frozenset[Tag]) -> Iterator[Happening]:
    if ask.read is not False or not ask.names:
        return
    names = ", ".join(f'"{name}"' for name in ask.names)
    who = f"the token of {ask.who}" if ask.who else "CreateRoom"
    text = f"{who} names {names}, which was not read: the room existed already"
    mine = tags | {("agent", name) for name in ask.names} | ({("participant", ask.who)} if ask.who else set())
    yield Happening(ask.at, text, frozenset(mine), (ask.place,), (), bad=True)


def _participant(
    one: AgentParticipant, room: Room, tags: frozenset[Tag], word: str, more: frozenset[Tag]
) -> Iterator[Happening]:
    mine = tags | {("participant", one.identity), ("participant", one.sid)} | more
    places = tuple(one.proof)

    def tell(at: float | None, text: str, *says: str, bad: bool = False) -> Happening:
        return Happening(at, f'{word} {one.identity} {text} room "{room.name}"', mine, places, says, bad)

    if one.joined_at is not None:
        yield tell(one.joined_at, "joined", "starting RTC session")
    if one.active_at is not None:
        yield tell(one.active_at, "was connected in", "participant active")
    if one.published_at is not None:
        yield tell(one.published_at, "published a track in", "mediaTrack published")
    if one.duplicate_removed:
        yield tell(one.left_at, "was thrown out (its identity came a second time) of", "removing duplicate", bad=True)
    elif one.never_connected:
        yield tell(one.left_at, "never got connected, and was removed from", "without connection", bad=True)
    elif one.left_at is not None:
        why = f" ({one.leave_reason})" if one.leave_reason else ""
        yield tell(one.left_at, f"left{why}", "participant closing")


def _tags(one: Dispatch) -> frozenset[Tag]:
    tags = {("room", one.room), ("room", one.room_id), ("agent", one.agent_name)}
    if one.dispatch_id:
        tags.add(("dispatch", one.dispatch_id))
    for launch in one.launches:
        tags |= {("job", launch.job_id)} if launch.job_id else set()
        tags |= {("worker", worker) for worker in (launch.worker_id, *launch.asked_workers) if worker}
    return frozenset(tags)


def _dispatch(one: Dispatch, room: Room | None) -> Iterator[Happening]:
    tags = _tags(one) | ({("room", room.room_id)} if room else frozenset())
    where = f'room "{one.room}"' if one.room else "a room that the line does not name"
    deployment = f", deployment {one.deployment}" if one.deployment else ""
    asked_by = ("API ", "starting RTC session")
    text = f"{ORIGINS[one.origin]} {name_of(one.agent_name)} in {where}{deployment}"
    yield Happening(one.asked_at, text, tags, tuple(one.proof), asked_by)
    for launch in one.launches:
        if launch.decides:
            yield from _launch(launch, one, where, tags)
    if one.outcome in {Outcome.UNKNOWN, Outcome.PENDING, Outcome.WAITING} and one.reason:
        yield Happening(one.asked_at, f"{name_of(one.agent_name)} in {where}: {one.outcome.value}, {one.reason}", tags)
    if one.deleted_at is not None:
        yield Happening(one.deleted_at, f"the dispatch of {name_of(one.agent_name)} in {where} was deleted", tags)


def _launch(launch: Launch, dispatch: Dispatch, where: str, tags: frozenset[Tag]) -> Iterator[Happening]:
    name, places = name_of(dispatch.agent_name), tuple(launch.proof)
    if dispatch.among is not None:
        name = f"one of the requests for {name}"
    if launch.outcome is Outcome.ASSIGNED:
        took = f" {launch.seconds:.1f} s after it was tried" if launch.seconds is not None else ""
        text = f"{name} in {where}: job {launch.job_id} was assigned to worker {launch.worker_id}{took}"
        yield Happening(launch.ended_at, text, tags, places, ("assigned job to worker",))
        if launch.job_ended_at is not None:
            how = " ".join(filter(None, (launch.job_status, f"({launch.job_error})" if launch.job_error else "")))
            text = f"job {launch.job_id} of {name} ended{f': {how}' if how else ''}"
            yield Happening(launch.job_ended_at, text, tags, places, ("job ended",))
    elif launch.outcome in ENDINGS:
        words, says = ENDINGS[launch.outcome]
        theirs = f' ("{launch.error}")' if launch.error else ""
        asked = f", asked: {', '.join(launch.asked_workers)}" if launch.asked_workers else ""
        text = f"{name} in {where} got no agent: {words}{theirs}{asked}"
        yield Happening(launch.ended_at, text, tags, places, (says, "failed to send job request"), bad=True)
