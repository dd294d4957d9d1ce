"""Joins facts into stories: which rooms lived, who was registered, what was dispatched, and how each launch ended.

Events come in time order, from any number of nodes. Lines that name a job, a worker or a room are joined by those ids;
the one line that names no room is left to `pairing.py`; outcomes are decided by `judge.py` when everything is read.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from lkdoctor.dispatch import judge, rules
from lkdoctor.dispatch.facts import AgentAsked, Event, Fields, Request, What
from lkdoctor.dispatch.model import (
    AgentParticipant,
    Ask,
    Dispatch,
    Launch,
    Origin,
    Outcome,
    Refusal,
    Room,
    ServerRun,
    Stories,
    WorkerSession,
)
from lkdoctor.dispatch.pairing import PATIENCE, Pairing, RequestLine

KEEP: Final = 10_000  # dispatches kept whole; above it healthy closed ones become counts
LINGER: Final = 20.0  # seconds of log after which nothing more is said of a closed room
SAME_MOMENT: Final = 0.3  # a launch line this little before the line that made the room belongs to it
LAUNCHES_KEPT: Final = 12  # per dispatch; more lines of the participant types are counted as noise
_MASKED = re.compile(r"<[^>]*>|eyJ[\w.-]+")


def join(events: Iterable[Event]) -> Stories:
    """Read all events once and tell what happened."""
    joiner = Joiner()
    for event in events:
        joiner.feed(event)
    return joiner.finish()


def seconds_of(duration: str | float) -> float:
    """The `duration` of an API line in seconds: `15.2ms`, `1m3s` (console) or a float (JSON)."""
    if isinstance(duration, (int, float)):
        return float(duration)
    total = 0.0
    for number, unit in re.findall(r"([\d.]+)(h|ms|m|s|µs|us|ns)", duration):
        total += float(number) * _UNITS[unit]
    return total


_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}


class Joiner:
    """The state of one pass over the events."""

    def __init__(self) -> None:
        self.stories = Stories()
        self.pairing = Pairing()
        self._runs: dict[str, ServerRun] = {}
        self._busy: set[str] = set()  # streams whose current run has said more than its start-up lines
        self._by_id: dict[str, Room] = {}
        self._by_name: dict[tuple[str, str], Room] = {}
        self._closed_names: set[tuple[str, str]] = set()  # names whose former life ended in the evidence
        self._jobs: dict[str, tuple[Dispatch, Launch]] = {}
        self._types: dict[str, set[str]] = {}
        self._leaving: deque[tuple[float, Room]] = deque()
        self._refusals: dict[tuple[str, int, str], Refusal] = {}
        self._now: float | None = None
        self._strays: list[Dispatch] = []  # dispatches of which only a line without a room is known
        self._kept = 0
        self._handlers: dict[What, Callable[[Event, Fields], None]] = {
            What.SERVER_STARTED: self._server_started,
            What.SINGLE_NODE: self._routing,
            What.REDIS_CONNECTING: self._routing,
            What.SERVER_STOPPING: self._server_stopping,
            What.CONFIG_REFUSED: self._config_refused,
            What.WORKER_REGISTERED: self._worker_registered,
            What.LAST_WORKER_GONE: self._worker_closed,
            What.WORKER_CLOSED: self._worker_closed,
            What.WORKER_SIGNAL_REFUSED: self._registration_refused,
            What.WORKER_TOPIC_REFUSED: self._registration_refused,
            What.WORKER_READ_ERROR: self._read_error,
            What.NOT_DISPATCHING: self._not_dispatching,
            What.REQUEST_FAILED: self._request_failed,
            What.ASSIGNED: self._assigned,
            What.ASSIGN_FAILED: self._assign_failed,
            What.NOBODY_LEFT: self._nobody_left,
            What.LATE_ANSWER: self._late_answer,
            What.JOB_ENDED: self._job_ended,
            What.SESSION_STARTED: self._session_started,
            What.PARTICIPANT_ACTIVE: self._participant_active,
            What.PARTICIPANT_CLOSING: self._participant_closing,
            What.DUPLICATE_REMOVED: self._duplicate_removed,
            What.NEVER_CONNECTED: self._never_connected,
            What.TRACK_PUBLISHED: self._track_published,
            What.JOIN_FAILED: self._join_failed,
            What.ROOM_CLOSING: self._room_closing,
            What.ROOM_IDLE_CLOSED: self._room_idle_closed,
            What.ROOM_PLACED: self._room_placed,
            What.API_CALL: self._api_call,
            What.REQUEST_REFUSED: self._request_refused,
        }

    # -- the pass -----------------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Take the next event."""
        at = event.at
        run = self._runs.get(event.stream) or self._new_run(event)
        if at is not None:
            run.last_at = at
            if self._now is None or at > self._now:
                self._now = at
                if self.stories.first_at is None:
                    self.stories.first_at = at
                self._let_go(at)
        if event.level in ("info", "debug"):
            run.info_seen = True
        elif event.level:
            run.warn_seen = True
        handler = self._handlers.get(event.what)
        if handler is not None:
            handler(event, event.fields)
            if event.what >= What.WORKER_REGISTERED:
                self._busy.add(event.stream)

    def finish(self) -> Stories:
        """Everything is read: judge what is left and hand over the stories."""
        while self.pairing.waiting:
            self._pair(self.pairing.waiting.popleft())
        self.pairing.settle_contests()
        stories = self.stories
        stories.last_at = self._now
        stories.refusals = list(self._refusals.values())
        stories.rooms.extend(room for room in self._all_open())
        stories.coverage = judge.coverage(stories)
        verdicts = judge.Judge(stories, self._types)
        for room in stories.rooms:
            for dispatch in room.dispatches:
                verdicts.decide(dispatch, room)
            verdicts.follow(room)
            stories.dispatches.extend(room.dispatches)
        for dispatch in self._strays:
            verdicts.decide(dispatch, None)
        stories.dispatches.extend(self._strays)
        stories.dispatches.sort(key=lambda one: (one.asked_at or _started(one) or 0.0, one.room, one.agent_name))
        return stories

    def _all_open(self) -> list[Room]:
        seen: dict[int, Room] = {}
        for room in (*self._by_id.values(), *self._by_name.values()):
            seen[id(room)] = room
        return sorted(seen.values(), key=lambda room: (room.first_at or 0.0, room.name))

    def _let_go(self, now: float) -> None:
        """Pair the lines that have waited long enough; leave rooms that are long closed."""
        waiting = self.pairing.waiting
        while waiting and (waiting[0].at is None or waiting[0].at < now - PATIENCE):
            self._pair(waiting.popleft())
        while self._leaving and self._leaving[0][0] < now - LINGER:
            self._leave(self._leaving.popleft()[1])

    def _leave(self, room: Room) -> None:
        if self._by_id.pop(room.room_id, None) is None:
            return
        for dispatch in room.dispatches:
            self.pairing.forget(dispatch)
            for launch in dispatch.launches:
                if launch.job_id:
                    self._jobs.pop(launch.job_id, None)
        if self._kept >= KEEP and judge.unremarkable(room):
            for dispatch in room.dispatches:
                launch = dispatch.launches[0]
                word = (Outcome.ASSIGNED if launch.outcome is Outcome.ASSIGNED else Outcome.NO_RESPONSE).value
                self.stories.folded[word] = self.stories.folded.get(word, 0) + 1
            return
        self._kept += len(room.dispatches)
        self.stories.rooms.append(room)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _new_run(self, event: Event) -> ServerRun:
        old = self._runs.get(event.stream)
        if old is not None:
            self._end_run(old)
        run = ServerRun(stream=event.stream, first_at=event.at, last_at=event.at)
        self._runs[event.stream] = run
        self._busy.discard(event.stream)
        self.stories.runs.append(run)
        return run

    def _end_run(self, run: ServerRun) -> None:
        """The process is gone, and with it its workers and (without redis) its rooms; no line says so."""
        if run.stopped_at is None:
            run.stopped_at = run.last_at
        for worker in self.stories.workers.values():
            if worker.stream == run.stream and worker.closed_at is None:
                worker.closed_at = run.last_at
        for room in self._all_open():
            if room.stream == run.stream and room.closed_at is None:
                self._close(room, run.last_at, "server stopped")

    def _server_started(self, event: Event, fields: Fields) -> None:
        run = self._runs[event.stream]
        aged = run.first_at is not None and event.at is not None and event.at - run.first_at > 60
        if event.stream in self._busy or run.started_at is not None or (run.node_id and aged):
            redis = run.redis if event.stream not in self._busy and run.started_at is None else None
            run = self._new_run(event)
            run.redis = redis
        run.started_at = event.at
        run.node_id = fields.nodeID
        run.version = fields.version or None
        run.proof.append(event.place)

    def _routing(self, event: Event, fields: Fields) -> None:
        run = self._runs[event.stream]
        if event.stream in self._busy or run.started_at is not None:
            run = self._new_run(event)  # these lines stand before `starting LiveKit server`: a restart
        run.redis = event.what is What.REDIS_CONNECTING
        run.proof.append(event.place)

    def _server_stopping(self, event: Event, fields: Fields) -> None:
        self._runs[event.stream].stopped_at = event.at

    def _config_refused(self, event: Event, fields: Fields) -> None:
        run = self._runs[event.stream]
        run.config_refused = fields.error
        run.proof.append(event.place)

    def _room_placed(self, event: Event, fields: Fields) -> None:
        self._runs[event.stream].placed_on.add(fields.selectedNodeID)

    # -- workers ------------------------------------------------------------------------------------------------------

    def _worker(self, event: Event, worker_id: str) -> WorkerSession:
        worker = self.stories.workers.get(worker_id)
        if worker is None:
            worker = WorkerSession(worker_id, event.stream, first_seen_at=event.at)
            self.stories.workers[worker_id] = worker
        worker.last_seen_at = event.at
        return worker

    def _learn(self, worker: WorkerSession, event: Event, fields: Fields) -> None:
        """Take what a line with worker context says of the worker."""
        if fields.agentName is not None:
            worker.agent_name = fields.agentName
        worker.namespace = fields.namespace or worker.namespace
        worker.job_type = fields.jobType or worker.job_type
        if fields.version:
            # the context that carries the SDK's version carries the deployment as well, the empty one included
            worker.sdk = fields.version
            worker.deployment = fields.deployment
        elif fields.deployment:
            worker.deployment = fields.deployment
        if worker.agent_name is not None and worker.job_type and not worker.refused:
            self._served(worker.agent_name, worker.job_type)

    def _served(self, agent_name: str, job_type: str) -> None:
        types = self._types.get(agent_name)
        if types is None:
            self._types[agent_name] = {job_type}
        else:
            types.add(job_type)

    def _worker_registered(self, event: Event, fields: Fields) -> None:
        worker = self._worker(event, fields.workerID)
        worker.registered_at = event.at
        worker.stream = event.stream
        worker.proof.append(event.place)
        self._learn(worker, event, fields)

    def _worker_closed(self, event: Event, fields: Fields) -> None:
        if not fields.workerID:
            return
        worker = self._worker(event, fields.workerID)
        self._learn(worker, event, fields)
        if worker.closed_at is None:
            worker.closed_at = event.at
        if event.what is What.WORKER_CLOSED:
            worker.proof.append(event.place)

    def _registration_refused(self, event: Event, fields: Fields) -> None:
        if not fields.workerID:
            self._refused("/agent", 0, fields.error, event)
            return
        worker = self._worker(event, fields.workerID)
        self._learn(worker, event, fields)
        worker.proof.append(event.place)
        if worker.registered_at is None:
            worker.refused = fields.error
        else:
            self._refused("/agent", 0, fields.error, event)  # a bad message on a socket that had registered

    def _read_error(self, event: Event, fields: Fields) -> None:
        if not fields.workerID:
            self._refused("/agent", 0, fields.error, event)
            return
        worker = self._worker(event, fields.workerID)
        worker.lost_connection = True
        worker.proof.append(event.place)

    # -- rooms --------------------------------------------------------------------------------------------------------

    def _cluster(self, stream: str) -> str:
        """Nodes without redis are islands; others share one set of rooms."""
        return stream if self._runs[stream].redis is False else ""

    def _open_room(self, event: Event, name: str) -> Room | None:
        room = self._by_name.get((self._cluster(event.stream), name))
        return room if room is not None and room.closed_at is None else None

    def _room(self, event: Event, fields: Fields) -> Room:
        """The room of a line that names it by id or name; made when it is new."""
        room_id, name = fields.roomID, fields.room_name
        if room_id:
            found = self._by_id.get(room_id)
            if found is not None:
                found.last_at = event.at
                return found
        key = (self._cluster(event.stream), name)
        known = self._by_name.get(key)
        if known is not None and known.closed_at is None:
            if not room_id or not known.room_id:
                if room_id:
                    known.room_id = room_id
                    self._by_id[room_id] = known
                known.last_at = event.at
                return known
            self._close(known, event.at, "ended unseen")
        room = Room(name, room_id, event.stream, first_at=event.at, last_at=event.at)
        self._by_name[key] = room
        if room_id:
            self._by_id[room_id] = room
        return room

    def _certainly_new(self, event: Event, name: str) -> bool | None:
        """True when a room of this name cannot have been there before this line; None when nobody can tell."""
        if self._runs[event.stream].start_seen or (self._cluster(event.stream), name) in self._closed_names:
            return True
        return None

    def _close(self, room: Room, at: float | None, reason: str) -> None:
        room.close_reason = room.close_reason or reason
        if room.closed_at is not None:
            return
        closed_at = at if at is not None else (self._now or 0.0)
        room.closed_at = closed_at
        for key in ((self._cluster(room.stream), room.name), ("", room.name)):
            if self._by_name.get(key) is room:
                del self._by_name[key]
                if not self._runs[room.stream].start_seen:
                    self._closed_names.add(key)
        if room.room_id:
            self._leaving.append((closed_at, room))
        else:
            self.stories.rooms.append(room)  # its id was never printed, so no later line can name it

    def _room_closing(self, event: Event, fields: Fields) -> None:
        if not fields.roomID:
            return
        room = self._room(event, fields)
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
                self._refused(f"/twirp/{fields.service}.{fields.method}", number, fields.error, event)
            return
        request = fields.request if isinstance(fields.request, Request) else None
        if fields.method == "CreateRoom":
            self._create_room(event, fields, request)
        elif fields.method == "CreateDispatch" and request is not None:
            self._create_dispatch(event, fields, request)
        elif fields.method == "DeleteDispatch":
            self._delete_dispatch(event, fields)

    def _asked_at(self, event: Event, fields: Fields) -> float | None:
        return None if event.at is None else event.at - seconds_of(fields.duration)

    def _made_now(self, event: Event, name: str, asked_at: float | None) -> tuple[Room, bool | None]:
        """The room of a call or join that makes it when it is missing, and whether it did (None: nobody can tell)."""
        room = self._open_room(event, name)
        if room is not None:
            fresh = (
                room.opened_by is None
                and room.first_at is not None
                and asked_at is not None
                and room.first_at >= asked_at - SAME_MOMENT
                and not room.people
                and not room.asks
            )
            return room, self._certainly_new(event, name) if fresh else False
        new = self._certainly_new(event, name)
        return self._room(event, Fields(room=name)), new

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
            if person.left_at is None:
                self._raise_types(dispatch, person, asked_at)

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
                started = _started(one)
                if started is None or at is None or started >= at - SAME_MOMENT:
                    one.origin = origin
                    one.asked_at = at
                    one.deployment = deployment
                    one.proof.append(event.place)
                    for launch in one.launches:
                        launch.asked_at = launch.asked_at if launch.asked_at is not None else at
                    if not any(launch.job_type == rules.JT_ROOM for launch in one.launches):
                        self._launch(one, rules.JT_ROOM, at)
                    return one
        dispatch = Dispatch(room.name, room.room_id, agent_name, origin, at, deployment, proof=[event.place])
        room.dispatches.append(dispatch)
        self._launch(dispatch, rules.JT_ROOM, at)
        return dispatch

    def _launch(self, dispatch: Dispatch, job_type: str, at: float | None, participant: str | None = None) -> Launch:
        launch = Launch(job_type, at, participant)
        dispatch.launches.append(launch)
        self.pairing.open(dispatch, launch)
        return launch

    def _raise_types(self, dispatch: Dispatch, person: AgentParticipant, at: float | None) -> None:
        """A person is there (and may publish): the launches of the types that the name's workers register."""
        types = self._types.get(dispatch.agent_name, ())
        if rules.JT_PARTICIPANT in types:
            self._launch(dispatch, rules.JT_PARTICIPANT, at, person.identity)
        if rules.JT_PUBLISHER in types and person.published_at is not None:
            self._launch(dispatch, rules.JT_PUBLISHER, at, person.identity)

    # -- participants -------------------------------------------------------------------------------------------------

    def _session_started(self, event: Event, fields: Fields) -> None:
        start = fields.participantInit
        grants = start.Grants if start else None
        kind = (grants.Kind if grants else "") or fields.kind
        is_agent = kind.lower() == "agent"
        video = grants.Video if grants else None
        dependent = is_agent or kind.lower() == "egress" or (video is not None and (video.Agent is True or video.Recorder is True))
        asked = start.CreateRoom if start else None
        names = None if asked is None else tuple(one.agentName for one in asked.agents)

        room = self._by_id.get(fields.roomID) if fields.roomID else None
        early = room is not None and (
            room.opened_by is not None or bool(room.people) or bool(room.agents) or _older(room, event.at)
        )
        if room is None and fields.room_name:
            room, new = self._made_now(event, fields.room_name, event.at)
            if fields.roomID and room.room_id and room.room_id != fields.roomID:
                self._close(room, event.at, "ended unseen")
                room, new = self._made_now(event, fields.room_name, event.at)
            if fields.roomID and not room.room_id:
                room.room_id = fields.roomID
                self._by_id[fields.roomID] = room
        elif room is not None:
            new = False if early else self._certainly_new(event, room.name)
        else:
            return
        if new is None and fields.numParticipants:
            new = False
        person = AgentParticipant(
            fields.participant,
            fields.participant_sid,
            is_agent,
            dependent,
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
        room.last_at = event.at
        if not dependent:
            for dispatch in room.dispatches:
                if rules.JT_PARTICIPANT in self._types.get(dispatch.agent_name, ()):
                    self._launch(dispatch, rules.JT_PARTICIPANT, event.at, person.identity)

    def _participant(self, event: Event, fields: Fields) -> AgentParticipant | None:
        """The participant of a line, newest session first; made when it joined before the evidence."""
        if not fields.roomID and not fields.room_name:
            return None
        room = self._room(event, fields)
        sid = fields.participant_sid
        for one in (*reversed(room.agents), *reversed(room.people)):
            if one.sid == sid if sid and one.sid else one.identity == fields.participant:
                return one
        is_agent = fields.kind.upper() == "AGENT" or fields.participant.startswith("agent-AJ_")
        person = AgentParticipant(fields.participant, sid, is_agent, is_agent, proof=[event.place])
        (room.agents if is_agent else room.people).append(person)
        return person

    def _participant_active(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is not None and person.active_at is None:
            person.active_at = event.at
            if person.is_agent:
                person.proof.append(event.place)

    def _participant_closing(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is not None:
            person.left_at = event.at
            person.leave_reason = fields.reason
            person.proof.append(event.place)

    def _duplicate_removed(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is not None:
            person.duplicate_removed = True
            person.proof.append(event.place)

    def _never_connected(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is not None:
            person.never_connected = True
            person.proof.append(event.place)

    def _track_published(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is None or person.published_at is not None:
            return
        person.published_at = event.at
        if person.dependent:
            return
        for dispatch in self._room(event, fields).dispatches:
            if rules.JT_PUBLISHER in self._types.get(dispatch.agent_name, ()):
                self._launch(dispatch, rules.JT_PUBLISHER, event.at, person.identity)

    def _join_failed(self, event: Event, fields: Fields) -> None:
        self._refused("/rtc", 500, fields.error, event)

    # -- endings of launches ------------------------------------------------------------------------------------------

    def _find(self, room: Room, event: Event, fields: Fields, *, wants_worker: str = "") -> tuple[Dispatch, Launch]:
        """The launch that a line with a room ends; made when its request is not in the evidence."""
        name, job_type = fields.agentName or "", fields.jobType or rules.JT_ROOM
        named = [one for one in room.dispatches if one.agent_name == name]
        worker = self.stories.workers.get(wants_worker) if wants_worker else None
        if worker is not None and worker.deployment is not None:
            named = [one for one in named if one.deployment == worker.deployment] or named
        for dispatch in named:
            for launch in dispatch.launches:
                if launch.job_type == job_type and launch.ended_at is None and launch.job_id is None:
                    if launch.participant in (None, fields.participant or None) or not fields.participant:
                        return dispatch, launch
        if job_type != rules.JT_ROOM and named:
            dispatch = min(named, key=lambda one: sum(launch.job_type == job_type for launch in one.launches))
            return dispatch, self._launch(dispatch, job_type, None, fields.participant or None)
        return self._seen(room, name, job_type, event, fields)

    def _seen(self, room: Room, name: str, job_type: str, event: Event, fields: Fields) -> tuple[Dispatch, Launch]:
        origin, at = Origin.SEEN, None
        for ask in reversed(room.asks):  # the line proves that this list was read
            if ask.read is None and name in ask.names and job_type == rules.JT_ROOM:
                origin, at = ask.origin, ask.at
                break
        dispatch = Dispatch(room.name, room.room_id, name, origin, at)
        room.dispatches.append(dispatch)
        return dispatch, self._launch(dispatch, job_type, at, fields.participant or None)

    def _end(self, dispatch: Dispatch, launch: Launch, outcome: Outcome, event: Event, error: str) -> None:
        launch.outcome = outcome
        launch.ended_at = event.at
        launch.error = error
        launch.node = event.stream
        if len(launch.proof) < 8:
            launch.proof.append(event.place)
        self.pairing.close(dispatch, launch)

    def _not_dispatching(self, event: Event, fields: Fields) -> None:
        room = self._room(event, fields)
        name, job_type = fields.agentName or "", fields.jobType
        if job_type != rules.JT_ROOM and job_type not in self._types.get(name, ()):
            for dispatch in room.dispatches:
                if dispatch.agent_name == name and len(dispatch.launches) >= LAUNCHES_KEPT:
                    dispatch.noise_lines += 1
                    return
        dispatch, launch = self._find(room, event, fields)
        self._end(dispatch, launch, Outcome.NAME_NOT_SERVED, event, "")

    def _job(self, event: Event, fields: Fields) -> tuple[Dispatch, Launch]:
        known = self._jobs.get(fields.jobID)
        if known is not None:
            return known
        room = self._room(event, fields)
        dispatch, launch = self._find(room, event, fields, wants_worker=fields.workerID)
        launch.job_id = fields.jobID
        self._jobs[fields.jobID] = dispatch, launch
        self._served(dispatch.agent_name, launch.job_type)
        return dispatch, launch

    def _assigned(self, event: Event, fields: Fields) -> None:
        dispatch, launch = self._job(event, fields)
        launch.worker_id = fields.workerID
        worker = self._worker(event, fields.workerID)
        worker.jobs += 1
        if worker.agent_name is None:
            worker.agent_name = fields.agentName
            worker.job_type = fields.jobType
        self._end(dispatch, launch, Outcome.ASSIGNED, event, "")

    def _assign_failed(self, event: Event, fields: Fields) -> None:
        dispatch, launch = self._job(event, fields)
        worker = self._worker(event, fields.workerID)
        if worker.agent_name is None:
            worker.agent_name = fields.agentName
            worker.job_type = fields.jobType
        worker.asked += 1
        launch.asked_workers.append(fields.workerID)
        if fields.retry:
            if fields.error == "worker not available":
                worker.declined += 1
            launch.proof.append(event.place)
            launch.error = fields.error
            return
        worker.timeouts += 1
        timed_out = fields.error == "context deadline exceeded"
        if timed_out and event.at is not None:
            self.pairing.timeouts.append(event.at)
        self._end(dispatch, launch, Outcome.ANSWER_TIMEOUT if timed_out else Outcome.WORKER_CLOSED, event, fields.error)

    def _nobody_left(self, event: Event, fields: Fields) -> None:
        dispatch, launch = self._job(event, fields)
        if fields.error == "no workers available":
            outcome = Outcome.WORKER_CLOSED
        elif launch.asked_workers:
            outcome = Outcome.DECLINED
        elif self._cut_before(event, rules.ANSWER_BUDGET + 0.5):
            outcome = Outcome.UNKNOWN  # who was asked may stand before the evidence: load and declines look alike
        else:
            outcome = Outcome.NO_HEADROOM  # nobody was asked: full, or at load 1, since the node claimed the job
        self._end(dispatch, launch, outcome, event, fields.error)

    def _cut_before(self, event: Event, seconds: float) -> bool:
        """True when the evidence of this node starts less than `seconds` before the event, and not with its start."""
        run = self._runs[event.stream]
        if run.start_seen:
            return False
        return event.at is None or run.first_at is None or event.at - run.first_at < seconds

    def _request_failed(self, event: Event, fields: Fields) -> None:
        ending = rules.ending(fields.error)
        if ending is None:
            return
        name, job_type = fields.agentName or "", fields.jobType or rules.JT_ROOM
        if ending.proves_type:
            self._served(name, job_type)
        early = self._cut_before(event, rules.SETTLE + 1)
        line = RequestLine(event.at, event.stream, name, job_type, fields.error, ending, event.place, early)
        self.pairing.waiting.append(line)

    def _pair(self, line: RequestLine) -> None:
        paired = self.pairing.pair(line)
        if paired is True:
            return
        outcome = line.ending.outcome
        if outcome is Outcome.DECLINED:
            outcome = Outcome.UNKNOWN  # the worker's node would have said whether somebody declined
        if paired is False:
            if not line.ending.proves_type and (not line.agent_name or self._noise(line)):
                return  # the unnamed dispatch beside named workers, or another type's launch: harmless
            dispatch = Dispatch("", "", line.agent_name, Origin.SEEN, None)
            launch = Launch(line.job_type, None)
            dispatch.launches.append(launch)
            self._strays.append(dispatch)
        else:
            assert not isinstance(paired, bool)
            dispatch, launch = paired
        launch.outcome = outcome
        launch.ended_at = line.at
        launch.error = line.error
        launch.node = line.stream
        launch.nodes_refusing = rules.nodes_refusing(line.error)
        launch.proof.append(line.place)

    def _noise(self, line: RequestLine) -> bool:
        types = self._types.get(line.agent_name)
        return types is not None and line.job_type not in types

    def _late_answer(self, event: Event, fields: Fields) -> None:
        known = self._jobs.get(fields.jobID)
        if known is not None:
            known[1].late_answer = True
            known[1].proof.append(event.place)

    def _job_ended(self, event: Event, fields: Fields) -> None:
        if fields.workerID:
            self._learn(self._worker(event, fields.workerID), event, fields)
        known = self._jobs.get(fields.jobID)
        if known is not None:
            launch = known[1]
            launch.job_ended_at = event.at
            launch.job_status = str(fields.status)
            launch.job_error = fields.error
            launch.proof.append(event.place)

    # -- refusals -----------------------------------------------------------------------------------------------------

    def _request_refused(self, event: Event, fields: Fields) -> None:
        status = int(fields.status) if str(fields.status).isdigit() else 0
        self._refused(fields.path, status, fields.error, event)

    def _refused(self, path: str, status: int, error: str, event: Event) -> None:
        key = (path, status, _MASKED.sub("", error))
        known = self._refusals.get(key)
        if known is None:
            self._refusals[key] = Refusal(event.at, path, status, error, event.place, 1, event.at, [event.place])
            return
        known.count += 1
        known.last_at = event.at
        if len(known.proof) < 5:
            known.proof.append(event.place)


def _older(room: Room, at: float | None) -> bool:
    return room.first_at is not None and at is not None and room.first_at < at - SAME_MOMENT


def _started(dispatch: Dispatch) -> float | None:
    """The earliest time that a dispatch's lines show."""
    times = [one.ended_at for one in dispatch.launches if one.ended_at is not None]
    return min(times) if times else None
