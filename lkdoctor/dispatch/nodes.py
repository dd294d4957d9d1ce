"""Nodes and their workers, as the log tells them: runs, registrations, refused requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lkdoctor.dispatch.facts import Event, Fields, What
from lkdoctor.dispatch.model import Refusal, ServerRun, Stories, WorkerSession

Handler = Callable[[Event, Fields], None]
_MASKED = re.compile(r"<[^>]*>|eyJ[\w.-]+")


class Nodes:
    """The current run of each stream, every worker session, and the job types that each name registers."""

    def __init__(self, stories: Stories, on_end: Callable[[ServerRun], None]) -> None:
        self.stories = stories
        self.types: dict[str, set[str]] = {}
        self._on_end = on_end
        self._runs: dict[str, ServerRun] = {}
        self._busy: set[str] = set()  # streams whose current run has said more than its start-up lines
        self._open: dict[str, dict[str, WorkerSession]] = {}  # by stream, sessions of its current run
        self._words: dict[str, str] = {}
        self._refusals: dict[tuple[str, int, str, str | None], Refusal] = {}

    def handlers(self) -> Mapping[What, Handler]:
        """Which method takes which event."""
        return {
            What.SERVER_STARTED: self._server_started,
            What.SINGLE_NODE: self._routing,
            What.REDIS_CONNECTING: self._routing,
            What.SERVER_STOPPING: self._server_stopping,
            What.CONFIG_REFUSED: self._config_refused,
            What.ROOM_PLACED: self._room_placed,
            What.CHECK_ENABLED_FAILED: self._survey_failed,
            What.WORKER_REGISTERED: self._worker_registered,
            What.LAST_WORKER_GONE: self._worker_closed,
            What.WORKER_CLOSED: self._worker_closed,
            What.WORKER_SIGNAL_REFUSED: self._registration_refused,
            What.WORKER_TOPIC_REFUSED: self._registration_refused,
            What.WORKER_READ_ERROR: self._read_error,
            What.REQUEST_REFUSED: self._request_refused,
            What.JOIN_FAILED: self._join_failed,
        }

    # -- runs ---------------------------------------------------------------------------------------------------------

    def run(self, event: Event) -> ServerRun:
        """The run that the event belongs to; made at the first event of a stream."""
        return self._runs.get(event.stream) or self._new_run(event)

    def mark_busy(self, event: Event) -> None:
        """The run has said more than its start-up lines: the next start-up line is a restart."""
        if event.what >= What.WORKER_REGISTERED and event.what is not What.ANY_LINE:
            self._busy.add(event.stream)

    def start_seen(self, stream: str) -> bool:
        """Does the evidence hold this stream's current run from its first line?"""
        return self._runs[stream].start_seen

    def cluster(self, stream: str) -> str:
        """Nodes without redis are islands; others share one set of rooms."""
        return stream if self._runs[stream].redis is False else ""

    def shares(self, stream: str) -> bool:
        """Is it known that this node shares its rooms with others?"""
        return self._runs[stream].redis is True

    def cut_before(self, event: Event, seconds: float) -> bool:
        """True when the evidence of this node starts less than `seconds` before the event, and not with its start."""
        run = self._runs[event.stream]
        if run.start_seen:
            return False
        return event.at is None or run.first_at is None or event.at - run.first_at < seconds

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
        for worker in self._open.pop(run.stream, {}).values():
            if worker.closed_at is None:
                worker.closed_at = run.last_at
        self._on_end(run)

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

    def _routing(self, event: Event, _: Fields) -> None:
        run = self._runs[event.stream]
        if event.stream in self._busy or run.started_at is not None:
            run = self._new_run(event)  # these lines stand before `starting LiveKit server`: a restart
        run.redis = event.what is What.REDIS_CONNECTING
        run.proof.append(event.place)

    def _server_stopping(self, event: Event, _: Fields) -> None:
        self._runs[event.stream].stopped_at = event.at

    def _config_refused(self, event: Event, fields: Fields) -> None:
        run = self._runs[event.stream]
        run.config_refused = fields.error
        run.proof.append(event.place)

    def _survey_failed(self, event: Event, _: Fields) -> None:
        run = self._runs[event.stream]
        if event.at is not None:
            run.surveys_failed = (*run.surveys_failed[-99:], event.at)  # the last ones say enough

    def _room_placed(self, event: Event, fields: Fields) -> None:
        self._runs[event.stream].placed_on.add(fields.selectedNodeID)

    # -- workers ------------------------------------------------------------------------------------------------------

    def worker(self, event: Event, worker_id: str) -> WorkerSession:
        """The session of this id; made when the evidence starts after its registration."""
        worker = self.stories.workers.get(worker_id)
        if worker is None:
            worker = WorkerSession(worker_id, event.stream, first_seen_at=event.at)
            self.stories.workers[worker_id] = worker
            self._open.setdefault(event.stream, {})[worker_id] = worker
        worker.last_seen_at = event.at
        return worker

    def learn(self, worker: WorkerSession, fields: Fields) -> None:
        """Take what a line with worker context says of the worker."""
        if fields.agentName is not None:
            worker.agent_name = self.same(fields.agentName)
        worker.namespace = fields.namespace or worker.namespace
        worker.job_type = self.same(fields.jobType or worker.job_type)
        if fields.version:
            # the context that carries the SDK's version carries the deployment as well, the empty one included
            worker.sdk = self.same(fields.version)
            worker.deployment = fields.deployment
        elif fields.deployment:
            worker.deployment = fields.deployment
        if worker.agent_name is not None and worker.job_type and not worker.refused:
            self.served(worker.agent_name, worker.job_type)

    def same(self, word: str) -> str:
        """The first object of an equal word: names, types and texts come again in every line of a long log."""
        return self._words.setdefault(word, word)

    def served(self, agent_name: str, job_type: str) -> None:
        """A worker of this name registers this type: launches of it decide."""
        types = self.types.get(agent_name)
        if types is None:
            self.types[agent_name] = {job_type}
        else:
            types.add(job_type)

    def _worker_registered(self, event: Event, fields: Fields) -> None:
        worker = self.worker(event, fields.workerID)
        worker.registered_at = event.at
        worker.stream = event.stream
        worker.proof.append(event.place)
        self.learn(worker, fields)

    def _worker_closed(self, event: Event, fields: Fields) -> None:
        if not fields.workerID:
            return
        worker = self.worker(event, fields.workerID)
        self.learn(worker, fields)
        if worker.closed_at is None:
            worker.closed_at = event.at
            self._open.get(worker.stream, {}).pop(worker.worker_id, None)
        if event.what is What.WORKER_CLOSED:
            worker.proof.append(event.place)

    def _registration_refused(self, event: Event, fields: Fields) -> None:
        if not fields.workerID:
            self.refused("/agent", 0, fields.error, event, fields.refused_name)
            return
        worker = self.worker(event, fields.workerID)
        self.learn(worker, fields)
        worker.proof.append(event.place)
        if worker.registered_at is None:
            worker.refused = fields.error
        else:
            self.refused("/agent", 0, fields.error, event)  # a bad message on a socket that had registered

    def _read_error(self, event: Event, fields: Fields) -> None:
        if not fields.workerID:
            self.refused("/agent", 0, fields.error, event)
            return
        worker = self.worker(event, fields.workerID)
        worker.lost_connection = True
        worker.proof.append(event.place)

    # -- refusals -----------------------------------------------------------------------------------------------------

    def _request_refused(self, event: Event, fields: Fields) -> None:
        status = int(fields.status) if str(fields.status).isdigit() else 0
        self.refused(fields.path, status, fields.error, event)

    def refused(self, path: str, status: int, error: str, event: Event, agent_name: str | None = None) -> None:
        """Count a refused request; equal ones are one entry."""
        key = (path, status, _MASKED.sub("", error), agent_name)
        known = self._refusals.get(key)
        if known is None:
            known = Refusal(event.at, path, status, error, event.place, 1, event.at, [event.place], agent_name)
            self._refusals[key] = known
            self.stories.refusals.append(known)
            return
        known.count += 1
        known.last_at = event.at
        if len(known.proof) < 5:
            known.proof.append(event.place)

    def _join_failed(self, event: Event, fields: Fields) -> None:
        self.refused("/rtc", 500, fields.error, event)
