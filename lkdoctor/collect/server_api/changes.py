"""Keeps of repeated listings what changed: the first and the last of each run of equal ones.

A watch asks for the same few thousand listings again and again. Of each listing (all rooms, the dispatches of one room, its
participants) the first is kept, and of those that say the same after it only the latest, which is handed on when the next
one differs or at the end. So it stays known when something was seen first and last, and what it was just before it
changed; `Snapshot.repeats` counts the equal ones left out before a kept one. A recorded watch is read in the same way, so
it tells what the watch itself told.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api.words import say
from lkdoctor.dispatch.listings import Called, Data, DispatchesListed, RoomInfo, RoomsListed, Snapshot

_Key = tuple[str, str, bool]


@dataclass(slots=True)
class _Run:
    """Listings of one thing that say the same: what they say, and the latest one if it is not handed on yet."""

    data: Data
    latest: Snapshot | None = None
    line: int | None = None
    repeats: int = 0
    at: float = 0.0  # of the last one that was taken
    gap: float = 0.0  # s, the longest time between two of them


@dataclass(slots=True)
class Changes:
    """Hands snapshots on to `gathered`, with the words that prove them; `close` hands on the last ones."""

    gathered: Gathered
    _runs: dict[_Key, _Run] = field(default_factory=dict)
    _rooms: dict[str, RoomInfo] = field(default_factory=dict)

    def add(self, one: Snapshot, line: int | None = None) -> None:
        """Take the next snapshot, in order of time; `line` is its line number in a file."""
        if isinstance(one.data, Called):
            self._hand_on(one, line)
            return
        if isinstance(one.data, RoomsListed):
            one = self._shared(one, one.data)
        key = _key(one.data, complete=one.complete)
        run = self._runs.get(key)
        if run is not None and run.data == one.data:
            run.repeats += run.latest is not None
            run.gap, run.at = max(run.gap, one.at - run.at), one.at
            run.latest, run.line = one, line
            return
        if run is not None:
            self._end(run)
        self._runs[key] = _Run(one.data, at=one.at)
        self._hand_on(one, line)

    def close(self) -> None:
        """Hand on the latest of every run: it was still so then."""
        for run in self._runs.values():
            self._end(run)

    def _end(self, run: _Run) -> None:
        if run.latest is not None:
            latest = msgspec.structs.replace(run.latest, data=run.data, repeats=run.repeats, gap=run.gap)
            self._hand_on(latest, run.line)
            run.latest, run.repeats, run.gap = None, 0, 0.0

    def _hand_on(self, one: Snapshot, line: int | None) -> None:
        self.gathered.quote(one.place, say(one.at, one.data), line)
        self.gathered.snapshots.append(one)

    def _shared(self, one: Snapshot, data: RoomsListed) -> Snapshot:
        """`one` with those of its rooms that did not change since being the same objects: 2,000 rooms are listed often."""
        before, self._rooms = self._rooms, {}
        rooms = []
        for room in data.rooms:
            known = before.get(room.sid)
            self._rooms[room.sid] = known if known == room and known is not None else room
            rooms.append(self._rooms[room.sid])
        return msgspec.structs.replace(one, data=RoomsListed(tuple(rooms)))


def _key(data: Data, *, complete: bool) -> _Key:
    if isinstance(data, RoomsListed):
        return "rooms", "", complete
    return "dispatches" if isinstance(data, DispatchesListed) else "participants", getattr(data, "room", ""), complete
