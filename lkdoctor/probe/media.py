"""Joins a room over media with livekit's rtc package, which is an extra: `pip install 'lkdoctor[probe]'`."""

from __future__ import annotations

import asyncio
import contextlib
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


def missing() -> str:
    """Why nobody can join, with what to do; empty when it can be done."""
    try:
        there = importlib.util.find_spec("livekit.rtc") is not None
    except ModuleNotFoundError:
        there = False
    if there:
        return ""
    return "the package `livekit` is not installed, so nobody joined (pip install 'lkdoctor[probe]')"


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
        try:
            await asyncio.wait_for(self.room.local_participant.publish_track(track, options), JOINING)
        except (asyncio.TimeoutError, rtc.participant.PublishTrackError) as error:
            raise ProbeError("rtc", f"the silent track could not be published: {str(error) or 'no answer'}") from None
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
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.room.disconnect(), _LEAVING)


async def _silence(source: rtc.AudioSource) -> None:
    from livekit import rtc  # noqa: PLC0415

    while True:
        await source.capture_frame(rtc.AudioFrame(b"\0\0" * 960, 48000, 1, 960))


async def enter(ws_url: str, token: str, *, listen: bool = False) -> Guest:
    """Join with this token; `listen` subscribes to every track, which agents wait for before they speak.

    Raises:
        ProbeError: no media connection came about in time.
    """
    from livekit import rtc  # noqa: PLC0415

    quiet = logging.getLogger("livekit")  # what matters comes back as an exception; stderr is the user's
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    room = rtc.Room()
    try:
        await asyncio.wait_for(room.connect(ws_url, token, rtc.RoomOptions(auto_subscribe=listen)), JOINING)
    except asyncio.TimeoutError:
        raise ProbeError("rtc", f"no media connection within {JOINING:g} s") from None
    except rtc.ConnectError as error:
        raise ProbeError("rtc", f"no media connection: {error}") from None
    return Guest(room)
