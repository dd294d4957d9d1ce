"""What the load of an SDK version is measured of, by version, as data and pure functions.

A worker's load is a share: CPU time that was used, over CPU time that could have been. SDK versions differ in whose time
they count (everybody's on the host, or the container's) and in the CPUs that they divide by. docs/load.md has the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from lkdoctor.dispatch.versions import PACKAGES, Version, dotted, parse_version

Sdk = Literal["", "python", "node"]
GUESSED_CPUS: Final = 2.0  # what SDKs divide by on cgroup v1 without a quota


@dataclass(frozen=True, slots=True)
class Metering:
    """How the SDK versions from `first` to before `before` measure. `groups`: the cgroup versions whose files they read;
    on everything else they measure the whole host. `least`: a v1 quota counts as at least so many CPUs."""

    sdk: Sdk
    first: Version
    before: Version | None
    groups: tuple[int, ...]
    least: float
    num_cpus: bool  # the variable NUM_CPUS replaces the divisor
    seen: str

    @property
    def versions(self) -> str:
        """`1.0.49 to 1.2.2`-like words: from, and before which."""
        text = f"{PACKAGES[self.sdk]} from {dotted(self.first)}"
        return text if self.before is None else f"{text}, before {dotted(self.before)}"


METERINGS: Final = (
    Metering("python", (0, 8, 0), (0, 11, 0), (), 0.0, False, "source of 0.10.2"),
    Metering("python", (0, 11, 0), (1, 2, 5), (2,), 0.0, False, "0.12.21 in a container (cgroup v1: the host's load)"),
    Metering("python", (1, 2, 5), (1, 2, 6), (2, 1), 1.0, False, "source of 1.2.5"),
    Metering("python", (1, 2, 6), None, (2, 1), 1.0, True, "1.2.18, 1.3.12, 1.5.17 and 1.8.9 in a container"),
    Metering("node", (0, 2, 0), (1, 0, 49), (), 0.0, False, "source of 1.0.48"),
    Metering("node", (1, 0, 49), (1, 2, 3), (2, 1), 1.0, True, "source of 1.2.2"),
    Metering("node", (1, 2, 3), None, (2, 1), 0.0, True, "1.9.0 in a container"),
)


def metering(sdk: str, version: str) -> Metering | None:
    """How this SDK version measures; None for an unknown one."""
    parsed = parse_version(version)
    if parsed is None:
        return None
    return next(
        (one for one in METERINGS if one.sdk == sdk and one.first <= parsed and (one.before is None or parsed < one.before)),
        None,
    )  # fmt: skip


class Share(NamedTuple):
    """What a load is a share of: the whole host's time, or the group's; and the CPUs that it is divided by."""

    of: Literal["host", "group"]
    cpus: float
    why: str


def share_of(how: Metering, *, cgroup: int, root_quota: float | None, host_cpus: int, num_cpus: float | None) -> Share:
    """What this version measures where SDKs find cgroup version `cgroup` (0: none) with `root_quota` in the files that they
    read, on `host_cpus` CPUs, with NUM_CPUS set to `num_cpus`."""
    if cgroup not in how.groups:
        return Share(
            "host", float(host_cpus), "it does not read this machine's cgroup files" if cgroup else "no cgroup files"
        )
    if num_cpus is not None and how.num_cpus:
        return Share("group", num_cpus, "NUM_CPUS")
    if root_quota is not None:
        cpus = max(root_quota, how.least) if cgroup == 1 else root_quota
        return Share("group", cpus, "the quota" if cpus == root_quota else "a quota below one CPU counts as one")
    if cgroup == 1:
        return Share("group", GUESSED_CPUS, "no quota is set, and then it takes two CPUs for granted")
    return Share("group", float(host_cpus), "no quota is set")


def default_threshold(sdk: str, version: str, *, dev: bool) -> float | None:
    """The load at which a worker of this version calls itself full unless its code says otherwise; None: not known."""
    parsed = parse_version(version)
    if parsed is None:
        return None
    if dev and (sdk == "node" or parsed >= (0, 9, 0)):
        return float("inf")
    if sdk == "node":
        # From 1.0 on it should be 0.7; 1.9.0's command line hands it on as infinite. In between nobody has looked.
        return 0.65 if parsed < (1, 0, 0) else None
    if parsed < (0, 9, 0):
        return 0.8 if parsed < (0, 8, 3) else 0.65
    return 0.75 if parsed < (1, 2, 3) else 0.7
