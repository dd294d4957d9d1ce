"""What a worker's own HTTP endpoint says: health, name, jobs, load. One reading, as of a time; no logic.

Seen on livekit-agents 0.12.21 (only `/`), 1.2.18 (no load), 1.3.12, 1.5.17, 1.8.9 (no deployment) and @livekit/agents 1.9.0
(no load).
"""

from __future__ import annotations

from typing import Final

from lkdoctor.dispatch.facts import Fact
from lkdoctor.dispatch.versions import sdk_words

#: What `/` says beside 503, and what it means. 200 OK says only that the program runs: a Python worker that is still trying
#: to connect says it, too.
UNHEALTHY: Final = {
    "failed to connect to livekit": "it has given up connecting to its LiveKit server",
    "not connected to livekit": "it has no connection to its LiveKit server",
    "inference process not running": "its inference process has died",
}

#: The trouble of a port that takes connections and says nothing: the kernel takes them for a program that hangs.
SILENT: Final = "silent"


class WorkerEndpoint(Fact, frozen=True, kw_only=True):
    """One reading of one endpoint. What the version does not tell is None (empty for texts).

    `worker` is True when its answers are those of a worker. `agent_name` "" is the unnamed worker. `url` is its root, without
    user, password and query.
    """

    SOURCES = ("worker_http",)

    url: str
    at: float  # Unix seconds, this machine's clock
    worker: bool = False
    status: int | None = None  # of `/`; None: no answer
    said: str = ""  # the text of `/`, in short
    trouble: str = ""  # why there is no answer, in one word: refused, timeout, no-address …
    seconds: float | None = None  # until it answered
    unwell_seconds: float = 0.0  # how long it was watched while it was not 200
    sdk: str = ""  # python, node
    version: str = ""  # the SDK's
    agent_name: str | None = None
    name_from_env: bool | None = None
    job_type: str = ""  # JT_ROOM …
    deployment: str | None = None
    active_jobs: int | None = None
    load: float | None = None  # as the worker last measured it, 0 to 1; what it sends to the server
    load_not_a_number: bool = False
    metrics: bool = False  # Prometheus metrics of livekit-agents stand at this address
    found_in: str = ""  # the container or process that it was found by, in words; empty: the user named it

    @property
    def healthy(self) -> bool | None:
        """What `/` says; None when it did not say anything."""
        return None if self.status is None else self.status == 200

    @property
    def name(self) -> str:
        """The agent name; empty for the unnamed worker and where it is not told."""
        return self.agent_name or ""

    @property
    def sdk_words(self) -> str:
        """`livekit-agents 1.8.9`."""
        return sdk_words(self.sdk, self.version)

    def told(self) -> str:
        """The reading in words."""
        if self.status is None and self.metrics:
            parts = [f"GET {self.url}/metrics: livekit-agents' metrics"]
        else:
            mute = "takes the connection and does not answer" if self.trouble == SILENT else self.said or self.trouble
            health = f"{self.status} {self.said}" if self.status is not None else mute
            parts = [f"GET {self.url}/: {health}".strip()]
        if self.agent_name is not None:
            parts.append(f"agent name {self.agent_name!r}")
        parts += [part for part in (self.job_type, self.sdk_words) if part]
        if self.deployment:
            parts.append(f"deployment {self.deployment!r}")
        if self.active_jobs is not None:
            parts.append(f"{self.active_jobs} active job{'' if self.active_jobs == 1 else 's'}")
        if self.load is not None:
            parts.append(f"load {self.load:.3g}")
        return ", ".join(parts)
