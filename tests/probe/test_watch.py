"""Watching a room leaves nothing behind, however long it lasts."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from lkdoctor.collect.address import parse
from lkdoctor.collect.target import Target
from lkdoctor.probe.calls import Calls
from lkdoctor.probe.watch import _Listener
from lkdoctor.probe.watching import Notebook


def listener(http: aiohttp.ClientSession) -> _Listener:
    """Of a server that nobody reaches: what the API would add is not needed here."""
    calls = Calls(Target(parse("http://127.0.0.1:9"), "devkey", "secret"), http)
    return _Listener(calls, Notebook("room", "listener", 60.0), lambda _: None)


def test_each_second_of_watching_ends_its_own_task() -> None:
    async def run() -> set[str]:
        async with aiohttp.ClientSession() as http:
            await listener(http)._follow(3.5)
            return {str(one.get_coro()) for one in asyncio.all_tasks() - {asyncio.current_task()}}

    assert asyncio.run(run()) == set()


def test_the_end_of_the_room_ends_it_at_once() -> None:
    async def run() -> float:
        async with aiohttp.ClientSession() as http:
            one = listener(http)
            asyncio.get_running_loop().call_later(0.5, one.over.set)
            began = time.monotonic()
            await one._follow(60.0)
            return time.monotonic() - began

    assert asyncio.run(run()) < 30
