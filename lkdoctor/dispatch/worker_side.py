"""Joins what workers said into the stories: by worker id, job id and dispatch id; then by clocks made equal.

The server's word stands: a worker's log says why something happened, and that it happened where no server's log is at hand,
never that it did not.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Final

from lkdoctor.dispatch.facts import own
from lkdoctor.dispatch.model import After, Certainty, Dispatch, Launch, Origin, Outcome, Stories, WorkerSession
from lkdoctor.dispatch.worker_facts import UTC, WorkerEvent
from lkdoctor.dispatch.worker_model import MOST_PROOF, Failing, Full, Marks, Trying, WorkerJob, WorkerRun
from lkdoctor.dispatch.worker_runs import WorkerRuns

QUARTER: Final = 900.0  # s: zones differ by whole quarters of an hour
AGREE: Final = 20.0  # s by which two ids that both logs name may differ in what they say of the clocks
APART: Final = 5.0  # s; a smaller difference of two clocks that name their zone is no difference


def attach(stories: Stories, events: Iterable[WorkerEvent]) -> None:
    """Join `events`, of all worker logs, into `stories`."""
    runs = WorkerRuns()
    for event in events:
        runs.take(event)
    launches = _Launches(stories)
    for run in runs.all:
        _named_by_jobs(run)
        if own(run.name):
            continue
        _date(run, runs.clock.get(id(run), ""), stories, launches)
        stories.worker_runs.append(run)
    alone = not stories.runs and stories.sampled is None
    for run in stories.worker_runs:
        _sessions(stories, run, alone=alone)
        for job in run.jobs:
            found = launches.of(job)
            if found is not None:
                _join(*found, job)
            elif alone:
                _told(stories, job)
    if alone and stories.worker_runs:
        times = [at for run in stories.worker_runs if run.dated for at in (run.first_at, run.last_at) if at is not None]
        stories.first_at, stories.last_at = min(times, default=None), max(times, default=None)
        stories.dispatches.sort(key=lambda one: (one.asked_at or 0.0, one.room, one.agent_name))


def _named_by_jobs(run: WorkerRun) -> None:
    """A worker has one agent name: where its registration does not print it (livekit-agents up to 1.2), its requests do."""
    names = {job.agent_name for job in run.jobs if job.agent_name is not None}
    if run.agent_name is None and len(names) == 1:
        run.agent_name = names.pop()


class _Launches:
    """The launches that jobs are looked for in: by job id; those that ended without a job by dispatch, or room and name."""

    def __init__(self, stories: Stories) -> None:
        self._by_job: dict[str, tuple[Dispatch, Launch]] = {}
        self._by_dispatch: dict[str, list[tuple[Dispatch, Launch]]] = {}
        self._by_room: dict[tuple[str, str], list[tuple[Dispatch, Launch]]] = {}
        for dispatch in stories.dispatches:
            for launch in dispatch.launches:
                if launch.job_id:
                    self._by_job[launch.job_id] = (dispatch, launch)
            deciding = dispatch.deciding
            if deciding is not None and deciding.job_id is None:
                if dispatch.dispatch_id:
                    self._by_dispatch.setdefault(dispatch.dispatch_id, []).append((dispatch, deciding))
                if dispatch.room_id:
                    key = (dispatch.room_id, dispatch.agent_name)
                    self._by_room.setdefault(key, []).append((dispatch, deciding))

    def assigned_at(self, job_id: str) -> float | None:
        """When the server assigned the job."""
        found = self._by_job.get(job_id)
        return found[1].ended_at if found is not None and found[1].outcome is Outcome.ASSIGNED else None

    def of(self, job: WorkerJob) -> tuple[Dispatch, Launch] | None:
        """The launch that this job is of: the server's log does not print the id of one that it did not assign."""
        found = self._by_job.get(job.job_id)
        if found is not None:
            return found
        for dispatch, launch in (
            *self._by_dispatch.get(job.dispatch_id, ()),
            *self._by_room.get((job.room_id, job.agent_name or job.run.name), ()),
        ):
            other = dispatch.dispatch_id and job.dispatch_id and dispatch.dispatch_id != job.dispatch_id
            if launch.worker_side is None and not other:
                return dispatch, launch
        return None


# -- clocks ------------------------------------------------------------------------------------------------------------


