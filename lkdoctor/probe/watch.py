"""Watches a room as a hidden participant of kind agent: who comes and goes, whose audio sounds, what is transcribed.

Seen on real servers: a hidden participant is announced to nobody, counts in no number and keeps no room open; one of kind
agent raises no job either, and no agent with default options links to it. From some 1.9 on (1.9.12, 1.11.0, 1.13.5) it
does not even count as a subscriber, so an agent that waits for a listener goes on waiting; on 1.8.4 it does count. The
server's log and webhooks show it come and go.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.target import Target
from lkdoctor.dispatch.listings import RoomInfo
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.talks import SILENT, STEP
from lkdoctor.probe import media
from lkdoctor.probe.calls import Calls, ProbeError
from lkdoctor.probe.recorder import Say, fresh, nobody
from lkdoctor.probe.watching import Notebook, TrackNotes

if TYPE_CHECKING:
    from livekit import rtc

TOPIC: Final = "lk.transcription"
_TRACK: Final = "lk.transcribed_track_id"
_FINAL: Final = "lk.transcription_final"
_SEGMENT: Final = "lk.segment_id"
_RATE: Final = 16_000
_LISTING: Final = 5.0  # s between two looks at the API: for times of joining, and for who the jobs belong to
_WAITING: Final = 0.5  # s between two looks for a room that is not there yet


async def watch(target: Target, gathered: Gathered, say: Say, room: str, seconds: float, wait: float = 0.0) -> None:
    """Watch `room` for `seconds`; what was noticed becomes facts in `gathered`, whatever ends it.

    `wait`: so many seconds a room that is not there yet is waited for; it is never made.

    Raises:
        ProbeError: the room is not there, or nobody could join it.
    """
    import aiohttp  # noqa: PLC0415 - only for who talks to a server

    if lacks := media.missing():
        raise ProbeError("not-tested", lacks)
    async with aiohttp.ClientSession() as http:
        calls = Calls(target, http)
        found = await _there(calls, room, wait, say)
        listener = _Listener(calls, Notebook(room, fresh("listener"), seconds), say)
        try:
            await listener.listen(target, found, seconds)
        finally:
            if listener.notes.started_at:
                _keep(listener.notes, target, gathered)


def _keep(notes: Notebook, target: Target, gathered: Gathered) -> None:
    source = f"talk in {notes.room} of {target.url}"
    facts = list(notes.facts(source))
    for fact in facts:
        gathered.add(fact)
    gathered.notes.append(SourceNote(source, "talk", lines=len(facts), first_at=notes.started_at, last_at=notes.now()))


async def _there(calls: Calls, room: str, wait: float, say: Say) -> RoomInfo:
    """The room, once it is there. Joining would make a missing one, and call the agents that serve any room.

    Raises:
        ProbeError: it is not.
    """
    until = time.monotonic() + wait
    while True:
        rooms = await calls.rooms([room])
        if rooms:
            return rooms[0]
        if time.monotonic() >= until:
            break
        say(f"waiting for the room {room}")
        await asyncio.sleep(_WAITING)
    names = [one.name for one in await calls.rooms()]
    near = difflib.get_close_matches(room, names, 3, 0.6) or sorted(names)[:3]
    there = f"there {'is' if len(names) == 1 else 'are'} {len(names) or 'none'}{', such as ' if near else ''}"
    told = f"{there}{', '.join(repr(name) for name in near)}" if names else "it has none"
    raise ProbeError("never", f"the server has no room {room!r} ({told}); nothing was joined, so none was made")


@dataclass(slots=True)
class _Listener:
    """The one visit."""

    calls: Calls
    notes: Notebook
    say: Say
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _segments: set[str] = field(default_factory=set)

    async def listen(self, target: Target, found: RoomInfo, seconds: float) -> None:
        """Join, note, and leave."""
        from livekit import rtc  # noqa: PLC0415 - an extra, and heavy

        # Should the room close between the look and the join, the server would make it anew. Then it is one that calls
        # nobody's agent and closes at once.
        config: dict[str, Any] = {**nobody()["roomConfig"], "emptyTimeout": 1, "departureTimeout": 1}  # type: ignore[dict-item]
        token = target.token(
            identity=self.notes.identity,
            life=seconds + 600,
            claims={"kind": "agent", "roomConfig": config},
            room_join=True,
            room=self.notes.room,
            hidden=True,
            agent=True,
            can_publish=False,
            can_publish_data=False,
            can_subscribe=True,
        )
        room = rtc.Room()
        self._attend(room)
        guest = await media.enter(target.ws_url, token, listen=True, room=room)
        try:
            self.notes.room_id = await asyncio.wait_for(room.sid, media.JOINING)
            if found.sid and self.notes.room_id != found.sid:
                raise ProbeError("lost", f"the room {self.notes.room} closed before it could be watched")
            self.notes.made_at, self.notes.empty_timeout = found.created_at, found.empty_timeout
            self.notes.started_at = self.notes.now()
            for one in room.remote_participants.values():
                self._came(one)
            await self._follow(seconds)
        except asyncio.CancelledError:
            self.notes.ended, self.notes.why = "interrupted", "it was interrupted"
            raise
        finally:
            self.over.set()
            self.notes.ended_at = self.notes.now()
            for task in self._tasks:
                task.cancel()
            await guest.leave()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, seconds: float) -> None:
        """Until the time is over or the room is."""
        until = time.monotonic() + seconds
        list_again = 0.0
        while (left := until - time.monotonic()) > 0 and not self.over.is_set():
            if time.monotonic() >= list_again:
                list_again = time.monotonic() + _LISTING
                await self._list()
            self.say(f"watching {self.notes.room}: {self._in_words()}, {left:.0f} s more")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.over.wait(), min(left, 1.0))
        if not self.over.is_set():
            await self._list()
            self.over.set()  # that this listener leaves now is no end of its own

    async def _list(self) -> None:
        """What the API adds; a call that fails takes nothing away."""
        try:
            self.notes.listed(await self.calls.participants(self.notes.room))
            self.notes.dispatched(await self.calls.dispatches(self.notes.room))
        except ProbeError:
            pass

    def _in_words(self) -> str:
        here = [one for one in self.notes.people if one.until is None]
        agents = sum(one.kind == "AGENT" for one in here)
        return f"{agents} agent{'' if agents == 1 else 's'} of {len(here)} there"

    # -- what the room says --------------------------------------------------------------------------------------------

    def _attend(self, room: rtc.Room) -> None:
        handlers: dict[str, Callable[..., None]] = {
            "participant_connected": self._came,
            "participant_disconnected": self._went,
            "participant_attributes_changed": lambda _, one: self._came(one),
            "track_published": self._published,
            "track_unpublished": lambda publication, _: self._unpublished(publication),
            "track_muted": lambda _, publication: self._muted(publication, now=True),
            "track_unmuted": lambda _, publication: self._muted(publication, now=False),
            "track_subscribed": self._subscribed,
            "disconnected": self._disconnected,
            # It would come back by itself, after a restart of the server into a room that it makes.
            "reconnecting": lambda: self._end("lost", "the connection to the server was lost"),
        }
        for event, handler in handlers.items():
            room.on(event, handler)  # type: ignore[arg-type]
        room.register_text_stream_handler(TOPIC, self._transcript)

    def _end(self, how: Any, why: str) -> None:
        if not self.over.is_set():
            self.notes.ended, self.notes.why = how, why
            self.over.set()

    def _disconnected(self, reason: object = None) -> None:
        from livekit import rtc  # noqa: PLC0415

        if reason == rtc.DisconnectReason.ROOM_CLOSED:
            self._end("closed", "the server closed the room")
        elif reason == rtc.DisconnectReason.ROOM_DELETED:
            self._end("deleted", "the room was deleted")
        else:
            self._end("lost", "the server ended the connection")

    def _came(self, one: rtc.RemoteParticipant) -> None:
        person = self.notes.came(one.identity, one.sid, _kind(one.kind))
        person.attributes(dict(one.attributes), self.notes.now())
        for publication in one.track_publications.values():
            self._published(publication, one)

    def _went(self, one: rtc.RemoteParticipant) -> None:
        from livekit import rtc  # noqa: PLC0415

        reason = one.disconnect_reason
        self.notes.went(one.identity, one.sid, rtc.DisconnectReason.Name(reason) if reason else "")

    def _published(self, publication: rtc.RemoteTrackPublication, one: rtc.RemoteParticipant) -> None:
        from livekit import rtc  # noqa: PLC0415

        self.notes.came(one.identity, one.sid, _kind(one.kind))
        kind = "AUDIO" if publication.kind == rtc.TrackKind.KIND_AUDIO else "VIDEO"
        source = rtc.TrackSource.Name(publication.source).removeprefix("SOURCE_")
        track = TrackNotes(publication.sid, kind, publication.name, source, self.notes.now())
        self.notes.published(one.identity, track, muted=publication.muted)

    def _unpublished(self, publication: rtc.RemoteTrackPublication) -> None:
        if (track := self.notes.track(publication.sid)) is not None:
            track.until = self.notes.now()

    def _muted(self, publication: rtc.TrackPublication, *, now: bool) -> None:
        if (track := self.notes.track(publication.sid)) is not None:
            track.muted.append((self.notes.now(), now))

    def _subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, one: rtc.RemoteParticipant
    ) -> None:
        from livekit import rtc  # noqa: PLC0415

        self._published(publication, one)
        noted = self.notes.track(publication.sid)
        if noted is not None and publication.kind == rtc.TrackKind.KIND_AUDIO:
            self._task(_hear(track, noted))

    def _transcript(self, reader: rtc.TextStreamReader, identity: str) -> None:
        # An agent's own words are one stream. What its session understood of another comes under the other's name, whole
        # and anew each time, the final text at last: so a stream that is not the first of its segment is somebody else's.
        segment = (reader.info.attributes or {}).get(_SEGMENT, "")
        own = segment not in self._segments
        self._segments.add(segment)

        async def read() -> None:
            text = await reader.read_all()
            told = reader.info.attributes or {}
            if told.get(_FINAL) == "true":
                self.notes.transcribed(identity, told.get(_TRACK, ""), text, own=own)

        self._task(read())

    def _task(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _hear(track: rtc.Track, noted: TrackNotes) -> None:
    """The loudness of each STEP of the track, as long as it is there."""
    import numpy as np  # noqa: PLC0415 - comes with livekit
    from livekit import rtc  # noqa: PLC0415

    stream = rtc.AudioStream(track, sample_rate=_RATE, num_channels=1, frame_size_ms=round(STEP * 1000))
    try:
        async for event in stream:
            if noted.sound_since is None:
                noted.sound_since = time.time() - STEP
            samples = np.frombuffer(event.frame.data, np.int16).astype(np.float64)
            power = float(np.mean(np.square(samples))) / 32768**2 if len(samples) else 0.0
            noted.levels.append(SILENT if power <= 10 ** (SILENT / 10) else round(10 * float(np.log10(power))))
    finally:
        await stream.aclose()


def _kind(kind: Any) -> str:
    from livekit import rtc  # noqa: PLC0415

    try:
        return rtc.ParticipantKind.Name(kind).removeprefix("PARTICIPANT_KIND_")
    except ValueError:  # a kind that this package is too old for
        return f"KIND_{kind}"
