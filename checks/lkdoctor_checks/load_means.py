"""Is the load measured of what the worker may use?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.load import APART, LoadReading
from lkdoctor.dispatch.metering import METERINGS, metering
from lkdoctor.dispatch.versions import sdk_words
from lkdoctor.doctor.codes import CGROUP_DIVISOR, HOST_CPU_IN_CONTAINER
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Finding, Fix, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _loads as loads
from lkdoctor_checks import _words as words


@check(HOST_CPU_IN_CONTAINER)
def host_cpu_in_container(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The SDK counts what the whole host does, although the worker may use only a part of it.

    ## What it means
    The load that the server is told is not the worker's. Its neighbours' work can refuse it while it is idle; and when it
    uses its whole quota and is throttled, the load stays low, so that it gets more jobs than it can do.

    ## How it is decided
    `lkdoctor load` found a CPU quota (or a smaller set of CPUs) for the worker, and the SDK's load function counts the
    host's CPU time: livekit-agents before 0.11 and @livekit/agents before 1.0.49 do so everywhere, livekit-agents before
    1.2.5 on cgroup v1. So does every version where the quota stands on a group other than the root of what it sees, as of
    a systemd service with CPUQuota. Seen with livekit-agents 0.12.21 in a container with `--cpus` on cgroup v1.

    ## How to fix
    Use a newer SDK, or a load function of your own that reads the quota.

    ## When it is not a problem
    On a machine without containers, and in a container without a quota, the whole host is what the worker may use: the
    number is right, though it is everybody's.
    """
    for group in loads.groups(readings):
        last = group[-1]
        if last.of != "host" or last.usable >= last.host_cpus * (1 - APART):
            continue
        limit = loads.limit(last, evidence)
        over = [one for one in group if limit is not None and (one.load or 0.0) >= (limit.load or limit.high)]
        innocent = [one for one in over if one.group_share is not None and one.group_share < (one.load or 0.0)]
        hit = loads.all_refused(innocent, evidence)
        limits = f"a quota of {loads.number(last.quota)}" if last.quota is not None else f"{last.own_cpus} of the CPUs"
        own = (
            ""
            if last.group_share is None
            else f" The worker's own share of what it may use was {last.group_share:.0%}."
        )
        yield loads.finding(
            HOST_CPU_IN_CONTAINER,
            group,
            f"{loads.who(last)} measures the whole host ({words.counted(last.host_cpus, 'CPU')}, everybody on it), but the "
            f"worker has {limits}. It {loads.reads(last)}.{own}{_held_back(last)}{loads.met(hit)}",
            _newer(last),
            hit=hit,
            held_back=last.held_back,
        )


@check(CGROUP_DIVISOR)
def cgroup_divisor(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The SDK divides by another number of CPUs than there are to use.

    ## What it means
    The load is a share of the wrong whole. Divided by too few, a worker with CPUs to spare is refused: 1.4 busy CPUs read
    as 70 % on cgroup v1 without a quota, however many there are. Divided by too many, a worker that uses all it may reads
    half, is never refused, and gets more jobs than it can do.

    ## How it is decided
    `lkdoctor load` asked the SDK what it divides by, and the kernel what the worker may use: its CPUs and its quota. On
    cgroup v1 without a quota SDKs take two CPUs for granted; livekit-agents counts a v1 quota below one CPU as one; on v2
    without a quota, and without cgroups, they divide by the host's CPUs even if the worker may run on some of them only.
    NUM_CPUS replaces all of this, also when it is wrong. Seen with livekit-agents 1.2.18 to 1.8.9 and @livekit/agents
    1.9.0 in containers on cgroup v1: with `--cpus 0.5` Python divides by 1 and Node by 0.5, without a quota both by 2.

    ## How to fix
    Set NUM_CPUS to what the worker may use, or give the container a quota.

    ## When it is not a problem
    Two CPUs and no quota: then two is right. Less than 15 % apart is not reported.
    """
    for group in loads.groups(readings):
        last = group[-1]
        if last.divisor is None or last.divisor <= 0 or not last.of:
            continue
        whole = last.usable if last.of == "group" else float(last.host_cpus)
        if abs(last.divisor - whole) <= APART * whole:
            continue
        high = last.divisor < whole
        limit = loads.limit(last, evidence)
        wrong = [
            one
            for one in group
            if high and limit is not None and one.load is not None and one.load >= (limit.load or limit.high)
            and one.load * last.divisor / whole < (limit.load or limit.low)
        ]  # fmt: skip
        hit = loads.all_refused(wrong, evidence)
        effect = (
            f"{_all_read(last, limit.load or limit.high, whole)} and the server refuses it"
            if high and limit is not None
            else f"all of it in use reads {min(whole / last.divisor, 1.0):.2f}"
        )
        yield loads.finding(
            CGROUP_DIVISOR,
            group,
            f"{loads.who(last)} divides by {loads.number(last.divisor)}{_why(last)}, and the worker may use "
            f"{loads.number(whole)}: {effect}. It {loads.reads(last)}.{_held_back(last)}{loads.met(hit)}",
            (loads.set_num_cpus(last), *((_quota(last),) if last.quota is None and last.contained else ())),
            hit=hit,
            held_back=last.held_back,
        )


def _all_read(one: LoadReading, limit: float, whole: float) -> str:
    share = limit * (one.divisor or whole) / whole
    return f"{share:.0%} of it in use reads {limit:g}"


def _why(one: LoadReading) -> str:
    if one.num_cpus is not None and one.num_cpus == one.divisor:
        return " (NUM_CPUS)"
    if one.cgroup == 1 and one.root_quota is None:
        return " (no quota on cgroup v1: it takes two for granted)"
    if one.cgroup == 1 and one.divisor == 1.0 and (one.root_quota or 1.0) < 1:
        return " (it counts a quota below one CPU as one)"
    return ""


def _held_back(one: LoadReading) -> str:
    return "" if not one.held_back else f" The quota stopped it in {one.held_back:.0%} of the scheduler's periods."


def _newer(one: LoadReading) -> tuple[Fix, ...]:
    able = next((how for how in METERINGS if how.sdk == one.sdk and one.cgroup in how.groups), None)
    parsed = metering(one.sdk, one.version)
    steps: tuple[str, ...] = ()
    if able is not None and parsed is not None and one.cgroup not in parsed.groups:
        version = ".".join(map(str, able.first))
        steps = (f"Install {sdk_words(one.sdk, version)} or newer: it reads the container's own CPU time and quota.",)
    else:
        steps = ("Put the quota on a container instead of a service, so that the SDK finds it under /sys/fs/cgroup.",)
    function = (
        "Until then a load function of your own: what the group used of its quota (cpu.stat, or cpuacct.usage on v1), as "
        "docs/load.md shows."
    )
    return (
        Fix(
            "Let the SDK measure what the worker may use",
            steps=(*steps, function),
            verify=("`lkdoctor load` in the same place says that it counts the container.",),
        ),
    )


def _quota(one: LoadReading) -> Fix:
    return Fix(
        "Or give the container a quota",
        steps=(
            f"`docker run --cpus {one.own_cpus}`, compose `cpus: {one.own_cpus}`, Kubernetes `limits.cpu`: SDKs read it.",
        ),
        caveats=("It then may not use more than that, idle neighbours or not.",),
    )
