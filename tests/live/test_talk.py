"""`lkdoctor talk` on real servers: what it tells of real agents, and that nobody in the room notices it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from livekit import rtc

from fixtures.lab import people, tokens
from fixtures.lab.record import stage
from fixtures.lab.scenario import Expect, Lab, Scenario
from fixtures.lab.sdk_workers import python_worker
from fixtures.lab.servers import KEY, SECRET
from tests.cli.running import environment

pytestmark = pytest.mark.live
ROOM = "support-call-7"
JOINED = ("participant active", "lkdoctor-listener-")


@contextlib.asynccontextmanager
async def lab_of(version: str, folder: Path) -> AsyncIterator[Lab]:
    """A stage with one server."""

    async def nothing(_: Lab) -> None:
        return

    scenario = Scenario("talk", "", "", nothing, Expect("healthy"), server=version)
    async with stage(scenario, folder) as servers:
        lab = Lab(servers, folder)
        try:
            yield lab
        finally:
            await lab.close()


async def start(lab: Lab, *arguments: str) -> asyncio.subprocess.Process:
    """`lkdoctor talk ROOM …` as a process."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lkdoctor", "talk", ROOM, "--url", lab.server.ws_url, "--format", "json", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET, HOME=str(lab.folder)),
        cwd=lab.folder,
    )


async def result(process: asyncio.subprocess.Process, seconds: float = 150) -> tuple[int, dict[str, Any]]:
    """Exit status and report."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
    assert "Traceback" not in err.decode(), err.decode()
    report: dict[str, Any] = json.loads(out)
    return process.returncode or 0, report


def codes(report: dict[str, Any]) -> set[str]:
    return {one["code"] for one in report["findings"] if one["severity"] != "info"}


@pytest.mark.parametrize("version", ["1.13.5", "1.9.12"])
def test_two_agents_that_talk(version: str, tmp_path: Path) -> None:
    """Every side is seen, the recording gives the same report, and the server's log shows no listener in its stories."""

    async def play() -> None:
        async with lab_of(version, tmp_path) as lab:
            for name, does in (("guide", "first"), ("driver", "")):
                settings = {"LAB_AGENT_NAME": f"{name}-agent", "LAB_IDENTITY": name, "LAB_DOES": does}
                await python_worker(lab, name, program="talking_agent.py", **settings)
            kept = str(tmp_path / "talk.jsonl")
            watching = await start(lab, "--wait", "90", "--seconds", "20", "--record", kept)
            await lab.create(ROOM, "guide-agent", "driver-agent")
            status, report = await result(watching)
            assert (status, report["verdict"], codes(report)) == (0, "healthy", set())
            (talk,) = report["talks"]
            agents = {one["agent_name"]: one for one in talk["people"]}
            assert set(agents) == {"guide-agent", "driver-agent"}
            assert all(one["tracks"] and one["states"] and one["job_id"] for one in agents.values())
            assert any(level > -30 for one in agents.values() for level in one["tracks"][0]["levels"])
            assert [one["answer"] for one in talk["suspicions"]] == ["ruled out"] * 4
            log = lab.server.log
            again = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lkdoctor", "check", kept, str(log), "--format", "json"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment(),
            )
            status, judged = await result(again)
            assert (status, codes(judged)) == (0, set())
            assert judged["talks"][0]["suspicions"] == talk["suspicions"]
            assert "lkdoctor-" not in json.dumps(judged["dispatches"]) + json.dumps(judged["findings"])

    asyncio.run(play())


def test_two_deaf_agents(tmp_path: Path) -> None:
    """Default options: no listener makes them speak, and the cause is told."""

    async def play() -> None:
        async with lab_of("1.13.5", tmp_path) as lab:
            for name in ("guide", "driver"):
                settings = {"LAB_AGENT_NAME": f"{name}-agent", "LAB_IDENTITY": name}
                await python_worker(lab, name, program="session_agent.py", **settings)
            watching = await start(lab, "--wait", "90", "--seconds", "26")
            await lab.create(ROOM, "guide-agent", "driver-agent")
            status, report = await result(watching)
            assert (status, codes(report)) == (1, {"LKD701"})

    asyncio.run(play())


@pytest.mark.parametrize("version", ["1.13.5", "1.9.12"])
def test_nobody_notices(version: str, tmp_path: Path) -> None:
    """A publisher hears of no participant and no subscriber, the room's count stays, and it closes by its own time."""

    async def play() -> None:
        async with lab_of(version, tmp_path) as lab:
            await lab.create(ROOM, "nobody-agent", empty_timeout=14)
            noticed: list[str] = []
            agent = rtc.Room()
            for event in ("participant_connected", "participant_disconnected", "local_track_subscribed"):
                agent.on(event, lambda *_, event=event: noticed.append(event))
            token = tokens.person_token(ROOM, "agent-of-the-lab", marked_agent=True, kind="agent")
            await agent.connect(lab.server.ws_url, token)
            await people.publish_silence(agent, "voice")
            watching = await start(lab, "--seconds", "120")
            await lab.server.wait_for_line(*JOINED, seconds=60)
            _, listed = await lab.api.list_rooms(ROOM)
            status, report = await result(watching)
            await agent.disconnect()
            assert noticed == []
            assert listed["rooms"][0].get("num_participants", 0) <= 1
            assert (status, report["talks"][0]["ended"]) == (0, "closed")
            await lab.server.wait_for_line("closing idle room", "empty timeout")

    asyncio.run(play())


def test_a_room_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Said in words, with what is there; exit status 3."""

    async def play() -> None:
        async with lab_of("1.13.5", tmp_path) as lab:
            await lab.create("support-call-8", "nobody-agent")
            status, report = await result(await start(lab, "--wait", "1"))
            _, listed = await lab.api.list_rooms()
            assert [one["name"] for one in listed["rooms"]] == ["support-call-8"]
            assert (status, report["verdict"], report["talks"]) == (3, "inconclusive", [])
            assert any("support-call-8" in gap and "none was made" in gap for gap in report["gaps"])

    asyncio.run(play())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_leaves_and_tells(how: signal.Signals, tmp_path: Path) -> None:
    """What was noticed until then is the report; the listener has left in order."""

    async def play() -> None:
        async with lab_of("1.13.5", tmp_path) as lab:
            await lab.join(ROOM, "alice", agents=["nobody-agent"], speak=True)
            watching = await start(lab, "--seconds", "600")
            await lab.server.wait_for_line(*JOINED, seconds=60)
            await asyncio.sleep(1)
            watching.send_signal(how)
            status, report = await result(watching, 60)
            assert status == 130
            (talk,) = report["talks"]
            assert (talk["ended"], [one["identity"] for one in talk["people"]]) == ("interrupted", ["alice"])
            await lab.server.wait_for_line("participant closing", "lkdoctor-listener-", "CLIENT_REQUEST_LEAVE")

    asyncio.run(play())
