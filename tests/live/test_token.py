"""Every rule about tokens, on real servers: what is predicted for a new room and for an existing one is what happens."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import jwt
import pytest

from fixtures.lab import tokens
from fixtures.lab.binaries import VERSIONS
from fixtures.lab.people import connect_quietly
from fixtures.lab.raw_worker import Answer, RawWorker
from fixtures.lab.servers import KEY, SECRET, Server, running
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.token import read_tokens
from lkdoctor.dispatch import token_rules
from lkdoctor.dispatch.token_rules import Fate

pytestmark = pytest.mark.live

NAMES = ("", "alpha", "beta")
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=120)  # seconds
PRESETS = {"room": {"room_configurations": {"p1": {"agents": [{"agent_name": "beta"}]}}}}


class Pair(NamedTuple):
    key: str = KEY
    secret: str = SECRET


def made(claims: dict[str, Any], header: dict[str, Any] | None = None, *, pad: bool = False) -> str:
    """A token by hand: an SDK would refuse to write most of these."""
    header = header or {"alg": "HS256", "typ": "JWT"}

    def part(raw: bytes) -> str:
        text = base64.urlsafe_b64encode(raw).decode()
        return text if pad else text.rstrip("=")

    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(str(header["alg"]), hashlib.sha256)
    return f"{signed}.{part(hmac.new(SECRET.encode(), signed.encode(), digest).digest())}"


def variants(room: str) -> Iterator[tuple[str, str]]:
    """Tokens of every kind, each with what is special about it; `room` is the one that they are for."""
    now = int(time.time())
    right: dict[str, Any] = {"iss": KEY, "nbf": now - 10, "exp": now + 3600, "sub": "alice"}
    video = {"roomJoin": True, "room": room}

    def one(
        name: str,
        claim: str = "",
        value: Any = None,
        *,
        grants: Any = video,
        without: tuple[str, ...] = (),
        **more: Any,
    ) -> tuple[str, str]:
        claims = {**right, "video": grants, **more, **({claim: value} if claim else {})}
        return name, made({key: value for key, value in claims.items() if key not in without})

    def asking(name: str, /, *entries: Any, **more: Any) -> tuple[str, str]:
        return one(name, roomConfig={"agents": list(entries), **more})

    alpha = {"agentName": "alpha"}
    config = {"agents": [alpha]}
    for seconds in (-30, -45, -75, -90):  # the border is 60 s; a busy machine needs some of them
        yield one(f"exp {seconds}", exp=now + seconds)
    for seconds in (30, 57, 80, 120):
        yield one(f"nbf {seconds}", nbf=now + seconds)
        yield one(f"iat {seconds}", iat=now + seconds)
    yield one("nbf in milliseconds", nbf=now * 1000)
    for claim in ("exp", "nbf", "sub", "video", "iss"):
        yield one(f"without {claim}", without=(claim,))
    yield one("jti for sub", without=("sub",), jti="alice")
    yield one("identity for sub", without=("sub",), identity="alice")
    every: tuple[Any, ...] = (
        {"room": room},
        {"roomJoin": False, "room": room},
        {"roomJoin": True},
        {"roomJoin": True, "room": ""},
        {"room_join": True, "room": room},
        {"RoomJoin": True, "Room": room},
        {"roomJoin": "true", "room": room},
        {"roomJoin": True, "room": 7},
        {"roomJoin": True, "room": room, "canPublish": "yes"},
        {"roomJoin": True, "room": room, "canPublishSources": "microphone"},
        {"roomJoin": True, "room": room, "unknown": 1},
        {"agent": True},
        {"roomAdmin": True, "room": room},
        {**video, "roomConfig": config},
        {**video, "agent": True},
        {**video, "recorder": True},
        {**video, "hidden": True},
        [],
        None,
    )
    for grants in every:
        yield one(f"video {grants}", grants=grants)
    yield one("Video", without=("video",), Video=video)
    yield one("grants", without=("video",), grants=video)
    for name, value in {
        "exp": "soon", "sub": 5, "kind": 4, "name": 7, "metadata": {"a": 1}, "attributes": {"a": 1}, "roomPreset": 3,
        "sha256": 1, "unknown": [1],
    }.items():  # fmt: skip
        yield one(f"{name} {value!r}", name, value)
    for kind in ("agent", "egress", "ingress", "sip", "AGENT", "weird"):
        yield one(f"kind {kind}", kind=kind, roomConfig=config)
    for name in ("RoomConfig", "roomconfig", "room_config", "roomConfiguration", "agents"):
        yield one(name, name, config if name != "agents" else [alpha])
    yield one("both", roomConfig={"agents": [{"agentName": "beta"}]}, RoomConfig=config)
    for value in (None, {}, {"agents": []}, {"agents": [{}]}, json.dumps(config), {"agents": {"agentName": "alpha"}}):
        yield one(f"roomConfig {value}", roomConfig=value)
    yield asking("one", alpha)
    yield asking("snake", {"agent_name": "alpha"}, empty_timeout=30)
    yield asking("twice", alpha, alpha)
    yield asking("two", alpha, {"agentName": "beta"})
    yield asking("unnamed and alpha", {"agentName": ""}, alpha)
    yield asking("nobody", {"agentName": "nobody"})
    yield asking("a text", "alpha")
    yield asking("a number", {"agentName": 7})
    yield asking("null name", {"agentName": None})
    yield asking("metadata object", {**alpha, "metadata": {"a": 1}})
    for name in ("AgentName", "name", "participantIdentity"):
        yield asking(name, {name: "alpha"})
        yield asking(f"alpha and {name}", {**alpha, name: "x"})
    for field, value in {
        "metadata": "m", "attributes": {"a": "b"}, "deployment": "blue", "restartPolicy": "JRP_ON_FAILURE",
    }.items():  # fmt: skip
        yield asking(f"alpha with {field}", {**alpha, field: value})
    yield asking("attributes of numbers", {**alpha, "attributes": {"a": 1}})
    yield asking("bad deployment and beta", {**alpha, "deployment": "a_b"}, {"agentName": "beta"})
    yield asking("only a bad deployment", {**alpha, "deployment": "a_b"})
    for field, value in {
        "name": "x", "emptyTimeout": 10, "departureTimeout": "10", "maxParticipants": 5, "metadata": "m", "egress": {},
        "minPlayoutDelay": 1, "maxPlayoutDelay": 2, "syncStreams": True, "tags": {"a": "b"}, "unknown": 1,
    }.items():  # fmt: skip
        yield asking(f"alpha, {field}", alpha, **{field: value})
    for name in ("roomPreset", "RoomPreset", "room_preset"):
        yield one(f"{name} p1", name, "p1")
    yield one("preset and agents", roomPreset="p1", roomConfig=config)
    yield one("preset and other config", roomPreset="p1", roomConfig={"emptyTimeout": 10})
    yield one("long identity", sub="a" * 256)
    yield one("too long identity", sub="a" * 257)
    plain = {**right, "video": video}
    for algorithm in ("HS384", "HS512", "RS256", "none"):
        yield f"alg {algorithm}", made(plain, {"alg": algorithm, "typ": "JWT"})
    yield "signed with padding", made({**plain, "x": "yy"}, pad=True)
    good = made(plain)
    yield "padded signature", f"{good}="
    header, body, signature = made({**plain, "x": "yyy"}).split(".")
    yield "padded later", f"{header}.{body}{'=' * (-len(body) % 4)}.{signature}"
    yield "no signature", good[: good.rfind(".") + 1]
    yield "two parts", good[: good.rfind(".")]
    yield "four parts", f"{good}.x"
    yield "no base64", good.replace(".", ".!", 1)
    yield "other secret", jwt.encode(plain, "secret-of-another-lab-9876543210fedcb", "HS256")
    for length in (9_000, 70_000, 900_000, 1_053_500):
        yield f"{length} long", made({**plain, "x": "x" * int((length - 350) * 3 / 4)})


class Seen(NamedTuple):
    """What a server did: the status of a refusal (0: let in), and who was asked to come."""

    status: int
    asked: Counter[str]


def predicted(token: str, version: str) -> Fate:
    """What the rules say of the token as lkdoctor reads it."""
    gathered = Gathered()
    read_tokens([token], gathered, Pair())
    return token_rules.fate(gathered.tokens[0], version)


class Stage:
    """A server with one worker for each name; each room that was joined tells who was asked for it."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http
        self.workers: list[RawWorker] = []

    async def open(self) -> None:
        for name in NAMES:
            worker = RawWorker(self.server.ws_url, name, answers=Answer(join=False))
            self.workers.append(worker)
            await worker.start()
        await asyncio.sleep(0.5)
        # One launch of each name: from now on the node knows them, and asks at once.
        warm = tokens.person_token("warm", "warm", agents=[*NAMES, "nobody"])
        await self.join("warm", warm)
        await asyncio.sleep(6)

    async def join(self, room: str, token: str) -> Seen:
        """Joins by signalling; the jobs that it brings are counted 1.5 s later."""
        before = self.asked(room)
        address = f"{self.server.ws_url}/rtc?access_token={token}&auto_subscribe=0&protocol=15&sdk=python"
        try:
            socket = await self.http.ws_connect(address)
        except aiohttp.ConnectionTimeoutError:
            raise TimeoutError(f"{room}: no connection") from None  # the other words hold the whole token
        except aiohttp.WSServerHandshakeError as refused:
            return Seen(refused.status, Counter())
        await socket.receive(timeout=10)
        await asyncio.sleep(1.5)
        await socket.close()
        return Seen(0, self.asked(room) - before)

    def asked(self, room: str) -> Counter[str]:
        return Counter(
            one.agent_name for worker in self.workers for one in worker.seen if one.what == "asked" and one.room == room
        )

    async def make(self, room: str) -> None:
        """The room exists, with an agent that nobody serves, so that nobody is asked for it."""
        await self.call("RoomService/CreateRoom", {"name": room, "agents": [{"agent_name": "nobody"}]})

    async def call(self, method: str, request: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {tokens.api_token(request.get('name', ''))}"}
        async with self.http.post(f"{self.server.url}/twirp/livekit.{method}", json=request, headers=headers) as got:
            assert got.status == 200, await got.text()
            return await got.json()

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_predicted_is_what_happens(version: str, tmp_path: Path) -> None:
    """Status, and agents of a new room; in an existing room a token brings nobody, whatever it says."""

    async def play() -> list[str]:
        wrong: list[str] = []
        async with running(version, tmp_path, extra=PRESETS) as server, aiohttp.ClientSession(timeout=PATIENCE) as http:
            stage = Stage(server, http)
            gate = asyncio.Semaphore(5)

            async def one(number: int) -> None:
                new, old = f"new-{number}", f"old-{number}"
                async with gate:
                    # Made now: some of these tokens are good or bad for seconds only.
                    (name, token), (_, again) = list(variants(new))[number], list(variants(old))[number]
                    fate = predicted(token, version)
                    seen = await stage.join(new, token)
                    status = fate.refused.status if fate.refused else 0
                    agents = Counter(each.agent_name for each in fate.agents if not each.deployment)
                    del agents["nobody"]
                    if fate.preset:
                        agents = Counter({"beta": 1})
                    if not fate.room:
                        agents = seen.asked  # 1.8.4 lets them into the room of no name, which is not watched
                    if (seen.status, seen.asked) != (status, agents):
                        wrong.append(
                            f"{name}: predicted {status} {dict(agents)}, seen {seen.status} {dict(seen.asked)}"
                        )
                    if status or not fate.room:
                        return
                    await stage.make(old)
                    seen = await stage.join(old, again)
                    if seen.status or seen.asked:
                        wrong.append(f"{name}, existing room: {seen.status} {dict(seen.asked)}")

            try:
                await stage.open()
                await asyncio.gather(*(one(number) for number in range(len(list(variants(""))))))
            finally:
                await stage.close()
        return wrong

    wrong = asyncio.run(play())
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("version", VERSIONS)
def test_helpers_do_not_keep_a_room_open(version: str, tmp_path: Path) -> None:
    """`dependent` participants raise no participant job and their room closes at its empty_timeout; others do and stay."""
    given: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "person": ({}, {}),
        "marked": ({"agent": True}, {}),
        "recorder": ({"recorder": True}, {}),
        "hidden": ({"hidden": True}, {}),
        **{kind: ({}, {"kind": kind}) for kind in ("agent", "egress", "ingress", "sip")},
    }

    async def play() -> dict[str, tuple[bool, bool]]:
        async with running(version, tmp_path) as server, aiohttp.ClientSession() as http:
            worker = RawWorker(server.ws_url, job_type="JT_PARTICIPANT", answers=Answer(join=False))
            await worker.start()
            await asyncio.sleep(0.5)
            rooms = []
            for name, (grants, more) in given.items():
                claims = {
                    "iss": KEY, "sub": "alice", "exp": int(time.time()) + 600,
                    "video": {"roomJoin": True, "room": name, **grants}, "roomConfig": {"emptyTimeout": 4}, **more,
                }  # fmt: skip
                token = made(claims)
                assert predicted(token, version).dependent is (name in {"marked", "recorder", "agent", "egress"})
                room = await connect_quietly(server.ws_url, token)
                assert room is not None, name
                rooms.append(room)
            await asyncio.sleep(9)
            stage = Stage(server, http)
            alive = {one["name"] for one in (await stage.call("RoomService/ListRooms", {}))["rooms"]}
            asked = {one.room for one in worker.seen if one.what == "asked"}
            await asyncio.gather(*(room.disconnect() for room in rooms))
            await worker.close()
            return {name: (name in alive, name in asked) for name in given}

    helpers = {"marked", "recorder", "agent", "egress"}
    assert asyncio.run(play()) == {name: (name not in helpers, name not in helpers) for name in given}
