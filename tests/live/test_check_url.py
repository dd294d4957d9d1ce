"""`check --url` on real servers: healthy, not assigned, interrupted, paused, killed and restarted in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fixtures.lab.api import Api
from fixtures.lab.raw_worker import RawWorker
from fixtures.lab.servers import KEY, SECRET, Server, free_port, restart, running
from tests.cli.running import environment

pytestmark = pytest.mark.live
LISTED = 6.0  # s until a cold server lists a job
GIVEN_UP = 9.0  # s until a dispatch without one counts as not assigned
NEWEST = "1.13.5"


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def report(self) -> dict[str, Any]:
        """The JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        assert found["schema"] == "lkdoctor.report/v1"
        return found

    @property
    def codes(self) -> set[str]:
        """Codes of all findings."""
        return {one["code"] for one in self.report["findings"]}


Meanwhile = Callable[[asyncio.subprocess.Process], Awaitable[None]]


async def lkdoctor(
    *arguments: str | Path,
    url: str = "",
    cwd: Path | None = None,
    meanwhile: Meanwhile | None = None,
    json_: bool = True,
) -> Ran:
    """`lkdoctor ARGUMENTS`, at most 90 s; `meanwhile` plays while it runs."""
    more = ["--url", url] if url else []
    more += ["--format", "json"] if json_ else []
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lkdoctor", *map(str, arguments), *more,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=cwd,
        env=environment(LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET, HOME=str(cwd or Path.cwd())),
    )  # fmt: skip
    playing = asyncio.ensure_future(meanwhile(process)) if meanwhile else None
    try:
        out, err = await asyncio.wait_for(process.communicate(), 90)
    finally:
        if process.returncode is None:
            process.kill()
    if playing is not None:
        await playing
    assert process.returncode is not None
    assert "Traceback" not in err.decode()
    assert SECRET not in out.decode() + err.decode()
    return Ran(process.returncode, out.decode(), err.decode(), time.monotonic() - began)


async def dispatched(server: Server, folder: Path, *names: str) -> RawWorker:
    """A worker for `inbound-agent`, and one room for each of `names` that it is dispatched to, listed by now."""
    worker = await RawWorker(server.ws_url, "inbound-agent").start()
    client = Api(server.url, folder / "lab-api.jsonl")
    try:
        await asyncio.sleep(0.5)
        for number, name in enumerate(names):
            status, _ = await client.create_room(f"support-call-{number}", name)
            assert status == 200
    finally:
        await client.close()
    await asyncio.sleep(LISTED if set(names) == {"inbound-agent"} else GIVEN_UP)
    return worker


async def sampled(server: Server) -> None:
    """Returns when the running command has what the server lists: it is in the middle of its watch then."""
    await server.wait_for_line("API RoomService.ListParticipants", "support-call-0")
    await asyncio.sleep(1.0)


def play(tmp_path: Path, names: tuple[str, ...], act: Callable[[Server], Awaitable[Ran]], version: str = NEWEST) -> Ran:
    """One server with one worker and a room for each of `names`; `act` then runs the command."""

    async def all_of_it() -> Ran:
        async with running(version, tmp_path) as server:
            worker = await dispatched(server, tmp_path, *names)
            try:
                return await act(server)
            finally:
                if server.process.returncode is None:
                    server.process.send_signal(signal.SIGCONT)
                await worker.close(leave=False)

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("version", ["1.13.5", "1.8.4"])
def test_a_healthy_server_is_healthy(version: str, tmp_path: Path) -> None:
    ran = play(
        tmp_path,
        ("inbound-agent", "inbound-agent"),
        lambda one: lkdoctor("check", url=one.ws_url, cwd=tmp_path),
        version,
    )
    report = ran.report
    assert (ran.status, report["verdict"], report["run"]["mode"]) == (0, "healthy", "read-only"), ran.out
    assert {(one["outcome"], one["after"]) for one in report["dispatches"]} == {("assigned", "joined")}
    assert len(report["dispatches"]) == 2
    assert report["credentials"]["secret"] == "environment LIVEKIT_API_SECRET"
    assert report["server"]["url"].startswith("ws://127.0.0.1:")
    assert all(one["ok"] for one in report["connection"])
    assert ran.err == ""
    assert ran.seconds < 20


