"""Makes stories of API listings by hand, for checks of what no recording holds."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lkdoctor.dispatch.listings import DispatchInfo, ParticipantInfo, Permission, Snapshot, TrackInfo
from lkdoctor.dispatch.model import Stories, Wanted
from lkdoctor.dispatch.stories import join
from lkdoctor.doctor.finding import Code, Inconclusive
from tests.checks.build import results
from tests.dispatch.listing import (
    ROOM,
    agent,
    dispatch,
    dispatches,
    job,
    participants,
    person,
    room,
    rooms,
)

AUDIO = (TrackInfo(sid="TR_1", source="MICROPHONE"),)


def told(
    snapshots: Iterable[Snapshot],
    *,
    expect: tuple[str, ...] = (),
    together: tuple[tuple[str, ...], ...] = (),
    server_ahead: float = 0.0,
) -> Stories:
    """The stories of these listings alone."""
    stories = join((), snapshots=snapshots, server_ahead=server_ahead)
    stories.wanted = Wanted(expect, together)
    return stories


def look(
    at: float,
    *present: ParticipantInfo,
    asked: tuple[DispatchInfo, ...] | None = None,
    name: str = ROOM,
    sid: str = "RM_1",
    made: float = 0.0,
    complete: bool = True,
) -> list[Snapshot]:
    """One look at one room: the list of rooms, its dispatches, its participants."""
    listed = (dispatch("AD_1", job(sid=sid), name=name, made=made),) if asked is None else asked
    return [
        rooms(at, room(sid, name, made), complete=complete),
        dispatches(at, *listed, name=name, complete=complete),
        participants(at, *present, name=name, complete=complete),
    ]


def session(
    identity: str = "agent-AJ_1", state: str = "listening", *, tracks: bool = False, joined: float = 0.5
) -> ParticipantInfo:
    """An agent that runs a session."""
    return msgspec.structs.replace(
        agent(identity, joined, f"PA_{identity}"),
        attributes={"lk.agent.state": state},
        permission=Permission(can_publish=True, agent=True),
        tracks=AUDIO if tracks else (),
    )


def speaking(identity: str = "alice", joined: float = 0.0) -> ParticipantInfo:
    """A person with a microphone."""
    return msgspec.structs.replace(person(identity, joined, f"PA_{identity}"), tracks=AUDIO)


def open_questions(code: Code, stories: Stories) -> list[Inconclusive]:
    """What the checks of the code leave open."""
    return [one for one in results(code, stories) if isinstance(one, Inconclusive)]


def without_job(at: float, *present: ParticipantInfo, made: float = 0.0) -> list[Snapshot]:
    """A look at a dispatch that has no job."""
    return look(at, *present, asked=(dispatch("AD_1", made=made),), made=made)
