"""Rooms, who asked for which agent in them, and who joined."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.facts import AgentAsked, Event, Fields, Request, What, own
from lkdoctor.dispatch.model import AgentParticipant, Ask, Dispatch, Launch, Origin, Room, ServerRun, Stories
from lkdoctor.dispatch.nodes import Handler, Nodes
from lkdoctor.dispatch.pairing import Pairing

SAME_MOMENT: Final = 0.3  # a launch line this little before the line that made the room belongs to it
IN_CALL: Final = 0.005  # s; the same of a call on one node, whose line tells how long it took
NAMELESS: Final = (
    10.0  # s in which a CreateDispatch whose line names no room (1.8) may have made the room that is joined
)


def seconds_of(duration: str | float) -> float:
    """The `duration` of an API line in seconds: `15.2ms`, `1m3s` (console) or a float (JSON)."""
    if isinstance(duration, (int, float)):
        return float(duration)
    total = 0.0
    for number, unit in re.findall(r"([\d.]+)(h|ms|m|s|µs|us|ns)", duration):
        total += float(number) * _UNITS[unit]
    return total


_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}


class Lobby:
    """The rooms of the evidence: open ones by id and name, closed ones until nothing more can be said of them."""

    def __init__(self, stories: Stories, nodes: Nodes, pairing: Pairing) -> None:
        self.stories = stories
        self.nodes = nodes
        self.pairing = pairing
        self.leaving: deque[tuple[float, Room]] = deque()  # closed at, room
        self._by_id: dict[str, Room] = {}
        self._by_name: dict[tuple[str, str], Room] = {}
        self._closed_names: set[tuple[str, str]] = set()  # names whose former life ended in the evidence
        self._nameless: dict[str, float] = {}  # by node: its last CreateDispatch whose line names no room
        self.by_sid: dict[str, AgentParticipant] = {}  # `PA_…` of the rooms that are not left
        self._now = 0.0

    def handlers(self) -> Mapping[What, Handler]:
        """Which method takes which event."""
        return {
            What.SESSION_STARTED: self._session_started,
            What.DISPATCH_NOT_STORED: self._not_stored,
            What.ROOM_CLOSING: self._room_closing,
            What.ROOM_IDLE_CLOSED: self._room_idle_closed,
            What.API_CALL: self._api_call,
        }

    # -- rooms --------------------------------------------------------------------------------------------------------

    def all_open(self) -> list[Room]:
        """Rooms that have not been left, oldest first."""
        leaving = (room for _, room in self.leaving)
        seen = {id(room): room for room in (*self._by_id.values(), *self._by_name.values(), *leaving)}
        return sorted(seen.values(), key=lambda room: (room.first_at or 0.0, room.name))

    def forget(self, room: Room) -> None:
        """Nothing more can be said of a closed room."""
        if self._by_id.get(room.room_id) is room:
            del self._by_id[room.room_id]
        for one in (*room.people, *room.agents):
            self.by_sid.pop(one.sid, None)

    def end_run(self, run: ServerRun) -> None:
        """A process that is gone took its rooms along; with redis, only those that it is seen to have hosted.

        Redis keeps the record of a room: the next join makes it anew, under the same id and with its agents launched
        again (seen on 1.13.5). That is another life.
        """
        for room in self.all_open():
            if room.closed_at is None and run.stream == (room.host or (room.stream if not run.redis else "")):
                self._close(room, run.last_at, "server stopped")
                self.forget(room)

    def _open_room(self, event: Event, name: str) -> Room | None:
        room = self._by_name.get((self.nodes.cluster(event.stream), name))
        return room if room is not None and room.closed_at is None else None

    def room(self, event: Event, fields: Fields) -> Room:
        """The room of a line that names it by id or name; made when it is new."""
        room_id, name = fields.roomID, fields.room_name
        if room_id:
            found = self._by_id.get(room_id)
            if found is not None:
                found.last_at = event.at
                return found
        key = (self.nodes.cluster(event.stream), name)
        known = self._by_name.get(key)
        if known is not None and known.closed_at is None:
            if not room_id or not known.room_id:
                if room_id:
                    known.room_id = room_id
                    self._by_id[room_id] = known
                known.last_at = event.at
                return known
            self._replace(known, event)
        room = Room(name, room_id, event.stream, first_at=event.at, last_at=event.at)
        self._by_name[key] = room
        if room_id:
            self._by_id[room_id] = room
        return room

    def _replace(self, room: Room, event: Event) -> None:
        """Another room has this one's name: its end was not seen. Or it lives on elsewhere: logs that begin late do not
        tell whether their servers share anything."""
        if room.stream == event.stream or self.nodes.shares(event.stream):
            self._close(room, event.at, "ended unseen")
        else:
            self._by_name.pop((self.nodes.cluster(event.stream), room.name), None)

    def _certainly_new(self, event: Event, name: str) -> bool | None:
        """True when a room of this name cannot have been there before this line; None when nobody can tell."""
        if self.nodes.start_seen(event.stream) or (self.nodes.cluster(event.stream), name) in self._closed_names:
            return True
        return None

    def _after_nameless(self, event: Event) -> bool:
        """Was there a CreateDispatch just before that does not tell its room? It may be this one (seen on 1.8.4)."""
        called_at = self._nameless.get(event.stream)
        return called_at is not None and event.at is not None and event.at - called_at < NAMELESS

    def _close(self, room: Room, at: float | None, reason: str) -> None:
        room.close_reason = room.close_reason or reason
        if room.closed_at is not None:
            return
        closed_at = at if at is not None else self._now
        room.closed_at = closed_at
        for key in ((self.nodes.cluster(room.stream), room.name), ("", room.name)):
            if self._by_name.get(key) is room:
                del self._by_name[key]
                if not self.nodes.start_seen(room.stream):
                    self._closed_names.add(key)
        if room.room_id:
            self.leaving.append((closed_at, room))
        else:
            self.stories.rooms.append(room)  # its id was never printed, so no later line can name it

    def _not_stored(self, event: Event, fields: Fields) -> None:
        room = self.room(event, fields)
        room.not_stored = fields.error
        room.proof.append(event.place)

    def _room_closing(self, event: Event, fields: Fields) -> None:
        if not fields.roomID:
            return
        room = self.room(event, fields)
        room.proof.append(event.place)
        self._close(room, event.at, "")

    def _room_idle_closed(self, event: Event, fields: Fields) -> None:
        room = self._by_id.get(fields.roomID)
        if room is not None:
            room.close_reason = fields.reason
            room.proof.append(event.place)

    # -- requests for agents ------------------------------------------------------------------------------------------

    def _api_call(self, event: Event, fields: Fields) -> None:
        status = str(fields.status)
        if status != "200":
            if fields.error:
                number = int(status) if status.isdigit() else 0
                self.nodes.refused(f"/twirp/{fields.service}.{fields.method}", number, fields.error, event)
            return
        request = fields.request if isinstance(fields.request, Request) else None
        if fields.method == "CreateRoom":
            self._create_room(event, fields, request)
        elif fields.method == "CreateDispatch" and request is not None:
            self._create_dispatch(event, fields, request)
        elif fields.method == "CreateDispatch" and event.at is not None:
            self._nameless[event.stream] = event.at
        elif fields.method == "DeleteDispatch":
            self._delete_dispatch(event, fields)

    def _asked_at(self, event: Event, fields: Fields) -> float | None:
        return None if event.at is None else event.at - seconds_of(fields.duration)

    def _made_now(self, event: Event, name: str, asked_at: float | None) -> tuple[Room, bool | None]:
        """The room of a call or join that makes it when it is missing, and whether it did (None: nobody can tell)."""
        room = self._open_room(event, name)
        if room is not None:
            exact = asked_at != event.at and room.stream == event.stream
            fresh = (
                room.opened_by is None
                and room.first_at is not None
                and asked_at is not None
                and room.first_at >= asked_at - (IN_CALL if exact else SAME_MOMENT)
                and not room.people
                and not room.asks
            )
            return room, self._certainly_new(event, name) if fresh else False
        new = self._certainly_new(event, name)
        return self.room(event, Fields(room=name)), new

    def _create_room(self, event: Event, fields: Fields, request: Request | None) -> None:
        name = (request.name if request else "") or fields.room_name
        if not name:
            return
        asked_at = self._asked_at(event, fields)
        room, new = self._made_now(event, name, asked_at)
        agents = request.agents if request else ()
        room.asks.append(Ask(asked_at, Origin.ROOM, tuple(one.agentName for one in agents), new, "", event.place))
        preset = request.roomPreset if request else ""
        self._made(room, new, Origin.ROOM, agents, preset, asked_at, event)

    def _made(
        self,
        room: Room,
        new: bool | None,
        origin: Origin,
        agents: Iterable[AgentAsked],
        preset: str,
        at: float | None,
        event: Event,
    ) -> None:
        """If this made the room, its agents are dispatched; with none named, the unnamed dispatch is."""
        if not new:
            return
        room.opened_at = at
        room.opened_by = origin
        room.proof.append(event.place)
        agents = tuple(agents)
        if preset:
            room.presets = (*room.presets, preset)
            if not agents:
                return  # the preset's agents are not printed: only their launches will tell
        for one in agents:
            self._dispatch(room, one.agentName, origin, at, event, one.deployment)
        if not agents:
            self._dispatch(room, "", Origin.IMPLICIT, at, event)

    def _create_dispatch(self, event: Event, fields: Fields, request: Request) -> None:
        name = request.room or fields.room_name
        if not name:
            return
        asked_at = self._asked_at(event, fields)
        room, new = self._made_now(event, name, asked_at)
        if new and room.opened_at is None:
            room.opened_at = asked_at
            room.opened_by = Origin.API
            room.proof.append(event.place)
            self._dispatch(room, "", Origin.IMPLICIT, asked_at, event)  # seen: auto-created rooms fire it first
        dispatch = self._dispatch(room, request.agentName, Origin.API, asked_at, event, request.deployment)
        for person in room.people:
            if person.left_at is None and not person.dependent:
                self._raise_types(dispatch, person, asked_at, event.stream)

    def _delete_dispatch(self, event: Event, fields: Fields) -> None:
        room = self._open_room(event, fields.room_name)
        if room is None:
            return
        living = [one for one in room.dispatches if one.explicit and one.deleted_at is None]
        if len(living) == 1:  # the line names a dispatch id that no other line names
            living[0].deleted_at = event.at

    def _dispatch(
        self, room: Room, agent_name: str, origin: Origin, at: float | None, event: Event, deployment: str = ""
    ) -> Dispatch:
        """A request whose making is in the evidence. Launch lines may stand a few ms before it: they are adopted."""
        for one in room.dispatches:
            if one.origin is Origin.SEEN and one.agent_name == agent_name and one.asked_at is None:
                began = started(one)
                away = any(launch.node not in (None, event.stream) for launch in one.launches)
                if began is None or at is None or began >= at - (rules.CLOCKS if away else SAME_MOMENT):
                    one.origin = origin
                    one.asked_at = at
                    one.deployment = deployment
                    one.proof.append(event.place)
                    for launch in one.launches:
                        launch.asked_at = launch.asked_at if launch.asked_at is not None else at
                    if not any(launch.job_type == rules.JT_ROOM for launch in one.launches):
                        self.launch(one, rules.JT_ROOM, at, event.stream)
                    return one
        agent_name = self.nodes.same(agent_name)
        dispatch = Dispatch(room.name, room.room_id, agent_name, origin, at, deployment, proof=[event.place])
        room.dispatches.append(dispatch)
        self.launch(dispatch, rules.JT_ROOM, at, event.stream)
        return dispatch

    def launch(
        self, dispatch: Dispatch, job_type: str, at: float | None, stream: str, participant: str | None = None
    ) -> Launch:
        """Add a launch that waits for its ending; `stream` is the node whose line tells of it."""
        launch = Launch(self.nodes.same(job_type), at, participant)
        dispatch.launches.append(launch)
        self.pairing.open(dispatch, launch, stream if at is not None else "", self.nodes.cluster(stream))
        return launch

    def _raise_types(self, dispatch: Dispatch, person: AgentParticipant, at: float | None, stream: str) -> None:
        """A person is there (and may publish): the launches of the types that the name's workers register."""
        types = self.nodes.types.get(dispatch.agent_name, ())
        if rules.JT_PARTICIPANT in types:
            self.launch(dispatch, rules.JT_PARTICIPANT, at, stream, person.identity)
        if rules.JT_PUBLISHER in types and person.published_at is not None:
            self.launch(dispatch, rules.JT_PUBLISHER, at, stream, person.identity)

    # -- joins -------------------------------------------------------------------------------------------------------

    def _session_started(self, event: Event, fields: Fields) -> None:
        if own(fields.participant) and not own(fields.room_name):
            return  # somebody listens to that room with lkdoctor
        start = fields.participantInit
        grants = start.Grants if start else None
        kind = (grants.Kind if grants else "") or fields.kind
        is_agent = kind.lower() == "agent"
        video = grants.Video if grants else None
        dependent = (
            is_agent
            or kind.lower() == "egress"
            or (video is not None and (video.Agent is True or video.Recorder is True))
        )
        asked = start.CreateRoom if start else None
        names = None if asked is None else tuple(one.agentName for one in asked.agents)

        room = self._by_id.get(fields.roomID) if fields.roomID else None
        early = room is not None and (
            room.opened_by is not None or bool(room.people) or bool(room.agents) or _older(room, event.at)
        )
        if room is None and fields.room_name:
            room, new = self._made_now(event, fields.room_name, event.at)
            if fields.roomID and room.room_id and room.room_id != fields.roomID:
                self._replace(room, event)
                room, new = self._made_now(event, fields.room_name, event.at)
            if fields.roomID and not room.room_id:
                room.room_id = fields.roomID
                self._by_id[fields.roomID] = room
        elif room is not None:
            new = False if early else self._certainly_new(event, room.name)
        else:
            return
        if fields.numParticipants and not new:
            new = False
        elif is_agent:
            new = None  # an agent joins by its job, into a room that something made: a call that no line shows
        elif new and self._after_nameless(event):
            new = None
        person = AgentParticipant(
            fields.participant,
            fields.participant_sid,
            is_agent,
            dependent,
            hidden=video is not None and video.Hidden is True,
            joined_at=event.at,
            asked_agents=names,
            room_was_new=new,
            proof=[event.place],
        )
        if asked is not None and (asked.agents or new):
            room.asks.append(Ask(event.at, Origin.TOKEN, names or (), new, fields.participant, event.place))
        if asked is not None:
            self._made(room, new, Origin.TOKEN, asked.agents, asked.roomPreset, event.at, event)
        (room.agents if is_agent else room.people).append(person)
        if person.sid:
            self.by_sid[person.sid] = person
        room.host = event.stream
        room.last_at = event.at
        if not dependent:
            for dispatch in room.dispatches:
                if rules.JT_PARTICIPANT in self.nodes.types.get(dispatch.agent_name, ()):
                    self.launch(dispatch, rules.JT_PARTICIPANT, event.at, event.stream, person.identity)


def _older(room: Room, at: float | None) -> bool:
    return room.first_at is not None and at is not None and room.first_at < at - SAME_MOMENT


def started(dispatch: Dispatch) -> float | None:
    """The earliest time that a dispatch's lines show."""
    times = [one.ended_at for one in dispatch.launches if one.ended_at is not None]
    return min(times) if times else None
