"""What does a load function of the user's own return?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.load import LoadReading
from lkdoctor.dispatch.model import Outcome
from lkdoctor.doctor.codes import LOAD_NOT_A_NUMBER, LOAD_OUT_OF_RANGE, SLOW_LOAD_FUNCTION, ZERO_LOAD
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Finding, Fix, Inconclusive, Severity
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _loads as loads
from lkdoctor_checks import _words as words

BUSY = 0.2  # of the CPUs: a function that measures them cannot return 0 then
SLOW = 1.0  # s of the 3 s that an answer may take in all
ENOUGH = 3  # samples


@check(ZERO_LOAD)
def zero_load(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The load function returns 0 whatever the machine does.

    ## What it means
    The worker is never refused for load and always chosen as if it were idle. Whether that is right depends on who else
    serves the name:

    - **one worker**: right, as there is nobody else to give the job to. The price: it takes more jobs than it can do.
    - **several workers of one name**: harmful. Jobs are shared by 1 minus load, so that a busy one is chosen like an idle
      one, and a worker that measures honestly loses against it.
    - **hosted on LiveKit Cloud**: ignored. The SDK takes its own function and says so: `custom load_fnc is not supported when
      hosting on Cloud, reverting to default`. Merely connecting to Cloud from a machine of one's own does not do that.

    ## How it is decided
    `lkdoctor load --function` called the function several times while at least a fifth of the CPUs was busy, and it
    returned 0 each time. How many workers serve the name is told by the server's log; LIVEKIT_WORKER_TOKEN in the
    environment says that Cloud hosts the worker.

    ## How to fix
    With several workers: take the function out, or use one that is honest in containers (docs/load.md). With one: keep it,
    and limit the jobs in the request function (Python: `reject(terminate=False)`, else LKD306).

    ## When it is not a problem
    As a test whether load is the cause of refusals, and with one worker. So it is info unless several workers are known.
    """
    for group in _own(readings):
        last = group[-1]
        if any(one.highest != 0 or one.lowest != 0 for one in group):
            continue
        if sum(one.samples for one in group) < ENOUGH:
            continue
        if last.takes_worker:
            yield loads.question(
                last,
                f"{last.function} looks at its worker, and returned 0 for one without jobs",
                "see what a worker with jobs reports: `curl http://WORKER:8081/worker` shows worker_load",
            )
            continue
        if max(one.host_share for one in group) < BUSY:
            yield loads.question(
                last,
                f"{last.function} returned 0 each time, but the machine was idle",
                "measure again while something keeps a CPU busy",
            )
            continue
        others = _workers(last, evidence)
        if last.cloud:
            case, severity = "LiveKit Cloud hosts this worker and ignores the function", Severity.INFO
        elif others is None:
            case = (
                "with one worker of the name that is right, with several it is harmful (`lkdoctor workers server.log` counts "
                "them), and LiveKit Cloud ignores it for workers that it hosts"
            )
            severity = Severity.INFO
        elif others <= 1:
            case, severity = (
                "there is one worker of this name, so that is right: nobody else could take the job",
                Severity.INFO,
            )
        else:
            case = (
                f"there are {others} workers of this name, and a busy one is chosen like an idle one: that is harmful"
            )
            severity = Severity.WARNING
        yield loads.finding(
            ZERO_LOAD,
            group,
            f"{last.function} returned 0 while {last.host_share:.0%} of {words.counted(last.own_cpus, 'CPU')} were busy; {case}.",
            _zero_fixes(others, cloud=last.cloud),
            severity=severity,
            workers=others,
        )


