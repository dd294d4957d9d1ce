"""Makes of the events of worker logs what each worker lived through: its runs, and the jobs that each of them tells of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.worker_facts import UTC, Said, WorkerEvent, WorkerFields
from lkdoctor.dispatch.worker_model import MOST_PROOF, Failing, Full, Marks, Trying, WorkerJob, WorkerRun

MOST_OPEN: Final = 64  # jobs of one worker that may be open at once


class WorkerRuns:
    """One pass over the events; every stream has one run at a time."""

    def __init__(self) -> None:
        self.all: list[WorkerRun] = []
        self.clock: dict[int, str] = {}
        self._now: dict[str, WorkerRun] = {}
        self._jobs: dict[str, WorkerJob] = {}
        self._handlers: dict[Said, Callable[[WorkerRun, WorkerEvent, WorkerFields], None]] = {
            Said.REGISTERED: self._registered,
            Said.CONNECT_FAILED: self._connect_failed,
            Said.FAILED: self._failed,
            Said.FULL: self._full,
            Said.AVAILABLE: self._available,
            Said.DRAINING: self._draining,
            Said.PORT_TAKEN: self._port_taken,
            Said.START_FAILED: self._start_failed,
        }

    def take(self, event: WorkerEvent) -> None:
        """Take the next event of any stream."""
        run = self._now.get(event.stream)
        begins = event.what in (Said.STARTING, Said.LOAD_REVERTED)
        if run is None or (begins and (run.begun or run.registered)):
            run = WorkerRun(event.place.source, event.stream)
            self.all.append(run)
            self._now[event.stream] = run
        at = event.at
        if at is not None:
            self.clock.setdefault(id(run), event.clock)
            run.first_at = at if run.first_at is None else min(run.first_at, at)
            run.last_at = at if run.last_at is None else max(run.last_at, at)
        if event.sdk and event.what not in (Said.ANY_LINE, Said.MARKED):
            run.sdk = event.sdk
            run.production = event.clock == UTC
        fields = event.fields
        run.version = fields.version or run.version
        if event.what is Said.STARTING:
            run.begun, run.started_at = True, at
        elif event.what is Said.LOAD_REVERTED:
            run.load_reverted = event.place
        elif event.what is Said.PROCESS_READY:
            run.ready_at = at
        elif event.what is Said.STOPPING:
            run.stopped_at = at
        if event.marks:
            self._marked(run, event, fields)
        if event.what is Said.MARKED:
            return
        handler = self._handlers.get(event.what)
        if handler is not None:
            handler(run, event, fields)
        elif Said.ASKED <= event.what < Said.ANY_LINE:
            self._job_said(run, event, fields)

    # -- the worker ----------------------------------------------------------------------------------------------------

    def _registered(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:
        if fields.agent_name is not None:
            run.agent_name = fields.agent_name
        run.name_from_env = fields.name_from_env if fields.name_from_env is not None else run.name_from_env
        run.deployment = fields.deployment if fields.deployment is not None else run.deployment
        run.url = fields.url or run.url
        run.server_version = fields.server_version or run.server_version
        run.registered.append((event.at, fields.worker_id))
        if run.trying:
            run.trying[-1].over = True
        _keep(run.proof, event.place)

    def _connect_failed(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:
        if not run.trying or run.trying[-1].over:
            run.trying.append(Trying(event.at))
        one = run.trying[-1]
        one.last_at = event.at if event.at is not None else one.last_at
        one.tries += 1
        one.attempts = fields.attempts or one.attempts
        one.errors[fields.error] = one.errors.get(fields.error, 0) + 1
        run.url = fields.url or run.url
        _keep(one.proof, event.place)

    def _failed(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:
        words = fields.error
        if "address already in use" in words or "Errno 98" in words or "EADDRINUSE" in words:
            self._port_taken(run, event, fields)
            return
        run.failed = words or run.failed or "closing worker due to error."
        if run.trying and not run.trying[-1].over:
            run.trying[-1].gave_up = True
            _keep(run.trying[-1].proof, event.place)
        else:
            _keep(run.proof, event.place)

    def _port_taken(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:
        run.port_taken = fields.error
        run.proof.insert(0, event.place)

    def _full(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:
        run.full.append(Full(event.at, None, fields.load, fields.threshold, [event.place]))

    def _available(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:  # noqa: ARG002
        if run.full and run.full[-1].until is None:
            run.full[-1].until = event.at
            run.full[-1].proof.append(event.place)

    def _draining(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:  # noqa: ARG002
        if run.registered:  # a start that failed drains, too
            run.draining_at = event.at
            _keep(run.proof, event.place)

    def _start_failed(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:
        failing = run.failing
        if failing is None:
            failing = run.failing = Failing(first_at=event.at)
        failing.count += 1
        failing.last_at = event.at if event.at is not None else failing.last_at
        failing.error = fields.error or failing.error
        failing.where = fields.where or failing.where
        _keep(failing.proof, event.place)

    def _marked(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:
        """Lines of the program itself. One that names no job is the only open job's, if there is just one."""
        job = self._job(run, fields) if fields.job_id else None
        named = job is not None
        if job is None:
            open_jobs = [one for one in run.jobs[-MOST_OPEN:] if _open(one)]
            job = open_jobs[0] if len(open_jobs) == 1 else None
        else:
            job.room = fields.room or job.room
            job.room_id = fields.room_id or job.room_id
        marks = run.marks if job is None else job.marks
        for name in event.marks:
            one = marks.setdefault(name, Marks())
            one.count += 1
            one.named = one.named or named
            at = event.at
            one.first_at = at if one.first_at is None else one.first_at
            one.last_at = at if at is not None else one.last_at
            _keep(one.places, event.place)

    # -- its jobs ------------------------------------------------------------------------------------------------------

    def _job(self, run: WorkerRun, fields: WorkerFields) -> WorkerJob | None:
        if fields.job_id:
            job = self._jobs.get(fields.job_id)
            if job is None:
                job = self._jobs[fields.job_id] = WorkerJob(fields.job_id, run)
                job.worker_id = run.registered[-1][1] if run.registered else ""
                run.jobs.append(job)
            return job
        # The record names an object only. It is about the one request that is still open, if there is just one.
        waiting = [one for one in run.jobs[-8:] if not one.ran and one.assigned_at is None and not one.no_answer]
        return waiting[0] if len(waiting) == 1 else None

    def _job_said(self, run: WorkerRun, event: WorkerEvent, fields: WorkerFields) -> None:
        what, at = event.what, event.at
        if what in (Said.IDLE_TIMEOUT, Said.PROCESS_READY) or (
            not fields.job_id and what not in (Said.NO_ANSWER, Said.REQUEST_FAILED)
        ):
            return
        job = self._job(run, fields)
        if job is None:
            return
        job.room = fields.room or job.room
        job.room_id = fields.room_id or job.room_id
        job.dispatch_id = fields.dispatch_id or job.dispatch_id
        job.agent_name = fields.agent_name if fields.agent_name is not None else job.agent_name
        job.last_at = at if at is not None else job.last_at
        _keep(job.proof, event.place)
        if what is Said.ASKED:
            job.asked_at = at
        elif what is Said.REFUSED_DRAINING:
            job.draining = True
        elif what is Said.ASSIGNED:
            job.assigned_at = at
        elif what is Said.ASSIGNMENT_TIMEOUT:
            job.timed_out_at = at
        elif what is Said.NO_ANSWER:
            job.no_answer = True
        elif what is Said.REQUEST_FAILED:
            job.request_error = fields.error or job.request_error
        elif what is Said.NO_WARM_PROCESS:
            job.waited_at = at
        elif what in (Said.NO_PROCESS, Said.LAUNCH_FAILED):
            job.no_process = fields.error or "no process took the job"
        elif what is Said.CRASHED:
            job.crashed_at, job.error, job.where = at, fields.error, fields.where
        elif what is Said.EXIT_CODE:
            job.exit_code = fields.error
        elif what is Said.MEMORY_KILL:
            job.memory_kill = fields.error
        elif what is Said.KILLED:
            job.killed = fields.error
        elif what is Said.NOT_CONNECTED:
            job.not_connected_at = at
        elif what is Said.RETURNED:
            job.returned_at = at
        elif what is Said.EXITING:
            job.exiting_at, job.reason = at, fields.reason
        elif what is Said.LINKED:
            job.linked.append((at, fields.participant))
        elif what is Said.SESSION_CLOSING:
            job.session_closed_at, job.left_by = at, fields.participant
        elif what is Said.SHARED_ROOM:
            job.shared[event.place] = fields.error


def _open(job: WorkerJob) -> bool:
    """Can it still print something?"""
    over = job.exiting_at is not None or job.crashed or job.no_answer or job.timed_out_at is not None
    return not (over or job.draining or job.request_error or job.no_process)


def _keep(proof: list[Place], place: Place) -> None:
    """Keep the first few places and the last one."""
    if len(proof) >= MOST_PROOF:
        proof[-1] = place
    else:
        proof.append(place)
