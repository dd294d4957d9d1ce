"""Does the container's CPU quota hold the worker back?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.load import LoadReading
from lkdoctor.doctor.codes import CPU_QUOTA_SMALL
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Finding, Fix, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _loads as loads
from lkdoctor_checks import _words as words

OFTEN = 0.25  # of the scheduler's periods, each of 0.1 s: such audio stutters
FULL = 0.8  # of the quota


@check(CPU_QUOTA_SMALL)
def cpu_quota_small(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The worker used up its CPU quota, and the kernel stopped it again and again.

    ## What it means
    The host may be idle: within each period (0.1 s) the container may use its quota and is then stopped until the next.
    Jobs start slowly (their processes may run into the time-out), audio stutters, and the load goes to the server's limit.

    ## How it is decided
    While it was measured, the worker's cgroup used at least 80 % of its quota and was stopped in at least a quarter of the
    scheduler's periods (`nr_throttled` of `nr_periods` in cpu.stat). Seen in a container with `--cpus 0.5` on cgroup v1.

    ## How to fix
    Raise the quota: one CPU at least for a worker that loads models, more by the jobs that it runs at once.

    ## When it is not a problem
    A small quota that is not used up; being stopped now and then; a worker that starts, once, with nobody waiting.
    """
    every: dict[tuple[str, str | None], list[LoadReading]] = {}
    for one in readings:
        if one.quota is not None and (one.held_back or 0.0) >= OFTEN and (one.group_share or 0.0) >= FULL:
            every.setdefault((one.where, one.agent_name), []).append(one)
    for group in every.values():
        last = group[-1]
        limit = loads.limit(last, evidence)
        over = [one for one in group if limit is not None and (one.load or 0.0) >= (limit.load or limit.high)]
        hit = loads.all_refused(over, evidence)
        more = min(max(2 * (last.quota or 0.5), 1.0), float(last.host_cpus))  # docker refuses more than there are
        yield loads.finding(
            CPU_QUOTA_SMALL,
            group,
            f"The quota of {loads.number(last.quota or 0.0)} ({last.quota_file}) stopped the worker's group in "
            f"{last.held_back:.0%} of the scheduler's periods, while {last.host_busy:.2f} of "
            f"{words.counted(last.own_cpus, 'CPU')} were busy.{loads.met(hit)}",
            (
                Fix(
                    "Raise the container's CPU quota",
                    steps=(
                        (
                            f"`docker run --cpus {more:g}` (`docker update --cpus {more:g} CONTAINER` for one that runs), "
                            f"compose `cpus: {more:g}`, Kubernetes `limits.cpu`."
                        ),
                        "Where NUM_CPUS is set, set it to the same number.",
                    ),
                    verify=("`lkdoctor load` while calls run no longer says that the quota stopped it.",),
                ),
            ),
            hit=hit,
            held_back=last.held_back,
        )
