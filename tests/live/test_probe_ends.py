"""The probe on real servers asks before it calls anybody, and is gone without a trace whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fixtures.lab.raw_worker import Answer
from fixtures.lab.servers import Server, restart
from tests.live.probe_stage import ended, play, staged, steps

pytestmark = pytest.mark.live


@pytest.mark.parametrize("answer", ["n", "y"])
def test_it_asks_on_a_terminal(answer: str, tmp_path: Path) -> None:
    """What it costs and touches stands there before anything is done; only yes goes on. Without a terminal: exit 2."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            worker = await stage.worker("inbound-agent", answers=Answer(speaks_after=0.1))
            status, _ = await stage.probe("inbound-agent", "--no-canary")
            assert status == 2
            ours, theirs = os.openpty()
            try:
                process = await stage.start("inbound-agent", "--no-canary", stdin=theirs)
                os.write(ours, f"{answer}\n".encode())
                out, err = await asyncio.wait_for(process.communicate(), 60)
            finally:
                os.close(ours)
                os.close(theirs)
            assert b"may cost money" in b" ".join(err.split())  # the terminal wraps it
            assert process.returncode == (0 if answer == "y" else 2), err
            assert worker.count("asked") == (1 if answer == "y" else 0)
            if answer == "y":
                (probe,) = json.loads(out)["probes"]
                assert steps(probe)["audio"]["ok"]

    play(story)


@pytest.mark.parametrize(
    "agents", [(), ("inbound-agent", "--yes", "--no-canary", "--timeout", "20")], ids=["canary", "agent"]
)
def test_ctrl_c_leaves_no_room(agents: tuple[str, ...], tmp_path: Path) -> None:
    """SIGINT at several moments, in the middle of joining too: exit 130 soon, a whole report of what was learned, the room
    deleted and not made anew by a join that was under way, which would call the unnamed agents of users."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            unnamed = await stage.worker("")
            await stage.worker("inbound-agent", answers=Answer(join=False))
            for moment in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0):
                stop = signal.SIGTERM if moment == 0.2 else signal.SIGINT  # a cancelled job of a CI gets SIGTERM
                process = await stage.start(*agents)
                await stage.room_comes()
                await asyncio.sleep(moment)
                process.send_signal(stop)
                status, report = await ended(process, 15)
                assert status == 130
                assert report["run"]["interrupted"]
                assert report["probes"][0]["interrupted"]
                assert report["probes"][0]["cleaned"]
                await asyncio.sleep(0.3)
                assert await stage.ours() == []
            assert unnamed.seen == []

    play(story)


async def _kill(server: Server) -> None:
    server.process.kill()
    await server.process.wait()


async def _freeze(server: Server) -> None:
    server.process.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize(
    ("harm", "left"), [(_kill, True), (_freeze, True), (restart, False)], ids=["killed", "frozen", "restarted"]
)
@pytest.mark.parametrize("agents", [(), ("inbound-agent", "--yes", "--no-canary")], ids=["canary", "agent"])
def test_a_server_that_is_lost(
    harm: Callable[[Server], Awaitable[None]], left: bool, agents: tuple[str, ...], tmp_path: Path
) -> None:
    """The server is killed, frozen or restarted in mid-probe: said in words, in bounded time, and never exit 0."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            unnamed = await stage.worker("")
            await stage.worker("inbound-agent", answers=Answer(join=False))
            process = await stage.start(*agents)
            await stage.room_comes()
            await asyncio.sleep(0.5)
            try:
                await harm(stage.server)
                status, report = await ended(process, 45)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    stage.server.process.send_signal(signal.SIGCONT)
            assert status in (1, 3), report
            (probe,) = report["probes"]
            assert probe["error"]
            assert any("the probe ended early" in one for one in report["gaps"]), report["gaps"]
            assert probe["cleaned"] is not left
            if left:
                assert probe["left_over"] == [probe["room"]]
                assert "lkdoctor probe --cleanup" in steps(probe)["clean-up"]["detail"]
            else:
                assert await stage.ours() == []
            assert unnamed.seen == [] or [one.what for one in unnamed.seen] == ["closed"]

    play(story)


@pytest.mark.parametrize(("agent_name", "pause"), [("inbound-agent", 7), ("no-agent", 3)])
def test_a_restart_is_no_fault_of_the_agent(agent_name: str, pause: float, tmp_path: Path) -> None:
    """The job is known, or not yet, when the server restarts: the visitor may come back into a new room of the same name."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            await stage.worker("inbound-agent", answers=Answer(join=False))
            process = await stage.start(agent_name, "--yes", "--no-canary", "--timeout", "10")
            await stage.room_comes()
            await asyncio.sleep(pause)
            await restart(stage.server)
            unnamed = await stage.worker("")
            status, report = await ended(process, 60)
            assert status == 3, report["findings"]
            assert report["findings"] == []
            assert unnamed.seen == []
            assert await stage.ours() == []

    play(story)


def test_left_overs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """`--cleanup` wants to be asked or told, deletes rooms of lkdoctor's, and no others."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            for room in ("lkdoctor-probe-1", "lkdoctor-canary-2", "my-lkdoctor-room", "support-call-7"):
                await stage.api.create_room(room, "nobody")
            status, _ = await ended(await stage.start("--cleanup", "--format", "text"))
            assert status == 2
            assert len(await stage.ours()) == 2
            process = await stage.start("--cleanup", "--yes", "--format", "text")
            out, err = await process.communicate()
            assert process.returncode == 0, err
            assert out.decode().strip() == "Removed 2 of 2."
            _, listed = await stage.api.list_rooms()
            assert sorted(one["name"] for one in listed["rooms"]) == ["my-lkdoctor-room", "support-call-7"]

    play(story)
