"""The probe on real servers: right about each, seen by nobody's agent, and gone without a trace whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fixtures.lab.api import Api
from fixtures.lab.raw_worker import TERMINATE, Answer, RawWorker
from fixtures.lab.servers import KEY, SECRET, Server, restart, running

pytestmark = pytest.mark.live

LIMITS = [
    ("1.13.5", None, 0.699, 0.7),
    ("1.13.5", 0.9, 0.899, 0.9),
    ("1.13.5", 1.5, 0.999, 1.0),
    ("1.8.4", None, 0.649, 0.65),
]


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


@pytest.mark.parametrize(("version", "target_load", "asked", "refused"), LIMITS)
def test_the_limit_is_measured(
    version: str, target_load: float | None, asked: float, refused: float, tmp_path: Path
) -> None:
    """Both loads between which this server flips; workers of others beside it are never asked, and no room stays."""

    async def story() -> None:
        extra = {} if target_load is None else {"agents": {"target_load": target_load}}
        async with staged(version, tmp_path, extra=extra) as stage:
            others = [await stage.worker("inbound-agent"), await stage.worker("")]
            status, report = await stage.probe()
            (probe,) = report["probes"]
            assert status == 0, report["findings"]
            assert report["server"]["version"] == version
            assert (probe["accepted_load"], probe["refused_load"]) == (asked, refused)
            assert len(probe["asked_loads"]) <= 16
            taken = steps(probe)
            assert all(one["ok"] for one in taken.values()), taken
            assert set(taken) >= {
                "connect",
                "register",
                "room",
                "asked",
                "assigned",
                "second name",
                "limit",
                "listed",
                "clean-up",
            }
            assert 0.15 < taken["asked"]["seconds"] < 1.5
            assert [one.seen for one in others] == [[], []]
            assert await stage.ours() == []

    play(story)


def test_a_limit_of_zero_is_told(tmp_path: Path) -> None:
    """Nothing is ever dispatched: LKD406, with the load below 0 that shows it; not LKD315."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path, extra={"agents": {"target_load": 0}}) as stage:
            status, report = await stage.probe("inbound-agent", "--yes")
            assert status == 1
            assert list(found(report)) == ["LKD406"]
            assert [one["kind"] for one in report["probes"]] == ["canary"]  # the agent was not called
            assert report["probes"][0]["asked_loads"] == [[0.0, False], [-1.0, True]]
            assert "inbound-agent was not called" in report["gaps"][0]
            assert await stage.ours() == []

    play(story)


@pytest.mark.parametrize(
    "agents", [(), ("inbound-agent", "--yes", "--no-canary", "--timeout", "20")], ids=["canary", "agent"]
)
def test_ctrl_c_leaves_no_room(agents: tuple[str, ...], tmp_path: Path) -> None:
    """SIGINT at several moments, in the middle of joining too: exit 130 soon, a whole report of what was learned, the room
    deleted and not made anew by a join that was under way, which would call the unnamed agents of users."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            unnamed = await stage.worker("")
            await stage.worker("inbound-agent", answers=Answer(join=False))
            for moment in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0):
                stop = signal.SIGTERM if moment == 0.2 else signal.SIGINT  # a cancelled job of a CI gets SIGTERM
                process = await stage.start(*agents)
                await stage.room_comes()
                await asyncio.sleep(moment)
                process.send_signal(stop)
                status, report = await ended(process, 15)
                assert status == 130
                assert report["run"]["interrupted"]
                assert report["probes"][0]["interrupted"]
                assert report["probes"][0]["cleaned"]
                await asyncio.sleep(0.3)
                assert await stage.ours() == []
            assert unnamed.seen == []

    play(story)


async def _kill(server: Server) -> None:
    server.process.kill()
    await server.process.wait()


async def _freeze(server: Server) -> None:
    server.process.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize(
    ("harm", "left"), [(_kill, True), (_freeze, True), (restart, False)], ids=["killed", "frozen", "restarted"]
)
@pytest.mark.parametrize("agents", [(), ("inbound-agent", "--yes", "--no-canary")], ids=["canary", "agent"])
def test_a_server_that_is_lost(
    harm: Callable[[Server], Awaitable[None]], left: bool, agents: tuple[str, ...], tmp_path: Path
) -> None:
    """The server is killed, frozen or restarted in mid-probe: said in words, in bounded time, and never exit 0."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            unnamed = await stage.worker("")
            await stage.worker("inbound-agent", answers=Answer(join=False))
            process = await stage.start(*agents)
            await stage.room_comes()
            await asyncio.sleep(0.5)
            try:
                await harm(stage.server)
                status, report = await ended(process, 45)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    stage.server.process.send_signal(signal.SIGCONT)
            assert status in (1, 3), report
            (probe,) = report["probes"]
            assert probe["error"]
            assert any("the probe ended early" in one for one in report["gaps"]), report["gaps"]
            assert probe["cleaned"] is not left
            if left:
                assert probe["left_over"] == [probe["room"]]
                assert "lkdoctor probe --cleanup" in steps(probe)["clean-up"]["detail"]
            else:
                assert await stage.ours() == []
            assert unnamed.seen == [] or [one.what for one in unnamed.seen] == ["closed"]

    play(story)


