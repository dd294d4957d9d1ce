"""How launches end: every line that tells of one, joined to its dispatch and launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.facts import NAME_NOT_PRINTED, Event, Fields, What
from lkdoctor.dispatch.lobby import Lobby
from lkdoctor.dispatch.model import Dispatch, Launch, Origin, Outcome, Room, Stories
from lkdoctor.dispatch.nodes import Handler, Nodes
from lkdoctor.dispatch.pairing import EARLY, PATIENCE, TWIN, Pairing, RequestLine

LAUNCHES_KEPT: Final = 12  # per dispatch; more lines of the participant types are counted as noise


class Endings:
    """The jobs that are known by id, and the dispatches of which only a line without a room is known (strays)."""

    def __init__(self, stories: Stories, nodes: Nodes, lobby: Lobby, pairing: Pairing) -> None:
        self.stories = stories
        self.nodes = nodes
        self.lobby = lobby
        self.pairing = pairing
        self.strays: list[Dispatch] = []
        self._jobs: dict[str, tuple[Dispatch, Launch]] = {}

    def handlers(self) -> Mapping[What, Handler]:
        """Which method takes which event."""
        return {
            What.NOT_DISPATCHING: self._not_dispatching,
            What.REQUEST_FAILED: self._request_failed,
            What.ASSIGNED: self._assigned,
            What.ASSIGN_FAILED: self._assign_failed,
            What.NOBODY_LEFT: self._nobody_left,
            What.LATE_ANSWER: self._late_answer,
            What.JOB_ENDED: self._job_ended,
        }

    def settle(self, now: float | None) -> None:
        """Pair the lines without a room that have waited long enough (all of them when `now` is None)."""
        waiting = self.pairing.waiting
        while waiting and (now is None or waiting[0].at is None or waiting[0].at < now - PATIENCE):
            self._pair(waiting.popleft())

    def forget(self, room: Room) -> None:
        """Nothing more can be said of the room's jobs."""
        for dispatch in room.dispatches:
            self.pairing.forget(dispatch)
            for launch in dispatch.launches:
                if launch.job_id:
                    self._jobs.pop(launch.job_id, None)

    def _find(
        self, room: Room, fields: Fields, event: Event, after: float | None, *, wants_worker: str = ""
    ) -> tuple[Dispatch, Launch]:
        """The launch that a line with a room ends, `after` s after it was asked for (None: any time after).

        It is made when its request is not in the evidence. Of several the one that it fits best is taken; `alike` says in
        the end what else would have fitted.
        """
        stream = event.stream
        name, job_type = fields.agentName or "", fields.jobType or rules.JT_ROOM
        named = [one for one in room.dispatches if one.agent_name == name]
        worker = self.stories.workers.get(wants_worker) if wants_worker else None
        if worker is not None and worker.deployment is not None:
            named = [one for one in named if one.deployment == worker.deployment] or named
        fitting = [
            (dispatch, launch)
            for dispatch in named
            for launch in dispatch.launches
            if launch.job_type == job_type and launch.ended_at is None and launch.job_id is None
            if not fields.participant or launch.participant in (None, fields.participant)
        ]
        if fitting:
            slack = EARLY if room.stream == stream else rules.CLOCKS
            return min(fitting, key=lambda pair: _misfit(pair[1].asked_at, event.at, after, slack))
        if job_type == rules.JT_ROOM:
            # another type's line came first, and the request is not in the evidence: this is its JT_ROOM launch
            named = [one for one in named if all(launch.job_type != rules.JT_ROOM for launch in one.launches)]
        if named:
            dispatch = min(named, key=lambda one: sum(launch.job_type == job_type for launch in one.launches))
            return dispatch, self.lobby.launch(dispatch, job_type, None, stream, fields.participant or None)
        return self._seen(room, name, job_type, fields, stream)

    def _seen(self, room: Room, name: str, job_type: str, fields: Fields, stream: str) -> tuple[Dispatch, Launch]:
        origin, at = Origin.SEEN, None
        for ask in reversed(room.asks):  # the line proves that this list was read
            if ask.read is None and name in ask.names and job_type == rules.JT_ROOM:
                origin, at = ask.origin, ask.at
                break
        dispatch = Dispatch(room.name, room.room_id, self.nodes.same(name), origin, at)
        room.dispatches.append(dispatch)
        return dispatch, self.lobby.launch(dispatch, job_type, at, stream, fields.participant or None)

    def _end(self, dispatch: Dispatch, launch: Launch, outcome: Outcome, event: Event, error: str) -> None:
        launch.outcome = outcome
        launch.ended_at = event.at
        launch.error = self.nodes.same(error)
        launch.node = event.stream
        if len(launch.proof) < 8:
            launch.proof.append(event.place)
        key = (self.nodes.cluster(event.stream), dispatch.agent_name, launch.job_type)
        self.pairing.close(launch, key)

    def _not_dispatching(self, event: Event, fields: Fields) -> None:
        room = self.lobby.room(event, fields)
        room.host = event.stream
        name, job_type = fields.agentName or "", fields.jobType
        if job_type != rules.JT_ROOM and job_type not in self.nodes.types.get(name, ()):
            for dispatch in room.dispatches:
                if dispatch.agent_name == name and len(dispatch.launches) >= LAUNCHES_KEPT:
                    dispatch.noise_lines += 1
                    return
        dispatch, launch = self._find(room, fields, event, None)
        self._end(dispatch, launch, Outcome.NAME_NOT_SERVED, event, "")

    def _job(self, event: Event, fields: Fields, after: float = rules.SELECTION) -> tuple[Dispatch, Launch]:
        known = self._jobs.get(fields.jobID)
        if known is not None:
            return known
        room = self.lobby.room(event, fields)
        dispatch, launch = self._find(room, fields, event, after, wants_worker=fields.workerID)
        launch.job_id = fields.jobID
        self._jobs[fields.jobID] = dispatch, launch
        self.nodes.served(dispatch.agent_name, launch.job_type)
        return dispatch, launch

    def _assigned(self, event: Event, fields: Fields) -> None:
        dispatch, launch = self._job(event, fields)
        launch.worker_id = fields.workerID
        worker = self.nodes.worker(event, fields.workerID)
        worker.jobs += 1
        if worker.agent_name is None:
            worker.agent_name = fields.agentName
            worker.job_type = fields.jobType
        self._end(dispatch, launch, Outcome.ASSIGNED, event, "")

    def _assign_failed(self, event: Event, fields: Fields) -> None:
        timed_out = not fields.retry and fields.error == "context deadline exceeded"
        dispatch, launch = self._job(event, fields, rules.ANSWER_BUDGET if timed_out else rules.SELECTION)
        worker = self.nodes.worker(event, fields.workerID)
        if worker.agent_name is None:
            worker.agent_name = fields.agentName
            worker.job_type = fields.jobType
        worker.asked += 1
        launch.asked_workers = (*launch.asked_workers, fields.workerID)
        if fields.retry:
            if fields.error == "worker not available":
                worker.declined += 1
            launch.proof.append(event.place)
            launch.error = self.nodes.same(fields.error)
            return
        worker.timeouts += 1
        if timed_out and event.at is not None:
            self.pairing.timeouts.append(event.at)
        self._end(dispatch, launch, Outcome.ANSWER_TIMEOUT if timed_out else Outcome.WORKER_CLOSED, event, fields.error)

    def _nobody_left(self, event: Event, fields: Fields) -> None:
        dispatch, launch = self._job(event, fields)
        if fields.error == "no workers available":
            outcome = Outcome.WORKER_CLOSED
        elif launch.asked_workers:
            outcome = Outcome.DECLINED
        elif self.nodes.cut_before(event, rules.ANSWER_BUDGET + 0.5):
            outcome = Outcome.UNKNOWN  # who was asked may stand before the evidence: load and declines look alike
        else:
            outcome = Outcome.NO_HEADROOM  # nobody was asked: full, or at load 1, since the node claimed the job
        self._end(dispatch, launch, outcome, event, fields.error)

    def _request_failed(self, event: Event, fields: Fields) -> None:
        ending = rules.ending(fields.error)
        name, job_type = fields.agentName or "", fields.jobType or rules.JT_ROOM
        if fields.agentName is None and event.retyped:
            name = NAME_NOT_PRINTED
        if ending.proves_type:
            self.nodes.served(name, job_type)
        early = self.nodes.cut_before(event, rules.SETTLE + 1)
        cluster = self.nodes.cluster(event.stream)
        line = RequestLine(event.at, event.stream, cluster, name, job_type, fields.error, ending, event.place, early)
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
            dispatch = Dispatch("", "", self.nodes.same(line.agent_name), Origin.SEEN, None)
            launch = Launch(self.nodes.same(line.job_type), None)
            dispatch.launches.append(launch)
            self.strays.append(dispatch)
        else:
            assert not isinstance(paired, bool)
            dispatch, launch = paired
        launch.outcome = outcome
        launch.ended_at = line.at
        launch.error = self.nodes.same(line.error)
        launch.node = line.stream
        launch.nodes_refusing = rules.nodes_refusing(line.error)
        launch.proof.append(line.place)

    def _noise(self, line: RequestLine) -> bool:
        types = self.nodes.types.get(line.agent_name)
        return types is not None and line.job_type not in types

    def _late_answer(self, event: Event, fields: Fields) -> None:
        known = self._jobs.get(fields.jobID)
        if known is not None:
            known[1].late_answer = True
            known[1].proof.append(event.place)

    def _job_ended(self, event: Event, fields: Fields) -> None:
        if fields.workerID:
            self.nodes.learn(self.nodes.worker(event, fields.workerID), fields)
        known = self._jobs.get(fields.jobID)
        if known is not None:
            launch = known[1]
            launch.job_ended_at = event.at
            launch.job_status = self.nodes.same(str(fields.status))
            launch.job_error = self.nodes.same(fields.error)
            launch.proof.append(event.place)


def _misfit(asked: float | None, at: float | None, after: float | None, slack: float) -> tuple[int, float]:
    """How badly a line at `at` fits a launch of `asked`: less is better, and no ending comes early."""
    if asked is None or at is None:
        return 1, 0.0
    age = at - asked
    if age < (after or 0.0) - slack:
        return 2, -age
    return 0, 0.0 if after is None else abs(age - after) // TWIN
