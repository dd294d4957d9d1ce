"""What checks of worker logs share: how runs and jobs are called, which dispatches they account for, and their proof."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.worker_model import WorkerJob, WorkerRun
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
            took = one.timed_out_at - ASSIGNMENT_WAIT - one.asked_at
            said.append(f"it accepted {words.span(max(0.0, took))} after it was asked, and no assignment came any more")
        elif one.request_error:
            said.append(f"its request function failed: {one.request_error}")
        elif one.draining:
            said.append("it was draining")
        else:
            said.append("it was asked, and its log shows no job after that")
    return f" By the worker's own log: {words.listed(said, 2)}." if said else ""
