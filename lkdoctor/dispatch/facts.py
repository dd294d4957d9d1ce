"""Facts: what a source says, placed and frozen, with no opinion in them.

An `Event` happened at a time (a log line, a webhook). A `Snapshot` (`listings`) was true as of a time and says whether it
is complete (an API listing). Both are joined into stories. What stands for itself (a measured load, a container, a
variable in a file) is a `Fact`, and reaches the checks as it is.

Field names of `Fields` are the ones livekit-server prints, so a log record is decoded straight into it and nothing is
renamed on the way; where LiveKit changed a name (`pID` became `participantID` in v1.10.0) both are kept here and read
through a property.
"""

from __future__ import annotations

import enum
from typing import Any, ClassVar, Final

import msgspec

UNSET: Final = msgspec.UNSET
OWN_PREFIX: Final = "lkdoctor-"  # rooms, agent names and listeners of lkdoctor's own; they appear in no story


def own(name: str) -> bool:
    """Is this room, agent or participant lkdoctor's own?"""
    return name.startswith(OWN_PREFIX)


NAME_NOT_PRINTED = "(name not printed)"  # the agent name where lines do not tell it; "" is the unnamed agent


class What(enum.IntEnum):
    """The kinds of events that lkdoctor understands; one server message each unless the remark says otherwise."""

    # -- a node's life ------------------------------------------------------------------------------------------------
    SERVER_STARTED = 1  # starting LiveKit server
    SINGLE_NODE = 2  # using single-node routing
    REDIS_CONNECTING = 3  # connecting to redis
    SERVER_STOPPING = 4  # exit requested, shutting down
    CONFIG_REFUSED = 5  # could not parse config (stdout, bare: no time, no level)
    # -- workers ------------------------------------------------------------------------------------------------------
    WORKER_REGISTERED = 10  # worker registered / initial worker registered
    LAST_WORKER_GONE = 11  # last worker deregistered
    WORKER_CLOSED = 12  # closing worker
    WORKER_SIGNAL_REFUSED = 13  # unable to handle worker signal
    WORKER_TOPIC_REFUSED = 14  # failed to register job request topic
    WORKER_READ_ERROR = 15  # error reading from websocket
    # -- launches -----------------------------------------------------------------------------------------------------
    NOT_DISPATCHING = 20  # not dispatching agent job since no worker is available
    REQUEST_FAILED = 21  # failed to send job request, of a launch (no jobID)
    TERMINATE_FAILED = 22  # failed to send job request, of a termination (with jobID)
    ASSIGNED = 23  # assigned job to worker
    ASSIGN_FAILED = 24  # failed to assign job to worker
    NOBODY_LEFT = 25  # no worker available to handle job
    LATE_ANSWER = 26  # received availability response for unknown job
    JOB_ENDED = 27  # job ended
    CHECK_ENABLED_FAILED = 28  # failed to check enabled
    DISPATCH_NOT_STORED = 29  # failed storing room dispatch
    # -- rooms and participants ---------------------------------------------------------------------------------------
    SESSION_STARTED = 40  # starting RTC session
    PARTICIPANT_ACTIVE = 41  # participant active
    PARTICIPANT_CLOSING = 42  # participant closing
    DUPLICATE_REMOVED = 43  # removing duplicate participant
    NEVER_CONNECTED = 44  # removing participant without connection
    TRACK_PUBLISHED = 45  # mediaTrack published
    JOIN_FAILED = 46  # could not handle new participant
    ROOM_CLOSING = 50  # closing room
    ROOM_IDLE_CLOSED = 52  # closing idle room (stands after the closing is done)
    ROOM_PLACED = 54  # selected node for room
    # -- calls --------------------------------------------------------------------------------------------------------
    API_CALL = 60  # API <Service>.<Method>
    REQUEST_REFUSED = 61  # error handling request
    # -- the evidence itself ------------------------------------------------------------------------------------------
    ANY_LINE = 90  # a record of no interest; one each of a stream's first and last carries its time


class AgentAsked(msgspec.Struct, frozen=True, gc=False):
    """One agent entry of a CreateRoom request or of a joiner's token; an empty name is the unnamed worker."""

    agentName: str = ""
    deployment: str = ""


