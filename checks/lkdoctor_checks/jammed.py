"""Does a worker that never answers hold up every other agent of its node?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, Launch, Outcome
from lkdoctor.doctor.codes import NODE_JAMMED
from lkdoctor.doctor.evidence import Dispatches
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

WINDOW = 10.0
HELD_UP = 2.0  # beside 25 stuck launches this is waiting, not answering


@check(NODE_JAMMED)
def node_jammed(dispatches: Dispatches) -> Iterator[Finding | Inconclusive]:
    """So many requests wait for a worker that does not answer that all other agents of the node wait, too.

    ## What it means
    A node runs at most 25 launches for served names at once, and each one to a hung worker takes its place for 3 s.
    While 25 of them wait, launches of every other name stand in line: healthy agents come 3 s, 6 s or more late. No
    line of the server says so.

    ## How it is decided
    25 or more launches of one agent name on one node ran into their 3 s within 10 s, and other names' launches of that
    time were assigned more than 2 s late, or timed out themselves. Seen on 1.13.5 and 1.9.12: with 24 stuck another
    name was assigned after 0.21 s, with 30 after 3.2 s, with 60 after 6.2 s.

    ## How to fix
    Stop the worker that does not answer; at once everything else is on time. Then see LKD305 for why it hangs, and
    spread bursts of dispatches.

    ## When it is not a problem
    Many timeouts of one name alone, with the others on time, are LKD305. A late assignment without such timeouts is
    LKD312: a burst of dispatches for names that nobody serves delays, too.
    """
    nodes: dict[str, list[tuple[Dispatch, Launch]]] = {}
    for one in dispatches:
        for launch in one.launches:
            if launch.asked_at is not None and launch.ended_at is not None:
                nodes.setdefault(launch.node or "", []).append((one, launch))
    for node, launches in sorted(nodes.items()):
        for name in sorted({one.agent_name for one, launch in launches if launch.outcome is Outcome.ANSWER_TIMEOUT}):
            stuck = [
                launch
                for one, launch in launches
                if one.agent_name == name and launch.outcome is Outcome.ANSWER_TIMEOUT
            ]
            jam = _densest(sorted(launch.ended_at or 0.0 for launch in stuck))
            if len(jam) < rules.IN_FLIGHT:
                continue
            since, until = jam[0] - rules.ANSWER_BUDGET, jam[-1]
            victims = [
                (one, launch)
                for one, launch in launches
                if one.agent_name != name and _held_up(launch) and _overlaps(launch, since, until)
            ]
            if not victims:
                continue
            hit = list({id(one): one for one, _ in victims}.values())
            yield Finding(
                NODE_JAMMED,
                Subject("agent", agent_name=name),
                f"{len(jam)} requests to {words.quoted(name)} waited in vain within {words.span(until - since)}; a node "
                f"runs {rules.IN_FLIGHT} at once, so {words.counted(len(hit), 'dispatch', 'dispatches')} of "
                f"{words.listed(sorted({words.quoted(one.agent_name) for one in hit}))} waited behind them, up to "
                f"{words.span(max((launch.seconds or 0.0) for _, launch in victims))}.",
                NODE_JAMMED.severity,
                Confidence.HIGH,
                {
                    "hung_agent": name,
                    "timeouts": len(jam),
                    "node": node,
                    "held_up": sorted({one.agent_name for one in hit}),
                    "seconds": [round(launch.seconds or 0.0, 3) for _, launch in victims][:20],
                },
                words.spread(
                    [
                        *words.spread((launch.proof[-1] for launch in stuck if launch.proof), 3),
                        *(launch.proof[-1] for _, launch in victims if launch.proof),
                    ]
                ),
                (
                    Fix(
                        f"Stop the worker of {words.quoted(name)} that does not answer",
                        steps=(
                            "Stop or restart it; its socket then closes and the queue empties within 3 s.",
                            "Until it is mended, do not dispatch to this name in bursts of 25 and more.",
                        ),
                        verify=("Other names' `assigned job to worker` comes 0.2 s after their dispatch again.",),
                    ),
                ),
                folds=words.folds_of(hit),
                count=len(jam),
                first_at=since,
                last_at=until,
            )


def _densest(times: Sequence[float]) -> list[float]:
    """The most times that lie within one window."""
    best: list[float] = []
    start = 0
    for end, at in enumerate(times):
        while at - times[start] > WINDOW:
            start += 1
        if end - start + 1 > len(best):
            best = list(times[start : end + 1])
    return best


def _held_up(launch: Launch) -> bool:
    """Late, or out of time."""
    if launch.outcome is Outcome.ANSWER_TIMEOUT:
        return True
    took = launch.seconds
    return launch.outcome is Outcome.ASSIGNED and took is not None and took > HELD_UP


def _overlaps(launch: Launch, since: float, until: float) -> bool:
    """Did the launch wait while the node was jammed?"""
    return (launch.asked_at or 0.0) <= until and (launch.ended_at or 0.0) >= since
