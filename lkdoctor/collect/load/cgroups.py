"""Reads CPU cgroups, version 1 and 2: the quota, what a group has used, and how often its quota stopped it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")
_V1_CPU: Final = ("cpu,cpuacct", "cpuacct,cpu", "cpu", "cpuacct")
_CONTAINERS: Final = ("docker", "kubepods", "containerd", "libpod", "lxc", "crio", "/ecs/", "garden", "buildkit")


class Quota(NamedTuple):
    """A CPU quota and the file that counts what its group used."""

    cpus: float  # that may be used at once
    usage: Path
    place: str  # the file that says so

    def used(self) -> float:
        """CPU seconds that the group has used so far. Raises OSError, ValueError or KeyError when they cannot be read."""
        return used_of(self.usage)


class Group(NamedTuple):
    """The group whose files stand where SDKs look for them. Of a container that is its own; on a host it is the root."""

    version: Literal[0, 1, 2]
    quota: float | None = None  # CPUs
    usage: Path | None = None
    stat: Path | None = None  # with the counts of periods
    root: bool = True  # the root of all groups: of the whole host


def used_of(usage: Path) -> float:
    """CPU seconds that the group of this file has used so far. Raises OSError, ValueError or KeyError."""
    text = usage.read_text(encoding="ascii")
    if usage.name == "cpu.stat":
        return int(_fields(text)["usage_usec"]) / 1e6
    return int(text) / 1e9


def periods_of(stat: Path | None) -> tuple[int, int] | None:
    """The scheduler's periods of a group with a quota so far, and those in which it was stopped; None where not counted."""
    try:
        fields = _fields(stat.read_text(encoding="ascii")) if stat is not None else {}
        return int(fields["nr_periods"]), int(fields["nr_throttled"])
    except (OSError, ValueError, KeyError):
        return None


def find_quota(cgroups: Path = CGROUPS, own: Path = OWN) -> Quota | None:
    """The tightest CPU quota of this process's cgroup and those above it; None without any."""
    found: list[Quota] = []
    for number, controllers, path in _memberships(own):
        if number == "0" and not controllers:
            found += _quotas(cgroups, path, _v2)
        elif "cpu" in controllers.split(","):
            mount = _mount(cgroups, "cpu.shares")
            found += _quotas(mount, path, _v1) if mount is not None else []
    return min(found, key=lambda one: one.cpus, default=None)


def seen_by_sdks(cgroups: Path = CGROUPS) -> Group:
    """The group that SDKs find: they look at fixed files right under `cgroups`, and nowhere else.

    As livekit-agents 1.2.5 to 1.8.9 and @livekit/agents 1.0.49 to 1.9.0 do: `cpu.stat` is version 2, `cpuacct/` or `cpu/`
    version 1.
    """
    stat = cgroups / "cpu.stat"
    if stat.exists():
        quota = _v2(cgroups, cgroups)
        # `cgroup.type` stands in every group but the root of all, a container's own included.
        return Group(2, None if quota is None else quota.cpus, stat, stat, not (cgroups / "cgroup.type").exists())
    usage, folder = cgroups / "cpuacct" / "cpuacct.usage", cgroups / "cpu"
    if usage.exists() or (folder / "cpu.cfs_quota_us").exists():
        quota = _v1(folder, folder)
        root = (cgroups / "cpuacct" / "release_agent").exists() or (folder / "release_agent").exists()
        return Group(1, None if quota is None else quota.cpus, usage, folder / "cpu.stat", root)
    return Group(0)


def contained(cgroups: Path = CGROUPS, own: Path = OWN) -> bool:
    """Does the process run in a container? A mark such as /.dockerenv proves nothing: machines are made of images, too."""
    group = seen_by_sdks(cgroups)
    named = any(word in path for _, _, path in _memberships(own) for word in _CONTAINERS)
    return named or (group.version != 0 and not group.root)


def _memberships(own: Path) -> list[tuple[str, str, str]]:
    """Number, controllers and path of each line of /proc/…/cgroup; none where there is no such file (not Linux)."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    parts = (line.split(":", 2) for line in lines)
    return [(one[0], one[1], one[2]) for one in parts if len(one) == 3]


def _mount(cgroups: Path, file: str) -> Path | None:
    return next((cgroups / name for name in _V1_CPU if (cgroups / name / file).exists()), None)


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


def _fields(text: str) -> dict[str, str]:
    pairs = (line.split() for line in text.splitlines())
    return {one[0]: one[1] for one in pairs if len(one) == 2}
