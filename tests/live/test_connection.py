"""The way to real servers and past a real nginx: what is found, what it leaves behind, and what SDKs do there."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api

from fixtures.lab import proxies
from fixtures.lab.api import Api
from fixtures.lab.binaries import VERSIONS, server_binary
from fixtures.lab.paths import FIXTURES
from fixtures.lab.proxies import PLAIN, Virtual, authority, certificate, locations, nginx, slowed, tls_lines, trusting
from fixtures.lab.scenarios import REGISTRY
from fixtures.lab.servers import HOST, KEY, SECRET, Server, running
from fixtures.lab.verify import differences, verify
from lkdoctor.collect.asking import NOBODY
from lkdoctor.collect.connection import Say, walk
from lkdoctor.collect.credentials import resolve
from lkdoctor.collect.gathered import Gathered
from tests.live.test_check_url import lkdoctor

pytestmark = pytest.mark.live
NEWEST = "1.13.5"


@pytest.fixture(autouse=True)
def _with_nginx(request: pytest.FixtureRequest) -> None:
    """Without nginx or openssl the test is reported as not run, by name; with LKDOCTOR_REQUIRE_LIVE=1 it fails."""
    reason = proxies.missing()
    if reason is not None and os.environ.get("LKDOCTOR_REQUIRE_LIVE") == "1":
        pytest.fail(f"not run although LKDOCTOR_REQUIRE_LIVE=1: {reason}", pytrace=False)
    if reason is not None:
        pytest.skip(f"{request.node.name} was not run: {reason}")


async def walked(
    url: str, seconds: float = 2.0, gathered: Gathered | None = None, say: Say = lambda _: None
) -> Gathered:
    """What a walk to `url` with the lab's key learns."""
    target = resolve(url=url, key=KEY, secret=SECRET, environ={}, folder=None, home=Path("/nowhere"))
    gathered = gathered or Gathered()
    await walk(target, gathered, say, seconds)
    return gathered


def troubles(gathered: Gathered) -> dict[str, str]:
    """What did not work, and why."""
    return {f"{one.name} {one.target}": one.trouble for one in gathered.steps if not one.ok}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_walk_leaves_what_it_promises(version: str, tmp_path: Path) -> None:
    """No room, no participant, no worker; three INFO lines, and a WARN line for each of /rtc and /rtc/v1."""

    async def play() -> tuple[Gathered, str, dict[str, Any]]:
        async with running(version, tmp_path) as server:
            before = len(server.log_text())
            gathered = await walked(server.ws_url)
            await asyncio.sleep(1.0)
            log = server.log_text()[before:]
            client = Api(server.url, tmp_path / "api.jsonl")
            _, rooms = await client.list_rooms()
            await client.close()
            return gathered, log, rooms

    gathered, log, rooms = asyncio.run(play())
    assert troubles(gathered) == {}
    assert rooms.get("rooms", []) == []
    sockets = [one.target for one in gathered.steps if one.name == "upgrade"]
    assert sockets == ["/agent", "/rtc"] + (["/rtc/v1"] if version != "1.8.4" else [])
    lines = [line.split("\t") for line in log.splitlines() if "high cpu load" not in line]
    kinds = Counter((line[1], line[-2]) for line in lines)
    warnings = [one for one in kinds.items() if one[0][0] == "WARN"]
    assert warnings == [(("WARN", "error handling request"), len(sockets) - 1)]
    assert sum(kinds.values()) == 3 + len(sockets) - 1
    assert set(re.findall(r'"path": "([^"]+)"', log)) == {one for one in sockets if one != "/agent"}
    assert set(re.findall(r'"room": \[?"([^"]+)"', log)) <= {NOBODY, "unresolved"}
    clock = gathered.steps[-1]
    assert clock.name == "clock"
    assert abs(clock.values["offset"]) <= clock.values["error"] + 0.5


REPRESENTATIVE = (
    "reach-agent-not-upgraded",
    "reach-agent-no-location",
    "reach-redirect-301",
    "reach-ws-on-tls",
    "reach-ws-on-bare-tls",
    "reach-wss-on-plain",
    "reach-certificate-untrusted",
    "reach-healthy-tls",
    "reach-healthy-prefix",
    "reach-server-stopped",
    "reach-gateway",
    "reach-key-unknown",
    "reach-secret-wrong-1-8-4",
    "reach-clock-ahead",
    "reach-token-taken-away",
    "reach-no-dispatch-service",
)


@pytest.fixture(scope="module")
def replayed() -> dict[str, list[str]]:
    """Differences between the recordings and what servers and nginx do now; all played at once, to save time."""

    for name in REPRESENTATIVE:
        server_binary(REGISTRY[name].server)  # a build while others play would hold up their time limits

    async def play() -> list[list[str]]:
        return await asyncio.gather(*(verify(REGISTRY[name], FIXTURES / name) for name in REPRESENTATIVE))

    return dict(zip(REPRESENTATIVE, asyncio.run(play()), strict=True))


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_recording_still_holds(name: str, replayed: dict[str, list[str]]) -> None:
    assert replayed[name] == []


def test_a_recording_that_differs_is_told(tmp_path: Path) -> None:
    """`verify` must be able to fail: one step that ended otherwise, and it names that step."""
    name = "reach-agent-not-upgraded"
    steps = (FIXTURES / name / "connection.jsonl").read_text("utf-8")
    (tmp_path / "connection.jsonl").write_text(steps.replace("not-upgraded", "no-route"), encoding="utf-8")
    found = differences(REGISTRY[name], FIXTURES / name, tmp_path)
    assert len(found) == 2
    assert all("upgrade /agent 404" in one for one in found)


