"""What the server's API lists, as typed facts: rooms, dispatches with their jobs, participants with their tracks.

Field names are those of LiveKit's protobuf messages (`livekit_models.proto`, `livekit_agent_dispatch.proto`), so an answer is
decoded straight into them. protojson leaves out zero values: an absent `state` is JOINING, `type` of a job JT_ROOM, `kind`
STANDARD, `type` of a track AUDIO.
"""

from __future__ import annotations

from typing import Final

import msgspec

from lkdoctor.dispatch.facts import AgentAsked, Place

NANO: Final = 1e-9


class RoomInfo(msgspec.Struct, frozen=True, gc=False):
    """One room of ListRooms, or of CreateRoom's answer."""

    sid: str = ""
    name: str = ""
    empty_timeout: int = 0  # s
    departure_timeout: int = 0  # s
    creation_time: int = 0  # Unix s
    creation_time_ms: int = 0  # Unix ms; 0 on servers that do not know it
    num_participants: int = 0  # up to 5 s stale; hidden ones and agents count differently by version
    num_publishers: int = 0

    @property
    def created_at(self) -> float | None:
        """Unix seconds; None when the answer did not say."""
        return self.creation_time_ms / 1000 if self.creation_time_ms else float(self.creation_time) or None


class Permission(msgspec.Struct, frozen=True, gc=False):
    """What a participant may do."""

    can_subscribe: bool = False
    can_publish: bool = False
    can_publish_data: bool = False
    hidden: bool = False
    recorder: bool = False
    agent: bool = False


class TrackInfo(msgspec.Struct, frozen=True, gc=False):
    """One published track."""

    sid: str = ""
    type: str = "AUDIO"
    name: str = ""
    muted: bool = False
    source: str = "UNKNOWN"
    mime_type: str = ""


class ParticipantInfo(msgspec.Struct, frozen=True):
    """One participant of ListParticipants."""

    sid: str = ""
    identity: str = ""
    name: str = ""
    state: str = "JOINING"
    kind: str = "STANDARD"
    joined_at: int = 0  # Unix s
    joined_at_ms: int = 0
    attributes: dict[str, str] = {}
    permission: Permission = Permission()
    tracks: tuple[TrackInfo, ...] = ()
    is_publisher: bool = False

    @property
    def joined(self) -> float | None:
        """Unix seconds; None when the answer did not say."""
        return self.joined_at_ms / 1000 if self.joined_at_ms else float(self.joined_at) or None

    @property
    def is_agent(self) -> bool:
        """True for the kind AGENT; a person whose token has the agent grant keeps STANDARD."""
        return self.kind == "AGENT"

    @property
    def agent_state(self) -> str:
        """`lk.agent.state` of an AgentSession (initializing, listening, thinking, speaking); empty without one."""
        return self.attributes.get("lk.agent.state", "")


class JobState(msgspec.Struct, frozen=True, gc=False):
    """A job's state as the dispatch lists it: stale, it says running long after the agent left."""

    status: str = "JS_PENDING"
    error: str = ""
    started_at: int = 0  # Unix ns
    ended_at: int = 0
    updated_at: int = 0
    participant_identity: str = ""  # the identity that the worker gave for its agent
    worker_id: str = ""
    agent_id: str = ""

    @property
    def started(self) -> float | None:
        """Unix seconds of the assignment; None when the job has none."""
        return self.started_at * NANO if self.started_at else None

    @property
    def ended(self) -> float | None:
        """Unix seconds; None while it runs, as far as the dispatch knows."""
        return self.ended_at * NANO if self.ended_at else None


class JobInfo(msgspec.Struct, frozen=True):
    """One job of a dispatch."""

    id: str = ""
    type: str = "JT_ROOM"
    room: RoomInfo | None = None
    participant: ParticipantInfo | None = None
    agent_name: str = ""
    namespace: str = ""
    dispatch_id: str = ""
    deployment: str = ""
    state: JobState = JobState()


class DispatchState(msgspec.Struct, frozen=True):
    """The state of a dispatch."""

    jobs: tuple[JobInfo, ...] = ()
    created_at: int = 0  # Unix ns
    deleted_at: int = 0


class DispatchInfo(msgspec.Struct, frozen=True):
    """One dispatch of ListDispatch, or of CreateDispatch's answer. A job shows up to 5 s late."""

    id: str = ""
    agent_name: str = ""
    room: str = ""
    deployment: str = ""
    state: DispatchState = DispatchState()

    @property
    def created(self) -> float | None:
        """Unix seconds; None when the answer did not say."""
        return self.state.created_at * NANO if self.state.created_at else None

    @property
    def deleted(self) -> float | None:
        """Unix seconds; None while it stands."""
        return self.state.deleted_at * NANO if self.state.deleted_at else None


class RoomsListed(msgspec.Struct, frozen=True):
    """All rooms (or the chosen ones, then absence of others means nothing)."""

    rooms: tuple[RoomInfo, ...] = ()


class DispatchesListed(msgspec.Struct, frozen=True):
    """All dispatches of one room, by its name."""

    room: str
    dispatches: tuple[DispatchInfo, ...] = ()


class ParticipantsListed(msgspec.Struct, frozen=True):
    """All participants of one room, by its name. A missing room gives an empty list, not an error."""

    room: str
    participants: tuple[ParticipantInfo, ...] = ()


class Called(msgspec.Struct, frozen=True):
    """A call that changes something and that was recorded with its answer: CreateRoom, CreateDispatch, DeleteDispatch and the like."""

    call: str  # RoomService/CreateRoom
    room: str = ""
    agent_name: str = ""
    deployment: str = ""
    agents: tuple[AgentAsked, ...] = ()
    preset: str = ""
    status: int = 200
    error: str = ""
    made_room: RoomInfo | None = None
    made_dispatch: DispatchInfo | None = None


Data = RoomsListed | DispatchesListed | ParticipantsListed | Called


class Snapshot(msgspec.Struct, frozen=True):
    """What the API said at `at` (Unix seconds, the asking machine's clock; up to 5 s stale).

    Absence counts only when `complete`: a chosen subset, or an answer that was cut, proves no absence. `repeats` equal
    answers between the one before and this one were left out; `gap` is the longest time between two of these, in seconds.
    """

    at: float
    data: Data
    place: Place
    complete: bool = True
    repeats: int = 0
    gap: float = 0.0
