"""Sorts API listings into lives of rooms: which dispatches and participants each was seen with, first, last and not any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from lkdoctor.dispatch.facts import Place, own
from lkdoctor.dispatch.listings import (
    Called,
    DispatchesListed,
    DispatchInfo,
    ParticipantInfo,
    ParticipantsListed,
    RoomInfo,
    RoomsListed,
    Snapshot,
)
from lkdoctor.dispatch.model import Sampled


@dataclass(slots=True)
class Seen:
    """A dispatch as the listings of its room showed it."""

    info: DispatchInfo  # the latest
    place: Place
    first_at: float  # first listing that showed it (the asking machine's clock, as all `at` here)
    last_at: float  # last listing that showed it
    no_job_at: float | None = None  # last listing that showed it without a job
    gone_by: float | None = None  # first complete listing that did not show it any more: somebody deleted it
    deleted_at: float | None = None  # a DeleteDispatch call that is in the evidence


@dataclass(slots=True)
class Present:
    """A participant (one connection, `PA_…`) as the listings of its room showed it."""

    changes: list[tuple[float, ParticipantInfo]]
    place: Place
    last_at: float
    gone_by: float | None = None

    @property
    def info(self) -> ParticipantInfo:
        """As listed last."""
        return self.changes[-1][1]


class Look(NamedTuple):
    """A complete listing of a room's participants. `gap`: seconds since the one before it, at most."""

    at: float
    gap: float


@dataclass(slots=True)
class Life:
    """One life of one room as the API showed it. `sid` is empty when only its name was ever listed."""

    name: str
    sid: str
    first_at: float
    last_at: float
    info: RoomInfo | None = None
    place: Place | None = None
    gone_by: float | None = None
    dispatches: dict[str, Seen] = field(default_factory=dict)
    participants: dict[str, Present] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)  # complete participant listings
    dispatches_at: float | None = None  # last complete dispatch listing
    creations: list[Snapshot] = field(default_factory=list)  # CreateRoom calls with their answers


