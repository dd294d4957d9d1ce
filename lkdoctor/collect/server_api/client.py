"""Asks the server's API through livekit-api: each call comes back as an exchange, whatever became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from livekit import api

from lkdoctor.collect.server_api.exchanges import BadExchangeError, Exchange, exchange

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target

#: What is never needed and is large, secret or personal; livekit-protocol 1.0 has these fields, too.
_LEFT_OUT: Final = ("turn_password", "enabled_codecs", "metadata", "layers", "codecs")
LIST_DISPATCH: Final = "AgentDispatchService/ListDispatch"


class Client:
    """Calls that change nothing. `seconds` is the longest wait for one answer: more than 3 s, which is what the server
    takes to say that a room is in no node's memory (live.md §1)."""

    def __init__(self, target: Target, seconds: float) -> None:
        self.calls = 0
        self._target = target
        self._seconds = seconds
        self._said: dict[int, str] = {}

    async def __aenter__(self) -> Client:
        timeout = aiohttp.ClientTimeout(total=self._seconds)  # livekit-api overrides it by none: see `_call`
        # Who asks bounds how much is asked at once; a second bound here would only hide which call waits.
        self._http = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        target = self._target
        self._api = api.LiveKitAPI(target.http_url, target.key, target.secret, session=self._http)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def list_rooms(self, names: tuple[str, ...] = ()) -> Exchange:
        """All rooms, or those of `names`."""
        request = api.ListRoomsRequest(names=names)
        return await self._call(
            "RoomService/ListRooms", {"names": list(names)}, lambda: self._api.room.list_rooms(request)
        )

    async def list_participants(self, room: str) -> Exchange:
        """Who is in the room; nobody when there is no such room."""
        request = api.ListParticipantsRequest(room=room)
        return await self._call(
            "RoomService/ListParticipants", {"room": room}, lambda: self._api.room.list_participants(request)
        )

    async def list_dispatch(self, room: str) -> Exchange:
        """The room's dispatches; 503 after 3 s when the room is in no node's memory."""

        async def ask() -> Message:
            return api.ListAgentDispatchResponse(agent_dispatches=await self._api.agent_dispatch.list_dispatch(room))

        return await self._call(LIST_DISPATCH, {"room": room}, ask)

    async def _call(
        self, call: str, request: dict[str, Any], ask: Callable[[], Coroutine[Any, Any, Message]]
    ) -> Exchange:
        self.calls += 1
        at = round(time.time(), 3)
        try:
            try:
                answer = await asyncio.wait_for(ask(), self._seconds)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                # A kept connection that the server had closed meanwhile says nothing about the server.
                answer = await asyncio.wait_for(ask(), self._seconds)
        except api.TwirpError as error:
            return exchange(at, call, request, error.status, error.message or await self._words(call, error.status))
        except aiohttp.ContentTypeError as error:  # livekit-api before 1.2, when the refusal is no JSON
            return exchange(at, call, request, error.status, await self._words(call, error.status))
        except (asyncio.TimeoutError, TimeoutError):
            return exchange(at, call, request, 0, f"nothing came within {self._seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return exchange(at, call, request, 0, str(error) or type(error).__name__)
        except (DecodeError, ValueError):  # a page of some other web server
            return exchange(at, call, request, 0, "the answer is not LiveKit's")
        try:
            return exchange(at, call, request, 200, plain(answer))
        except BadExchangeError as error:
            return exchange(at, call, request, 0, str(error))

    async def _words(self, call: str, status: int) -> str:
        """What the server says to a call that it refuses with `status`: livekit-api passes on only Twirp's own errors."""
        if status not in self._said:
            self._said[status] = ""
            try:
                async with self._http.post(
                    f"{self._target.http_url}/twirp/livekit.{call}",
                    data=b"",
                    headers={"Content-Type": "application/protobuf", **self._target.headers(room_list=True)},
                ) as answer:
                    if answer.status == status:
                        self._said[status] = (await answer.content.read(4096)).decode("utf-8", "replace")
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
                pass
        return self._said[status]


def plain(answer: Message) -> dict[str, Any]:
    """The answer as protojson with proto names, without what is left out on purpose."""
    _strip(answer)
    return MessageToDict(answer, preserving_proto_field_name=True)


def _strip(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name in _LEFT_OUT:
            message.ClearField(field.name)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in [value] if isinstance(value, Message) else value:
                _strip(one)