@pytest.mark.parametrize(("agent_name", "pause"), [("inbound-agent", 7), ("no-agent", 3)])
def test_a_restart_is_no_fault_of_the_agent(agent_name: str, pause: float, tmp_path: Path) -> None:
    """The job is known, or not yet, when the server restarts: the visitor may come back into a new room of the same name."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            await stage.worker("inbound-agent", answers=Answer(join=False))
            process = await stage.start(agent_name, "--yes", "--no-canary", "--timeout", "10")
            await stage.room_comes()
            await asyncio.sleep(pause)
            await restart(stage.server)
            unnamed = await stage.worker("")
            status, report = await ended(process, 60)
            assert status == 3, report["findings"]
            assert report["findings"] == []
            assert unnamed.seen == []
            assert await stage.ours() == []

    play(story)


def test_left_overs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """`--cleanup` wants to be asked or told, deletes rooms of lkdoctor's, and no others."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            for room in ("lkdoctor-probe-1", "lkdoctor-canary-2", "my-lkdoctor-room", "support-call-7"):
                await stage.api.create_room(room, "nobody")
            status, _ = await ended(await stage.start("--cleanup", "--format", "text"))
            assert status == 2
            assert len(await stage.ours()) == 2
            process = await stage.start("--cleanup", "--yes", "--format", "text")
            out, err = await process.communicate()
            assert process.returncode == 0, err
            assert out.decode().strip() == "Removed 2 of 2."
            _, listed = await stage.api.list_rooms()
            assert sorted(one["name"] for one in listed["rooms"]) == ["my-lkdoctor-room", "support-call-7"]

    play(story)


def test_agents_are_called(tmp_path: Path) -> None:
    """Served, never joined, rejected, unknown, publisher and participant workers: one room, a row each, the right codes."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            await stage.worker("room-agent")
            await stage.worker("publisher-agent", job_type="JT_PUBLISHER")
            await stage.worker("participant-agent", job_type="JT_PARTICIPANT")
            await stage.worker("ghost-agent", answers=Answer(join=False))
            await stage.worker("choosy-agent", answers=Answer(TERMINATE))
            unnamed = await stage.worker("")
            names = ["room-agent", "publisher-agent", "participant-agent", "ghost-agent", "choosy-agent", "no-agent"]
            status, report = await stage.probe(*names, "--yes", "--timeout", "3")
            canary, *calls = report["probes"]
            by_name = {one["agent_name"]: one for one in calls}
            assert status == 1
            assert canary["kind"] == "canary"
            assert len({one["room"] for one in calls}) == 1
            types = {name: by_name[name]["job_type"] for name in names[:3]}
            assert types == {
                "room-agent": "JT_ROOM",
                "publisher-agent": "JT_PUBLISHER",
                "participant-agent": "JT_PARTICIPANT",
            }
            for name in names[:3]:
                assert steps(by_name[name])["joined"]["ok"], by_name[name]
            counted = {name: one for name, one in found(report).items() if one["confidence"] != "low"}
            assert set(counted) == {"LKD306 choosy-agent", "LKD315 no-agent", "LKD601 ghost-agent"}
            assert counted["LKD315 no-agent"]["confidence"] == "high"
            assert counted["LKD315 no-agent"]["values"]["canary"] is True
            assert unnamed.seen == []
            assert await stage.ours() == []

    play(story)


def test_two_workers_of_one_name_are_counted(tmp_path: Path) -> None:
    """Several calls meet both workers; with --mine the other one is a stranger."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            mine, other = await stage.worker("inbound-agent"), await stage.worker("inbound-agent", load=0.2)
            many = ("inbound-agent", "--yes", "--no-canary", "--timeout", "1", "--times", "6")
            status, report = await stage.probe(*many)
            ids = {one["worker_id"] for one in report["probes"]}
            assert len(report["probes"]) == 6
            if ids == {mine.worker_id, other.worker_id}:  # else chance (3 %) met one of them only
                assert found(report)["LKD203 inbound-agent"]["severity"] == "info"
                assert status == 0
            status, report = await stage.probe(*many[:-1], "1", "--mine", "AW_mine")
            stranger = found(report)["LKD203 inbound-agent"]
            assert (status, stranger["severity"]) == (1, "warning")
            assert stranger["values"]["strangers"] == [report["probes"][0]["worker_id"]]

    play(story)


