"""A measured load: what an SDK makes of a worker's machine, beside what that machine and its cgroup really do."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from lkdoctor.dispatch.facts import Fact
from lkdoctor.dispatch.metering import Sdk, default_threshold
from lkdoctor.dispatch.versions import sdk_words

#: Shares this far apart are told apart: a busy machine shifts any two measurements of one second by some percent.
APART: Final = 0.15
WINDOW: Final = 2.5  # s over which every SDK averages what it reports


class LoadReading(Fact, frozen=True, kw_only=True):
    """One measurement of one SDK's load function (or a user's own) at one place; CPU figures count CPUs, shares are 0 to 1.

    In a case it is a line of load.jsonl.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ("load",)

    at: float  # Unix seconds of its end
    seconds: float  # that it took
    where: str = "this machine"  # or `process 4711`
    agent_name: str | None = None  # whose worker runs there, where that was said
    # -- the machine and the group that the worker runs in ------------------------------------------------------------
    system: str = "Linux"
    host_cpus: int = 1
    own_cpus: int = 1  # that the process may run on
    host_busy: float = 0.0  # CPUs' worth that everybody used of the own CPUs
    contained: bool = False  # the files at /sys/fs/cgroup, or the process's group, are a container's
    cgroup: Literal[0, 1, 2] = 0  # whose files SDKs find there
    root_quota: float | None = None  # CPUs, in the files that SDKs read
    quota: float | None = None  # CPUs, the tightest of the process's group and those above it
    quota_file: str = ""
    group_used: float | None = None  # CPUs' worth that the group with the files used
    held_back: float | None = None  # share of the scheduler's periods in which the quota stopped the group
    num_cpus: float | None = None  # of the variable NUM_CPUS
    # -- what the SDK makes of it --------------------------------------------------------------------------------------
    sdk: Sdk = ""
    version: str = ""
    by: Literal["sdk", "rule", "function"] = (
        "rule"  # the SDK's own code ran; its rule was applied; a user's function ran
    )
    function: str = ""  # the user's, `module:name`
    takes_worker: bool = False  # the user's function looks at its worker; it was given one without jobs
    of: Literal["", "host", "group"] = ""  # whose time it counts
    divisor: float | None = None  # CPUs that it divides by
    load: float | None = None  # what the server would be told, the mean of `WINDOW`; None: not a number
    lowest: float | None = None  # of the single samples
    highest: float | None = None
    samples: int = 0
    nan: bool = False  # a sample was NaN
    error: str = ""  # why a call gave no number
    slowest: float = 0.0  # s that one call of the function took at most
    # -- what judges it ------------------------------------------------------------------------------------------------
    threshold: float | None = None  # at which the worker calls itself full, where its code sets it
    dev: bool = False
    server_version: str = ""
    target_load: float | None = None  # of the server's livekit.yaml
    cloud: bool = False  # LiveKit Cloud hosts the worker (LIVEKIT_WORKER_TOKEN)

    @property
    def usable(self) -> float:
        """CPUs that the worker may use at once: those it may run on, and of them what its quota allows."""
        return float(self.own_cpus) if self.quota is None else min(self.quota, float(self.own_cpus))

    @property
    def host_share(self) -> float:
        """The share of its CPUs that everybody used."""
        return _share(self.host_busy, self.own_cpus)

    @property
    def group_share(self) -> float | None:
        """The share of what it may use that the worker's group used; None where that could not be counted."""
        return None if self.group_used is None else _share(self.group_used, self.usable)

    @property
    def honest(self) -> float:
        """The larger of the two: a quota is of no use when the neighbours leave nothing of it."""
        own = self.group_share if self.quota is not None else None
        return max(self.host_share, own or 0.0)

    @property
    def not_a_number(self) -> bool:
        """The function returned NaN."""
        return self.nan

    @property
    def own_threshold(self) -> float | None:
        """The load at which the worker calls itself full; None: not known."""
        return self.threshold if self.threshold is not None else default_threshold(self.sdk, self.version, dev=self.dev)

    @property
    def measures(self) -> str:
        """`livekit-agents 1.8.9`, or the user's function."""
        if self.by == "function":
            return f"{self.function}"
        return sdk_words(self.sdk, self.version)

    def told(self) -> str:
        """The reading in one sentence."""
        load = "not a number" if self.not_a_number else "none" if self.load is None else f"{self.load:.2f}"
        parts = [f"{self.where}: {self.measures} measures load {load}" if self.measures else f"{self.where}: measured"]
        if self.of and self.divisor is not None:
            whose = "the host" if self.of == "host" else "its cgroup"
            parts.append(f"of {whose} divided by {self.divisor:g} CPUs")
        parts.append(f"of {self.own_cpus} CPUs {self.host_busy:.2f} were busy")
        if self.group_used is not None:
            parts.append(f"its cgroup used {self.group_used:.2f}")
        parts.append("no quota" if self.quota is None else f"quota {self.quota:g} CPUs ({self.quota_file})")
        if self.held_back:
            parts.append(f"held back in {self.held_back:.0%} of the periods")
        if self.num_cpus is not None:
            parts.append(f"NUM_CPUS={self.num_cpus:g}")
        return f"{', '.join(parts)}; over {self.seconds:.1f} s"


def _share(used: float, cpus: float) -> float:
    return min(max(used / cpus, 0.0), 1.0) if cpus > 0 else 0.0
