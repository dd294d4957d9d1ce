"""Does a worker's own endpoint report a load at which the server refuses it, none at all, or one that is no number?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.load_rules import limit_of
from lkdoctor.dispatch.model import Dispatch, Outcome
from lkdoctor.dispatch.worker_http import WorkerEndpoint
from lkdoctor.doctor.codes import LOAD_NOT_A_NUMBER, OVER_LIMIT_NOW, ZERO_LOAD
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _endpoints as ends
from lkdoctor_checks import _loads as loads
from lkdoctor_checks import _words as words

AROUND = 5.0  # s: an endpoint tells the mean of the last 2.5 s, the server knows it up to 2.5 s later


@check(OVER_LIMIT_NOW)
def endpoint_over_limit(endpoints: Facts[WorkerEndpoint], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A worker's endpoint (`/worker` of livekit-agents from 1.3.3 on) tells a load at or over the server's limit."""
    server = evidence.probes.server
    measured = next((run.refused_load for run in evidence.probes if run.refused_load is not None), None)
    if measured is None and server is not None and server.is_cloud:
        return
    limit = limit_of(loads.only_version(evidence) or None, measured=measured)
    if limit.load is None:
        return
    for name, group in _by_name(endpoints).items():
        over = [one for one in group if one.load is not None and one.load >= limit.load]
        if not over:
            continue
        hit = _refused(over, evidence)
        last = over[-1]
        yield _finding(
            OVER_LIMIT_NOW,
            over,
            f"The {ends.worker(last)} at {last.url} reported load {last.load:.2f} at {words.clock(last.at)}; the server refuses "
            f"from {limit.words} on.{loads.met(hit)}",
            (
                Fix(
                    "Find out what the load is, and of what",
                    steps=(
                        "`lkdoctor load` where the worker runs says whose CPU time it counts and what it divides by.",
                        "Bring it down: start the agents of one room one after another, put other programs elsewhere.",
                    ),
                    verify=(f"`curl {last.url}/worker` shows a worker_load under the limit.",),
                ),
                *((words.ask_again(hit),) if hit else ()),
            ),
            hit,
            load=last.load,
            limit=limit.load,
            agent_name=name,
        )


@check(LOAD_NOT_A_NUMBER)
def endpoint_tells_nan(endpoints: Facts[WorkerEndpoint], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A worker's endpoint tells NaN as its load, which is also what it tells the server: every worker of its name is refused."""
    for name, group in _by_name(endpoints).items():
        bad = [one for one in group if one.load_not_a_number]
        if not bad:
            continue
        hit = _refused(bad, evidence)
        yield _finding(
            LOAD_NOT_A_NUMBER,
            bad,
            f"The {ends.worker(bad[-1])} at {bad[-1].url} reports a load that is not a number, which switches off every worker "
            f"of its name on that node.{loads.met(hit)}",
            (
                Fix(
                    "Mend its load function",
                    steps=("Look for 0 / 0 in it; return the last good value when a measurement fails.",),
                    verify=(f"`curl {bad[-1].url}/worker` shows a worker_load between 0 and 1.",),
                ),
            ),
            hit,
            agent_name=name,
        )


@check(ZERO_LOAD)
def endpoint_tells_zero(endpoints: Facts[WorkerEndpoint], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A worker's endpoint tells load 0, exactly, while it runs jobs: a load function that returns 0, or a machine at rest.

    An SDK's own function hardly ever returns exactly 0 while a job's process lives; on a large machine at rest it may. So
    this is info and of medium confidence; with several workers of the name it says what harm it would do.
    """
    for name, group in _by_name(endpoints).items():
        zero = [one for one in group if one.load == 0 and (one.active_jobs or 0) > 0 and not one.load_not_a_number]
        if not zero:
            continue
        workers = max(len({one.url for one in group}), len(words.alive(evidence.workers.named(name), zero[-1].at)))
        case = (
            f"there are {workers} workers of this name, and a busy one is chosen like an idle one"
            if workers > 1
            else "right with one worker of the name, harmful with several, ignored for workers that LiveKit Cloud hosts"
        )
        yield _finding(
            ZERO_LOAD,
            zero,
            f"The {ends.worker(zero[-1])} at {zero[-1].url} tells load 0 with "
            f"{words.counted(zero[-1].active_jobs or 0, 'active job')}: {case}.",
            (
                Fix(
                    "Know what it reports",
                    steps=(
                        "`lkdoctor load --function MODULE:NAME` measures the worker's load function while the machine works.",
                    ),
                ),
            ),
            (),
            Severity.INFO,
            Confidence.MEDIUM,
            agent_name=name,
            workers=workers,
        )


def _by_name(endpoints: Facts[WorkerEndpoint]) -> dict[str, list[WorkerEndpoint]]:
    """Readings of workers, by agent name, oldest first."""
    found: dict[str, list[WorkerEndpoint]] = {}
    for one in sorted(endpoints, key=lambda reading: reading.at):
        if one.worker:
            found.setdefault(one.name, []).append(one)
    return found


def _refused(readings: Sequence[WorkerEndpoint], evidence: Evidence) -> list[Dispatch]:
    """Dispatches to this name that were refused for want of headroom about then."""
    return [
        one
        for one in evidence.dispatches.ended(Outcome.NO_HEADROOM)
        if words.wanted(one)
        and one.agent_name == readings[0].name
        and (at := words.asked(one)) is not None
        and any(abs(each.at - at) <= AROUND for each in readings)
    ]


def _finding(
    code: Code,
    readings: Sequence[WorkerEndpoint],
    message: str,
    fixes: tuple[Fix, ...],
    hit: Sequence[Dispatch],
    severity: Severity | None = None,
    confidence: Confidence = Confidence.HIGH,
    **values: object,
) -> Finding:
    return Finding(
        code,
        Subject("agent", agent_name=readings[-1].name),
        message,
        code.severity if severity is None else severity,
        confidence,
        values,
        (*words.spread((one.place for one in readings), 3), *words.proof_of(list(hit), limit=3)),
        fixes,
        folds=words.folds_of(hit),
        count=len(readings),
        first_at=readings[0].at,
        last_at=readings[-1].at,
    )