def test_one_worker_alone_is_healthy(tmp_path: Path) -> None:
    """The look-alike: one worker, its own id given, on the oldest server too, which names no worker."""

    async def story() -> None:
        for version in ("1.13.5", "1.8.4"):
            folder = tmp_path / version
            folder.mkdir()
            async with staged(version, folder) as stage:
                worker = await stage.worker("inbound-agent")
                status, report = await stage.probe(
                    "inbound-agent", "--yes", "--timeout", "2", "--mine", worker.worker_id
                )
                assert status == 0, report["findings"]
                probe = report["probes"][1]
                assert probe["worker_id"] == (worker.worker_id if version == "1.13.5" else "")
                assert not any(name.startswith("LKD203") for name in found(report))

    play(story)


HIDING = """
import sys
class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name == "livekit.rtc":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hiding())
"""


def test_without_the_media_package(tmp_path: Path) -> None:
    """lkdoctor without its extra: everything but joining is done, and what was not tested is said."""

    async def story() -> None:
        (tmp_path / "sitecustomize.py").write_text(HIDING, encoding="utf-8")
        async with staged("1.13.5", tmp_path) as stage:
            await stage.worker("inbound-agent")
            await stage.worker("publisher-agent", job_type="JT_PUBLISHER")
            process = await stage.start("inbound-agent", "publisher-agent", "--yes", PYTHONPATH=str(tmp_path))
            status, report = await ended(process)
            canary, served, not_called = report["probes"]
            assert steps(canary)["joined"]["trouble"] == "not-tested"
            assert "pip install livekit" in steps(canary)["joined"]["detail"]
            assert canary["refused_load"] == 0.7
            assert steps(served)["joined"]["ok"]
            assert steps(served)["audio"]["trouble"] == "not-tested"
            assert not not_called["visitor"]
            (finding,) = report["findings"]  # nobody was there to publish, so this says little
            assert (finding["code"], finding["confidence"], status) == ("LKD315", "low", 0)

    play(story)


@pytest.mark.parametrize("answer", ["n", "y"])
def test_it_asks_on_a_terminal(answer: str, tmp_path: Path) -> None:
    """What it costs and touches stands there before anything is done; only yes goes on. Without a terminal: exit 2."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            worker = await stage.worker("inbound-agent", answers=Answer(speaks_after=0.1))
            status, _ = await stage.probe("inbound-agent", "--no-canary")
            assert status == 2
            ours, theirs = os.openpty()
            try:
                process = await stage.start("inbound-agent", "--no-canary", stdin=theirs)
                os.write(ours, f"{answer}\n".encode())
                out, err = await asyncio.wait_for(process.communicate(), 60)
            finally:
                os.close(ours)
                os.close(theirs)
            assert b"may cost money" in b" ".join(err.split())  # the terminal wraps it
            assert process.returncode == (0 if answer == "y" else 2), err
            assert worker.count("asked") == (1 if answer == "y" else 0)
            if answer == "y":
                (probe,) = json.loads(out)["probes"]
                assert steps(probe)["audio"]["ok"]

    play(story)


def test_check_probes_too(tmp_path: Path) -> None:
    """`check --url --probe` runs the canary beside what it reads, and knows the server's version by it."""

    async def story() -> None:
        async with staged("1.13.5", tmp_path) as stage:
            command = (
                sys.executable,
                "-m",
                "lkdoctor",
                "check",
                "--url",
                stage.server.ws_url,
                "--probe",
                "--format",
                "json",
            )
            home = {"HOME": str(tmp_path), "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
            pipe = asyncio.subprocess.PIPE
            checking = await asyncio.create_subprocess_exec(
                *command, stdout=pipe, stderr=pipe, env={**os.environ, **home}
            )
            status, report = await ended(checking)
            assert (status, report["server"]["version"], report["run"]["mode"]) == (0, "1.13.5", "probe")
            assert [one["kind"] for one in report["probes"]] == ["canary"]
            assert report["dispatches"] == []

    play(story)
