"""The story types: what happened, in LiveKit's words. Filled by `stories.py`, read by checks and reports; no logic.

Times are Unix seconds (UTC), None where the evidence has none. `proof` holds the places of the lines that a statement
rests on.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.dispatch.connection import Step
from lkdoctor.dispatch.facts import Fact, Place
from lkdoctor.dispatch.listings import ParticipantInfo, RoomInfo
from lkdoctor.dispatch.probes import LiveServer, ProbeRun
from lkdoctor.dispatch.tokens import Token
from lkdoctor.dispatch.worker_model import WorkerJob, WorkerRun


class Outcome(str, enum.Enum):
    """How a dispatch or a launch ended; the words are a contract (JSON, docs)."""

    ASSIGNED = "assigned"
    NAME_NOT_SERVED = "name-not-served"
    NO_RESPONSE = "no-response"
    NO_HEADROOM = "no-headroom"
    DECLINED = "declined"
    ANSWER_TIMEOUT = "answer-timeout"
    REJECTED_TERMINALLY = "rejected-terminally"
    WORKER_CLOSED = "worker-closed"
    WAITING = "waiting"
    NOT_ASSIGNED = "not-assigned"
    PENDING = "pending"
    UNKNOWN = "unknown"


class After(str, enum.Enum):
    """What became of the agent participant after `assigned`."""

    JOINED = "joined"
    NEVER_JOINED = "never-joined"
    LEFT = "left"
    ENDED = "ended"


class Certainty(enum.IntEnum):
    """How sure a pairing is. A line that two rooms compete for is LOW."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class Origin(str, enum.Enum):
    """Where a dispatch came from."""

    ROOM = "create-room"  # agents of a CreateRoom request
    TOKEN = "token"  # noqa: S105 - a word, no secret: agents of the token of the join that made the room
    API = "create-dispatch"  # CreateDispatch
    IMPLICIT = "implicit"  # no agents named at creation: the one unnamed dispatch
    SEEN = "seen"  # only its launches are in the evidence, not how it was made


@dataclass(slots=True)
class ServerRun:
    """One life of one node: from its start (or the start of the evidence) to its end."""

    stream: str
    node_id: str = ""
    version: str | None = None
    started_at: float | None = None  # None when the start is not in the evidence
    first_at: float | None = None
    last_at: float | None = None
    stopped_at: float | None = None
    redis: bool | None = None  # None: not seen
    info_seen: bool = False  # a line at level info or debug was seen, so info lines are not hidden
    warn_seen: bool = False
    config_refused: str = ""
    surveys_failed: tuple[float, ...] = ()  # when the node could not ask who serves which name
    placed_on: set[str] = field(default_factory=set)  # nodes that rooms were given to (printed only with redis)
    proof: list[Place] = field(default_factory=list)

    @property
    def start_seen(self) -> bool:
        """True when the evidence holds this run from its first line."""
        return self.started_at is not None


@dataclass(slots=True)
class WorkerSession:
    """One registration of one worker (`AW_…`), until its socket closed."""

    worker_id: str
    stream: str
    agent_name: str | None = None
    namespace: str = ""
    job_type: str = ""
    deployment: str | None = None  # None: never shown (it is printed from v1.13.0 on, and not at registration)
    sdk: str | None = None
    registered_at: float | None = None  # None: registered before the evidence starts
    closed_at: float | None = None
    first_seen_at: float | None = None
    last_seen_at: float | None = None
    jobs: int = 0
    asked: int = 0
    declined: int = 0
    timeouts: int = 0
    refused: str = ""  # why the registration failed, when it did
    run: WorkerRun | None = None  # what its own log says of it
    lost_connection: bool = False  # closed by a read error (vanished host), not by a close
    proof: list[Place] = field(default_factory=list)

    def alive_at(self, at: float) -> bool:
        """True when the socket was open at `at`, as far as the evidence shows."""
        since = self.registered_at if self.registered_at is not None else float("-inf")
        until = self.closed_at if self.closed_at is not None else float("inf")
        return since <= at <= until and not self.refused


