"""The reference worker on a real livekit-server: three shapes, no wrong word, honest refusals, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from livekit import api

from fixtures.lab.api import Api
from fixtures.lab.paths import LabUnavailableError
from fixtures.lab.people import connect_quietly
from fixtures.lab.sdk_workers import node_modules, node_programs
from fixtures.lab.servers import KEY, SECRET, Server, free_port, running, stop
from fixtures.lab.tokens import person_token
from lkdoctor.worker import agent as reference

pytestmark = pytest.mark.live

VERSION = "1.13.5"
ROOT = Path(__file__).parents[2]


def environment(server: Server | None = None, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
    url = server.ws_url if server is not None else "ws://127.0.0.1:9"
    return {**kept, "LIVEKIT_URL": url, "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET, **more}


def refused(*arguments: str, **environ: str) -> str:
    """What `lkdoctor worker` says when it does not start; nothing listens at its server, so starting would not end."""
    command = [sys.executable, "-m", "lkdoctor", "worker", *arguments]
    ran = subprocess.run(
        command, env=environment(None, **environ), capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    assert SECRET not in ran.stdout + ran.stderr
    return str(ran.stderr)


@asynccontextmanager
async def command(
    server: Server, *arguments: str, folder: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running `lkdoctor worker`, ended by its pid at the latest when the `with` ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lkdoctor", "worker", *arguments),
        env=environment(server),
        cwd=folder,  # `-m` finds the lkdoctor that lies there
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def batch(server: Server, *arguments: str) -> tuple[int, dict[str, Any]]:
    async with command(server, "--format", "json", *arguments) as process:
        out, err = await asyncio.wait_for(process.communicate(), 400)
        assert process.returncode is not None
        assert out, err.decode()
        return process.returncode, json.loads(out)


@dataclass(frozen=True)
class Judged:
    """What `lkdoctor check` makes of a case."""

    status: int
    report: dict[str, Any]
    err: str

    @property
    def codes(self) -> set[str]:
        """What is at warning or error."""
        return {one["code"] for one in self.report["findings"] if one["severity"] != "info"}


def judged(case: Path) -> Judged:
    """`lkdoctor check CASE`."""
    command = [sys.executable, "-m", "lkdoctor", "check", str(case), "--format", "json"]
    ran = subprocess.run(command, env=environment(None), capture_output=True, text=True, timeout=60, check=False)
    return Judged(ran.returncode, json.loads(ran.stdout), ran.stderr)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def rooms(server: Server, folder: Path) -> list[str]:
    client = Api(server.url, folder / "asked.jsonl")
    try:
        _, listed = await client.list_rooms()
        return [one["name"] for one in listed.get("rooms", [])]
    finally:
        await client.close()


@pytest.mark.parametrize(("shape", "count"), [("a", 4), ("b", 20), ("c", 4)])
def test_two_agents_hear_each_other(shape: str, count: int, tmp_path: Path) -> None:
    """Every word that came is the word that was said, and in each room two agents came, spoke and left."""

    async def play() -> tuple[int, dict[str, Any], str, list[str]]:
        async with running(VERSION, tmp_path) as server:
            wish = ("--conversations", str(count), "--parallel", "2", "--shape", shape, "-o", str(tmp_path / "case"))
            status, found = await batch(server, *wish)
            return status, found, server.log_text(), await rooms(server, tmp_path)

    status, found, log, left = asyncio.run(play())
    sums = found["totals"]
    assert sums["wrong"] == 0
    assert (status, sums["ok"]) == (0, count), [one for one in found["conversations"] if one["outcome"] != "ok"]
    assert sums["words"] == 2 * count
    for talk in found["conversations"]:
        first, partner = talk["sides"]
        assert set(partner["heard"]) == set(talk["lines"])
        assert set(first["heard"]) == {f"R:{line}" for line in talk["lines"]}
        assert first["identity"] != partner["identity"]
        # One job with two sessions is one job; else there is a job for each agent.
        assert (first["job_id"] == partner["job_id"]) is (shape == "c")
        for side in talk["sides"]:
            assert f'"participant": "{side["identity"]}"' in log
    assert left == []
    asked = [json.loads(line) for line in (tmp_path / "case" / "api.jsonl").read_text().splitlines()]
    both = [len(one["response"]["participants"]) for one in asked if one["call"] == "RoomService/ListParticipants"]
    assert len(both) == count
    assert set(both) == {2}
    names = {one["room"] for one in found["conversations"]}
    judged_as = judged(tmp_path / "case")
    assert (judged_as.status, judged_as.report["verdict"]) == (0, "healthy"), judged_as.err
    told = judged_as.report["dispatches"]
    assert {one["room"] for one in told} == names
    assert {(one["outcome"], one["after"]) for one in told} == {("assigned", "ended")}
    assert len(told) == (1 if shape == "c" else 2) * count
    logs = sorted(path.name for path in (tmp_path / "case").glob("worker-*.log"))
    assert len(logs) == (2 if shape == "a" else 1)
    assert all(SECRET not in path.read_text(encoding="utf-8") for path in (tmp_path / "case").iterdir())


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """In the middle of conversations: status 130, one JSON document, no room, no process."""

    async def play() -> tuple[int, dict[str, Any], list[str], list[int]]:
        wish = ("--format", "json", "--conversations", "6", "--lines", "20")
        async with running(VERSION, tmp_path) as server, command(server, *wish) as process:
            await server.wait_for_line('"talk-', "participant active", seconds=60)
            mine = [one.pid for one in psutil.Process(process.pid).children(recursive=True)]
            process.send_signal(signal.SIGINT)
            out, _ = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode is not None
            for _ in range(300):  # a killed process is there until somebody has noticed
                if not (alive := [one for one in mine if lives(one)]):
                    break
                await asyncio.sleep(0.1)
            return process.returncode, json.loads(out), await rooms(server, tmp_path), alive

    status, found, left, alive = asyncio.run(play())
    assert status == 130
    assert found["run"]["interrupted"]
    assert {one["outcome"] for one in found["conversations"]} == {"interrupted"}
    assert left == []
    assert alive == []


def test_what_goes_wrong_is_named(tmp_path: Path) -> None:
    """Of two conversations with agents that are broken on purpose, each failure has its code; nobody hears anything."""
    broken = tmp_path / "broken"
    shutil.copytree(Path(reference.__file__).parent.parent, broken / "lkdoctor")
    agent = broken / "lkdoctor" / "worker" / "agent.py"
    whole = agent.read_text(encoding="utf-8")
    connect = "    await job.connect(auto_subscribe"
    assert whole.count(connect) == 1

    cases: list[Judged] = []

    async def play() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with running(VERSION, tmp_path) as server:
            for wrong in (
                '    raise RuntimeError("the model cannot be loaded")\n',
                '    await asyncio.sleep(60 if "support" in cast[0].role else 0)\n',
            ):
                agent.write_text(whole.replace(connect, wrong + connect), encoding="utf-8")
                case = tmp_path / f"case-{len(found)}.zip"
                kept = ("-o", str(case), "--room-prefix", "ours-")
                wish = ("--format", "json", "--conversations", "1", "--seconds", "12", "--shape", "a", *kept)
                async with command(server, *wish, folder=broken) as process:
                    out, _ = await asyncio.wait_for(process.communicate(), 100)
                    assert process.returncode == 1
                    found += json.loads(out)["conversations"]
                    cases.append(judged(case))
            assert await rooms(server, tmp_path) == []
        return found

    crashed, hung = asyncio.run(play())
    assert (crashed["outcome"], crashed["code"]) == ("job-crashed", "LKD602")
    assert "the model cannot be loaded" in crashed["reason"]
    assert (hung["outcome"], hung["code"]) == ("never-joined", "LKD604")
    assert "the job of support began" in hung["reason"]
    assert all(one["room"].startswith("ours-") for one in (crashed, hung))
    # Their cases say the same: the crash by the worker's log, the hung one by the batch's own result.
    assert [one.status for one in cases] == [1, 1]
    assert cases[0].codes == {"LKD602"}
    assert "LKD712" in cases[1].codes  # on a busy machine its process is killed at the end, which its log tells, too


def test_it_says_what_it_is_and_serves_a_person(tmp_path: Path) -> None:
    """The block at the start, the endpoint, a job for a person, a declined job, and a clean end by SIGTERM."""

    async def play() -> tuple[str, str, int, str]:
        async with running(VERSION, tmp_path) as server:
            client = Api(server.url, tmp_path / "api.jsonl")
            arguments = ("--name", "inbound-agent", "--http-port", "0", "--zero-load", "--drain", "5")
            async with command(server, *arguments) as process:
                await server.wait_for_line("worker registered", "inbound-agent", seconds=60)
                await asyncio.sleep(0.5)
                await client.create_room("support-call-7", "inbound-agent")
                person = await connect_quietly(server.ws_url, person_token("support-call-7", "anna"))
                assert person is not None
                await server.wait_for_line("participant active", '"inbound-agent-AJ_', seconds=30)
                await client.dispatch("support-call-7", "inbound-agent", metadata="not json")
                await server.wait_for_line("no worker available to handle job", seconds=30)
                await person.disconnect()
                process.send_signal(signal.SIGTERM)
                out, err = await asyncio.wait_for(process.communicate(), 40)
                await client.close()
                assert process.returncode is not None
                return out.decode(), err.decode(), process.returncode, server.log_text()

    out, err, status, log = asyncio.run(play())
    assert status == 0
    for words in (
        "agent name   inbound-agent",
        "livekit-server 1.13.5, worker AW_",
        "key from environment LIVEKIT_API_KEY",
        "always 0, never full: right for one worker",
        "lk dispatch create --room ROOM --agent-name inbound-agent",
    ):
        assert words in err
    assert SECRET not in out + err
    assert "declined: the metadata is no JSON" in out
    assert "[START] AJ_" in out
    assert "the conversation is over" in out
    assert log.count("assigned job to worker") == 1


def test_auto_dispatch_says_its_caveats(tmp_path: Path) -> None:
    async def play() -> str:
        async with running(VERSION, tmp_path) as server:
            client = Api(server.url, tmp_path / "api.jsonl")
            async with command(server, "--auto-dispatch", "--http-port", "0", "--zero-load") as process:
                await server.wait_for_line("worker registered", seconds=60)
                await asyncio.sleep(0.5)
                await client.create_room("support-call-8")
                await server.wait_for_line("participant active", '"agent-AJ_', seconds=30)
                await client.delete_room("support-call-8")
                process.send_signal(signal.SIGTERM)
                _, err = await asyncio.wait_for(process.communicate(), 40)
                await client.close()
                return err.decode()

    said = asyncio.run(play())
    assert "implicit dispatch" in said
    assert "LKD204" in said


def test_the_node_twin_takes_roles_and_links(tmp_path: Path) -> None:
    """docs/worker-twin.mjs, run as it stands but for its load: two dispatches, two roles, each linked to the other."""
    # Other tests keep the machine busy, and the twin honestly says that it is full then.
    twin = (ROOT / "docs" / "worker-twin.mjs").read_text(encoding="utf-8")
    assert twin.count("loadThreshold: 0.65,") == 1
    program = twin.replace("loadThreshold: 0.65,", "loadThreshold: Infinity, loadFunc: async () => 0,")
    try:
        modules = node_modules()
    except LabUnavailableError as error:
        pytest.skip(str(error))
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "worker-twin.mjs").write_text(program, encoding="utf-8")
    parts = [{"role": "customer", "partner": "support", "first": True}, {"role": "support", "partner": "customer"}]

    async def play() -> tuple[str, list[dict[str, Any]]]:
        async with running(VERSION, tmp_path) as server:
            client = Api(server.url, tmp_path / "api.jsonl")
            with (tmp_path / "twin.log").open("wb") as out:
                process = await asyncio.create_subprocess_exec(
                    *(*node_programs()[0], "worker-twin.mjs", "start"),
                    env=environment(server, HTTP_PORT=str(free_port())),
                    cwd=tmp_path,
                    stdout=out,
                    stderr=out,
                )
            try:
                await server.wait_for_line("worker registered", "front-desk", seconds=60)
                await asyncio.sleep(1)
                asked = [api.RoomAgentDispatch(agent_name="front-desk", metadata=json.dumps(one)) for one in parts]
                await client.create_room("front-desk-1", *asked)
                for _ in range(100):
                    if (tmp_path / "twin.log").read_text(encoding="utf-8").count("[OK]") == 2:
                        break
                    await asyncio.sleep(0.3)
                _, listed = await client.participants("front-desk-1")
                await client.delete_room("front-desk-1")
            finally:
                await stop(process, 15)
                await client.close()
            return (tmp_path / "twin.log").read_text(encoding="utf-8"), listed["participants"]

    log, present = asyncio.run(play())
    roles = {one["attributes"]["lkdoctor.role"]: one for one in present}
    assert set(roles) == {"customer", "support"}
    assert all(one["identity"].startswith(f"{role}-AJ_") and one["kind"] == "AGENT" for role, one in roles.items())
    assert f"customer: listens to {roles['support']['identity']}" in log
    assert f"support: listens to {roles['customer']['identity']}" in log


def test_it_refuses_a_name_that_the_environment_changes() -> None:
    assert "LKD512" in refused("--name", "mine", LIVEKIT_AGENT_NAME_OVERRIDE="other")
    assert "would register as 'other'" in refused("--auto-dispatch", LIVEKIT_AGENT_NAME="other")
    assert "LKD512" in refused("--name", "mine", LIVEKIT_AGENT_NAME="other")


def test_it_refuses_a_taken_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused("--name", "mine", "--http-port", str(port))
    assert "LKD803" in said
    assert f"127.0.0.1:{port}" in said
    assert f"pid {os.getpid()}" in said


def test_it_refuses_models_that_are_not_there() -> None:
    said = refused("--name", "mine", "--http-port", "0", "--llm", "no-such-provider/model")
    assert "--llm no-such-provider/…" in said
    assert "pip install livekit-plugins-no-such-provider" in said
    assert "write openai/gpt-4o-mini" in refused("--name", "mine", "--http-port", "0", "--llm", "/gpt-4o-mini")
    assert "LIVEKIT_INFERENCE_API_KEY" in refused(
        "--name", "mine", "--http-port", "0", "--stt", "inference/deepgram/nova-3"
    )


def test_it_needs_a_name() -> None:
    assert "--name" in refused()
    assert "--auto-dispatch" in refused("--name", "x", "--auto-dispatch")
    assert "leave out --name" in refused("--conversations", "1", "--name", "x")


def test_it_refuses_what_could_not_be_judged(tmp_path: Path) -> None:
    """Said before anything starts: rooms that no report shows, a case that would overwrite something, an odd prefix."""
    assert "could be judged" in refused("--conversations", "1", "--room-prefix", "lkdoctor-x")
    assert "could be judged" in refused("--name", "lkdoctor-x", "--http-port", "0")
    assert "exists already" in refused("--conversations", "1", "-o", str(tmp_path))
    assert "--room-prefix" in refused("--conversations", "1", "--room-prefix", " ")
    case = tmp_path / "case"
    command = [sys.executable, "-m", "lkdoctor", "worker", "--conversations", "1", "-o", str(case)]
    ran = subprocess.run(command, env=environment(None), capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, case.exists()) == (1, False), ran.stderr  # nothing listens there: no case of nothing


def test_without_the_extra_it_names_it(tmp_path: Path) -> None:
    """In an interpreter where livekit.agents cannot be found, as without the extra."""
    block = "import sys; sys.modules['livekit.agents'] = None; sys.argv = ['lkdoctor', 'worker', '--name', 'x']\n"
    program = block + "from lkdoctor.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "pip install -U 'lkdoctor[worker]'" in ran.stderr
    assert "livekit.agents" in ran.stderr
