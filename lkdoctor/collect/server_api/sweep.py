"""Lists a live server's rooms with their dispatches and participants, once or again and again, and says what is missing.

It changes nothing on the server. Rooms come and go while they are asked about, and ListDispatch takes 3 s to refuse a room
that is in no node's memory. So a call that is slow gets a stand-in for its turn, the rooms are listed afresh, and a room
that is not listed any more is dropped: it is gone, which is no error.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api.changes import Changes
from lkdoctor.collect.server_api.client import LIST_DISPATCH, LIST_PARTICIPANTS, Client
from lkdoctor.collect.server_api.exchanges import Exchange, snapshot
from lkdoctor.collect.server_api.protojson import Rooms
from lkdoctor.collect.server_api.words import clock
from lkdoctor.dispatch.facts import OWN_PREFIX, Place
from lkdoctor.dispatch.listings import RoomInfo
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.wording import counted

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target

_SLOW: Final = 1.0  # s after which a room is looked for afresh; usual answers come within 10 ms
_STAND_INS: Final = 48  # slow calls beside `concurrency`
_LOST: Final = 5  # calls in a row without any answer: the server is gone or stands still
CALL_SECONDS: Final = 5.0  # for one call
_REFUSED: Final = 5  # the same call in a row not allowed or not known: it is so for all rooms
_NEVER: Final = frozenset({401, 403, 404, 405})  # asking again does not help
_INTERVAL: Final = 2.0  # s between the samples of a watch, at least
_LONGEST_PAUSE: Final = 30.0  # s
_PROGRESS: Final = 0.1  # s
_MOST_GAPS: Final = 12  # of a long watch the first ones are told


async def collect(
    target: Target,
    gathered: Gathered,
    say: Callable[[str], None],
    *,
    rooms: tuple[str, ...] = (),
    watch: float = 0.0,
    interval: float = _INTERVAL,
    timeout: float = 60.0,
    call_timeout: float = CALL_SECONDS,
    concurrency: int = 16,
    record: Callable[[bytes], object] | None = None,
) -> None:
    """List all rooms of the server, or those named `rooms`, with what is in them, into `gathered`.

    `watch` repeats it for so many seconds, at least `interval` apart and resting as long as a sample takes; the last sample
    comes at the end. `timeout` and `call_timeout` are the longest that one sample and one call may take, in seconds.
    `record` gets every exchange as a masked line of `api.jsonl`. Times of the snapshots are those of the asking.

    What cannot be learned stands in the source's note. Cancelling keeps what was learned.
    """
    note = SourceNote(target.url, "api")
    gathered.notes.append(note)
    if not target.has_key:
        note.unusable = (
            "without an API key and secret the API cannot be asked; set LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        )
        return
    log = _Log(note, Changes(gathered), record)
    try:
        async with Client(target, call_timeout) as client:
            sampler = _Sampler(client, log, say, rooms, timeout, concurrency)
            await _watch(sampler, watch, interval)
    finally:
        log.close()


async def _watch(sampler: _Sampler, watch: float, interval: float) -> None:
    now = asyncio.get_running_loop().time
    began = now()
    while True:
        sample = now()
        can_go_on = await sampler.sample()
        took = now() - sample
        left = began + watch - now()
        if left <= 0 or not can_go_on:
            return
        pause = min(max(interval - took, took), _LONGEST_PAUSE, left)
        sampler.say(f"watching: {now() - began:.0f} of {watch:g} s, {counted(sampler.seen, 'room')}")
        await asyncio.sleep(pause)


@dataclass(slots=True)
class _Log:
    """Where exchanges go: snapshots, the recording, and gaps into the note."""

    note: SourceNote
    changes: Changes
    record: Callable[[bytes], object] | None
    learned: bool = False
    first_gap: str = ""

    def take(self, one: Exchange) -> None:
        note = self.note
        if self.record is not None:
            self.record(one.line())
        if one.gap:
            note.skipped[one.gap] = note.skipped.get(one.gap, 0) + 1
            self.first_gap = self.first_gap or one.gap
            return
        note.first_at = one.at if note.first_at is None else min(note.first_at, one.at)
        note.last_at = one.at if note.last_at is None else max(note.last_at, one.at)
        path = f"{one.call.rpartition('/')[2]}{' ' * bool(one.room)}{one.room} @{one.at:.3f}"
        found = snapshot(one, Place(note.name, None, path))
        if found is not None:
            self.learned = True
            self.changes.add(found)

    def gap(self, words: str) -> None:
        if words not in self.note.notes and len(self.note.notes) < _MOST_GAPS:
            self.note.notes.append(words)

    def close(self) -> None:
        self.changes.close()
        if not self.learned and not self.note.unusable:
            self.note.unusable = self.first_gap or "it was interrupted before the first answer"


@dataclass(slots=True)
class _Sampler:
    """Takes one sample after the other."""

    client: Client
    log: _Log
    say: Callable[[str], None]
    names: tuple[str, ...]
    seconds: float
    concurrency: int
    seen: int = 0  # rooms of the last sample
    _queue: deque[str] = field(default_factory=deque)
    _workers: set[asyncio.Task[None]] = field(default_factory=set)
    _stand_ins: int = 0
    _live: frozenset[str] = frozenset()
    _listed_at: float = 0.0  # by the loop's clock
    _listing: asyncio.Task[Exchange] | None = None
    _silent: int = 0
    _refused: dict[str, int] = field(default_factory=dict)  # by call
    _asked: int = 0
    _said_at: float = 0.0
    _time_over: bool = False
    _nowhere: dict[str, None] = field(default_factory=dict)  # rooms that are listed, but in no node's memory

    async def sample(self) -> bool:
        """One sample; False when another one could not tell more."""
        self.say("listing the rooms")
        self._silent = self._stand_ins = self._asked = 0
        self._time_over = False
        listed = await self._list()
        if not isinstance(listed.answer, Rooms):
            return listed.status not in _NEVER
        found = [one for one in listed.answer.rooms if not one.name.startswith(OWN_PREFIX)]
        missing = sorted(set(self.names) - {one.name for one in found})
        others = await self._others() if missing else []
        for name in missing:
            by_low = {one.lower(): one for one in others}
            near = " or ".join(by_low[one] for one in difflib.get_close_matches(name.lower(), by_low, n=3))
            self.log.gap(f"{clock(listed.at)}: the server lists no room {name}{near and f' (did you mean {near}?)'}")
        # Should the time not suffice for all: those with somebody in them first, of these the youngest.
        found.sort(key=lambda one: (one.num_participants == 0, -one.creation_time, one.name))
        self._queue = deque(one.name for one in found)
        self.seen = len(found)
        try:
            await self._ask_all()
        finally:
            await _cancel(self._workers)
            if self._listing is not None:
                await _cancel({self._listing})
                self._listing = None
            if self._nowhere:
                self.log.gap(_no_node(list(self._nowhere)))
            if self._asked < self.seen:
                self._tell_unasked(listed.at, found)
        return True

    async def _ask_all(self) -> None:
        deadline = asyncio.get_running_loop().time() + self.seconds
        for _ in range(min(self.concurrency, self.seen)):
            self._hire()
        while self._workers and not self._lost():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                self._time_over = True
                return
            done, _ = await asyncio.wait(self._workers, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self._workers -= done
            for one in done:
                one.result()

    def _tell_unasked(self, at: float, found: list[RoomInfo]) -> None:
        reason = "it was interrupted"
        if self._lost():
            reason = "the server stopped answering"
        elif self._time_over:
            reason = "the time was over"
        missing = self.seen - self._asked
        first = ", ".join(list(self._queue)[:3])
        self.log.gap(
            f"{clock(at)}: {missing:,} of {counted(len(found), 'room')} were not asked for their dispatches and participants,"
            f" {reason}{f' ({first} …)' if first else ''}"
        )

    def _lost(self) -> bool:
        return self._silent >= _LOST

    def _hire(self) -> None:
        self._workers.add(asyncio.ensure_future(self._work()))

    async def _work(self) -> None:
        while self._queue and not self._lost():
            room = self._queue.popleft()
            headers = self.client.admin(room)
            replaced = False
            gone = False
            if self._allowed(LIST_DISPATCH):
                replaced, gone = await self._dispatches(room, headers)
            if not gone and not self._lost() and self._allowed(LIST_PARTICIPANTS):
                self._about_room(await self.client.list_participants(room, headers))
            if self._lost():
                self._queue.appendleft(room)
                return
            self._asked += 1
            self._progress()
            if replaced:  # the one who stood in goes on
                self._stand_ins -= 1
                return

    async def _dispatches(self, room: str, headers: dict[str, str]) -> tuple[bool, bool]:
        """Asks for a room's dispatches; returns whether somebody stands in for this worker, and whether the room is gone."""
        call = asyncio.ensure_future(self.client.list_dispatch(room, headers))
        replaced = False
        try:
            await asyncio.wait({call}, timeout=_SLOW)
            if not call.done():
                replaced = self._replace()
                if await self._is_gone(room):
                    return replaced, True
            answer = await call
            if answer.status == 503:
                if await self._is_gone(room):
                    return replaced, True
                self._nowhere[room] = None
        finally:
            if not call.done():
                await _cancel({call})
        self._about_room(answer)
        return replaced, False

    def _allowed(self, call: str) -> bool:
        return self._refused.get(call, 0) < _REFUSED

    def _about_room(self, one: Exchange) -> None:
        if self._allowed(one.call):  # else it was under way when that was found
            self._refused[one.call] = self._refused.get(one.call, 0) + 1 if one.status in _NEVER else 0
            if not self._allowed(one.call):
                self.log.gap(f"it was not asked of the other rooms: {one.gap}")
        self._take(one)

    def _replace(self) -> bool:
        if self._stand_ins >= _STAND_INS:
            return False
        self._stand_ins += 1
        self._hire()
        return True

    async def _is_gone(self, room: str) -> bool:
        """True when the server does not list the room any more; the rooms are listed afresh, all who wait share it."""
        loop = asyncio.get_running_loop()
        if self._listing is None and loop.time() - self._listed_at > _SLOW:
            self._listing = asyncio.ensure_future(self._list())
        if self._listing is not None:
            listing = self._listing
            try:
                answer = await asyncio.shield(listing)
            finally:
                if listing.done():
                    self._listing = None
            if not isinstance(answer.answer, Rooms):
                return False
        return room not in self._live

    async def _others(self) -> list[str]:
        """What the rooms are called, for who misspelt one; they are not looked into."""
        every = await self.client.list_rooms()
        listed = every.answer.rooms if isinstance(every.answer, Rooms) else []
        return sorted(one.name for one in listed if not one.name.startswith(OWN_PREFIX))

    async def _list(self) -> Exchange:
        """Lists the rooms; those that are still to be asked but gone are dropped."""
        listed = await self.client.list_rooms(self.names)
        self._take(listed)
        if isinstance(listed.answer, Rooms):
            self._live = frozenset(one.name for one in listed.answer.rooms)
            self._listed_at = asyncio.get_running_loop().time()
            here = [room for room in self._queue if room in self._live]
            self._asked += len(self._queue) - len(here)
            self._queue = deque(here)
        return listed

    def _take(self, one: Exchange) -> None:
        self._silent = self._silent + 1 if one.status == 0 else 0
        self.log.take(one)

    def _progress(self) -> None:
        now = time.monotonic()
        if now - self._said_at >= _PROGRESS:
            self._said_at = now
            self.say(f"{self._asked:,} of {counted(self.seen, 'room')}")


def _no_node(rooms: list[str]) -> str:
    """Redis keeps the rooms of a node that died; seen with two nodes of 1.13.5, one killed: they stayed listed."""
    first = ", ".join(rooms[:3])
    return (
        f"{counted(len(rooms), 'listed room')} ({first}{', …' if len(rooms) > 3 else ''}) answered 503 to ListDispatch: as far as "
        "the API tells, no running node has them"
    )


async def _cancel(tasks: set[asyncio.Task[None]] | set[asyncio.Task[Exchange]]) -> None:
    """Ends tasks and waits until they have ended."""
    for one in tasks:
        one.cancel()
    if tasks:
        await asyncio.wait(tasks)
    tasks.clear()
