"""Asks the server's API through livekit-api: each call comes back as an exchange, whatever became of it."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from livekit import api
from livekit.api.twirp_client import TwirpClient

from lkdoctor.collect.server_api.exchanges import BadExchangeError, Exchange, exchange

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target

#: What is never needed and is large, secret or personal; livekit-protocol 1.0 has these fields, too.
_LEFT_OUT: Final = ("turn_password", "enabled_codecs", "metadata", "layers", "codecs")
LIST_DISPATCH: Final = "AgentDispatchService/ListDispatch"
LIST_PARTICIPANTS: Final = "RoomService/ListParticipants"


class Client:
    """Calls that change nothing. `seconds` is the longest wait for one answer: more than 3 s, which is what the server
    takes to say that a room is in no node's memory (1.8.4 to 1.13.5).

    livekit-api's services would make a token for every call, which costs more than the call, and would wait for ever: they
    override the session's time limit by none. Its Twirp client takes both from the caller.
    """

    def __init__(self, target: Target, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._said: dict[int, str] = {}

    async def __aenter__(self) -> Client:
        # Who asks bounds how much is asked at once; a second bound here would only hide which call waits.
        self._http = aiohttp.ClientSession(timeout=self._timeout, connector=aiohttp.TCPConnector(limit=0))
        self._twirp = TwirpClient(self._http, self._target.http_url, "livekit")
        self._twirp.host = self._target.http_url.rstrip("/")  # livekit-api 1.0 doubles the slash of a path prefix
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def list_rooms(self, names: tuple[str, ...] = ()) -> Exchange:
        """All rooms, or those of `names`."""
        headers = self._target.headers(room_list=True)
        said = {"names": list(names)}
        return await self._call(
            "RoomService/ListRooms", said, api.ListRoomsRequest(names=names), headers, api.ListRoomsResponse
        )

    async def list_participants(self, room: str, headers: dict[str, str]) -> Exchange:
        """Who is in the room; nobody when there is no such room. `headers` are those of `admin`."""
        request = api.ListParticipantsRequest(room=room)
        return await self._call(LIST_PARTICIPANTS, {"room": room}, request, headers, api.ListParticipantsResponse)

    async def list_dispatch(self, room: str, headers: dict[str, str]) -> Exchange:
        """The room's dispatches; 503 after 3 s when the room is in no node's memory. `headers` are those of `admin`."""
        request = api.ListAgentDispatchRequest(room=room)
        return await self._call(LIST_DISPATCH, {"room": room}, request, headers, api.ListAgentDispatchResponse)

    def admin(self, room: str) -> dict[str, str]:
        """Headers of the calls that are about one room."""
        return self._target.headers(room_admin=True, room=room)

    async def _call(
        self, call: str, said: dict[str, Any], request: Message, headers: dict[str, str], shape: type[Message]
    ) -> Exchange:
        service, _, method = call.partition("/")

        async def ask() -> Message:
            # Twirp's client of livekit-api 1.0 writes into the headers it is given.
            return await self._twirp.request(service, method, request, dict(headers), shape, timeout=self._timeout)

        at = round(time.time(), 3)
        try:
            try:
                answer = await ask()
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                # A kept connection that the server had closed meanwhile says nothing about the server.
                answer = await ask()
        except api.TwirpError as error:
            return exchange(at, call, said, error.status, error.message or await self._words(call, error.status))
        except aiohttp.ContentTypeError as error:  # livekit-api before 1.2, when the refusal is no JSON
            return exchange(at, call, said, error.status, await self._words(call, error.status))
        except (asyncio.TimeoutError, TimeoutError):
            return exchange(at, call, said, 0, f"nothing came within {self._seconds:g} s")
        except aiohttp.ClientConnectorError as error:
            words = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.os_error)
            return exchange(at, call, said, 0, f"no connection to {error.host}:{error.port} ({words})")
        except (aiohttp.ClientError, OSError) as error:
            return exchange(at, call, said, 0, str(error) or type(error).__name__)
        except (DecodeError, ValueError):  # a page of some other web server
            return exchange(at, call, said, 0, "the answer is not LiveKit's")
        try:
            return exchange(at, call, said, 200, plain(answer))
        except BadExchangeError as error:
            return exchange(at, call, said, 0, str(error))

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
                pass  # the status alone is told then
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
