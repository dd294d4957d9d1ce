"""Story 3: two agents stand in a room, and neither says a word."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest

from fixtures.lab.play import Play, play
from fixtures.lab.sdk_workers import python_worker

pytestmark = pytest.mark.live
ROOM = "support-call-7"
PAIR = ("customer", "support")


def test_two_agents_that_are_deaf_for_agents(tmp_path: Path) -> None:
    """Sessions with the SDK's default options listen to people only. With `participant_kinds`, as printed, both speak."""

    async def workers(stage: Play, **call: str) -> None:
        program = {"program": "session_agent.py", **call}
        named = [{"LAB_AGENT_NAME": one, "LAB_IDENTITY": f"{one}-1"} for one in PAIR]
        await asyncio.gather(
            *(python_worker(stage, one, **more, **program) for one, more in zip(PAIR, named, strict=True))
        )
        await stage.create(ROOM, *PAIR)
        await stage.agents_in(ROOM, 2)

    async def story() -> None:
        async with play(tmp_path) as stage:
            command = ("check", ".", "--url", stage.server.ws_url, "--together", ",".join(PAIR))

            await workers(stage)
            await stage.settle(21)  # silence counts after 20 s
            told = await stage.lkdoctor(*command)
            assert (told.status, told.faults) == (1, {"LKD701"}), told.text
            assert sorted(told.finding("LKD701")["values"]["deaf"]) == [*PAIR]
            fix = told.fix("LKD701", "Let the sessions accept agents")
            assert "RoomOptions(participant_kinds=[rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]" in fix.text
            assert "`session.say(…)`" in fix.text

            await stage.next_act()
            await workers(stage, LAB_HEARS="agents", LAB_GREETS="yes")
            await stage.settle(21)
            told = await stage.lkdoctor(*command)
            told.is_green()
            status, table = await stage.output(*shlex.split(fix.commands[1])[1:])
            assert status == 0
            assert "2 words came back exactly" in table

    asyncio.run(story())
