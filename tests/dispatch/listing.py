"""Makes API listings by hand, for what no recording holds: odd clocks, odd orders, lives that follow each other."""

from __future__ import annotations

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.listings import (
    Data,
    DispatchesListed,
    DispatchInfo,
    DispatchState,
    JobInfo,
    JobState,
    ParticipantInfo,
    ParticipantsListed,
    RoomInfo,
    RoomsListed,
    Snapshot,
)

T0 = 1_800_000_000.0  # Unix seconds; every time below counts from here
ROOM, SID, AGENT = "support-call-7", "RM_1", "inbound-agent"
SOURCE = "ws://127.0.0.1:7880"


def nanos(at: float) -> int:
    return int((T0 + at) * 1e9)


def snapshot(at: float, data: Data, *, complete: bool = True, source: str = SOURCE) -> Snapshot:
    return Snapshot(T0 + at, data, Place(source, None, f"{type(data).__name__} @{at}"), complete)


def rooms(at: float, *infos: RoomInfo, complete: bool = True) -> Snapshot:
    return snapshot(at, RoomsListed(infos), complete=complete)


def room(sid: str = SID, name: str = ROOM, made: float = 0.0) -> RoomInfo:
    return RoomInfo(sid=sid, name=name, creation_time_ms=int((T0 + made) * 1000))


def dispatches(at: float, *infos: DispatchInfo, name: str = ROOM, complete: bool = True) -> Snapshot:
    return snapshot(at, DispatchesListed(name, infos), complete=complete)


def dispatch(
    dispatch_id: str = "AD_1", *jobs: JobInfo, agent: str = AGENT, name: str = ROOM, made: float = 0.0
) -> DispatchInfo:
    return DispatchInfo(id=dispatch_id, agent_name=agent, room=name, state=DispatchState(jobs, nanos(made)))


def job(
    job_id: str = "AJ_1",
    started: float = 0.2,
    ended: float | None = None,
    *,
    identity: str | None = None,
    sid: str = SID,
    kind: str = "JT_ROOM",
    status: str = "JS_RUNNING",
) -> JobInfo:
    state = JobState(
        status=status,
        started_at=nanos(started),
        ended_at=0 if ended is None else nanos(ended),
        participant_identity=f"agent-{job_id}" if identity is None else identity,
        worker_id="AW_1",
    )
    return JobInfo(id=job_id, type=kind, room=RoomInfo(sid=sid, name=ROOM), state=state)


def participants(at: float, *infos: ParticipantInfo, name: str = ROOM, complete: bool = True) -> Snapshot:
    return snapshot(at, ParticipantsListed(name, infos), complete=complete)


def agent(identity: str = "agent-AJ_1", joined: float = 0.5, sid: str = "PA_agent") -> ParticipantInfo:
    return ParticipantInfo(
        sid=sid, identity=identity, state="ACTIVE", kind="AGENT", joined_at_ms=int((T0 + joined) * 1e3)
    )


def person(identity: str = "alice", joined: float = 0.0, sid: str = "PA_alice") -> ParticipantInfo:
    return ParticipantInfo(sid=sid, identity=identity, state="ACTIVE", joined_at_ms=int((T0 + joined) * 1e3))