@dataclass(slots=True)
class Samples:
    """Everything that the API was seen to list."""

    lives: list[Life] = field(default_factory=list)
    sampled: Sampled | None = None
    latest: float = 0.0  # the latest time that the server itself named
    _now: dict[tuple[str, str], Life] = field(default_factory=dict)  # source and room name -> its life at the moment

    @classmethod
    def of(cls, snapshots: Iterable[Snapshot]) -> Samples:
        """Sort `snapshots` (in any order) into lives; rooms of lkdoctor's own are left out."""
        found = cls()
        for one in sorted(snapshots, key=lambda one: one.at):
            found._take(one)
        return found

    def _take(self, one: Snapshot) -> None:
        data = one.data
        if isinstance(data, RoomsListed):
            self._rooms(one, data)
        elif isinstance(data, DispatchesListed):
            if not own(data.room):
                self._dispatches(one, data)
        elif isinstance(data, ParticipantsListed):
            if not own(data.room):
                self._participants(one, data)
        elif not own(data.room) and data.status == 200:
            self._called(one, data)

    def _count(self, at: float) -> Sampled:
        if self.sampled is None:
            self.sampled = Sampled(at, at, samples=0, every_room=False)
        self.sampled.last_at = at
        return self.sampled

    # -- rooms --------------------------------------------------------------------------------------------------------

    def _rooms(self, one: Snapshot, data: RoomsListed) -> None:
        sampled = self._count(one.at)
        sampled.samples += 1 + one.repeats
        sampled.every_room = sampled.every_room or one.complete
        listed = set()
        for info in data.rooms:
            if own(info.name):
                continue
            listed.add(info.sid)
            self._live(info, one)
        if one.complete:
            for key, life in list(self._now.items()):
                # A life without an id was never listed: it may have been made after this listing was drawn up.
                if key[0] == one.place.source and life.sid and life.sid not in listed:
                    self._end(key, life, one.at)

    def _live(self, info: RoomInfo, one: Snapshot) -> Life:
        life = self._life(info.name, one, info.sid)
        life.info = info
        life.place = life.place or one.place
        return life

    def _end(self, key: tuple[str, str], life: Life, at: float) -> None:
        life.gone_by = at
        for present in life.participants.values():
            present.gone_by = present.gone_by or at
        del self._now[key]

    def _life(self, name: str, one: Snapshot, sid: str = "", made: float | None = None) -> Life:
        """The life that a listing is of. `made` is a time before which it had begun, by what stands in the listing."""
        key = (one.place.source, name)
        known = self._now.get(key)
        if known is not None and sid and known.sid and known.sid != sid:
            self._end(key, known, one.at)
            known = None
        if known is None:
            known = self._of_before(name, sid, made) or Life(name, sid, one.at, one.at)
            if known.gone_by is None:
                self.lives.append(known)
            known.gone_by = None
            self._now[key] = known
        known.sid = known.sid or sid
        known.last_at = one.at
        return known

    def _of_before(self, name: str, sid: str, made: float | None) -> Life | None:
        """A life that a listing of all rooms had left out, and that shows itself again: that listing was of another server
        or of another moment."""
        for life in reversed(self.lives):
            if life.name == name and life.gone_by is not None:
                same = life.sid == sid if sid else made is not None and made < life.gone_by
                return life if same else None
        return None

    # -- what is in them ----------------------------------------------------------------------------------------------

    def _dispatches(self, one: Snapshot, data: DispatchesListed) -> None:
        self._count(one.at)
        sid = next((job.room.sid for d in data.dispatches for job in d.state.jobs if job.room and job.room.sid), "")
        made = min((info.created for info in data.dispatches if info.created is not None), default=None)
        life = self._life(data.room, one, sid, made)
        for info in data.dispatches:
            if not own(info.agent_name):
                self._dispatch(life, info, one)
        if one.complete:
            life.dispatches_at = one.at
            listed = {info.id for info in data.dispatches}
            for seen_id, seen in life.dispatches.items():
                if seen_id not in listed:
                    seen.gone_by = seen.gone_by or one.at

    def _dispatch(self, life: Life, info: DispatchInfo, one: Snapshot) -> Seen:
        seen = life.dispatches.get(info.id)
        if seen is None:
            seen = life.dispatches[info.id] = Seen(info, one.place, one.at, one.at)
        elif len(info.state.jobs) >= len(seen.info.state.jobs):
            # The answer of the call that made it, which has no jobs, may be sorted after a listing of the same moment.
            if info != seen.info:
                seen.place = one.place
            seen.info = info
        seen.last_at = one.at
        seen.gone_by = None
        if not info.state.jobs:
            seen.no_job_at = one.at
            if not seen.info.state.jobs:
                seen.place = one.place  # the later it is, the more it says that there is no job
        for job in info.state.jobs:
            self.latest = max(self.latest, job.state.started or 0.0, job.state.ended or 0.0)
        self.latest = max(self.latest, info.created or 0.0)
        return seen

    def _participants(self, one: Snapshot, data: ParticipantsListed) -> None:
        self._count(one.at)
        if not data.participants and (one.place.source, data.room) not in self._now:
            return  # a room that is not there lists nobody, too
        joined = min((info.joined for info in data.participants if info.joined is not None), default=None)
        life = self._life(data.room, one, made=joined)
        listed = set()
        for info in data.participants:
            if own(info.identity) and not own(data.room):
                continue  # somebody listens to that room with lkdoctor
            listed.add(info.sid)
            present = life.participants.get(info.sid)
            if present is None:
                life.participants[info.sid] = Present([(one.at, info)], one.place, one.at)
            else:
                if present.info != info:
                    present.changes.append((one.at, info))
                present.last_at = one.at
                present.gone_by = None  # left out once, by a listing of another moment, and there again
            self.latest = max(self.latest, info.joined or 0.0)
        if one.complete:
            before = life.looks[-1].at if life.looks else one.at
            life.looks.append(Look(one.at, one.gap or one.at - before))
            for sid, present in life.participants.items():
                if sid not in listed:
                    present.gone_by = present.gone_by or one.at

    def _called(self, one: Snapshot, data: Called) -> None:
        if data.call.endswith("/CreateRoom") and data.made_room is not None:
            self._live(data.made_room, one).creations.append(one)
        elif data.call.endswith("/CreateDispatch") and data.made_dispatch is not None:
            life = self._life(data.room, one, made=data.made_dispatch.created)
            if not own(data.made_dispatch.agent_name):
                self._dispatch(life, data.made_dispatch, one)
        elif data.call.endswith("/DeleteDispatch") and data.made_dispatch is not None:
            life = self._life(data.room, one, made=data.made_dispatch.created)
            seen = self._dispatch(life, data.made_dispatch, one)
            seen.deleted_at = one.at
        elif data.call.endswith("/DeleteRoom"):
            key = (one.place.source, data.room)
            if key in self._now:
                self._end(key, self._now[key], one.at)