@dataclass(slots=True)
class Launch:
    """One try of one dispatch for one job type (and one participant, for the two participant types)."""

    job_type: str
    asked_at: float | None
    participant: str | None = None
    outcome: Outcome = Outcome.PENDING
    certainty: Certainty = Certainty.HIGH
    decides: bool = False
    ended_at: float | None = None
    job_id: str | None = None
    worker_id: str | None = None
    node: str | None = None  # stream of the line that ended it
    error: str = ""  # the server's own text
    nodes_refusing: int = 0  # N of "received N responses"
    asked_workers: tuple[str, ...] = ()  # workers that were asked and did not take it
    late_answer: bool = False
    ghost: bool = False  # assigned and timed out at once: the agent runs, no job is listed
    job_ended_at: float | None = None
    job_status: str = ""
    job_error: str = ""
    worker_side: WorkerJob | None = None  # what the worker's own log says of it
    rivals: int = 0  # other launches that the same roomless line could belong to
    proof: list[Place] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """Seconds from the launch to its end, or None when the evidence does not have both."""
        if self.ended_at is None or self.asked_at is None:
            return None
        return max(0.0, self.ended_at - self.asked_at)


@dataclass(slots=True)
class AgentParticipant:
    """A participant of kind agent, or a person, in one room."""

    identity: str
    sid: str
    is_agent: bool
    dependent: bool
    hidden: bool = False  # a recorder or observer: raises jobs and keeps the room open, yet waits for no agent
    joined_at: float | None = None
    active_at: float | None = None
    left_at: float | None = None
    leave_reason: str = ""
    published_at: float | None = None
    duplicate_removed: bool = False
    never_connected: bool = False
    asked_agents: tuple[str, ...] | None = None  # names in the joiner's token; None when the line did not say
    room_was_new: bool | None = None
    listed: list[tuple[float, ParticipantInfo]] = field(
        default_factory=list
    )  # what ListParticipants showed, each change
    listed_last_at: float | None = None  # the last listing that still showed it
    gone_by: float | None = None  # the first complete listing that did not show it any more
    proof: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class Dispatch:
    """One request for one agent in one room, with its launches and what became of it."""

    room: str
    room_id: str
    agent_name: str
    origin: Origin
    asked_at: float | None
    deployment: str = ""
    dispatch_id: str | None = None
    outcome: Outcome = Outcome.PENDING
    certainty: Certainty = Certainty.HIGH
    reason: str = ""  # why `unknown`, in words, with what to fetch
    missing: str = ""  # what to fetch to know more
    # How this request or another one of its name and room ended, where no reading of the lines tells which (`alike`).
    among: Outcome | None = None
    after: After | None = None
    participant: AgentParticipant | None = None
    listed: bool = False  # ListDispatch showed it
    room_closed: bool = False  # this life of its room is over, as far as the evidence shows
    launches: list[Launch] = field(default_factory=list)
    noise_lines: int = 0
    noise: tuple[Place, ...] = ()
    deleted_at: float | None = None
    proof: list[Place] = field(default_factory=list)

    @property
    def deciding(self) -> Launch | None:
        """The launch that decides the outcome: the one of the type that the name's workers register."""
        first: Launch | None = None
        for one in self.launches:
            if one.decides:
                if one.outcome is self.came_to:
                    return one
                first = first or one
        return first

    @property
    def came_to(self) -> Outcome:
        """The outcome; of a request that nothing tells apart from others, that of one of them.

        For what is said of a room and a name, or counted. What is said of this very request needs `outcome`.
        """
        return self.outcome if self.among is None else self.among

    @property
    def explicit(self) -> bool:
        """True when somebody asked for this agent, false for the implicit unnamed dispatch."""
        return self.origin is not Origin.IMPLICIT

    @property
    def seconds(self) -> float | None:
        """Seconds from the deciding launch (of the request, or of the join or publish that raised it) to its end."""
        launch = self.deciding
        return None if launch is None else launch.seconds


@dataclass(slots=True)
class Ask:
    """Agents named when somebody made, or believed to make, a room: a CreateRoom call or a joiner's token.

    `read` False: the room existed, so the list was ignored; None: the evidence starts too late to tell.
    """

    at: float | None
    origin: Origin
    names: tuple[str, ...]
    read: bool | None
    who: str  # identity of the joiner; empty for an API call
    place: Place


