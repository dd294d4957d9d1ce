"""Does a worker of the name run, and is it registered with another server than the one that was asked?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.model import Coverage, Dispatch, Outcome
from lkdoctor.dispatch.worker_model import WorkerRun
from lkdoctor.doctor.codes import WORKER_ELSEWHERE
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, WorkerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks import _worker_words as told

SKEW = 5.0  # s by which the worker's and the server's clock may differ
NOBODY = (Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE)


@check(WORKER_ELSEWHERE)
def registered_elsewhere(
    worker_runs: WorkerRuns, dispatches: Dispatches, workers: Workers, runs: ServerRuns, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """The worker's own log says that it is registered, under an id that this server's log does not have.

    ## What it means
    The worker is healthy and waits, but with another LiveKit server: a cloud project instead of the local server, staging
    instead of production, the old host. Both sides look right, and no line on either says so.

    ## How it is decided
    The worker's log has `registered worker` with an id (`AW_…`) and its URL. The server's log is complete from the server's
    start, goes on beyond that moment, and never shows this id; dispatches of this name, made afterwards, found nobody
    here. Ids are given by the server that registers a worker, so an id that is missing is proof. Or a Node worker's own
    endpoint says 200, which it does only while it is connected, and the server's log, read in the same minute, has never
    seen its name.

    ## How to fix
    Compare the URL that the worker registered at with the one that tokens and dispatches go to, and set LIVEKIT_URL (with the
    key and secret of the same server) where the worker starts.

    ## When it is not a problem
    A log that begins in the middle, hides info lines, or is of one node of several never raises it: the worker may have
    registered where the log does not look. Neither does a worker whose log names no zone for its times.
    """
    if not whole(coverage):
        return
    start = min((run.started_at for run in runs if run.started_at is not None), default=None)
    end = words.end_of(runs)
    if start is None or end is None:
        return
    known = {one.worker_id for one in workers}
    missed = words.by_name(one for one in dispatches.ended(*NOBODY) if words.wanted(one))
    for name, group in missed.items():
        if workers.named(name):
            continue
        away = [
            run for run in worker_runs if run.name == name and run.dated and _away(run, known, start - SKEW, end - SKEW)
        ]
        since = min((at for run in away for at, _ in run.registered if at is not None), default=0.0)
        hit = [one for one in group if (words.asked(one) or 0.0) >= since - SKEW]
        if away and hit:
            yield _from_log(name, hit, away)


def whole(coverage: Coverage) -> bool:
    """Would this log show every registration?"""
    return not (coverage.starts_late or coverage.hides_info or coverage.nodes_missing or coverage.timeless)


def _away(run: WorkerRun, known: set[str], start: float, end: float) -> bool:
    """Did it register while this server logged, and never here?"""
    times = [at for at, _ in run.registered]
    return (
        bool(times)
        and all(at is not None and start <= at <= end for at in times)
        and all(worker_id and worker_id not in known for _, worker_id in run.registered)
    )


def _from_log(name: str, group: Sequence[Dispatch], away: Sequence[WorkerRun]) -> Finding:
    first, last = words.when(group)
    ids = list(dict.fromkeys(worker_id for run in away for _, worker_id in run.registered))
    urls = sorted({run.url for run in away if run.url})
    at = f" at {words.listed(urls)}" if urls else ""
    return Finding(
        WORKER_ELSEWHERE,
        Subject("agent", agent_name=name),
        f"The {told.worker(away[0])} is registered{at} as {words.listed(ids, 3)}, and this server has never seen that id: "
        f"it is connected to another server. Here nobody served the name "
        f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}).",
        WORKER_ELSEWHERE.severity,
        Confidence.HIGH,
        {"agent_name": name, "worker_ids": ids, "urls": urls, "rooms": sorted({one.room for one in group})[:20]},
        (*words.spread(place for run in away for place in run.proof[:1]), *words.proof_of(group, limit=3)),
        (same_server(urls), words.ask_again(group)),
        folds=words.folds_of(group),
        count=len(group),
        first_at=first,
        last_at=last,
    )


def same_server(urls: Sequence[str]) -> Fix:
    """One URL on both sides."""
    return Fix(
        "Connect the worker to the server that is asked",
        steps=(
            f"The worker registered at {words.listed(urls)}; tokens and dispatches go to another address."
            if urls
            else "Read the worker's log: `registered worker` and `failed to connect` say at which URL.",
            "Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of one and the same server where the worker starts.",
        ),
        caveats=(
            (
                "In a container its own environment counts, not your shell's; elsewhere a variable of the shell beats one of "
                "the .env file that a program loads. Restart the worker."
            ),
        ),
        verify=("This server's log says `worker registered` with the agent's name.",),
    )
