"""Did the agent come, but late?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, Launch, Outcome
from lkdoctor.doctor.codes import SLOW_DISPATCH
from lkdoctor.doctor.evidence import Dispatches
from lkdoctor.doctor.finding import Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

SLOW = rules.ANSWER_BUDGET + 0.2  # what a worker may take to answer, and the selection before it
BURST = 40  # launches around the same moment; with 40 of unknown names all was still on time, with 60 not
AROUND = 6.0


@check(SLOW_DISPATCH)
def slow_dispatch(dispatches: Dispatches) -> Iterator[Finding | Inconclusive]:
    """The agent was assigned, but later than any worker may take to answer.

    ## What it means
    An idle worker is assigned 0.2 s after the dispatch, cold or warm: that is how long the server collects claims.
    Seconds more are time that the launch stood in line, or that a worker took to answer. The user hears silence.

    ## How it is decided
    Time from the launch of the deciding job type to its `assigned job to worker`, above 3.2 s. A worker may take up to
    3 s to answer; what is later has stood in line before anybody was asked. The causes that a log can show: many
    launches at the same moment (60 of unknown names made a good one 5.2 s late on 1.13.5, 40 did not). When 25 launches
    are stuck at a hung worker, LKD314 says so instead.

    ## How to fix
    Do not dispatch names that nobody serves: each of them occupies the server for up to 5 s. Spread bursts. Accept at once in
    the request function.

    ## When it is not a problem
    *Refusals* 5 s late are ordinary: a server that does not know a name waits the full 5 s for news of it. Only
    assignments are judged. A worker that takes two seconds to accept is within its budget. A publisher worker is asked when somebody publishes; the time counts from there.
    """
    late = [
        (one, launch)
        for one in dispatches.ended(Outcome.ASSIGNED)
        if (launch := one.deciding) is not None
        and launch.outcome is Outcome.ASSIGNED
        and (launch.seconds or 0.0) > SLOW
    ]
    taken = {id(one): launch for one, launch in late}
    for name, group in words.by_name(one for one, _ in late).items():
        launches = [taken[id(one)] for one in group]
        first, last = words.when(group)
        seconds = [launch.seconds or 0.0 for launch in launches]
        yield Finding(
            SLOW_DISPATCH,
            Subject("agent", agent_name=name),
            f"{words.quoted(name)} was assigned up to {words.span(max(seconds))} after it was asked for, instead of "
            f"0.2 s ({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}). "
            f"{_cause(dispatches, launches)}",
            SLOW_DISPATCH.severity,
            words.sure(group),
            {"agent_name": name, "seconds": [round(one, 3) for one in seconds][:20], "worst": round(max(seconds), 3)},
            words.proof_of(group),
            (
                Fix(
                    "Give the launch a free way",
                    steps=(
                        "Stop dispatching names that nobody serves; each occupies the server for up to 5 s.",
                        "Spread bursts of dispatches over time.",
                        "Accept at once in the worker's request function.",
                    ),
                    verify=("`assigned job to worker` comes about 0.2 s after the dispatch.",),
                ),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _cause(dispatches: Dispatches, launches: Sequence[Launch]) -> str:
    """What the log shows around the slowest one."""
    worst = max(launches, key=lambda one: one.seconds or 0.0)
    at = worst.asked_at or 0.0
    around = sum(_near(one, at) for one in dispatches)
    if around > BURST:
        return f"{around} launches were under way at the same moment: a burst."
    return "It stood in line before anybody was asked; what held it up, the evidence does not show."


def _near(one: Dispatch, at: float) -> int:
    """Launches of this dispatch that began within the server's window before `at`."""
    return sum(1 for each in one.launches if each.asked_at is not None and -AROUND <= each.asked_at - at <= 1)
