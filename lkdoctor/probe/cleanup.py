"""Removes rooms that a probe left behind: those with lkdoctor's prefix, and no others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from lkdoctor.collect.target import Target
from lkdoctor.dispatch.listings import RoomInfo
from lkdoctor.dispatch.rules import OWN_PREFIX
from lkdoctor.probe.calls import Calls, ProbeError

_AT_ONCE = 8


@dataclass(slots=True)
class CleanedUp:
    """What became of the rooms: names removed, and why others were not."""

    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


async def left_overs(target: Target) -> tuple[RoomInfo, ...]:
    """The server's rooms under lkdoctor's prefix, oldest first. A probe that runs now has one, too.

    Raises:
        ProbeError: the server did not list its rooms.
    """
    import aiohttp  # noqa: PLC0415 - only for who talks to a server

    async with aiohttp.ClientSession() as http:
        rooms = await Calls(target, http).rooms()
    mine = (one for one in rooms if one.name.startswith(OWN_PREFIX))
    return tuple(sorted(mine, key=lambda one: (one.created_at or 0.0, one.name)))


async def remove(target: Target, names: list[str]) -> CleanedUp:
    """Delete these rooms, a few at once; a name without lkdoctor's prefix is refused with a ValueError."""
    import aiohttp  # noqa: PLC0415

    done = CleanedUp()
    async with aiohttp.ClientSession() as http:
        calls = Calls(target, http)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with gate:
                try:
                    await calls.delete_room(name)
                except ProbeError as error:
                    done.failed[name] = str(error)
                else:
                    done.removed.append(name)

        await asyncio.gather(*(one(name) for name in names))
    return done
