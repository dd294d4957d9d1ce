"""Does a worker register and drop again and again?"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.model import Dispatch, Outcome, WorkerSession
from lkdoctor.doctor.codes import WORKER_FLAPPING
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

SHORT = 60.0
WINDOW = 600.0
TIMES = 3
SERVER_WENT = 2.0  # a socket that closes this close to the end of a run was closed by the server


@check(WORKER_FLAPPING)
def worker_flapping(dispatches: Dispatches, workers: Workers, runs: ServerRuns) -> Iterator[Finding | Inconclusive]:
    """A worker of this name registers, drops its connection within a minute, and comes back, again and again.

    ## What it means
    Between two registrations nobody serves the name, and dispatches made then are lost. Usual causes: the process
    crashes at start and is restarted, memory runs out, a proxy cuts long connections, or two processes fight for one
    port.

    ## How it is decided
    Three or more sessions of one name, each shorter than 60 s, one after another within 10 minutes. Sessions that ran
    side by side are a pool, not one worker coming back. Sockets that the server itself closed, by stopping or
    restarting, are not counted.

    ## How to fix
    Read the worker's own log at the times given here. Equal intervals speak for a proxy's time limit or a restart
    policy, uneven ones for crashes, memory or the network.

    ## When it is not a problem
    A developer's reload on save restarts the worker each time. A job runner that starts one short worker per task looks
    the same and may be meant.
    """
    for name in workers.names():
        chain = _chain(workers.named(name), runs)
        if len(chain) < TIMES:
            continue
        lives = [(one.closed_at or 0.0) - (one.registered_at or 0.0) for one in chain]
        since, until = chain[0].registered_at or 0.0, chain[-1].closed_at or 0.0
        lost = _lost(dispatches, name, chain, since, until + SHORT)
        yield Finding(
            WORKER_FLAPPING,
            Subject("agent", agent_name=name),
            f"The worker for {words.quoted(name)} registered and dropped {len(chain)} times within "
            f"{words.span(until - since)}, after {words.between(lives)} each"
            + (f"; {words.counted(len(lost), 'dispatch', 'dispatches')} fell into the gaps." if lost else "."),
            WORKER_FLAPPING.severity,
            Confidence.HIGH,
            {
                "agent_name": name,
                "worker_ids": [one.worker_id for one in chain][:20],
                "seconds_alive": [round(one, 1) for one in lives][:20],
                "lost_connection": sum(one.lost_connection for one in chain),
            },
            words.spread(place for one in chain for place in (*one.proof[:1], *one.proof[-1:])),
            (
                Fix(
                    "Find out why the worker drops",
                    steps=(
                        (
                            "Read the worker's own log around these times: a traceback, `process exceeded memory limit`, "
                            "`worker connection closed unexpectedly`."
                        ),
                        "Look at the restart count and exit code of its container or unit.",
                        "If the lives are equally long, look for a proxy that limits the length of a connection.",
                    ),
                    verify=("One session stays open for more than 10 minutes.",),
                ),
            ),
            folds=words.folds_of(lost),
            count=len(chain),
            first_at=since,
            last_at=until,
        )


def _chain(sessions: Sequence[WorkerSession], runs: ServerRuns) -> list[WorkerSession]:
    """The longest row of short lives, one after another, within ten minutes."""
    stops: dict[str, list[float]] = {}
    for run in runs:
        if run.stopped_at is not None:
            stops.setdefault(run.stream, []).append(run.stopped_at)
    for listed in stops.values():
        listed.sort()
    short = sorted(
        (
            one
            for one in sessions
            if one.registered_at is not None
            and one.closed_at is not None
            and one.closed_at - one.registered_at < SHORT
            and not _near(stops.get(one.stream, []), one.closed_at)  # its server stopped: no fault of the worker
        ),
        key=lambda one: one.registered_at or 0.0,
    )
    row: list[WorkerSession] = []
    for one in short:
        if not row or (one.registered_at or 0.0) >= (row[-1].closed_at or 0.0):
            row.append(one)
    best: list[WorkerSession] = []
    start = 0
    for index, one in enumerate(row):
        while (one.closed_at or 0.0) - (row[start].registered_at or 0.0) > WINDOW:
            start += 1
        if index + 1 - start > len(best):
            best = row[start : index + 1]
    return best


def _near(stops: Sequence[float], at: float) -> bool:
    """Is one of these sorted times within a second or two of `at`?"""
    index = bisect.bisect_left(stops, at - SERVER_WENT)
    return index < len(stops) and stops[index] <= at + SERVER_WENT


def _lost(
    dispatches: Dispatches, name: str, chain: Sequence[WorkerSession], since: float, until: float
) -> list[Dispatch]:
    """Dispatches of the name that were lost while it flapped."""
    outcomes = (Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE, Outcome.WORKER_CLOSED, Outcome.ANSWER_TIMEOUT)
    return [
        one
        for one in dispatches.ended(*outcomes)
        if one.agent_name == name and since <= (words.asked(one) or 0.0) <= until and chain
    ]