class CreateRoom(msgspec.Struct, frozen=True):
    """The part of `participantInit.CreateRoom` that dispatch depends on (seen in 1.8.4 to 1.13.5)."""

    name: str = ""
    agents: tuple[AgentAsked, ...] = ()
    roomPreset: str = ""


class VideoGrant(msgspec.Struct, frozen=True, gc=False):
    """Grants that make a participant dependent (no JT_PARTICIPANT launch, does not keep the room open)."""

    Agent: Any = False
    Recorder: Any = False
    Hidden: Any = False


class Grants(msgspec.Struct, frozen=True):
    """A joiner's grants as `starting RTC session` prints them."""

    Kind: str = ""
    Video: VideoGrant | None = None


class ParticipantInit(msgspec.Struct, frozen=True):
    """`participantInit` of `starting RTC session` (from v1.8.2)."""

    Grants: Grants | None = None
    CreateRoom: CreateRoom | None = None
    Reconnect: bool = False


class Request(msgspec.Struct, frozen=True):
    """The `request` object of an API line: CreateDispatch, DeleteDispatch, ListDispatch, CreateRoom."""

    room: str = ""
    name: str = ""
    agentName: str = ""
    deployment: str = ""
    dispatchID: str = ""
    dispatchId: str = ""
    agents: tuple[AgentAsked, ...] = ()
    roomPreset: str = ""
    emptyTimeout: int = 0
    departureTimeout: int = 0


class Fields(msgspec.Struct, frozen=True):
    """The fields of one server record, named as the server names them; what is absent is the empty value."""

    room: str | list[str] | None = None
    roomID: str = ""
    participant: str = ""
    participantID: str = ""
    pID: str = ""
    agentName: str | None = None
    namespace: str = ""
    jobType: str = ""
    jobID: str = ""
    workerID: str = ""
    deployment: str = ""
    version: str = ""
    error: str = ""
    reason: str = ""
    status: str | int = ""
    retry: bool | None = None
    kind: str = ""
    numParticipants: int | None = None
    participantInit: ParticipantInit | None = None
    request: Request | str | None = None
    service: str = ""
    method: str = ""
    code: str = ""
    path: str = ""
    nodeID: str = ""
    selectedNodeID: str = ""
    portHttp: int | None = None
    duration: str | float = 0.0
    req: Any = None  # what a worker said that was refused: {"register": {"agentName": …}}

    @property
    def participant_sid(self) -> str:
        """`PA_…`, under either of its two names."""
        return self.participantID or self.pID

    @property
    def refused_name(self) -> str | None:
        """The agent name in a refused registration; None when the line holds none."""
        register = self.req.get("register") if isinstance(self.req, dict) else None
        name = register.get("agentName", "") if isinstance(register, dict) else None
        return name if isinstance(name, str) else None

    @property
    def room_name(self) -> str:
        """The room's name; empty when the line names none, or a list (ListRooms)."""
        return self.room if isinstance(self.room, str) else ""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a fact stands: a source and a byte offset in it (or a path for what has no bytes)."""

    source: str
    offset: int | None = None
    path: str = ""


class Event(msgspec.Struct, frozen=True):
    """One thing that happened. `at` is Unix seconds in UTC, None where the line carries no time (pasted excerpts).

    `stream` names the one process that the line comes from. `retyped` is true when the line had been pasted or
    column-aligned by hand: its words count, its order and completeness do not.
    """

    what: What
    at: float | None
    place: Place
    stream: str
    level: str
    fields: Fields
    retyped: bool = False


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="fact", tag=True):
    """One thing that a source says and that no join needs: a check asks for all of a kind with `Facts[TheClass]`.

    A subclass is written `class Load(Fact, frozen=True, kw_only=True)` and names in `SOURCES` the kinds of source that tell it (any one will do: the check is skipped when none of
    them is in the evidence). In a case it is one line of JSON: its class under `fact`, its fields as they are, no `place`.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ()

    place: Place = Place("")

    def told(self) -> str:
        """The fact in words that a reader can hold against the source; it is quoted as proof."""
        shown = ((name, getattr(self, name)) for name in self.__struct_fields__ if name != "place")
        return " ".join(f"{name}={value}" for name, value in shown if value not in (None, "", (), []))
