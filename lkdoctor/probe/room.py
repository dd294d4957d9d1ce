"""A room of a probe's own: made with its agent entries, guarded while it lives, deleted whatever happens."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from lkdoctor.dispatch.listings import DispatchInfo
from lkdoctor.probe.calls import PATIENCE, Calls, ProbeError
from lkdoctor.probe.recorder import Recorder

#: A room that could not be deleted is closed by the server itself this long after it was made, in seconds.
EMPTY: Final = 60
#: A room may be dispatched into this long after it was made: then it is not yet closing by itself.
SAFE: Final = 50.0
#: Deleting is tried for this long, in seconds: a server that restarts is back by then.
DELETING: Final = 6.0


@dataclass(slots=True)
class OwnRoom:
    """One room under lkdoctor's prefix."""

    calls: Calls
    name: str
    sid: str = ""
    empty: int = EMPTY  # s
    made_at: float | None = None  # time.monotonic; also set when it may have been made without an answer

    async def make(self, agents: list[dict[str, str]]) -> None:
        """CreateRoom with these agent entries.

        Raises:
            ProbeError: it was refused, or no answer came; `delete` is to be called all the same.
        """
        self.made_at = time.monotonic()
        try:
            self.sid = (await self.calls.create_room(self.name, agents, self.empty)).sid
        except ProbeError as error:
            if error.trouble == "refused":
                self.made_at = None
            raise

    async def dispatch(self, agent_name: str) -> DispatchInfo:
        """CreateDispatch into the room, once it is sure that it still lives: in a missing room the server would make a
        new one and call the unnamed agent, which is somebody's.

        Raises:
            ProbeError: the room is gone or about to go, or the call failed.
        """
        if self.made_at is None or time.monotonic() - self.made_at > SAFE:
            raise ProbeError("lost", f"the probe's room is older than {SAFE:g} s and may close at any moment")
        if self.sid not in {one.sid for one in await self.calls.rooms([self.name])}:
            raise ProbeError("lost", "somebody deleted the probe's room, or the server was restarted")
        return await self.calls.create_dispatch(self.name, agent_name)

    async def delete(self) -> str:
        """DeleteRoom, tried again while the server does not answer; what went wrong, empty when the room is gone."""
        if self.made_at is None:
            return ""
        until = time.monotonic() + DELETING
        while True:
            left = until - time.monotonic()
            try:
                await self.calls.delete_room(self.name, min(PATIENCE, max(1.0, left / 2)))
            except ProbeError as error:
                if error.trouble == "refused" or time.monotonic() + 0.5 > until:
                    return str(error)
                await asyncio.sleep(0.5)
            else:
                self.made_at = None
                return ""


async def give_back(room: OwnRoom, since: float, *recorders: Recorder) -> None:
    """Delete the room of a probe and say how that went."""
    failed = "deleting it was interrupted"
    try:
        failed = await room.delete()
    finally:
        for one in recorders:
            if failed:
                one.run.left_over.append(room.name)
                told = (
                    f"{failed}. The room {room.name} may be left; the server closes it by itself {room.empty} s after it "
                    "was made, and `lkdoctor probe --cleanup` removes it at once"
                )
                one.done("clean-up", since, told, ok=False, trouble="unreachable")
            else:
                one.run.cleaned = True
                one.done("clean-up", since, "room deleted" if room.sid else "nothing was left")
