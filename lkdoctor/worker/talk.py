"""How two agents talk: who is waited for, who speaks first, what is said again, and when it is over.

With the offline voice the first speaker says its lines one by one; the other echoes what it heard, and only the right echo
counts. What does not come back is said again, three times at most. With models the first speaker greets, and leaves after
so many turns: two models would talk, and cost, for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Final

from livekit import rtc
from livekit.agents import AgentSession

from lkdoctor.worker import code
from lkdoctor.worker.markers import Markers
from lkdoctor.worker.settings import ECHO, Part, Settings

ROLE: Final = "lkdoctor.role"
"""The participant attribute that tells an agent's role to the others."""
TRIES: Final = 3
_TURN: Final = 0.2  # seconds for the turn of the last echo to end: a session closed within it logs a warning
_REACTION: Final = 1.0  # seconds that the other side may take to begin its echo


class PartnerMissingError(Exception):
    """Nobody of that role came in time."""


async def partner_in(room: rtc.Room, role: str, seconds: float) -> rtc.RemoteParticipant:
    """The agent of `role` in the room, now or within `seconds`: found by kind and role, not by counting who is there.

    Raises:
        PartnerMissingError: it did not come.
    """
    came: asyncio.Future[rtc.RemoteParticipant] = asyncio.get_running_loop().create_future()

    def look(*_: object) -> None:
        for one in room.remote_participants.values():
            is_agent = one.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
            if is_agent and one.attributes.get(ROLE) == role and not came.done():
                came.set_result(one)

    room.on("participant_connected", look)
    room.on("participant_attributes_changed", look)
    look()
    try:
        return await asyncio.wait_for(came, seconds)
    except asyncio.TimeoutError:
        here = ", ".join(sorted(room.remote_participants)) or "nobody"
        raise PartnerMissingError(f"no agent of the role {role!r} came within {seconds:g} s; here is {here}") from None
    finally:
        room.off("participant_connected", look)
        room.off("participant_attributes_changed", look)


@dataclass
class Talk:
    """One agent's side of a conversation, from its session's start to the end."""

    session: AgentSession[None]
    part: Part
    settings: Settings
    mark: Markers
    closed: asyncio.Event  # set when the partner has left, or the job's other agent has ended
    heard: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def listen(self) -> None:
        """Log what is said and heard. These three events are the SDK's; an Agent has no `on_user_message` to override."""
        self.session.on("user_input_transcribed", self._on_heard)
        self.session.on("conversation_item_added", self._on_item)
        self.session.on("close", lambda _: self.closed.set())

    def _on_heard(self, event: object) -> None:
        text = getattr(event, "transcript", "")
        if text and getattr(event, "is_final", False):
            self.mark("HEARD", self._shown(text), text=self._shown(text))
            self.heard.put_nowait(text)

    def _on_item(self, event: object) -> None:
        item = getattr(event, "item", None)
        text = getattr(item, "text_content", "") or ""
        if getattr(item, "role", "") == "assistant" and text:
            self.mark("SAID", self._shown(text), text=self._shown(text))

    def _shown(self, text: str) -> str:
        """Real speech is private unless the operator says otherwise."""
        plain = self.settings.log_text or (self.settings.stt, self.settings.tts) == ("offline", "offline")
        return text if plain else f"({len(text)} characters)"

    async def run(self) -> None:
        """Speak first or wait to be spoken to; returns when the conversation is over."""
        if self.part.partner and self.part.first and self.settings.offline:
            await self._examine()
        elif self.part.first:
            await self._converse()
        else:
            await self._answer()

    async def _examine(self) -> None:
        done = 0
        for line in self.part.lines:
            tries = await self._say_until_echoed(line)
            if tries is None:
                self.mark("FAIL", f"no echo of {line!r} after {TRIES} tries", text=line, reason="words-lost")
                return
            done += 1
        self.mark("END", f"all {done} lines came back", lines=done)
        await asyncio.sleep(_TURN)

    async def _say_until_echoed(self, line: str) -> int | None:
        """How many tries it took; None when the right echo never came."""
        for attempt in range(1, TRIES + 1):
            if self.closed.is_set():
                return None
            began = time.monotonic()
            await self.session.say(line, allow_interruptions=False)
            wait = _REACTION + code.seconds(ECHO + line) + code.PATIENCE
            if await self._hears(ECHO + line, wait):
                took = round(time.monotonic() - began, 3)
                self.mark("OK", f"{line!r} came back after {took} s", text=line, tries=attempt, seconds=took)
                return attempt
            self.mark("LOST", f"no echo of {line!r} (try {attempt} of {TRIES})", text=line, tries=attempt)
        return None

    async def _hears(self, wanted: str, seconds: float) -> bool:
        """Whether `wanted` is heard in time; a late echo of an earlier line is passed over, another text is told."""
        until = time.monotonic() + seconds
        expected = {ECHO + line for line in self.part.lines}
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                text = await asyncio.wait_for(self.heard.get(), left)
                if text == wanted:
                    return True
                if text not in expected:
                    self.mark("WRONG", f"heard {text!r}, which nobody said", text=text)
        return False

    async def _converse(self) -> None:
        await self.session.generate_reply(instructions=self.part.instructions or "Greet, and say what you need.")
        for turn in range(self.settings.turns):
            if not await self._next():
                self.mark("END", f"over after {turn} turns", turns=turn)
                return
        self.mark("END", f"over after {self.settings.turns} turns", turns=self.settings.turns)

    async def _answer(self) -> None:
        turns = 0
        while await self._next():
            turns += 1
        self.mark("END", f"over after {turns} turns", turns=turns)

    async def _next(self) -> bool:
        """Whether another text is heard before the session closes or it stays quiet for too long."""
        hearing = asyncio.ensure_future(self.heard.get())
        closing = asyncio.ensure_future(self.closed.wait())
        quiet = self.settings.quiet_seconds if self.part.partner else None  # a person may think as long as they like
        done, waiting = await asyncio.wait({hearing, closing}, timeout=quiet, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        return hearing in done
