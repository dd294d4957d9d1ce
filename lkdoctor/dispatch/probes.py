"""What a probe did on a live server and what it saw: the canary's own job, or a test dispatch of a user's agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from lkdoctor.dispatch.facts import Place

#: Words of `ProbeStep.name`, in the order in which a probe takes them.
StepName = Literal[
    "connect",  # the websocket /agent opened
    "register",  # the server took the canary as a worker
    "room",  # CreateRoom, with the agent among its entries
    "visitor",  # a visible person joined and published a silent track
    "asked",  # the server asked the canary whether it takes the job
    "assigned",  # the job was given: to the canary, or to a worker of the agent
    "listed",  # ListDispatch shows the canary's job
    "joined",  # an agent participant is in the room
    "state",  # `lk.agent.state` of the agent participant
    "audio",  # its first audio track
    "second name",  # another name, dispatched into the same room, got its own job
    "limit",  # the load at which the server stops asking
    "clean-up",  # the room is deleted, the socket closed
]

#: Words of `ProbeStep.trouble`: why a step is not ok.
Trouble = Literal[
    "",
    "refused",  # the server said no, in an HTTP status or by closing the socket
    "timeout",  # no answer in time
    "unreachable",  # no connection
    "lost",  # the connection or the room went away while the probe ran
    "never",  # the server lives, but what was waited for did not come
    "not-tested",  # was not tried, and `detail` says why; no fault
    "rtc",  # the media connection did not come about
]

#: Steps of the load's granularity: two loads this far apart are told apart.
GRAIN: Final = 0.001
#: A negative load is legal on the wire: with it a server whose limit is 0 asks after all.
BELOW_ZERO: Final = -1.0


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

    @property
    def is_cloud(self) -> bool:
        """LiveKit Cloud runs another dispatcher: the rules by version do not hold there."""
        return self.edition == "Cloud"


@dataclass(slots=True)
class ProbeStep:
    """One step of a probe, in the order in which they were taken."""

    name: StepName
    ok: bool
    seconds: float | None = None  # from the start of what it waits for
    at: float | None = None  # Unix seconds
    detail: str = ""
    trouble: Trouble = ""


@dataclass(slots=True)
class ProbeRun:
    """One run of one probe: of the canary, or of one agent name in one room."""

    kind: Literal["canary", "agent"]
    agent_name: str
    room: str
    place: Place
    started_at: float
    steps: list[ProbeStep] = field(default_factory=list)
    server: LiveServer | None = None
    number: int = 1  # of several runs for one name
    deployment: str = ""
    job_id: str = ""
    job_type: str = ""
    worker_id: str = ""
    identity: str = ""  # of the agent participant
    states: list[str] = field(default_factory=list)  # values of `lk.agent.state`, in the order in which they came
    visitor: bool = False  # a visible person was in the room
    mine: list[str] = field(default_factory=list)  # worker ids that the user calls their own
    asked_loads: list[tuple[float, bool]] = field(default_factory=list)  # load reported, and whether the server asked
    accepted_load: float | None = None  # the highest load at which the canary was still asked
    refused_load: float | None = None  # the lowest load at which it was not
    cleaned: bool = False
    left_over: list[str] = field(default_factory=list)  # rooms of ours that could not be deleted
    interrupted: bool = False
    error: str = ""  # why it ended early

    def step(self, name: StepName) -> ProbeStep | None:
        """The last step of this name; None when it was not reached."""
        return next((one for one in reversed(self.steps) if one.name == name), None)

    def place_of(self, step: ProbeStep) -> Place:
        """Where the words of this step stand."""
        return Place(self.place.source, self.place.offset, f"{self.place.path}/{step.name}")

    def reached(self, name: StepName) -> bool:
        """True when the step was taken and went well."""
        one = self.step(name)
        return one is not None and one.ok

    @property
    def failed(self) -> ProbeStep | None:
        """The first step that did not go well; one that was not tried is no failure."""
        return next((one for one in self.steps if not one.ok and one.trouble != "not-tested"), None)

    @property
    def limit_zero(self) -> bool:
        """Load 0 was refused twice over, and a load below 0 was asked: the server's limit is 0 or less."""
        loads = dict(self.asked_loads)
        return loads.get(0.0) is False and loads.get(BELOW_ZERO) is True
