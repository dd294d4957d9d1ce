"""Story 5: our worker is registered and healthy, and every job goes to another worker of the same name."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path

import pytest

from fixtures.lab.play import Play, play
from fixtures.lab.sdk_workers import SdkWorker, python_worker

pytestmark = pytest.mark.live
NAME = "outbound-caller"


def test_a_stranger_takes_every_job(tmp_path: Path) -> None:
    """Both names come from the environment. With a name of its own, as printed, ours gets every job that asks for it."""

    async def workers(stage: Play, name: str, load: str) -> SdkWorker:
        ours, _ = await asyncio.gather(
            python_worker(stage, "ours", LAB_LOAD=load, LIVEKIT_AGENT_NAME=name),
            python_worker(stage, "elsewhere", LAB_LOAD="0", LIVEKIT_AGENT_NAME=NAME),
        )
        await asyncio.sleep(3)  # a worker tells its load every 2.5 s
        return ours

    async def story() -> None:
        async with play(tmp_path) as stage:
            command = ("check", ".", "--url", stage.server.ws_url)

            await workers(stage, NAME, "0.99")
            for number in range(5):  # one after the other: a worker with one process takes one call at a time
                await stage.join(f"call-{number}", f"callee-{number}", agents=[NAME])
                await stage.agents_in(f"call-{number}", 1)
            told = await stage.lkdoctor(*command)
            assert (told.status, told.faults) == (1, {"LKD203"}), told.text
            shared = told.finding("LKD203")
            assert len(shared["values"]["workers"]) == 2
            assert len(shared["values"]["never_got_a_job"]) == 1
            assert told.proof("LKD203").count("worker registered") == 2
            fix = told.fix("LKD203", "its own name")
            own = re.findall(r"LIVEKIT_AGENT_NAME=(\S+)", fix.text)[0]

            await stage.next_act()
            ours = await workers(stage, own, "0.1")
            status, token = await stage.output(*shlex.split(fix.commands[0].replace("ROOM", "call-7"))[1:])
            assert status == 0
            await stage.enter("call-7", "USER", token.strip())
            await stage.agents_in("call-7", 1)
            told = await stage.lkdoctor(*command)
            told.is_green()
            assert told.outcome("call-7", own) == "assigned joined"

            # The test call that is printed: its worker is ours.
            seen = await stage.lkdoctor(*shlex.split(fix.commands[1])[1:], "--yes")
            registered = re.findall(r"AW_\w+", ours.log.read_text(encoding="utf-8"))[0]
            assert (seen.status, seen.faults) == (0, set()), seen.text
            assert registered in seen.text

    asyncio.run(story())
