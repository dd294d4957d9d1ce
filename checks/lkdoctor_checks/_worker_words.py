"""What checks of worker logs share: how runs and jobs are called, which dispatches they account for, and their proof."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import WorkerSession
from lkdoctor.dispatch.worker_model import Full, WorkerJob, WorkerRun
from lkdoctor.doctor.finding import Subject
from lkdoctor_checks import _words as words

ASSIGNMENT_WAIT = 7.5  # s that a worker waits for its assignment after it accepted (both SDKs)


def by_name(jobs: Iterable[WorkerJob]) -> dict[str, list[WorkerJob]]:
    """Jobs by agent name, names sorted."""
    groups: dict[str, list[WorkerJob]] = {}
    for one in jobs:
        groups.setdefault(one.name, []).append(one)
    return {name: groups[name] for name in sorted(groups)}


def hit(jobs: Sequence[WorkerJob]) -> str:
    """`2 jobs, rooms "a", "b"`."""
    rooms = list(dict.fromkeys(one.room for one in jobs if one.room))
    where = f"{'room' if len(rooms) == 1 else 'rooms'} {words.listed(map(words.marked, rooms))}" if rooms else ""
    ids = words.listed((one.job_id for one in jobs), 2)
    return ", ".join(part for part in (words.counted(len(jobs), "job"), where, ids) if part)


def folds_of(jobs: Iterable[WorkerJob]) -> tuple[Subject, ...]:
    """The dispatches of these jobs, as other findings name them."""
    return tuple(dict.fromkeys(Subject("dispatch", room=one.room, agent_name=one.name) for one in jobs if one.room))


def when(jobs: Iterable[WorkerJob]) -> tuple[float | None, float | None]:
    """First and last time of what these jobs tell, where their clock is known."""
    times = sorted(at for one in jobs if one.run.dated for at in (one.asked_at, one.last_at) if at is not None)
    return (times[0], times[-1]) if times else (None, None)


def proof_of(jobs: Iterable[WorkerJob]) -> tuple[Place, ...]:
    """Each job's request and what became of it."""
    return words.spread(place for one in jobs for place in (*one.proof[:1], *one.proof[-3:]))


def worker(run: WorkerRun) -> str:
    """The worker in words: its agent name where its log tells it, and its SDK."""
    who = f"for {words.quoted(run.name)}" if run.name else f"of {run.source}"
    return f"worker {who}{f' ({run.sdk_words})' if run.sdk_words else ''}"


def clock(run: WorkerRun, at: float | None) -> str:
    """A time of the run; without a known clock it is not said."""
    return words.clock(at) if run.dated and at is not None else "a time on a clock of its own"


def own_words(jobs: Sequence[WorkerJob]) -> str:
    """What the workers' own logs add to a request that came to nothing; empty without such logs."""
    said: list[str] = []
    for one in jobs:
        if one.no_answer:
            sends = "and sends nothing" if one.run.sdk == "node" else "so that the next worker is asked"
            said.append(f"its request function gave no answer; the SDK says that it rejects then, {sends}")
        elif one.timed_out_at is not None and one.asked_at is not None:
            took = max(0.0, one.timed_out_at - ASSIGNMENT_WAIT - one.asked_at)
            asked = f"asked at {exactly(one.asked_at)}, " if one.run.dated else ""
            until = f" (at {exactly(one.asked_at + took)})" if one.run.dated else ""
            said.append(f"{asked}it accepted {words.span(took)} later{until}, and no assignment came any more")
        elif one.request_error:
            said.append(f"its request function failed: {one.request_error}")
        elif one.draining:
            said.append("it was draining")
        else:
            said.append("it was asked, and its log shows no job after that")
    return f" By the worker's own log: {words.listed(said, 2)}." if said else ""


def exactly(at: float) -> str:
    """`10:02:11.4 UTC`: what two logs say within seconds of each other needs tenths."""
    moment = datetime.fromtimestamp(round(at, 1), timezone.utc)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000} UTC"


def of_refusal(sessions: Sequence[WorkerSession], at: float | None) -> tuple[str, tuple[Place, ...]]:
    """What the workers' own logs say of the moment in which the server found them without headroom, and where."""
    told: list[str] = []
    places: list[Place] = []
    for one in sessions:
        run = one.run
        if run is None or not run.dated or at is None:
            continue
        span = next((full for full in run.full if _covers(full, at)), None)
        if span is not None:
            load = f" (load {span.load:.2f}, threshold {span.threshold:g})" if _measured(span) else ""
            since = f" since {exactly(span.since)}" if span.since is not None else ""
            until = f" until {exactly(span.until)}" if span.until is not None else ", to the end of its log"
            told.append(f"{one.worker_id} called itself full{load}{since}{until}")
            places += span.proof
        elif run.draining_at is not None and run.draining_at <= at:
            told.append(f"{one.worker_id} was draining since {exactly(run.draining_at)}")
        elif (
            after := next((full for full in run.full if full.since is not None and full.since > at), None)
        ) is not None:
            load = f" (load {after.load:.2f}, threshold {after.threshold:g})" if _measured(after) else ""
            told.append(f"{one.worker_id} called itself full only at {exactly(after.since or at)}{load}")
            places += after.proof[:1]
        elif run.last_at is not None and run.last_at >= at:
            told.append(f"{one.worker_id} says nothing of being full")
    return (f" By the worker's own log, {words.listed(told, 3)}." if told else ""), tuple(places)


def _covers(full: Full, at: float) -> bool:
    return (full.since is None or full.since <= at) and (full.until is None or at <= full.until)


def _measured(full: Full) -> bool:
    return full.load is not None and full.threshold is not None


def of_job(jobs: Sequence[WorkerJob]) -> str:
    """What the workers' own logs say became of jobs that the server assigned; empty without such logs."""
    said: list[str] = []
    for one in jobs:
        asked = f" at {exactly(one.asked_at)}" if one.asked_at is not None and one.run.dated else ""
        if one.crashed:
            end = f"it crashed ({one.error or one.exit_code or one.memory_kill})"
        elif one.no_process:
            end = f"no process took it ({one.no_process})"
        elif one.returned_at is not None:
            end = "its entrypoint returned without connecting"
        elif one.exiting_at is not None:
            end = f"its process ended{f' ({one.reason})' if one.reason else ''}"
        elif one.not_connected_at is not None:
            end = "10 s after its start it was not connected"
        elif one.waited_at is not None:
            end = "no process was ready for it"
        else:
            end = "it still runs at the end of the log"
        said.append(f"{one.job_id} was asked for{asked}, and {end}")
    return f" By the worker's own log: {words.listed(said, 2)}." if said else ""
