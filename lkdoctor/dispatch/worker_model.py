"""The worker's side of the stories: one run of a worker's program, and one job as its worker tells it. No logic.

Times are Unix seconds on the server's clock when `dated` is true. Else they are the log's own (local time without a zone, or
the time of day), good for durations and order within one run and for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lkdoctor.dispatch.facts import NAME_NOT_PRINTED, Place
from lkdoctor.dispatch.versions import sdk_words

MOST_PROOF = 6


@dataclass(slots=True)
class Trying:
    """One stretch in which a worker had no connection to the server."""

    first_at: float | None
    last_at: float | None = None
    tries: int = 0
    attempts: int | None = None  # how many it makes before it gives up
    errors: dict[str, int] = field(default_factory=dict)  # in the log's words, with how often
    gave_up: bool = False
    over: bool = False  # it registered afterwards
    proof: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class Full:
    """One stretch in which a worker called itself full. The load is the one that it judges itself by."""

    since: float | None
    until: float | None = None  # None: to the end of its log
    load: float | None = None
    threshold: float | None = None
    proof: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class Failing:
    """Processes of a worker that did not start."""

    count: int = 0
    first_at: float | None = None
    last_at: float | None = None
    error: str = ""
    where: str = ""
    proof: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class Marks:
    """How often one of the application's markers stands in a log, and where: its first lines and its last one."""

    count: int = 0
    first_at: float | None = None
    last_at: float | None = None
    named: bool = False  # a line names the job itself; else it was told by time: no other job was open
    places: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class WorkerRun:
    """One life of a worker's program, from its start (or the start of its log) to its end."""

    source: str
    stream: str
    sdk: str = ""  # python, node
    version: str = ""
    dated: bool = False
    ahead: float = 0.0  # seconds by which its clock was ahead of the server's, as far as known
    begun: bool = False  # its start stands in the log
    started_at: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    agent_name: str | None = None
    name_from_env: bool | None = None
    deployment: str | None = None
    url: str = ""
    server_version: str = ""
    registered: list[tuple[float | None, str]] = field(default_factory=list)  # time and AW_ id
    trying: list[Trying] = field(default_factory=list)
    full: list[Full] = field(default_factory=list)
    load_reverted: Place | None = None  # its own load function was put aside, as Cloud hosts it
    failing: Failing | None = None
    ready_at: float | None = None  # when a process last became ready
    draining_at: float | None = None
    stopped_at: float | None = None
    failed: str = ""  # what ended it, in its own words
    port_taken: str = ""
    jobs: list[WorkerJob] = field(default_factory=list)
    proof: list[Place] = field(default_factory=list)  # its registration, its drain, its end
    marks: dict[str, Marks] = field(default_factory=dict)  # the application's, of which no job can be told
    production: bool | None = None  # `start` (JSON in UTC) and not `dev`; None: its log does not tell

    @property
    def name(self) -> str:
        """The agent name; empty for the unnamed worker and where the log does not tell."""
        return self.agent_name or ""

    @property
    def told_name(self) -> str:
        """The agent name, empty for the unnamed worker; `NAME_NOT_PRINTED` where the log does not tell."""
        return NAME_NOT_PRINTED if self.agent_name is None else self.agent_name

    @property
    def sdk_words(self) -> str:
        """`livekit-agents 1.8.9`; empty when the log does not tell."""
        return sdk_words(self.sdk, self.version)


@dataclass(slots=True)
class WorkerJob:
    """One job (`AJ_…`) as its worker tells it."""

    job_id: str
    run: WorkerRun
    worker_id: str = ""
    room: str = ""
    room_id: str = ""
    dispatch_id: str = ""
    agent_name: str | None = None
    asked_at: float | None = None
    draining: bool = False  # refused because the worker was draining
    assigned_at: float | None = None
    timed_out_at: float | None = None  # no assignment came within 7.5 s of its acceptance
    no_answer: bool = False
    request_error: str = ""  # the request function failed
    waited_at: float | None = None  # no process was ready for it
    no_process: str = ""  # no process took it, in the log's words
    crashed_at: float | None = None
    error: str = ""
    where: str = ""
    exit_code: str = ""
    memory_kill: str = ""
    killed: str = ""
    not_connected_at: float | None = None
    returned_at: float | None = None
    exiting_at: float | None = None
    reason: str = ""
    linked: list[tuple[float | None, str]] = field(default_factory=list)  # whom its sessions listen to
    session_closed_at: float | None = None  # because the one that it listened to had left
    left_by: str = ""  # that one
    shared: dict[Place, str] = field(default_factory=dict)  # warnings of a second session on one room connection
    marks: dict[str, Marks] = field(default_factory=dict)  # the application's, by name
    last_at: float | None = None
    known: bool = False  # the server's log or API tells of it, too
    came: bool | None = None  # did its agent come into the room, by the server's word; None: not known
    proof: list[Place] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The agent name that it was asked under; `NAME_NOT_PRINTED` where neither its lines nor its worker's tell."""
        return self.agent_name if self.agent_name is not None else self.run.told_name

    @property
    def ran(self) -> bool:
        """True when a process of the worker ran it: then the server had assigned it."""
        return bool(
            self.crashed_at is not None
            or self.exit_code
            or self.memory_kill
            or self.not_connected_at is not None
            or self.returned_at is not None
            or self.exiting_at is not None
            or self.linked
            or self.shared
            or any(one.named for one in self.marks.values())
        )

    @property
    def crashed(self) -> bool:
        """True when it ended by an exception, by an exit code other than 0, or by its worker's hand."""
        if self.reason == "parent process shutdown" and self.crashed_at is None and not self.memory_kill:
            return False  # whoever stopped the worker stopped it
        return self.crashed_at is not None or bool(self.exit_code or self.memory_kill)
