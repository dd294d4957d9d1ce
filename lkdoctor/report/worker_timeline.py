"""What workers' own logs tell, as single happenings in words; without a known clock they carry no time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import Stories
from lkdoctor.dispatch.worker_model import WorkerJob, WorkerRun
from lkdoctor.report.timeline import Happening, Tag


def worker_happenings(stories: Stories) -> Iterator[Happening]:
    """Everything that worker logs say of their connections, their load and their jobs, in no order."""
    for run in stories.worker_runs:
        yield from _run(run)
        for job in run.jobs:
            yield from _job(job)


def _run(run: WorkerRun) -> Iterator[Happening]:
    ids = [worker_id for _, worker_id in run.registered if worker_id]
    tags: frozenset[Tag] = frozenset({*(("worker", one) for one in ids), ("agent", run.name)})
    who = f"worker {ids[-1]}" if ids else f"the worker of {run.source}"

    def tell(at: float | None, text: str, places: Iterable[Place], *says: str, bad: bool = False) -> Happening:
        return Happening(at if run.dated else None, text, tags, tuple(places), says, bad)

    for one in run.trying:
        end = "gave up" if one.gave_up else "registered again" if one.over and ids else "had not got through yet"
        error = max(one.errors, key=lambda each: one.errors[each], default="")
        text = f"{who} could not reach the server ({error}), tried {one.tries} times and {end}"
        yield tell(one.first_at, text, one.proof, "failed to connect", bad=not one.over)
    for span in run.full:
        load = "" if span.load is None else f", load {span.load:g} of {span.threshold:g}" if span.threshold else ""
        yield tell(span.since, f"{who} said that it is full{load}", span.proof, "at full capacity", bad=True)
        if span.until is not None:
            yield tell(span.until, f"{who} said that it is available again", span.proof, "below capacity")
    if run.failing is not None:
        text = f"a process of {who} did not start ({run.failing.count} times): {run.failing.error or 'no reason given'}"
        says = ("error initializing process", "supervised process run failed")
        yield tell(run.failing.first_at, text, run.failing.proof, *says, bad=True)
    if run.draining_at is not None:
        yield tell(run.draining_at, f"{who} was told to stop and takes no more jobs", run.proof, "draining worker")


def _job(job: WorkerJob) -> Iterator[Happening]:
    tags: frozenset[Tag] = frozenset(
        tag
        for tag in (
            ("job", job.job_id), ("agent", job.name), ("room", job.room), ("room", job.room_id),
            ("dispatch", job.dispatch_id), ("worker", job.worker_id),
        )
        if tag[1]
    )  # fmt: skip
    places = tuple(job.proof)

    def tell(at: float | None, text: str, *says: str, bad: bool = False) -> Happening:
        return Happening(at if job.run.dated else None, f"its worker: {text}", tags, places, says, bad)

    if job.asked_at is not None:
        yield tell(job.asked_at, f"asked for job {job.job_id}", "received job request")
    if job.no_answer:
        yield tell(job.asked_at, "the request function gave no answer", "no answer was given", bad=True)
    if job.assigned_at is not None:
        yield tell(job.assigned_at, f"job {job.job_id} assigned", "received assignment")
    if job.timed_out_at is not None:
        yield tell(job.timed_out_at, "no assignment came after it had accepted", "timed out", bad=True)
    if job.waited_at is not None:
        yield tell(job.waited_at, "no process was ready, the job waits for one", "no warmed process")
    if job.no_process:
        yield tell(job.last_at, f"no process took the job: {job.no_process}", "failed to acquire", "launch", bad=True)
    if job.not_connected_at is not None:
        yield tell(job.not_connected_at, "10 s after its start the job is not connected", "connect", bad=True)
    if job.returned_at is not None:
        yield tell(job.returned_at, "the entrypoint returned without connecting", "job task completed", bad=True)
    for at, identity in job.linked:
        yield tell(at, f"a session of job {job.job_id} listens to {identity}", "RoomIO linked")
    for name, one in job.marks.items():
        often = f" ({one.count:,} times)" if one.count > 1 else ""
        at = one.first_at if job.run.dated else None
        yield Happening(at, f"job {job.job_id} logged the marker {name}{often}", tags, tuple(one.places[:1]))
    if job.memory_kill:
        yield tell(job.last_at, job.memory_kill, "exceeded memory limit", bad=True)
    if job.crashed:
        where = f" at {job.where}" if job.where else ""
        error = f"{job.error}{where}" if job.error else job.exit_code
        at = job.crashed_at if job.crashed_at is not None else job.last_at
        yield tell(at, f"job {job.job_id} crashed: {error}", "exception", "error in entry", "exit", bad=True)
    elif job.exiting_at is not None:
        yield tell(job.exiting_at, f"the process of job {job.job_id} ended: {job.reason}", "exiting")
