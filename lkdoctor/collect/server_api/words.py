"""How an API listing reads as a proof: one line that names what it listed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from lkdoctor.dispatch.listings import (
    Called,
    Data,
    DispatchesListed,
    DispatchInfo,
    JobInfo,
    ParticipantInfo,
    ParticipantsListed,
    RoomInfo,
    RoomsListed,
)
from lkdoctor.wording import counted

_SPELT_OUT = 20  # a quote is at most 600 characters: more of a list would not be seen


def clock(at: float | None) -> str:
    """`12:00:01 UTC`."""
    if at is None:
        return "an unknown time"
    try:
        return datetime.fromtimestamp(at, timezone.utc).strftime("%H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "an impossible time"


def say(at: float, data: Data) -> str:
    """What was listed at `at` (Unix seconds), in one line."""
    return f"{clock(at)} {_said(data)}"


def _said(data: Data) -> str:
    if isinstance(data, RoomsListed):
        return f"ListRooms: {counted(len(data.rooms), 'room')}{_list(_room(one) for one in data.rooms[:_SPELT_OUT])}"
    if isinstance(data, DispatchesListed):
        listed = "; ".join(_dispatch(one) for one in data.dispatches[:_SPELT_OUT])
        return f"ListDispatch {data.room}: {listed or 'no dispatch'}"
    if isinstance(data, ParticipantsListed):
        listed = "; ".join(_participant(one) for one in data.participants[:_SPELT_OUT])
        return f"ListParticipants {data.room}: {listed or 'nobody'}"
    return _called(data)


def _list(parts: Iterable[str]) -> str:
    joined = ", ".join(parts)
    return f": {joined}" if joined else ""


def _room(one: RoomInfo) -> str:
    made = f", made {clock(one.created_at)}" if one.created_at else ""
    return f"{one.name} ({one.sid}, {counted(one.num_participants, 'participant')}{made})"


def _dispatch(one: DispatchInfo) -> str:
    deployment = f" for deployment {one.deployment}" if one.deployment else ""
    jobs = ", ".join(_job(job) for job in one.state.jobs[:_SPELT_OUT])
    gone = f", deleted {clock(one.deleted)}" if one.deleted else ""
    return f'{one.id} "{one.agent_name}"{deployment}, {jobs or "no job"}{gone}'


def _job(one: JobInfo) -> str:
    state = one.state
    words = [f"job {one.id}", state.status]
    if one.type != "JT_ROOM":
        words.insert(1, one.type)
    if state.worker_id:
        words.append(f"at {state.worker_id}")
    if state.participant_identity:
        words.append(f"as {state.participant_identity}")
    if state.started:
        words.append(f"since {clock(state.started)}")
    if state.ended:
        words.append(f"until {clock(state.ended)}")
    if state.error:
        words.append(f"({state.error})")
    return " ".join(words)


def _participant(one: ParticipantInfo) -> str:
    words = [one.kind, one.state]
    if one.permission.hidden:
        words.append("hidden")
    if one.joined:
        words.append(f"joined {clock(one.joined)}")
    if one.agent_state:
        words.append(f"lk.agent.state {one.agent_state}")
    kinds = [track.type.lower() + (" (muted)" if track.muted else "") for track in one.tracks]
    words.append(f"{counted(len(kinds), 'track')}{_list(kinds)}" if kinds else "no track")
    return f"{one.identity} ({', '.join(words)})"


def _called(data: Called) -> str:
    words = [data.call.rpartition("/")[2], data.room]
    if data.agents:
        words.append("with agents " + ", ".join(f'"{one.agentName}"' for one in data.agents))
    elif data.agent_name:
        words.append(f'"{data.agent_name}"')
    if data.deployment:
        words.append(f"for deployment {data.deployment}")
    if data.preset:
        words.append(f"with preset {data.preset}")
    made = data.made_dispatch.id if data.made_dispatch else data.made_room.sid if data.made_room else ""
    said = f"{data.status or 'no answer'} {data.error or made}".strip()
    return f"{' '.join(word for word in words if word)}: {said}"
