"""The canary's socket against peers that are no good livekit-server, over real connections on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from livekit.protocol import agent as pb

from lkdoctor.collect.credentials import resolve
from lkdoctor.collect.target import Target
from lkdoctor.probe import calls, protocol
from lkdoctor.probe.calls import Calls, ProbeError
from lkdoctor.probe.protocol import AgentSocket
from lkdoctor.probe.room import OwnRoom

SECRET = "a-secret-of-the-tests-0123456789abcdef"
Peer = Callable[[web.WebSocketResponse], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[Target]:
    """A web server on loopback for the length of a `with`."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield resolve(
            url=f"ws://127.0.0.1:{port}/prefix",
            key="key",
            secret=SECRET,
            folder=None,
            environ={},
            home=Path("/nonexistent"),
        )
    finally:
        await runner.cleanup()


def agent(peer: Peer) -> web.RouteDef:
    """`/agent` under a prefix, answered by `peer`."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        assert request.headers["Authorization"].startswith("Bearer ey")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await peer(socket)
        return socket

    return web.get("/prefix/agent", handle)


async def registering(socket: web.WebSocketResponse) -> None:
    """Answers `register` and pings, as the server does, until the client goes."""
    async for frame in socket:
        message = pb.WorkerMessage()
        message.ParseFromString(frame.data)
        kind = message.WhichOneof("message")
        if kind == "register":
            answer = pb.ServerMessage(register=pb.RegisterWorkerResponse(worker_id="AW_1"))
            answer.register.server_info.version = "1.13.5"
            await socket.send_str("a text frame that nobody asked for")
            await socket.send_bytes(answer.SerializeToString())
        elif kind == "ping":
            await socket.send_bytes(pb.ServerMessage(pong=pb.WorkerPong()).SerializeToString())


def meet(work: Callable[[AgentSocket], Awaitable[None]], *routes: web.RouteDef) -> None:
    """Plays `work` with a socket to a server of these routes."""

    async def run() -> None:
        async with serving(*routes) as target, aiohttp.ClientSession() as http:
            socket = AgentSocket(target, http, "lkdoctor-canary-1")
            try:
                await socket.open()
                await work(socket)
            finally:
                await socket.close()

    asyncio.run(run())


def test_registering() -> None:
    """A text frame between is left alone; version and id are known after it."""

    async def work(socket: AgentSocket) -> None:
        await socket.register()
        assert (socket.worker_id, socket.server.version) == ("AW_1", "1.13.5")
        assert await socket.first_job(0.05) is None

    meet(work, agent(registering))


def test_closed_before_the_answer() -> None:
    """Refused, in words that say when."""

    async def closing(socket: web.WebSocketResponse) -> None:
        await socket.receive()

    async def work(socket: AgentSocket) -> None:
        with pytest.raises(ProbeError, match="closed the socket before it answered `register`") as raised:
            await socket.register()
        assert raised.value.trouble == "refused"

    meet(work, agent(closing))


def test_closed_later() -> None:
    """Lost, not refused; whoever waits is woken at once."""

    async def once(socket: web.WebSocketResponse) -> None:
        closing = asyncio.create_task(registering(socket))
        await asyncio.sleep(1.0)
        closing.cancel()

    async def work(socket: AgentSocket) -> None:
        await socket.register()
        with pytest.raises(ProbeError, match="closed the socket") as raised:
            await asyncio.wait_for(socket.first_job(60), 20)
        assert raised.value.trouble == "lost"
        with pytest.raises(ProbeError, match="closed the socket"):
            await socket.report(0.5)

    meet(work, agent(once))


def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that upgrades and stays silent is given up."""
    monkeypatch.setattr(protocol, "REGISTERING", 0.2)

    async def silent(socket: web.WebSocketResponse) -> None:
        async for _ in socket:
            pass

    async def work(socket: AgentSocket) -> None:
        with pytest.raises(ProbeError, match="did not answer `register`") as raised:
            await socket.register()
        assert raised.value.trouble == "timeout"

    meet(work, agent(silent))


