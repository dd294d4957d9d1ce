"""Keeps what a listener in a room notices, as it comes, and makes facts of it at any moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.dispatch.facts import Fact, Place
from lkdoctor.dispatch.listings import DispatchInfo, ParticipantInfo
from lkdoctor.dispatch.talks import Ended, HeardTrack, Presence, Saying, TalkRun
from lkdoctor.redact import of_this_run

STATE: Final = "lk.agent.state"
_NAMES: Final = ("lk.agent.name", "lk.agent_name")


@dataclass(slots=True)
class TrackNotes:
    """One track so far."""

    sid: str
    kind: str
    name: str
    source: str
    since: float
    until: float | None = None
    muted: list[tuple[float, bool]] = field(default_factory=list)
    sound_since: float | None = None
    levels: list[int] = field(default_factory=list)

    def frozen(self) -> HeardTrack:
        """As a fact."""
        return HeardTrack(
            sid=self.sid,
            kind=self.kind,
            name=self.name,
            source=self.source,
            since=self.since,
            until=self.until,
            muted=tuple(self.muted),
            sound_since=None if self.sound_since is None else round(self.sound_since, 3),
            levels=tuple(self.levels),
        )


@dataclass(slots=True)
class PersonNotes:
    """One participant so far. The same identity that comes again is another one."""

    identity: str
    sid: str
    kind: str
    since: float
    agent_name: str = ""
    role: str = ""
    job_id: str = ""
    joined_at: float | None = None
    until: float | None = None
    reason: str = ""
    states: list[tuple[float, str]] = field(default_factory=list)
    tracks: dict[str, TrackNotes] = field(default_factory=dict)
    sayings: list[Saying] = field(default_factory=list)

    def attributes(self, given: dict[str, str], at: float) -> None:
        """What the participant says of itself."""
        state = given.get(STATE, "")
        if state and (not self.states or self.states[-1][1] != state):
            self.states.append((at, state))
        self.agent_name = next((given[name] for name in _NAMES if given.get(name)), self.agent_name)
        role = next((value for name, value in sorted(given.items()) if name.rpartition(".")[2].lower() == "role"), "")
        self.role = role or self.role

    def frozen(self, watch: str, room: str, place: Place) -> Presence:
        """As a fact."""
        return Presence(
            place=place,
            watch=watch,
            room=room,
            identity=self.identity,
            sid=self.sid,
            kind=self.kind,
            agent_name=self.agent_name,
            role=self.role,
            job_id=self.job_id,
            joined_at=self.joined_at,
            since=self.since,
            until=self.until,
            reason=self.reason,
            states=tuple(self.states),
            tracks=tuple(one.frozen() for one in self.tracks.values()),
            sayings=tuple(self.sayings),
        )


@dataclass(slots=True)
class Notebook:
    """Everything so far. Times are of time.time, rounded to milliseconds."""

    room: str
    identity: str
    wanted: float
    room_id: str = ""
    made_at: float | None = None
    empty_timeout: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    ended: Ended = "time"
    why: str = ""
    people: list[PersonNotes] = field(default_factory=list)

    def now(self) -> float:
        """The moment as it is noted."""
        return round(time.time(), 3)

    def here(self, identity: str) -> PersonNotes | None:
        """Who is in the room under this identity."""
        return next((one for one in reversed(self.people) if one.identity == identity and one.until is None), None)

    def came(self, identity: str, sid: str, kind: str) -> PersonNotes:
        """Somebody is in the room; a second report of one connection changes nothing."""
        known = self.here(identity)
        if known is not None and known.sid == sid:
            return known
        if known is not None:
            self.went(identity, known.sid, "came again")
        one = PersonNotes(identity, sid, kind, self.now())
        self.people.append(one)
        return one

    def went(self, identity: str, sid: str, reason: str) -> None:
        """Somebody left; its tracks are gone with it."""
        at = self.now()
        for one in self.people:
            if one.identity == identity and one.sid == sid and one.until is None:
                one.until, one.reason = at, reason
                for track in one.tracks.values():
                    track.until = at if track.until is None else track.until

    def published(self, identity: str, track: TrackNotes, *, muted: bool) -> None:
        """A track is there."""
        one = self.here(identity)
        if one is not None and track.sid not in one.tracks:
            one.tracks[track.sid] = track
            if muted:
                track.muted.append((track.since, True))

    def track(self, sid: str) -> TrackNotes | None:
        """A track that was noted."""
        return next((one.tracks[sid] for one in self.people if sid in one.tracks), None)

    def transcribed(self, identity: str, track: str, text: str, *, own: bool) -> None:
        """A whole transcript; of its text a token stays and its length."""
        one = self.here(identity)
        plain = " ".join(text.split())
        if one is not None and plain:
            token = of_this_run().token(plain.casefold())
            one.sayings.append(Saying(at=self.now(), track=track, own=own, length=len(plain), token=token))

    def listed(self, people: tuple[ParticipantInfo, ...]) -> None:
        """What ListParticipants adds: when they joined, by the server."""
        for info in people:
            one = self.here(info.identity)
            if one is not None and one.sid == info.sid:
                one.joined_at = info.joined
                if info.is_agent:
                    one.attributes(info.attributes, self.now())

    def dispatched(self, dispatches: tuple[DispatchInfo, ...]) -> None:
        """What ListDispatch adds: whose job an agent is."""
        jobs = [
            (job.state.participant_identity, one.agent_name, job.id) for one in dispatches for job in one.state.jobs
        ]
        for one in self.people:
            # Two jobs may have given one identity; then the agent's own name tells them apart, or nothing does.
            mine = [job for job in jobs if job[0] == one.identity and one.agent_name in ("", job[1])]
            if len(mine) == 1:
                _, one.agent_name, one.job_id = mine[0]

    def facts(self, source: str) -> Iterator[Fact]:
        """The watch and everybody in it, as facts of this source."""
        yield TalkRun(
            place=Place(source, path="watch"),
            watch=self.identity,
            room=self.room,
            room_id=self.room_id,
            made_at=self.made_at,
            empty_timeout=self.empty_timeout,
            started_at=self.started_at,
            ended_at=self.ended_at or self.now(),
            wanted=self.wanted,
            ended=self.ended,
            why=self.why,
        )
        for number, one in enumerate(self.people):
            yield one.frozen(self.identity, self.room, Place(source, path=f"{number}"))
