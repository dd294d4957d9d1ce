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

import time
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

from lkdoctor.collect.load.cgroups import CGROUPS, OWN, find_quota
from lkdoctor.collect.load.machine import busy, own_cpus

_SPAN: Final = 2.5  # seconds looked back: one job's start should not look like a full machine
_STEP: Final = 0.25  # seconds between two samples at least


def zero(_: object = None) -> float:
    """Always free. Right for one worker that shall never be refused; several could not tell who is busy; Cloud ignores it."""
    return 0.0


class _Sample(NamedTuple):
    at: float  # monotonic seconds
    used: float  # by the group with the quota, CPU seconds
    busy: float  # of the CPUs of the affinity, CPU seconds


class Load:
    """Callable for `load_fnc`: 0 to 1, never NaN (which switches off every worker of the name on the node)."""

    def __init__(self, cgroups: Path = CGROUPS, own: Path = OWN) -> None:
        self.quota = find_quota(cgroups, own)
        self.cpus = own_cpus()
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
        try:
            used = self.quota.used() if self.quota is not None else 0.0
        except (
            OSError,
            ValueError,
            KeyError,
        ):  # the group is gone, or the kernel has another form: the host's share stays
            self.quota, used = None, 0.0
        return _Sample(time.monotonic(), used, busy(self.cpus))
