"""Story 2: two named workers are dispatched into one room, and the second never gets its job."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fixtures.lab.play import Play, play
from fixtures.lab.sdk_workers import python_worker

pytestmark = pytest.mark.live
ROOM = "support-call-7"
SUPPORT, CUSTOMER = "support-agent", "customer-agent"


def test_the_second_name_is_refused(tmp_path: Path) -> None:
    """In dev mode, on a busy machine: the worker looks available to itself, and the server refuses it once, silently.

    The reference worker, as printed, takes the job; the printed probe shows that one server serves two names in one room.
    """

    async def support(stage: Play) -> None:
        await python_worker(stage, "support", "dev", LAB_LOAD="0.1", LAB_AGENT_NAME=SUPPORT)

    async def story() -> None:
        async with play(tmp_path) as stage:
            command = ("check", ".", "--url", stage.server.ws_url, "--expect", f"{SUPPORT},{CUSTOMER}")

            customer = python_worker(stage, "customer", "dev", LAB_LOAD="0.92", LAB_AGENT_NAME=CUSTOMER)
            await asyncio.gather(support(stage), customer)
            await asyncio.sleep(3)  # a worker tells its load every 2.5 s
            await stage.dispatch(ROOM, SUPPORT)
            await stage.agents_in(ROOM, 1)
            await stage.dispatch(ROOM, CUSTOMER)
            await stage.server.wait_for_line("failed to send job request", CUSTOMER)
            told = await stage.lkdoctor(*command)
            assert told.status == 1
            # LKD402, by its own log: it believed itself available. Without a line of it after the refusal, LKD303.
            refused = told.cause("LKD402", "LKD303")
            assert told.finding(refused)["subject"]["agent_name"] == CUSTOMER
            assert (told.outcome(ROOM, SUPPORT), told.outcome(ROOM, CUSTOMER)) == ("assigned joined", "no-headroom")
            assert "no servers available (received 1 responses)" in told.proof(refused)
            stand_in = told.fix(refused, "report no load", "yes, for there is one worker of this name")
            again = told.fix(refused, "Ask again")

            await stage.next_act()
            await asyncio.gather(support(stage), stage.start(stand_in.commands[0], "customer"))
            await stage.dispatch(ROOM, SUPPORT)
            await stage.ask(again.commands[0])
            assert len(await stage.agents_in(ROOM, 2)) == 2
            told = await stage.lkdoctor(*command)
            told.is_green()
            assert (told.outcome(ROOM, SUPPORT), told.outcome(ROOM, CUSTOMER)) == ("assigned joined",) * 2

            seen = await stage.lkdoctor("probe", SUPPORT, CUSTOMER, "--no-canary", "--yes")
            assert (seen.status, seen.faults) == (0, set()), seen.text

    asyncio.run(story())