@dataclass(slots=True)
class Room:
    """One life of one room (`RM_…`), not a name: a name can have several lives in one log."""

    name: str
    room_id: str
    stream: str
    host: str = ""  # stream of the node it lives on; empty while only calls and workers' nodes speak of it
    first_at: float | None = None
    opened_at: float | None = None  # None: existed before the evidence, or not certain
    opened_by: Origin | None = None
    closed_at: float | None = None
    close_reason: str = ""
    dispatches: list[Dispatch] = field(default_factory=list)
    people: list[AgentParticipant] = field(default_factory=list)
    agents: list[AgentParticipant] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    presets: tuple[str, ...] = ()
    not_stored: str = ""  # why the server dropped an agent that the room's making named
    last_at: float | None = None
    listed_last_at: float | None = None  # last time that ListRooms or a listing of its own showed it
    info: RoomInfo | None = None  # as listed last
    looked_at: float | None = None  # last complete listing of its participants, on the server's clock
    dispatches_at: float | None = None  # last complete listing of its dispatches, on the server's clock
    proof: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class Refusal:
    """Requests that the server refused for one reason (`error handling request`, a failed API call, a bad message on
    `/agent`: status 0). Equal ones are counted, so a log full of them stays small."""

    at: float | None
    path: str
    status: int
    error: str  # the server's text, masked
    place: Place
    count: int = 1
    last_at: float | None = None
    proof: list[Place] = field(default_factory=list)  # the first few
    agent_name: str | None = None  # of a refused registration, where the line says it


#: The kinds of source that something can be learned from; what is of another kind is named and not read.
READ_KINDS: Final = (
    *("server_log", "worker_log", "api", "connection", "probe", "token"),
    *("worker_http", "load", "talk", "docker", "host", "config", "intentions", "conversations"),
    *("agent_code", "agent_program"),
)


@dataclass(slots=True)
class SourceNote:
    """What one source was, and what of it could not be used."""

    name: str
    kind: str
    lines: int | None = None
    bytes: int = 0
    first_at: float | None = None
    last_at: float | None = None
    server_version: str | None = None
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)  # reason -> number of records
    unusable: str = ""  # why nothing of it could be used, and what it looks like
    proof: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class Coverage:
    """What the evidence cannot show. Reasons are whole sentences with what to fetch."""

    complete: bool = True  # every node, from its start, at info, unsampled
    starts_late: bool = False
    hides_info: bool = False
    sampled: bool = False
    nodes_missing: bool = False
    timeless: bool = False  # an excerpt without times
    reasons: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Sampled:
    """What the API was seen to list: from when to when, how often, and whether all rooms were asked about."""

    first_at: float
    last_at: float
    samples: int = 1  # how often the rooms were listed
    every_room: bool = True

    @property
    def watched(self) -> float:
        """Seconds between the first and the last sample."""
        return self.last_at - self.first_at


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says should be: agents that somebody dispatches, and groups that talk to each other in one room."""

    agents: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()


@dataclass(slots=True)
class Stories:
    """Everything that the evidence tells, by the server's own rules."""

    runs: list[ServerRun] = field(default_factory=list)
    rooms: list[Room] = field(default_factory=list)
    workers: dict[str, WorkerSession] = field(default_factory=dict)
    dispatches: list[Dispatch] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    sources: list[SourceNote] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    folded: dict[str, int] = field(default_factory=dict)  # outcome -> healthy closed dispatches kept only as a count
    first_at: float | None = None
    last_at: float | None = None
    sampled: Sampled | None = None  # None: no API listing is in the evidence
    server: LiveServer | None = None
    steps: list[Step] = field(default_factory=list)
    probes: list[ProbeRun] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    worker_runs: list[WorkerRun] = field(default_factory=list)  # what worker logs tell
    wanted: Wanted = field(default_factory=Wanted)
    facts: dict[type[Fact], list[Fact]] = field(default_factory=dict)  # what no join needs, by its class

    def of_name(self, agent_name: str) -> Iterator[WorkerSession]:
        """Worker sessions registered under exactly this name (case, blanks and hyphens count)."""
        return (one for one in self.workers.values() if one.agent_name == agent_name)
