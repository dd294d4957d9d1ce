"""What this machine, and the group a worker runs in, do over a stretch of time: counted by the kernel, read at both ends."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from lkdoctor.collect.load import cgroups
from lkdoctor.redact import mask

_ENGINE_SECONDS: Final = 10.0
_WANTED: Final = frozenset({"NUM_CPUS", "PATH", "LIVEKIT_WORKER_TOKEN"})  # of the last one only whether it is set


class NoSuchProcessError(Exception):
    """The process that was named cannot be looked at; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs: in which files its cgroup is seen, on which CPUs, and what of its environment matters."""

    words: str
    folder: Path
    own: Path
    cpus: tuple[int, ...]
    num_cpus: float | None
    cloud: bool
    pid: int | None = None

    @property
    def group(self) -> cgroups.Group:
        """The group whose files an SDK finds there."""
        return cgroups.seen_by_sdks(self.folder)


class Counted(NamedTuple):
    """Between two moments, in CPUs' worth; None where it could not be counted."""

    seconds: float
    host_busy: float  # of the CPUs that the worker may run on
    group_used: float | None
    quota_used: float | None
    held_back: float | None
    all_busy: float  # of all CPUs, as SDKs count the host


class Meter:
    """Reads the kernel's counters at its start, and again whenever `since` is asked."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.group = place.group
        self.quota = cgroups.find_quota(place.folder, place.own)
        self._last = self._read()

    def since(self) -> Counted:
        """What happened since the last call, or since the start."""
        before, now = self._last, self._read()
        self._last = now
        elapsed = max(now[0] - before[0], 1e-6)
        periods = None if before[4] is None or now[4] is None else (now[4][0] - before[4][0], now[4][1] - before[4][1])
        return Counted(
            elapsed,
            max(now[1] - before[1], 0.0) / elapsed,
            _rate(before[2], now[2], elapsed),
            _rate(before[3], now[3], elapsed),
            None if periods is None or periods[0] <= 0 else min(max(periods[1] / periods[0], 0.0), 1.0),
            max(now[5] - before[5], 0.0) / elapsed,
        )

    def _read(self) -> tuple[float, float, float | None, float | None, tuple[int, int] | None, float]:
        quota = self.quota
        # The counts of periods are those of the group with the quota; on cgroup v1 they stand apart from its usage.
        stat = None if quota is None else Path(quota.place).with_name("cpu.stat")
        return (
            time.monotonic(),
            busy(self.place.cpus),
            _used(self.group.usage),
            _used(quota.usage if quota is not None else None),
            cgroups.periods_of(stat),
            busy(range(psutil.cpu_count() or 1)),
        )


def here() -> Place:
    """The place of lkdoctor itself."""
    return Place(
        "this machine",
        cgroups.CGROUPS,
        cgroups.OWN,
        own_cpus(),
        number_of_cpus(os.environ.get("NUM_CPUS")),
        bool(os.environ.get("LIVEKIT_WORKER_TOKEN")),
    )


def of_process(pid: int) -> Place:
    """The place of another process, as it sees it itself, also inside of a container.

    Raises:
        NoSuchProcessError: there is none, it is somebody else's, or this is not Linux.
    """
    if platform.system() != "Linux":
        raise NoSuchProcessError("--pid reads /proc, which only Linux has; leave it out to measure this machine")
    root = Path(f"/proc/{pid}/root/sys/fs/cgroup")
    try:
        cpus = tuple(sorted(os.sched_getaffinity(pid)))
        environment = environment_of(pid)
        os.stat(root)
    except ProcessLookupError:
        raise NoSuchProcessError(f"--pid {pid}: there is no such process") from None
    except FileNotFoundError:
        raise NoSuchProcessError(f"--pid {pid}: there is no such process, or it sees no /sys/fs/cgroup") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise NoSuchProcessError(f"--pid {pid}: {why}; run lkdoctor as the process's user, or as root") from None
    return Place(
        f"process {pid}",
        root,
        Path(f"/proc/{pid}/cgroup"),
        cpus,
        number_of_cpus(environment.get("NUM_CPUS")),
        bool(environment.get("LIVEKIT_WORKER_TOKEN")),
        pid,
    )


def of_container(name: str) -> Place:
    """The place of a container of this machine's Docker engine, by its first process.

    Raises:
        NoSuchProcessError: no engine answers, it is another machine's, or no such container runs.
    """
    from docker.errors import DockerException, NotFound  # noqa: PLC0415 - a tenth of a second, for those who ask

    from lkdoctor.collect.machine import engine  # noqa: PLC0415 - the same

    try:
        client, host = engine.connect(os.environ, _ENGINE_SECONDS)
    except engine.EngineError as error:
        raise NoSuchProcessError(f"--container {name}: {error}") from None
    try:
        if not engine.is_here(host):
            raise NoSuchProcessError(f"--container {name}: the engine is another machine's; run lkdoctor there")
        pid = int(client.containers.get(name).attrs["State"]["Pid"])
    except NotFound:
        raise NoSuchProcessError(f"--container {name}: there is none; `docker ps` lists those that run") from None
    except (DockerException, OSError, KeyError, TypeError, ValueError) as error:
        raise NoSuchProcessError(f"--container {name}: {mask(str(error))}") from None
    finally:
        client.close()
    if not pid:
        raise NoSuchProcessError(f"--container {name}: it does not run")
    try:
        return replace(of_process(pid), words=f"container {name}")
    except NoSuchProcessError as error:
        # An engine in a virtual machine of its own (Docker Desktop) has process ids that this machine does not know.
        raise NoSuchProcessError(
            f"--container {name}: {error}. Or run lkdoctor in the container: docker exec {name} lkdoctor load"
        ) from None


def environment_of(pid: int) -> dict[str, str]:
    """Of a process's environment what matters here, and nothing else. Raises OSError."""
    text = Path(f"/proc/{pid}/environ").read_text("utf-8", "replace")
    every = (one.partition("=") for one in text.split("\0"))
    return {name: value for name, _, value in every if name in _WANTED}


def number_of_cpus(text: str | None) -> float | None:
    """NUM_CPUS as SDKs read it; None when it is not set or no number."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def own_cpus() -> tuple[int, ...]:
    """The CPUs that this process may run on."""
    try:
        return tuple(sorted(os.sched_getaffinity(0)))
    except AttributeError:  # macOS, Windows
        return tuple(range(psutil.cpu_count() or 1))


def busy(cpus: Sequence[int]) -> float:
    """Seconds that these CPUs have worked so far, for anybody."""
    times = psutil.cpu_times(percpu=True)
    return sum(_busy(times[cpu]) for cpu in cpus if cpu < len(times))


def _busy(times: object) -> float:
    """Seconds that a CPU worked. `guest` is in `user` already; `steal` is time that the hypervisor gave to others: busy."""
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))


def _used(usage: Path | None) -> float | None:
    try:
        return None if usage is None else cgroups.used_of(usage)
    except (OSError, ValueError, KeyError):
        return None


def _rate(before: float | None, now: float | None, elapsed: float) -> float | None:
    # Some hypervisors serve torn sums, so a counter may go back.
    return None if before is None or now is None else max(now - before, 0.0) / elapsed
