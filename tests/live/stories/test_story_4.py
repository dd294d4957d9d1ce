"""Story 4: a voice agent of a fixed name, a token that names it, and a log that speaks of JT_PARTICIPANT and of servers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.lab.paths import FIXTURES
from fixtures.lab.play import Play, play
from fixtures.lab.sdk_workers import node_worker, python_worker

pytestmark = pytest.mark.live
ROOM = "ganglia-room"
AGENT = "livekit-ganglia-agent"
IDLE = {"LAB_LOAD": "0.1"}


async def call(stage: Play) -> None:
    """Alice joins the room of always with a token that names the agent, and speaks."""
    await stage.join(ROOM, "alice", agents=[AGENT], speak=True)


def test_the_line_about_jt_participant(tmp_path: Path) -> None:
    """The two lines that they pasted tell nothing; half of their fix is a real fault; with the name, the lines are noise."""

    async def story() -> None:
        async with play(tmp_path) as stage:
            pasted = await stage.lkdoctor("check", str(FIXTURES / "excerpts" / "ganglia-two-lines"))
            assert (pasted.status, pasted.report["verdict"], pasted.faults) == (3, "inconclusive", set()), pasted.text
            assert "LKD311" in pasted.notes
            assert "Fetch the log from the moment the room was made" in pasted.text

            command = ("check", ".", "--url", stage.server.ws_url)
            await node_worker(stage, "ganglia", **IDLE)  # the name was taken off the worker, and left in the token
            await call(stage)
            await stage.server.wait_for_line("not dispatching agent job", '"JT_ROOM"')
            told = await stage.lkdoctor(*command)
            assert (told.status, told.faults) == (1, {"LKD301"}), told.text
            assert told.outcome(ROOM, AGENT) == "name-not-served"
            assert '"jobType": "JT_ROOM"' in told.proof("LKD301")
            fix = told.fix("LKD301", "Serve the name")
            assert f"LIVEKIT_AGENT_NAME={AGENT} in its environment" in fix.text

            await stage.next_act()
            await node_worker(stage, "ganglia", **IDLE, LIVEKIT_AGENT_NAME=AGENT)
            await call(stage)
            await stage.agents_in(ROOM, 1)
            await stage.server.wait_for_line("not dispatching agent job", '"JT_PARTICIPANT"')
            told = await stage.lkdoctor(*command)
            told.is_green()
            assert told.outcome(ROOM, AGENT) == "assigned joined"
            assert "LKD311" in told.notes  # the same line as before, and it is harmless

    asyncio.run(story())


def test_the_room_is_there_already(tmp_path: Path) -> None:
    """A room of a fixed name that the backend made before: the token's agents are not read. The printed call brings one."""

    async def story() -> None:
        async with play(tmp_path) as stage:
            command = ("check", ".", "--url", stage.server.ws_url)
            await asyncio.gather(stage.create(ROOM), node_worker(stage, "ganglia", **IDLE, LAB_AGENT_NAME=AGENT))
            await call(stage)
            await stage.settle(9)  # no agent, and no line that says so
            told = await stage.lkdoctor(*command)
            assert (told.status, told.faults) == (1, {"LKD307"}), told.text
            assert "starting RTC session" in told.proof("LKD307")

            await stage.ask(told.fix("LKD307", "where the room is made").commands[0])
            await stage.agents_in(ROOM, 1)
            (await stage.lkdoctor(*command)).is_green()

    asyncio.run(story())


@contextmanager
def busy() -> Iterator[None]:
    """Every CPU of this machine is busy, at the lowest priority, for half a minute at most."""
    burn = "import os, time\nos.nice(19)\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
    cpus = len(os.sched_getaffinity(0))
    burners = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(cpus)]
    try:
        yield
    finally:
        for one in burners:
            one.kill()
            one.wait()


@pytest.mark.parametrize("sdk", ["python", "node"])
def test_no_servers_available(sdk: str, tmp_path: Path) -> None:
    """Dev mode, the SDK's own load function, a busy machine: refused, and the worker's log says nothing. Load 0 cures it."""

    async def worker(stage: Play, **load: str) -> None:
        await (python_worker if sdk == "python" else node_worker)(stage, "ganglia", "dev", LAB_AGENT_NAME=AGENT, **load)

    async def story() -> None:
        async with play(tmp_path) as stage:
            command = ("check", ".", "--url", stage.server.ws_url)

            await worker(stage)
            with busy():
                await asyncio.sleep(8)  # the worker measures over 2.5 s, and tells every 2.5 s
                await call(stage)
                await stage.server.wait_for_line("no servers available (received 1 responses)", seconds=10)
            told = await stage.lkdoctor(*command)
            assert told.status == 1
            refused = told.cause("LKD402", "LKD303")  # the first where the worker's log goes on after the refusal
            assert (
                "a worker at load `agents.target_load` (default 0.7) or above is refused"
                in told.finding(refused)["message"]
            )
            assert "no servers available (received 1 responses)" in told.proof(refused)
            fix = told.fix(
                refused, "report no load", "yes, for there is one worker of this name", "LiveKit Cloud ignores it"
            )
            assert ("`load_fnc=lambda: 0`" if sdk == "python" else "`loadFunc: async () => 0`") in fix.text

            await stage.next_act()
            await worker(stage, LAB_LOAD="0")  # the call that is printed
            with busy():
                await asyncio.sleep(8)
                await call(stage)
                await stage.server.wait_for_line("assigned job to worker", AGENT)
            await stage.agents_in(ROOM, 1)
            (await stage.lkdoctor(*command)).is_green()

    asyncio.run(story())
