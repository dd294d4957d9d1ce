"""What a probe did on a live server and what it saw: the canary's own job, or a test dispatch of a user's agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lkdoctor.dispatch.facts import Place


@dataclass(slots=True)
class LiveServer:
    """What a server says of itself when a worker registers; plain `check` never registers, so it may not be known."""

    url: str
    version: str = ""
    edition: str = ""  # Standard or Cloud
    node_id: str = ""
    region: str = ""
    protocol: int = 0
    agent_protocol: int = 0


@dataclass(slots=True)
class ProbeStep:
    """One step of a probe, in the order in which they were taken."""

    name: str
    ok: bool
    seconds: float | None = None  # from the start of what it waits for
    at: float | None = None  # Unix seconds
    detail: str = ""


@dataclass(slots=True)
class ProbeRun:
    """One run of one probe."""

    kind: Literal["canary", "agent"]
    agent_name: str
    room: str
    place: Place
    started_at: float
    steps: list[ProbeStep] = field(default_factory=list)
    server: LiveServer | None = None
    job_id: str = ""
    worker_id: str = ""
    identity: str = ""  # of the agent participant
    accepted_load: float | None = None  # the highest load at which the canary was still asked
    refused_load: float | None = None  # the lowest load at which it was not
    cleaned: bool = False
    left_over: list[str] = field(default_factory=list)  # rooms of ours that could not be deleted
    interrupted: bool = False
    error: str = ""  # why it ended early