def test_the_command_past_a_proxy(tmp_path: Path) -> None:
    """`lkdoctor check --url` names the door that nginx keeps shut, and is content where nginx is set up right."""

    async def play() -> None:
        async with running(NEWEST, tmp_path) as server:
            shut, open_ = Virtual(locations(server.port, agent=PLAIN)), Virtual(locations(server.port, prefix="/lk"))
            async with nginx(tmp_path, shut, open_) as ports:
                bad = await lkdoctor("check", url=f"ws://{HOST}:{ports[0]}", cwd=tmp_path)
                good = await lkdoctor("check", url=f"ws://{HOST}:{ports[1]}/lk", cwd=tmp_path)
        assert (bad.status, bad.codes) == (1, {"LKD103"})
        [found] = bad.report["findings"]
        assert found["values"]["door"] == "/agent"
        assert "proxy_set_header Upgrade $http_upgrade" in found["fixes"][0]["steps"][0]
        assert found["proof"][0]["text"].startswith("upgrade /agent: 404 (not-upgraded)")
        assert (good.status, good.codes) == (0, set())

    asyncio.run(play())


def test_a_server_that_dies_meanwhile(tmp_path: Path) -> None:
    """Killed between two steps: what was learned is kept, the rest fails with words, nothing is raised."""

    async def play() -> tuple[Gathered, float]:
        gathered = Gathered()
        calling = asyncio.Event()

        def say(words: str) -> None:
            if words.startswith("calling"):
                calling.set()

        async with running(NEWEST, tmp_path) as server, slowed(server.port, 0.5) as port:
            work = asyncio.ensure_future(walked(f"ws://{HOST}:{port}", 2.0, gathered, say))
            await calling.wait()
            server.process.kill()
            began = time.monotonic()
            await work
        return gathered, time.monotonic() - began

    gathered, took = asyncio.run(play())
    assert took < 25
    assert [one.ok for one in gathered.steps if one.name in {"dns", "tcp", "http"}] == [True, True, True]
    assert set(troubles(gathered).values()) - {"not-tried"} <= {"reset", "refused", "timeout"}
    assert troubles(gathered)["upgrade /agent and /rtc"] == "not-tried"


def test_interrupted_in_the_middle(tmp_path: Path) -> None:
    """A cancelled walk keeps its steps and leaves no connection open."""

    async def play(server: Server) -> Gathered:
        gathered = Gathered()
        calling = asyncio.Event()

        def say(words: str) -> None:
            if words.startswith("calling"):
                calling.set()

        async with slowed(server.port, 0.5) as port:
            work = asyncio.ensure_future(walked(f"ws://{HOST}:{port}", 5.0, gathered, say))
            await calling.wait()
            await asyncio.sleep(0.1)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
        return gathered

    async def stage() -> Gathered:
        async with running(NEWEST, tmp_path) as server:
            return await play(server)

    gathered = asyncio.run(stage())
    assert [one.name for one in gathered.steps][:4] == ["url", "dns", "tcp", "http"]
    assert gathered.notes[0].kind == "connection"


def test_no_token_follows_a_redirect_to_another_host(tmp_path: Path) -> None:
    """The redirect is followed, the key is not used there."""

    async def play() -> tuple[Gathered, str]:
        async with running(NEWEST, tmp_path) as server:
            away = Virtual(f"return 307 http://localhost:{server.port}$request_uri;")
            async with nginx(tmp_path, away) as ports:
                gathered = await walked(f"http://{HOST}:{ports[0]}")
            return gathered, server.log_text()

    gathered, log = asyncio.run(play())
    assert troubles(gathered)["twirp RoomService/ListRooms"] == "redirect"
    assert troubles(gathered)["twirp API"] == "not-tried"
    assert [one.status for one in gathered.steps if one.name == "http"] == [307, 200]
    assert "API RoomService" not in log


@pytest.mark.parametrize("status", [301, 308])
def test_what_sdks_do_behind_a_redirect(status: int, tmp_path: Path) -> None:
    """Why LKD102 is an error: the Python API client and a worker's websocket fail behind either kind of redirect."""

    async def play() -> tuple[str, int]:
        pair = certificate(tmp_path, by=authority())
        async with running(NEWEST, tmp_path) as server:
            secure = Virtual(tls_lines(pair) + locations(server.port), tls=True)
            plain = Virtual(f"return {status} https://localhost:{{ports[0]}}$request_uri;")
            async with nginx(tmp_path, secure, plain) as ports:
                with trusting():
                    context = ssl.create_default_context()
                url = f"http://localhost:{ports[1]}"
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
                    client = api.LiveKitAPI(url, KEY, SECRET, session=session)
                    with pytest.raises(api.TwirpError) as refused:
                        await client.room.list_rooms(api.ListRoomsRequest())
                    token = api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(agent=True)).to_jwt()
                    with pytest.raises(aiohttp.WSServerHandshakeError) as shut:
                        await session.ws_connect(f"{url}/agent", headers={"Authorization": f"Bearer {token}"})
        return refused.value.code, shut.value.status

    assert asyncio.run(play()) == ("bad_route" if status == 301 else "unauthenticated", 401)


def test_stopping_is_by_pid(tmp_path: Path) -> None:
    """nginx of the lab ends with its `with`, and its port is free again."""

    async def play() -> bool:
        async with nginx(tmp_path, Virtual("return 204;")) as ports:
            pass
        try:
            await asyncio.open_connection(HOST, ports[0])
        except OSError:
            return True
        return False

    assert asyncio.run(play())