@check(LOAD_NOT_A_NUMBER)
def load_function_gives_nan(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The load function, called by `lkdoctor load --function` as a worker would call it, returned NaN, which is what the
    server is told. One that raises, returns no number or never returns leaves open what a worker reports."""
    for group in _own(readings):
        failed = next((one for one in reversed(group) if one.error and not one.nan), None)
        if failed is not None or not any(one.samples for one in group):
            last = failed or group[-1]
            yield loads.question(
                last,
                f"{last.function} gave no number ({last.error or f'it did not return within {last.seconds:g} s'}), so what a worker "
                "would report is not known",
                "make it return a number between 0 and 1 whatever happens, and run `lkdoctor load --function …` again",
                weighs=True,
            )
        bad = [one for one in group if one.nan]
        if not bad:
            continue
        hit = loads.all_refused(bad, evidence)
        yield loads.finding(
            LOAD_NOT_A_NUMBER,
            bad,
            f"{bad[-1].function} returned NaN. A server that is told that refuses every worker of the name on the node, idle ones "
            f"too.{loads.met(hit)}",
            (
                Fix(
                    "Return a number between 0 and 1",
                    steps=(
                        "Look for 0 / 0: a measurement over no time, an empty list of CPUs.",
                        "Return the last good value when a measurement fails.",
                    ),
                    verify=("`lkdoctor load --function …` shows a load.",),
                ),
            ),
            hit=hit,
        )


@check(SLOW_LOAD_FUNCTION)
def slow_load_function(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """One call of the load function takes a second or more.

    ## What it means
    livekit-agents calls it twice a second, and from 1.4.5 on once more before it answers each request of the server. An
    answer must be there within 3 s, connection and request function included; what comes later is lost (LKD305).

    ## How it is decided
    `lkdoctor load --function` timed each call. Seen: with one of 4 s, livekit-agents 1.8.9 on 1.13.5 lost the call.

    ## How to fix
    Measure in a thread of its own and return the last value, as the SDK's own function does.

    ## When it is not a problem
    Below a second. On a machine that was very busy while it was measured, measure again.
    """
    for group in _own(readings):
        slow = [one for one in group if one.slowest >= SLOW]
        if not slow:
            continue
        hit = loads.all_refused(slow, evidence, Outcome.ANSWER_TIMEOUT)
        worst = max(one.slowest for one in slow)
        yield loads.finding(
            SLOW_LOAD_FUNCTION,
            slow,
            f"One call of {slow[-1].function} took {worst:.1f} s, of the 3 s within which the server must have an answer."
            f"{loads.met(hit, 'lost because no answer came in time')}",
            (
                Fix(
                    "Measure beside it, answer at once",
                    steps=("Let a thread measure every half second and keep the value; the load function returns it.",),
                    verify=("`lkdoctor load --function …` no longer says this.",),
                ),
            ),
            hit=hit,
            seconds=worst,
        )


@check(LOAD_OUT_OF_RANGE)
def load_out_of_range(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The load function returns less than 0 or more than 1.

    ## What it means
    A load is a share. A number of jobs or a percentage is over every server's limit at once: the worker is refused for
    ever. A negative one makes the worker win every draw against its peers.

    ## How it is decided
    `lkdoctor load --function` saw such a value. On the wire both are legal; the server computes with them.

    ## How to fix
    Divide by what is full: `len(jobs) / MAX_JOBS`, and clamp to 0 to 1.

    ## When it is not a problem
    Exactly 1 means full, and is fine; so is exactly 0 for a worker at rest.
    """
    for group in _own(readings):
        bad = [one for one in group if (one.highest or 0.0) > 1 or (one.lowest or 0.0) < 0]
        if not bad:
            continue
        last = bad[-1]
        value = last.highest if (last.highest or 0.0) > 1 else last.lowest
        hit = loads.all_refused([one for one in bad if (one.load or 0.0) > 1], evidence)
        effect = "over every server's limit" if (value or 0.0) > 1 else "so that it wins every draw against its peers"
        yield loads.finding(
            LOAD_OUT_OF_RANGE,
            bad,
            f"{last.function} returned {value:g}, {effect}; a load is a share between 0 and 1.{loads.met(hit)}",
            (
                Fix(
                    "Return a share",
                    steps=("Divide by what is full (`len(worker.active_jobs) / MAX_JOBS`), and clamp it to 0 to 1.",),
                    verify=("`lkdoctor load --function …` shows a load from 0 to 1.",),
                ),
            ),
            hit=hit,
            value=value,
        )


def _own(readings: Facts[LoadReading]) -> Iterator[list[LoadReading]]:
    return (group for group in loads.groups(readings) if group[-1].by == "function")


def _workers(one: LoadReading, evidence: Evidence) -> int | None:
    """How many workers of the name were registered when it was measured, by the server's log; None where it does not tell."""
    if one.agent_name is None or not evidence.runs.all:
        return None
    there = words.alive(evidence.workers.named(one.agent_name), one.at)
    return len(there) or None


def _zero_fixes(others: int | None, *, cloud: bool) -> tuple[Fix, ...]:
    if cloud:
        return (
            Fix("Take the function out: it does nothing here", steps=("LiveKit Cloud uses the SDK's own function.",)),
        )
    if others == 1:
        return (
            Fix(
                "Keep it, and limit the jobs where it matters",
                steps=(
                    (
                        "Reject in the request function when as many jobs run as the machine can do (Python: "
                        "`await req.reject(terminate=False)`, for a plain `reject()` ends the dispatch as done)."
                    ),
                ),
                caveats=("With a second worker of this name it becomes harmful.",),
            ),
        )
    return (
        Fix(
            "Measure honestly",
            steps=(
                "Take the load function out, so that the SDK measures; in containers see docs/load.md for what it measures.",
                "Or return the share of the jobs that the machine can do: `len(worker.active_jobs) / MAX_JOBS`.",
            ),
            verify=("`lkdoctor load --function …` shows a load that follows the work.",),
        ),
    )