def _date(run: WorkerRun, clock: str, stories: Stories, launches: _Launches) -> None:
    """Put the run's times on the server's clock, by the ids that both logs name; without any a log in UTC is believed."""
    pairs = [(job.asked_at, launches.assigned_at(job.job_id)) for job in run.jobs]
    for at, worker_id in run.registered:
        session = stories.workers.get(worker_id)
        pairs.append((at, session.registered_at if session is not None else None))
    deltas = [theirs - own for own, theirs in pairs if own is not None and theirs is not None]
    if clock == UTC:
        run.dated = True
        delta = median(deltas) if deltas else 0.0
        if abs(delta) > APART and max(deltas) - min(deltas) <= AGREE:
            _shift(run, delta)
        return
    if not deltas or max(deltas) - min(deltas) > AGREE:
        return
    delta = median(deltas)
    zone = round(delta / QUARTER) * QUARTER
    rest = delta - zone
    run.dated = True
    _shift(run, zone if abs(rest) <= APART else delta)


def _shift(run: WorkerRun, by: float) -> None:
    run.ahead = -by
    owners: list[WorkerRun | Trying | Full | WorkerJob | Failing | Marks] = [run, *run.trying, *run.full, *run.jobs]
    owners += [*run.marks.values(), *(one for job in run.jobs for one in job.marks.values())]
    owners += [run.failing] if run.failing is not None else []
    for owner in owners:
        for name in owner.__dataclass_fields__:
            if name in ("since", "until") or name.endswith("_at"):
                value = getattr(owner, name)
                if value is not None:
                    setattr(owner, name, value + by)
    run.registered = [(None if at is None else at + by, worker_id) for at, worker_id in run.registered]
    for job in run.jobs:
        job.linked = [(None if at is None else at + by, who) for at, who in job.linked]


# -- into the stories --------------------------------------------------------------------------------------------------


def _sessions(stories: Stories, run: WorkerRun, *, alone: bool) -> None:
    """What a run says of its registrations; without a server's log it is all that is known of them."""
    for at, worker_id in run.registered:
        if not worker_id:
            continue
        session = stories.workers.get(worker_id)
        if session is None:
            if not alone:
                continue
            session = stories.workers[worker_id] = WorkerSession(
                worker_id, run.stream, run.agent_name, deployment=run.deployment, proof=run.proof[:1],
                registered_at=at if run.dated else None,
                jobs=sum(job.ran for job in run.jobs if job.worker_id == worker_id),
            )  # fmt: skip
        session.sdk = session.sdk or run.version or None
        session.run = run


def _join(dispatch: Dispatch, launch: Launch, job: WorkerJob) -> None:
    """What the server and the worker say of one job, side by side."""
    launch.worker_side = job
    job.known = True
    job.room, job.room_id = job.room or dispatch.room, job.room_id or dispatch.room_id  # Node does not print the room
    if job.agent_name is None:
        job.agent_name = dispatch.agent_name
    after = dispatch.after
    if dispatch.participant is not None or after in (After.JOINED, After.LEFT):
        job.came = True
    elif after is After.NEVER_JOINED:
        job.came = False
    elif after is None and job.returned_at is not None and not job.linked:
        dispatch.after = After.NEVER_JOINED
        job.came = False


def _told(stories: Stories, job: WorkerJob) -> None:
    """A dispatch of which only the worker tells."""
    at = job.asked_at if job.run.dated else None
    launch = Launch("", at, job_id=job.job_id, worker_id=job.worker_id or None, decides=True, worker_side=job)
    launch.proof = job.proof[:MOST_PROOF]
    dispatch = Dispatch(job.room, job.room_id, job.name, Origin.SEEN, at, dispatch_id=job.dispatch_id or None)
    dispatch.proof = job.proof[:1]
    dispatch.launches.append(launch)
    if job.ran or job.assigned_at is not None:
        launch.outcome = Outcome.ASSIGNED
        launch.ended_at = job.assigned_at if job.run.dated else None
        dispatch.after = _after(job)
    elif job.timed_out_at is not None:
        launch.outcome = Outcome.ANSWER_TIMEOUT
        launch.certainty = dispatch.certainty = Certainty.MEDIUM
    else:
        launch.outcome = Outcome.PENDING
        dispatch.reason = "the worker was asked, and its log does not say at this level what came of it"
        dispatch.missing = "the server's log"
    dispatch.outcome = launch.outcome
    stories.dispatches.append(dispatch)


def _after(job: WorkerJob) -> After | None:
    if job.linked:
        return After.LEFT if job.crashed else After.ENDED if job.exiting_at is not None else After.JOINED
    if job.returned_at is not None:
        return After.NEVER_JOINED
    return After.ENDED if job.exiting_at is not None and not job.crashed else None