def test_the_current_folders_logs_are_not_looked_at(tmp_path: Path) -> None:
    """The server's own log lies in the folder that the command is called in."""
    ran = play(tmp_path, ("inbound-agent",), lambda one: lkdoctor("check", url=one.ws_url, cwd=tmp_path))
    assert {one["kind"] for one in ran.report["sources"]} == {"api", "connection"}


def test_a_dispatch_that_nobody_serves_is_not_assigned_and_the_log_tells_why(tmp_path: Path) -> None:
    names = ("inbound-agent", "Inbound Agent")
    ran = play(tmp_path, names, lambda one: lkdoctor("check", url=one.ws_url, cwd=tmp_path))
    assert ran.status in {1, 3}
    assert "not-assigned" in {one["outcome"] for one in ran.report["dispatches"]}
    (tmp_path / "both").mkdir()
    both = play(tmp_path / "both", names, lambda one: lkdoctor("check", one.log, url=one.ws_url, cwd=tmp_path))
    assert both.status == 1
    assert "LKD202" in both.codes
    assert {one["kind"] for one in both.report["sources"]} == {"server_log", "api", "connection"}
    assert sorted(one["outcome"] for one in both.report["dispatches"]) == ["assigned", "name-not-served"]


def test_a_misspelt_room_is_told_what_comes_near(tmp_path: Path) -> None:
    async def act(server: Server) -> Ran:
        journal = Api(server.url, tmp_path / "rooms.jsonl")
        await journal.create_room("support-call-7")
        await journal.close()
        return await lkdoctor("check", "--room", "suport-call-7", url=server.ws_url, cwd=tmp_path)

    ran = play(tmp_path, ("inbound-agent",), act)
    assert ran.status == 3
    assert "the server lists no room suport-call-7 (did you mean support-call-7" in " ".join(ran.report["gaps"])


def test_ctrl_c_in_the_middle_of_a_watch_tells_what_was_learned(tmp_path: Path) -> None:
    async def act(server: Server) -> Ran:
        async def press(process: asyncio.subprocess.Process) -> None:
            await sampled(server)
            process.send_signal(signal.SIGINT)

        return await lkdoctor("check", "--watch", "60", url=server.ws_url, cwd=tmp_path, meanwhile=press)

    ran = play(tmp_path, ("inbound-agent",), act)
    assert ran.status == 130
    assert ran.seconds < 30
    assert ran.report["run"]["interrupted"] is True
    assert [one["outcome"] for one in ran.report["dispatches"]] == ["assigned"]


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    async def act(server: Server) -> Ran:
        async def press(process: asyncio.subprocess.Process) -> None:
            await sampled(server)
            server.process.send_signal(signal.SIGSTOP)
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.02)
            if process.returncode is None:
                process.send_signal(signal.SIGINT)

        return await lkdoctor("check", "--watch", "60", url=server.ws_url, cwd=tmp_path, meanwhile=press, json_=False)

    ran = play(tmp_path, ("inbound-agent",), act)
    # Where the second one comes while the process ends already, it dies of it: a shell says 130 of both.
    assert ran.status in {130, -signal.SIGINT}
    assert ran.seconds < 20


