"""The few API calls that probes make, each with a time limit of its own; what they make is always deleted again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from lkdoctor.collect.server_api.protojson import Dispatches, Participants, Refusal, Rooms, decode
from lkdoctor.collect.target import Target
from lkdoctor.dispatch.listings import DispatchInfo, ParticipantInfo, RoomInfo
from lkdoctor.dispatch.probes import Trouble
from lkdoctor.dispatch.rules import OWN_PREFIX
from lkdoctor.redact import mask

if TYPE_CHECKING:
    import aiohttp

#: Seconds for one call: the server itself gives up on another node after 3 s.
PATIENCE: Final = 5.0


class ProbeError(Exception):
    """A step did not go well: `trouble` is its kind in one word, the message what came back, masked."""

    def __init__(self, trouble: Trouble, message: str, status: int = 0) -> None:
        super().__init__(mask(message))
        self.trouble: Trouble = trouble
        self.status = status  # of HTTP, where there was an answer


class Calls:
    """Twirp calls to one server, as JSON. Rooms are made and deleted only where their names begin with `own`."""

    def __init__(self, target: Target, http: aiohttp.ClientSession, own: str = OWN_PREFIX) -> None:
        if not own:
            raise ValueError("without a prefix every room of the server would count as made here")
        self.target = target
        self.http = http
        self._prefix = own

    async def create_room(self, room: str, agents: list[dict[str, str]], empty: int, departure: int = 10) -> RoomInfo:
        """CreateRoom with these agent entries (never none: the unnamed agent would be called); times in seconds."""
        self._own(room)
        if not agents:
            raise ValueError("a probe's room without an agent entry would call the unnamed agent")
        body = {"name": room, "empty_timeout": empty, "departure_timeout": departure, "agents": agents}
        return decode(await _to_its_end(self._call("RoomService/CreateRoom", body, room_create=True)), RoomInfo)

    async def delete_room(self, room: str, patience: float = PATIENCE) -> None:
        """DeleteRoom; a room that is gone already is fine. Needs roomCreate."""
        self._own(room)
        try:
            await self._call("RoomService/DeleteRoom", {"room": room}, patience=patience, room_create=True)
        except ProbeError as error:
            if error.status != 404:
                raise

    async def rooms(self, names: list[str] | None = None) -> tuple[RoomInfo, ...]:
        """ListRooms, of these names or all."""
        body = {"names": names} if names else {}
        return decode(await self._call("RoomService/ListRooms", body, room_list=True), Rooms).rooms

    async def create_dispatch(self, room: str, agent_name: str) -> DispatchInfo:
        """CreateDispatch. Only for a room that lives: in a missing one the server would call the unnamed agent first."""
        self._own(room)
        body = {"room": room, "agent_name": agent_name}
        grants: dict[str, Any] = {"room_admin": True, "room": room}
        raw = await _to_its_end(self._call("AgentDispatchService/CreateDispatch", body, **grants))
        return decode(raw, DispatchInfo)

    async def dispatches(self, room: str) -> tuple[DispatchInfo, ...]:
        """ListDispatch of one room; a job shows up to 5 s late."""
        grants: dict[str, Any] = {"room_admin": True, "room": room}
        raw = await self._call("AgentDispatchService/ListDispatch", {"room": room}, **grants)
        return decode(raw, Dispatches).agent_dispatches

    async def participants(self, room: str) -> tuple[ParticipantInfo, ...]:
        """ListParticipants of one room."""
        grants: dict[str, Any] = {"room_admin": True, "room": room}
        raw = await self._call("RoomService/ListParticipants", {"room": room}, **grants)
        return decode(raw, Participants).participants

    def _own(self, room: str) -> None:
        """The one door to what changes a server: no room passes that this run did not name."""
        if not room.startswith(self._prefix):
            raise ValueError(f"{room!r} is no room of lkdoctor's")

    async def _call(self, method: str, body: dict[str, Any], *, patience: float = PATIENCE, **grants: Any) -> bytes:
        import aiohttp  # noqa: PLC0415 - only for who talks to a server
        import msgspec  # noqa: PLC0415

        url = f"{self.target.http_url}/twirp/livekit.{method}"
        headers = {"Content-Type": "application/json", **self.target.headers(**grants)}
        try:
            limit = aiohttp.ClientTimeout(total=patience)
            async with self.http.post(url, data=msgspec.json.encode(body), headers=headers, timeout=limit) as answer:
                raw, status = await answer.read(), answer.status
        except asyncio.TimeoutError:
            raise ProbeError("timeout", f"{method}: no answer within {patience:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ProbeError("unreachable", f"{method}: {error}") from None
        if status == 200:
            return raw
        try:
            said = decode(raw, Refusal).text
        except msgspec.DecodeError:
            said = " ".join(raw.decode("utf-8", "replace").split())[:400]
        raise ProbeError("refused", f"{method}: HTTP {status} {said}".rstrip(), status)


async def _to_its_end(call: Coroutine[Any, Any, bytes]) -> bytes:
    """A call that makes something is not broken off by Ctrl-C: overtaken by DeleteRoom it would make the room anew."""
    running = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})  # as long as the call's own time limit at most
        if not running.cancelled():
            running.exception()
        raise
