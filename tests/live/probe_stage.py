"""The stage of the probe's live tests: a server, raw workers, and `lkdoctor probe` as a user runs it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fixtures.lab.api import Api
from fixtures.lab.raw_worker import RawWorker
from fixtures.lab.servers import KEY, SECRET, Server, running


@dataclass
class Stage:
    """A server, its workers, and lkdoctor as a user runs it."""

    server: Server
    folder: Path
    api: Api
    workers: list[RawWorker]

    async def worker(self, agent_name: str, **options: Any) -> RawWorker:
        """Registers a raw worker."""
        one = RawWorker(self.server.ws_url, agent_name, **options)
        self.workers.append(one)
        await one.start()
        return one

    async def start(
        self, *args: str, stdin: int = asyncio.subprocess.DEVNULL, **environ: str
    ) -> asyncio.subprocess.Process:
        """Starts `lkdoctor probe`; its stdout is JSON."""
        home = {"HOME": str(self.folder), "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET, **environ}
        command = (sys.executable, "-m", "lkdoctor", "probe", "--url", self.server.ws_url, "--format", "json", *args)
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *command, stdin=stdin, stdout=pipe, stderr=pipe, env={**os.environ, **home}, cwd=self.folder
        )

    async def probe(self, *args: str) -> tuple[int, dict[str, Any]]:
        """Runs `lkdoctor probe` to its end: exit status and report."""
        return await ended(await self.start(*args))

    async def ours(self) -> list[str]:
        """Rooms of lkdoctor's on the server."""
        _, listed = await self.api.list_rooms()
        return [one["name"] for one in listed.get("rooms", []) if one["name"].startswith("lkdoctor-")]

    async def room_comes(self, seconds: float = 20.0) -> None:
        """Returns once a probe has its room."""
        until = asyncio.get_running_loop().time() + seconds
        while not await self.ours():
            assert asyncio.get_running_loop().time() < until, "the probe made no room"
            await asyncio.sleep(0.05)


async def ended(process: asyncio.subprocess.Process, seconds: float = 90.0) -> tuple[int, dict[str, Any]]:
    """Exit status and report of a probe that must end within `seconds`."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except asyncio.TimeoutError:
        process.kill()
        raise
    assert b"Traceback" not in err, err.decode()
    assert SECRET.encode() not in out + err
    assert process.returncode is not None
    return process.returncode, json.loads(out) if out else {}


@contextlib.asynccontextmanager
async def staged(version: str, folder: Path, **options: Any) -> AsyncIterator[Stage]:
    """A stage for the length of a `with`."""
    async with running(version, folder, **options) as server:
        stage = Stage(server, folder, Api(server.url, folder / "api.jsonl"), [])
        try:
            yield stage
        finally:
            for one in stage.workers:
                await one.close()
            await stage.api.close()


def play(work: Callable[[], Awaitable[None]]) -> None:
    """Runs one story."""

    async def run() -> None:
        await work()

    asyncio.run(run())


def steps(probe: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The steps of one run by name."""
    return {one["name"]: one for one in probe["steps"]}


def found(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The findings by code and agent."""
    return {f"{one['code']} {one['subject'].get('agent_name') or ''}".strip(): one for one in report["findings"]}