def test_a_paused_server_is_told_in_bounded_time(tmp_path: Path) -> None:
    async def act(server: Server) -> Ran:
        server.process.send_signal(signal.SIGSTOP)
        return await lkdoctor("check", "--timeout", "4", url=server.ws_url, cwd=tmp_path)

    ran = play(tmp_path, ("inbound-agent",), act)
    assert ran.report["verdict"] != "healthy"
    assert ran.status in {1, 3}
    assert ran.report["gaps"]
    assert ran.seconds < 30


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_server_that_goes_in_the_middle_of_a_watch(how: signal.Signals, tmp_path: Path) -> None:
    async def act(server: Server) -> Ran:
        async def strike(_: asyncio.subprocess.Process) -> None:
            await sampled(server)
            server.process.send_signal(how)

        return await lkdoctor(
            "check", "--watch", "12", "--timeout", "5", url=server.ws_url, cwd=tmp_path, meanwhile=strike
        )

    ran = play(tmp_path, ("inbound-agent",), act)
    assert ran.status == 3, ran.out
    assert ran.report["verdict"] == "inconclusive"
    assert ran.report["gaps"]
    assert [one["outcome"] for one in ran.report["dispatches"]] == ["assigned"]
    assert ran.seconds < 40


def test_a_server_that_restarts_in_the_middle_of_a_watch(tmp_path: Path) -> None:
    async def act(server: Server) -> Ran:
        async def strike(_: asyncio.subprocess.Process) -> None:
            await sampled(server)
            await restart(server)

        return await lkdoctor(
            "check", "--watch", "14", "--timeout", "5", url=server.ws_url, cwd=tmp_path, meanwhile=strike
        )

    ran = play(tmp_path, ("inbound-agent",), act)
    # A restart between two looks cannot be told from a room that closed: no gap then, and no fault.
    assert ran.status in {0, 1, 3}, ran.out
    assert ran.seconds < 40
    # The agent comes back by itself and makes the room anew, which has an unnamed dispatch of its own then.
    (first, *_) = [one for one in ran.report["dispatches"] if one["agent_name"] == "inbound-agent"]
    assert (first["outcome"], first["after"] == "joined") == ("assigned", False)
    assert (ran.report["verdict"] == "inconclusive") == (ran.status == 3)


def test_nothing_listens(tmp_path: Path) -> None:
    ran = asyncio.run(lkdoctor("check", url=f"ws://127.0.0.1:{free_port()}", cwd=tmp_path))
    assert ran.status == 1, ran.out
    assert "LKD101" in ran.codes
    assert ran.report["connection"][-1]["ok"] is False or not all(one["ok"] for one in ran.report["connection"])


def test_the_probe_goes_through(tmp_path: Path) -> None:
    ran = play(tmp_path, ("inbound-agent",), lambda one: lkdoctor("check", "--probe", url=one.ws_url, cwd=tmp_path))
    report = ran.report
    assert (ran.status, report["run"]["mode"]) == (0, "probe"), ran.out
    assert report["server"]["version"] == NEWEST
    assert report["probes"]
    assert [one["room"] for one in report["dispatches"]] == ["support-call-0"]


def test_why_asks_the_server_too(tmp_path: Path) -> None:
    ran = play(
        tmp_path,
        ("inbound-agent",),
        lambda one: lkdoctor("why", "support-call-0", url=one.ws_url, cwd=tmp_path, json_=False),
    )
    assert ran.status == 0
    assert "support-call-0" in ran.out
    assert "inbound-agent" in ran.out


def test_a_snapshot_tells_what_the_live_check_told(tmp_path: Path) -> None:
    case = tmp_path / "case.zip"
    names = ("inbound-agent", "Inbound Agent")

    async def act(server: Server) -> Ran:
        log = tmp_path / "copy-of-server.log"
        log.write_bytes(server.log.read_bytes())
        taken = await lkdoctor("snapshot", log, "-o", case, url=server.ws_url, cwd=tmp_path, json_=False)
        assert taken.status == 0, taken.err
        log.write_bytes(server.log.read_bytes())
        return await lkdoctor("check", log, url=server.ws_url, cwd=tmp_path)

    live = play(tmp_path, names, act)
    saved = asyncio.run(lkdoctor("check", case, cwd=tmp_path))
    assert (saved.status, saved.codes) == (live.status, live.codes)
    assert {one["kind"] for one in saved.report["sources"]} == {"server_log", "api", "connection"}
    raw = case.read_bytes()
    assert SECRET.encode() not in raw
    assert os.path.getsize(case) < 100_000
