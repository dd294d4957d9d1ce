"""Story 3: two agents stand in a room, and neither says a word."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from pathlib import Path

import pytest

from fixtures.lab.play import Diagnosis, Play, play
from fixtures.lab.sdk_workers import PROGRAMS, python_worker

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
            # The minute of watching that tells the four suspicions apart; and silence counts after 20 s.
            watched = await stage.lkdoctor("talk", ROOM, "--seconds", "22", "--together", ",".join(PAIR))
            assert (watched.status, watched.faults) == (1, {"LKD701"}), watched.text
            assert "Four suspicions" in watched.text
            told = await stage.lkdoctor(*command)
            assert (told.status, told.faults) == (1, {"LKD701"}), told.text
            assert sorted(told.finding("LKD701")["values"]["deaf"]) == [*PAIR]
            fix = told.fix("LKD701", "Let the sessions accept agents")
            assert "RoomOptions(participant_kinds=[rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]" in fix.text
            assert "`session.say(…)`" in fix.text

            await stage.next_act()
            await workers(stage, LAB_HEARS="agents", LAB_GREETS="yes")
            await stage.settle(8)
            told = await stage.lkdoctor(*command)
            told.is_green()
            status, table = await stage.output(*shlex.split(fix.commands[1])[1:])
            assert status == 0
            assert "2 words came back exactly" in table

    asyncio.run(story())


def test_markers_that_never_appear(tmp_path: Path) -> None:
    """The agents talk, and their own log says nothing: hooks that the SDK does not have, and one file for two processes."""

    async def act(stage: Play, program: str) -> Diagnosis:
        """The agents of this program talk; lkdoctor reads the program, the workers' logs and what was heard in the room."""
        shutil.copy(PROGRAMS / program, stage.folder / "agent.py")
        names = [
            {"LAB_AGENT_NAME": one, "LAB_IDENTITY": one, "LAB_DOES": does}
            for one, does in zip(PAIR, ("first", ""), strict=True)
        ]
        await asyncio.gather(*(python_worker(stage, one["LAB_IDENTITY"], program=program, **one) for one in names))
        record = ("--record", "talk.jsonl")
        watch = asyncio.create_task(stage.lkdoctor("talk", ROOM, "--wait", "60", "--seconds", "14", *record))
        await stage.server.wait_for_line("API RoomService.ListRooms", seconds=60)  # it waits for the room
        await stage.create(ROOM, *PAIR)
        await watch
        return await stage.lkdoctor("check", ".")

    async def story() -> None:
        async with play(tmp_path) as stage:
            told = await act(stage, "marking_agent.py")
            assert (told.status, told.faults) == (1, {"LKD708", "LKD709"}), told.text
            assert "on_user_message" in told.proof("LKD708")
            own = (stage.folder / f"conversation-{ROOM}.txt").read_text(encoding="utf-8")
            assert own.count("[START]") == 1  # of two agents that talked
            assert "[HEARD]" not in own
            assert 'session.on("user_input_transcribed"' in told.fix("LKD708", "the session's events").text
            assert 'logging.FileHandler(f"{ctx.job.id}.log")' in told.fix("LKD709", "its own file").text

            await stage.next_act()
            told = await act(stage, "marking_agent_right.py")
            told.is_green()
            written = "".join(
                one.read_text(encoding="utf-8") for one in sorted(stage.folder.glob("conversation-*.txt"))
            )
            assert written.count("[START]") == 2
            assert "[HEARD]" in written
            assert "[SAID]" in written

    asyncio.run(story())
