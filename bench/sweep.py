"""How long a sweep of a live server takes, against the bare calls: `python -m bench.sweep --rooms 2000`.

A real livekit-server is started on loopback and given rooms, each with a dispatch for a name that nobody serves. Then, in
turns, each in a process of its own: the bare calls (ListRooms, then ListDispatch and ListParticipants of every room, by
plain aiohttp with the same number at once, answers read and thrown away), and the sweep. The best time of each counts;
prints seconds and CPU seconds of the asking process with their ratios, and its peak memory.

On a quiet machine with two cores the sweep took 1.03 to 1.13 times the bare calls' 0.7 s (1.5 times when six other programs
wanted the cores), 1.7 times their CPU time and 4 MB more memory, on livekit-server 1.13.5, which made the rooms in 1 to 4 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
from google.protobuf.message import Message
from livekit import api

from fixtures.lab import tokens
from fixtures.lab.servers import KEY, SECRET, running
from lkdoctor.collect.credentials import resolve
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api import sweep
from lkdoctor.collect.target import Target

_AT_ONCE: Final = 16


async def _each(names: list[str], at_once: int, work: Callable[[str], Awaitable[None]]) -> None:
    left = iter(names)

    async def worker() -> None:
        for name in left:
            await work(name)

    await asyncio.gather(*(worker() for _ in range(at_once)))


async def _post(http: aiohttp.ClientSession, url: str, call: str, request: Message, token: str) -> bytes:
    headers = {"Content-Type": "application/protobuf", "Authorization": f"Bearer {token}"}
    async with http.post(f"{url}/twirp/livekit.{call}", data=request.SerializeToString(), headers=headers) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise SystemExit(f"{call} answered {answer.status}: {body[:200]!r}")
        return body


async def make(url: str, rooms: int, at_once: int) -> float:
    """Makes the rooms; returns the seconds that it took."""
    began = time.perf_counter()
    token = tokens.api_token()
    async with aiohttp.ClientSession() as http:

        async def one(name: str) -> None:
            agents = tokens.agent_entries(["nobody-serves-this"])
            request = api.CreateRoomRequest(name=name, agents=agents, empty_timeout=3600)
            await _post(http, url, "RoomService/CreateRoom", request, token)

        await _each([f"call-{number:05}" for number in range(rooms)], at_once, one)
    return time.perf_counter() - began


async def bare(target: Target, at_once: int) -> int:
    """The same calls, and nothing else; returns their number."""
    url, count = target.http_url, 1
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        body = await _post(http, url, "RoomService/ListRooms", api.ListRoomsRequest(), target.token(room_list=True))
        names = [room.name for room in api.ListRoomsResponse.FromString(body).rooms]

        async def one(name: str) -> None:
            nonlocal count
            token = target.token(room_admin=True, room=name)
            dispatches, participants = api.ListAgentDispatchRequest(room=name), api.ListParticipantsRequest(room=name)
            await _post(http, url, "AgentDispatchService/ListDispatch", dispatches, token)
            await _post(http, url, "RoomService/ListParticipants", participants, token)
            count += 2

        await _each(names, at_once, one)
    return count


async def swept(target: Target, at_once: int, *, record: bool) -> int:
    """The sweep; returns the number of listings that it kept."""
    gathered = Gathered()
    with tempfile.TemporaryFile() as out:
        writer = out.write if record else None
        await sweep.collect(target, gathered, lambda _: None, concurrency=at_once, record=writer)
    (note,) = gathered.notes
    if note.unusable or note.notes or note.skipped:
        raise SystemExit(f"the sweep has gaps: {note}")
    return len(gathered.snapshots)


def _inside(what: str, url: str, at_once: int) -> None:
    """One measurement, in this process."""
    target = resolve(url=url, key=KEY, secret=SECRET, environ={}, folder=Path("/nonexistent"))
    began, busy = time.perf_counter(), time.process_time()
    work = bare(target, at_once) if what == "bare" else swept(target, at_once, record=what == "recorded")
    count = asyncio.run(work)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
    print(json.dumps({"seconds": seconds, "cpu": busy, "megabytes": peak, "count": count}))


async def _outside(rooms: int, at_once: int, times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running("1.13.5", Path(folder)) as server:
            took = await make(server.url, rooms, at_once)
            print(f"{rooms:,} rooms with a dispatch each made in {took:.1f} s, {at_once} calls at once")
            await asyncio.sleep(6)  # until their launches have ended
            runs: dict[str, list[dict[str, Any]]] = {"bare": [], "sweep": [], "recorded": []}
            for _ in range(times):
                for what, found in runs.items():
                    command = [sys.executable, "-m", "bench.sweep", "--inside", what, server.url]
                    process = await asyncio.create_subprocess_exec(
                        *command, "--at-once", str(at_once), stdout=subprocess.PIPE
                    )
                    said, _nothing = await process.communicate()
                    if process.returncode:
                        raise SystemExit(f"{what} ended with {process.returncode}")
                    found.append(json.loads(said))
    base, base_cpu = (min(one[what] for one in runs["bare"]) for what in ("seconds", "cpu"))
    for what, found in runs.items():
        best = min(one["seconds"] for one in found)
        cpu = min(one["cpu"] for one in found)
        peak = max(one["megabytes"] for one in found)
        count = found[0]["count"]
        words = "calls" if what == "bare" else "listings kept"
        print(
            f"  {what:9} {best:6.2f} s  {best / base:5.2f} x  CPU {cpu:5.2f} s  {cpu / base_cpu:5.2f} x  {peak:5.0f} MB  {count:,} {words}"
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=_AT_ONCE)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--inside", nargs=2, metavar=("WHAT", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        what, url = given.inside
        _inside(what, url, given.at_once)
    else:
        asyncio.run(_outside(given.rooms, given.at_once, given.times))


if __name__ == "__main__":
    main()
