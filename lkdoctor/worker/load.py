"""The worker's load: the share of the CPU time it may use that is in use, honest in containers, and never slow.

livekit-server refuses a worker whose load is at or over its limit (0.7; 1 up to 1.9; 0.65 up to 1.8), silently and without
a second try, so a wrong number here is a missing agent there. The number is the larger of two shares:

- of this container's quota (cgroup v2 `cpu.max`, v1 `cpu.cfs_quota_us`; the tightest one from the process's group up to
  the root): what the container used of what it is allowed;
- of the CPUs that the process may run on (its affinity): what everybody on the host used of them. A quota is of no use
  when the neighbours leave nothing of it.

Without a quota only the second counts. It is measured between calls, over the last seconds, so that asking takes
microseconds: the SDK asks again for each job request, and a load function that sleeps delays the answer.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import psutil

_SPAN: Final = 2.5  # seconds looked back: one job's start should not look like a full machine
_STEP: Final = 0.25  # seconds between two samples at least
_CGROUPS: Final = Path("/sys/fs/cgroup")
_V1_NAMES: Final = ("cpu,cpuacct", "cpuacct,cpu", "cpu", "cpuacct")


def zero(_: object = None) -> float:
    """Always free. Right for one worker that shall never be refused; several could not tell who is busy; Cloud ignores it."""
    return 0.0


class Quota(NamedTuple):
    """A CPU quota and the file that counts what its group used."""

    cpus: float  # that may be used at once
    usage: Path
    place: str  # the file that says so

    def used(self) -> float:
        """CPU seconds that the group has used so far."""
        text = self.usage.read_text(encoding="ascii")
        if self.usage.name == "cpu.stat":
            fields = dict(line.split() for line in text.splitlines())
            return int(fields["usage_usec"]) / 1e6
        return int(text) / 1e9


class _Sample(NamedTuple):
    at: float  # monotonic seconds
    used: float  # by the group with the quota, CPU seconds
    busy: float  # of the CPUs of the affinity, CPU seconds


class Load:
    """Callable for `load_fnc`: 0 to 1, never NaN (which switches off every worker of the name on the node)."""

    def __init__(self, cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> None:
        self.quota = find_quota(cgroups, own)
        self.cpus = _affinity()
        self._samples: deque[_Sample] = deque([self._sample()])
        self._last = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now - self._samples[-1].at < _STEP:
            return self._last
        newest = self._sample()
        if newest.at - self._samples[-1].at > 2 * _SPAN:
            # Nobody asked for long: at the start, which keeps a small machine busy for seconds and is no work of a job.
            self._samples.clear()
            self._samples.append(newest)
            return self._last
        while len(self._samples) > 1 and newest.at - self._samples[1].at >= _SPAN:
            self._samples.popleft()
        oldest = self._samples[0]
        self._samples.append(newest)
        elapsed = newest.at - oldest.at
        shares = [(newest.busy - oldest.busy) / (elapsed * len(self.cpus))]
        if self.quota is not None:
            shares.append((newest.used - oldest.used) / (elapsed * self.quota.cpus))
        self._last = min(max(*shares, 0.0), 1.0)
        return self._last

    def describe(self) -> str:
        """How it is measured here, for the block at the start."""
        count = len(self.cpus)
        if self.quota is None:
            return f"of {count} CPUs, everybody on this host counted; no quota found"
        return f"of a quota of {self.quota.cpus:g} CPUs ({self.quota.place}) or of {count} CPUs of the host, the larger"

    def _sample(self) -> _Sample:
        times = psutil.cpu_times(percpu=True)
        busy = sum(_busy(times[cpu]) for cpu in self.cpus if cpu < len(times))
        try:
            used = self.quota.used() if self.quota is not None else 0.0
        except (
            OSError,
            ValueError,
            KeyError,
        ):  # the group is gone, or the kernel has another form: the host's share stays
            self.quota, used = None, 0.0
        return _Sample(time.monotonic(), used, busy)


def find_quota(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> Quota | None:
    """The tightest CPU quota of this process's cgroup and those above it; None without any."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return None
    found: list[Quota] = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            found += _quotas(cgroups, path, _v2)
        elif "cpu" in controllers.split(","):
            mount = next((cgroups / name for name in _V1_NAMES if (cgroups / name / "cpu.shares").exists()), None)
            found += _quotas(mount, path, _v1) if mount is not None else []
    return min(found, key=lambda one: one.cpus, default=None)


def _quotas(mount: Path, path: str, read: Callable[[Path, Path], Quota | None]) -> list[Quota]:
    """Of the group and its parents; in a container the path may be the host's and not exist: then of the mount's root."""
    folder = mount / path.strip("/").removeprefix("../")
    if not folder.is_dir():
        folder = mount
    found = []
    while True:
        one = read(folder, mount)
        if one is not None:
            found.append(one)
        if folder in {mount, folder.parent}:
            return found
        folder = folder.parent


def _v2(folder: Path, _: Path) -> Quota | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    usage = folder / "cpu.stat"
    return (
        Quota(int(quota) / int(period), usage, str(folder / "cpu.max")) if quota != "max" and usage.exists() else None
    )


def _v1(folder: Path, mount: Path) -> Quota | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    # cpuacct may be mounted apart from cpu, with the same groups
    usages = (folder / "cpuacct.usage", mount.parent / "cpuacct" / folder.relative_to(mount) / "cpuacct.usage")
    usage = next((one for one in usages if one.exists()), None)
    if quota <= 0 or period <= 0 or usage is None:
        return None
    return Quota(quota / period, usage, str(folder / "cpu.cfs_quota_us"))


def _affinity() -> tuple[int, ...]:
    try:
        return tuple(sorted(os.sched_getaffinity(0)))
    except AttributeError:  # macOS, Windows
        return tuple(range(psutil.cpu_count() or 1))


def _busy(times: object) -> float:
    """Seconds that a CPU worked. `guest` is in `user` already; `steal` is time that the hypervisor gave to others: busy."""
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))