@pytest.mark.parametrize("frame", [b"\xff\xff\xff\xff", b"\x0a\xff"])
def test_something_else_answers(frame: bytes) -> None:
    """Bytes that are no message end it with a word on what answers there."""

    async def babbling(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(frame)
        await socket.receive()

    async def work(socket: AgentSocket) -> None:
        with pytest.raises(ProbeError, match="no livekit-server"):
            await socket.register()

    meet(work, agent(babbling))


def test_no_upgrade() -> None:
    """What a proxy without upgrades answers is told with its status; the token is not."""

    async def plain(_: web.Request) -> web.Response:
        return web.Response(status=404)

    async def run() -> None:
        async with serving(web.get("/prefix/agent", plain)) as target, aiohttp.ClientSession() as http:
            socket = AgentSocket(target, http, "lkdoctor-canary-1")
            with pytest.raises(ProbeError, match="HTTP 404") as raised:
                await socket.open()
            assert "ey" not in str(raised.value)
            await socket.close()

    asyncio.run(run())


def test_no_name_but_its_own() -> None:
    """Under a user's name it would take real jobs, and a user's room is none to delete or to dispatch into."""

    async def run() -> None:
        async with serving() as target, aiohttp.ClientSession() as http:
            with pytest.raises(ValueError, match="no agent name of lkdoctor's"):
                AgentSocket(target, http, "inbound-agent")
            client = Calls(target, http)
            for call in (
                client.delete_room("support-call-7"),
                client.create_dispatch("support-call-7", "inbound-agent"),
                client.create_room("support-call-7", [{"agent_name": "x"}], 60),
            ):
                with pytest.raises(ValueError, match="no room of lkdoctor's"):
                    await call
            with pytest.raises(ValueError, match="unnamed agent"):
                await client.create_room("lkdoctor-probe-1", [], 60)

    asyncio.run(run())


def test_no_dispatch_into_a_room_that_is_gone() -> None:
    """In a missing room CreateDispatch would call the unnamed agents of users: the room is looked at before each."""
    called: list[str] = []

    async def twirp(request: web.Request) -> web.Response:
        called.append(request.match_info["method"])
        body = {"CreateRoom": {"sid": "RM_1", "name": "lkdoctor-probe-1"}, "ListRooms": {"rooms": [{"sid": "RM_2"}]}}
        return web.json_response(body.get(called[-1], {}))

    async def run() -> None:
        async with (
            serving(web.post("/prefix/twirp/{service}/{method}", twirp)) as target,
            aiohttp.ClientSession() as http,
        ):
            room = OwnRoom(Calls(target, http), "lkdoctor-probe-1")
            await room.make([{"agent_name": "lkdoctor-probe-1"}])
            with pytest.raises(ProbeError, match="restarted"):
                await room.dispatch("lkdoctor-probe-1")
            room.made_at = (room.made_at or 0.0) - 60
            with pytest.raises(ProbeError, match="may close at any moment"):
                await room.dispatch("lkdoctor-probe-1")

    asyncio.run(run())
    assert "CreateDispatch" not in called


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (web.Response(status=401, text=f"invalid token: {'ey' + 'J' * 40}.abc.def, error: x"), "HTTP 401"),
        (
            web.json_response({"code": "unavailable", "msg": "no response from servers"}, status=503),
            "no response from servers",
        ),
        (web.Response(status=502, text="<html>Bad Gateway</html>"), "Bad Gateway"),
    ],
)
def test_refused_calls(answer: web.Response, message: str) -> None:
    """The status and the server's words, with the token masked."""

    async def twirp(_: web.Request) -> web.Response:
        return answer

    async def run() -> None:
        async with serving(web.post("/prefix/twirp/{any:.*}", twirp)) as target, aiohttp.ClientSession() as http:
            with pytest.raises(ProbeError, match=message) as raised:
                await Calls(target, http).rooms()
            assert raised.value.trouble == "refused"
            assert "JJJJ" not in str(raised.value)

    asyncio.run(run())


def test_a_call_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is given up, and a room that may have been made is tried to be deleted, for a bounded time."""
    monkeypatch.setattr("lkdoctor.probe.room.DELETING", 1.0)
    monkeypatch.setattr(calls, "PATIENCE", 0.3)

    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def run() -> None:
        async with serving(web.post("/prefix/twirp/{any:.*}", never)) as target, aiohttp.ClientSession() as http:
            room = OwnRoom(Calls(target, http), "lkdoctor-probe-1")
            room.made_at = 0.0
            started = asyncio.get_running_loop().time()
            assert "no answer" in await room.delete()
            assert asyncio.get_running_loop().time() - started < 4

    asyncio.run(run())
