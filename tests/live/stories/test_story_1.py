"""Story 1: two agents, one room, and only one comes; then two agents that speak as one."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest

from fixtures.lab.play import Play, play
from fixtures.lab.sdk_workers import node_worker, python_worker

pytestmark = pytest.mark.live
ROOM = "ride-1"
ROLES = ("dispatcher", "driver")


@pytest.mark.parametrize("sdk", ["python", "node"])
def test_two_workers_without_a_name(sdk: str, tmp_path: Path) -> None:
    """One unnamed dispatch, two unnamed workers: one of them comes. Two names, or two roles, as printed: both come."""

    async def workers(stage: Play, *names: str) -> None:
        start = python_worker if sdk == "python" else node_worker
        named = [{"LIVEKIT_AGENT_NAME": name} for name in names] or [{}, {}]  # their code has no name
        await asyncio.gather(
            *(start(stage, role, LAB_LOAD="0", **more) for role, more in zip(ROLES, named, strict=True))
        )

    async def story() -> None:
        async with play(tmp_path) as stage:
            command = ("check", ".", "--url", stage.server.ws_url, "--expect", ",".join(ROLES))

            await workers(stage)
            await stage.join(ROOM, "rider-1")
            assert len(await stage.agents_in(ROOM, 1)) == 1
            await stage.settle(6)  # nobody else comes
            told = await stage.lkdoctor(*command)
            assert (told.status, told.faults) == (1, {"LKD204"}), told.text
            rooms = told.finding("LKD204")["values"]["rooms"]  # by worker id
            assert sorted(rooms.values()) == [[], [ROOM]]
            assert told.proof("LKD204").count("worker registered") == 2
            names = told.fix("LKD204", "two names, two dispatches")
            assert f"LIVEKIT_AGENT_NAME={ROLES[0]} in its environment" in names.text
            roles = told.fix("LKD204", "one worker with two roles")

            await stage.next_act()
            await workers(stage, *ROLES)
            status, token = await stage.output(*shlex.split(names.commands[0])[1:])
            assert status == 0
            await stage.enter(ROOM, "USER", token.strip())
            assert len(await stage.agents_in(ROOM, 2)) == 2
            told = await stage.lkdoctor(*command)
            told.is_green()
            assert [told.outcome(ROOM, role) for role in ROLES] == ["assigned joined"] * 2

            if sdk == "node":
                return  # what follows has nothing of the team's own programs
            await stage.next_act()
            await stage.start(roles.commands[0], "both")
            await stage.join(ROOM, "rider-1")
            for asked in roles.commands[1:]:
                await stage.ask(asked)
            assert [one.split("-AJ_")[0] for one in await stage.agents_in(ROOM, 2)] == [*ROLES]
            (await stage.lkdoctor(*command)).is_green()

    asyncio.run(story())


def test_two_sessions_on_one_connection(tmp_path: Path) -> None:
    """Their second attempt: one participant with two voices. With a connection of its own, as printed, there are two."""

    async def worker(stage: Play, rooms: str) -> None:
        one = await python_worker(stage, "ride", program="two_sessions.py", LAB_ROOMS=rooms, LAB_AGENT_NAME="ride")
        await stage.join(ROOM, "rider-1", agents=["ride"])
        await stage.until(one.log, "driver session started")

    async def story() -> None:
        async with play(tmp_path) as stage:
            command = ("check", ".", "--url", stage.server.ws_url)

            await worker(stage, "one")
            assert len(await stage.agents_in(ROOM, 1)) == 1
            told = await stage.lkdoctor(*command)
            assert (told.status, told.faults) == (1, {"LKD706"}), told.text
            assert "already registered, ignoring" in told.proof("LKD706")
            fix = told.fix("LKD706", "a participant of its own")
            assert "await second.connect(url, token)" in fix.text

            await stage.next_act()
            await worker(stage, "own")
            assert "driver" in await stage.agents_in(ROOM, 2)
            (await stage.lkdoctor(*command)).is_green()
            status, table = await stage.output(*shlex.split(fix.commands[0])[1:])
            assert status == 0
            assert "1 of 1 conversations went well (shape c" in table

    asyncio.run(story())
