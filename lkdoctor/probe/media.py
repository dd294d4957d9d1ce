"""Joins a room over media with livekit's rtc package, which is an extra: `pip install 'lkdoctor[probe]'`."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lkdoctor.probe.calls import ProbeError

if TYPE_CHECKING:
    from livekit import rtc

#: Seconds for signalling, ICE and the data channels.
JOINING: Final = 10.0
_LEAVING: Final = 2.0
_WAITED_OUT: Final = 5.0


def missing() -> str:
    """Why nobody can join, with what to do; empty when it can be done."""
    try:
        there = importlib.util.find_spec("livekit.rtc") is not None
    except ModuleNotFoundError:
        there = False
    if there:
        return ""
    return "the package `livekit` is not installed, so nobody joined (pip install livekit)"


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent participant as a person in the room sees it."""

    state: str  # lk.agent.state; empty without one
    audio: bool


@dataclass(slots=True)
class Guest:
    """Somebody in a room."""

    room: rtc.Room
    _sounding: asyncio.Task[None] | None = None

    async def make_silence(self) -> None:
        """Publish a microphone track and keep sending silence: for the server that is a publisher.

        Raises:
            ProbeError: the track was not published in time.
        """
        from livekit import rtc  # noqa: PLC0415 - an extra, and heavy

        source = rtc.AudioSource(48000, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publishing = asyncio.ensure_future(self.room.local_participant.publish_track(track, options))
        await asyncio.wait({publishing}, timeout=JOINING)
        if not publishing.done():
            publishing.cancel()
            raise ProbeError("rtc", f"the silent track was not published within {JOINING:g} s")
        if (error := publishing.exception()) is not None:
            raise ProbeError("rtc", f"the silent track could not be published: {error}")
        self._sounding = asyncio.create_task(_silence(source))

    @property
    def connected(self) -> bool:
        """False while the connection is lost, and after."""
        from livekit import rtc  # noqa: PLC0415

        return self.room.connection_state == rtc.ConnectionState.CONN_CONNECTED

    def agents(self) -> dict[str, Agent]:
        """The agents in the room, by identity."""
        from livekit import rtc  # noqa: PLC0415

        return {
            identity: Agent(
                one.attributes.get("lk.agent.state", ""),
                any(each.kind == rtc.TrackKind.KIND_AUDIO for each in one.track_publications.values()),
            )
            for identity, one in self.room.remote_participants.items()
            if one.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        }

    async def leave(self) -> None:
        """Leave in order, as far as the server answers."""
        if self._sounding is not None:
            self._sounding.cancel()
            await asyncio.gather(self._sounding, return_exceptions=True)
        await _leave(self.room)


async def _leave(room: rtc.Room) -> None:
    leaving = asyncio.ensure_future(room.disconnect())
    await asyncio.wait({leaving}, timeout=_LEAVING)  # not wait_for: that waits for what does not heed its cancelling
    if leaving.done():
        leaving.exception()
    else:
        leaving.cancel()


async def _silence(source: rtc.AudioSource) -> None:
    from livekit import rtc  # noqa: PLC0415

    while True:
        await source.capture_frame(rtc.AudioFrame(b"\0\0" * 960, 48000, 1, 960))


async def enter(ws_url: str, token: str, *, listen: bool = False, room: rtc.Room | None = None) -> Guest:
    """Join with this token; `listen` subscribes to every track, which agents wait for before they speak. `room` is one
    whose events somebody attends to already.

    Raises:
        ProbeError: no media connection came about in time.
    """
    from livekit import rtc  # noqa: PLC0415

    quiet = logging.getLogger("livekit")  # what matters comes back as an exception; stderr is the user's
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    room = rtc.Room() if room is None else room
    connecting = asyncio.ensure_future(room.connect(ws_url, token, rtc.RoomOptions(auto_subscribe=listen)))
    try:
        await asyncio.wait({connecting}, timeout=JOINING)
    except asyncio.CancelledError:
        await _abandon(room, connecting)
        raise
    if not connecting.done():
        await _abandon(room, connecting)
        raise ProbeError("rtc", f"no media connection within {JOINING:g} s")
    if (error := connecting.exception()) is not None:
        raise ProbeError("rtc", f"no media connection: {error}")
    return Guest(room)


async def _abandon(room: rtc.Room, connecting: asyncio.Future[None]) -> None:
    """An attempt to join cannot be called back. It is waited out and then left: if it came through after the room was
    deleted, the server would make the room anew."""
    await asyncio.wait({connecting}, timeout=_WAITED_OUT)
    if not connecting.done():
        connecting.cancel()
    elif connecting.exception() is None:
        await _leave(room)
