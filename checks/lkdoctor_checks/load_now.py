"""Is the measured load at or over the server's limit?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.load import LoadReading
from lkdoctor.dispatch.load_rules import limit_of
from lkdoctor.doctor.codes import OVER_LIMIT_NOW
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _loads as loads
from lkdoctor_checks import _words as words


@check(OVER_LIMIT_NOW)
def over_limit_now(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The load that a worker reports, as measured, is at or over the limit of the server.

    ## What it means
    While the load is there, the server counts the worker as having no room: a dispatch is refused silently, and not
    tried again when the load has gone. The worker need not notice: its own threshold may be higher, in dev mode it is
    infinite.

    ## How it is decided
    `lkdoctor load` ran the SDK's own load function (or applied its rule to the kernel's counters of the worker's process):
    the mean over 2.5 s, as workers report it. The limit is 0.65 on livekit-server 1.8, 1 on 1.9 and 1.10, and
    `agents.target_load` (0.7 unless set) from 1.11.0 on; seen exactly so on 1.8.4, 1.9.12, 1.11.0 and 1.13.5. With the
    server's log beside it, refusals of the worker's name within 5 s of the measurement stand beneath.

    ## How to fix
    The report says what the number is a share of: first mend that when it is wrong (LKD404, LKD405). When the machine
    really is busy: find out with what, start the jobs of one room one after another, give the worker more CPUs, or put
    other programs elsewhere.

    ## When it is not a problem
    A worker that is full on purpose. A moment of load, such as the start of a job or of a worker, in which nobody asks:
    so it is info as long as no refusal speaks for it.
    """
    for group in loads.groups(readings):
        limit = loads.limit(group[-1], evidence)
        if limit is None:
            continue
        lowest = limit.load if limit.load is not None else limit.low
        over = [one for one in group if one.load is not None and one.load >= lowest]
        if not over:
            continue
        last = over[-1]
        load = last.load or 0.0
        if limit.load is None and load < limit.high:
            rules = "; ".join(f"{one}: {limit_of(one).load:g}" for one in ("1.8.4", "1.9.12", "1.13.5"))
            yield loads.question(
                last,
                f"{loads.who(last)} {loads.reads(last)}; whether the server refuses that depends on its version ({rules})",
                "say it with --server-version, or give the server's log",
            )
            continue
        hit = loads.all_refused(over, evidence)
        often = f" in {len(over)} of {len(group)} measurements" if len(group) > 1 else ""
        named = limit.words if limit.load is not None else f"{limit.high:g} at most, whatever its version"
        yield loads.finding(
            OVER_LIMIT_NOW,
            over,
            f"{loads.who(last)} {loads.reads(last)}{often}; the server refuses from {named} on.{loads.met(hit)} "
            f"{_busy(last)}",
            (_less(last), *((words.ask_again(hit),) if hit else ())),
            hit=hit,
            confidence=Confidence.HIGH if last.agent_name is not None or not hit else Confidence.MEDIUM,
            limit=limit.load,
            server_version=loads.version(last, evidence),
            at=words.clock(last.at),
        )


def _busy(one: LoadReading) -> str:
    """Who uses the CPUs: the worker's own group, or others."""
    whole = f"Of {words.counted(one.own_cpus, 'CPU')} {one.host_busy:.2f} were busy"
    if one.group_used is None:
        return f"{whole}."
    return f"{whole}, {one.group_used:.2f} of that by the worker's own cgroup."


def _less(one: LoadReading) -> Fix:
    own = one.group_used
    elsewhere = own is not None and one.host_busy > 2 * own
    return Fix(
        "Bring the load down",
        steps=(
            (
                "Other programs use these CPUs, not the worker: put them elsewhere, or the worker."
                if elsewhere
                else "Find what uses the CPUs at these times (`top`, `docker stats`): jobs, idle processes, other programs."
            ),
            "Start the agents of one room one after another: loading models is often the load that refuses the next.",
            "Give the worker more CPUs, or a second worker of this name on another machine.",
        ),
        verify=("`lkdoctor load` while calls run stays under the limit.",),
    )
