"""`check --docker` and `--host` on a real engine: two Compose projects of one name, the fix as printed, nothing to find."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fixtures.lab.api import Api
from fixtures.lab.compose import Project, worker_service
from fixtures.lab.docker_engine import Engine
from fixtures.lab.servers import KEY, SECRET, Server, running
from tests.cli.running import ROOT, Ran, environment

pytestmark = pytest.mark.live

NAME = "callback-agent"


async def lkdoctor(engine: Engine | None, *arguments: str | Path, **environ: str) -> Ran:
    """The real command, asking this engine."""
    host = {"DOCKER_HOST": engine.host} if engine is not None else {}
    keys = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "lkdoctor", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=180,
        env=environment(**host, **keys, **environ),
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def findings(ran: Ran) -> dict[str, dict[str, Any]]:
    return {one["code"]: one for one in json.loads(ran.out)["findings"]}


def agent(server: Server, name: str, **more: Any) -> dict[str, Any]:
    return worker_service(server, environment={"LIVEKIT_AGENT_NAME": name, "LAB_LOAD": "0"}, **more)


def project(engine: Engine, folder: Path, name: str, services: dict[str, Any]) -> Project:
    made = Project(engine, folder / name)
    made.write(services)
    return made


async def ask(server: Server, folder: Path, name: str, *rooms: str) -> None:
    """Makes the rooms, and returns when each has its job."""
    client = Api(server.url, folder / "asked.jsonl")
    try:
        for room in rooms:
            await client.create_room(room, name)
            await server.wait_for_line("assigned job to worker", f'"room": "{room}"', seconds=60)
    finally:
        await client.close()


@pytest.mark.usefixtures("compose")
def test_two_projects_of_one_name(engine: Engine, tmp_path: Path) -> None:
    """User story 5: found, by both containers' names and their jobs; the printed fix ends it; the next job goes right."""

    async def play() -> tuple[Ran, Ran, Ran, str]:
        async with running("1.13.5", tmp_path) as server:
            staging = project(engine, tmp_path, "staging", {"agent": agent(server, NAME)})
            production = project(engine, tmp_path, "production", {"agent": agent(server, NAME)})
            for one in (staging, production):
                await asyncio.to_thread(one.run, "up", "-d")
            await server.wait_for_line("worker registered", NAME, seconds=120, count=2)
            await asyncio.sleep(4)  # what was just registered counts as idle until its first status
            await ask(server, tmp_path, NAME, *(f"call-{number}" for number in range(1, 5)))
            asked = ("--url", server.ws_url, "--log", server.log, "--format", "json")
            before = await lkdoctor(engine, "check", "--docker", *asked)
            # As the fix says: another name where the environment is written, and the container made anew.
            staging.write({"agent": agent(server, f"{NAME}-staging")})
            await asyncio.to_thread(staging.run, "restart", "-t", "5")
            await server.wait_for_line("worker registered", NAME, seconds=120, count=3)
            half = await lkdoctor(engine, "check", "--docker", *asked)
            await asyncio.to_thread(staging.run, "up", "-d", "--force-recreate", "-t", "5", "agent")
            await server.wait_for_line("worker registered", f"{NAME}-staging", seconds=120)
            await asyncio.sleep(4)
            await ask(server, tmp_path, f"{NAME}-staging", "test-call")
            after = await lkdoctor(engine, "check", "--docker", *asked)
            return before, half, after, server.log_text()

    before, half, after, log = asyncio.run(play())
    found = findings(before)["LKD801"]
    assert before.status == 1
    assert found["subject"]["agent_name"] == NAME
    told = {one["where"]: one for one in found["values"]["containers"]}
    assert set(told) == {"container staging-agent-1", "container production-agent-1"}
    assert sum(one["jobs"] for one in told.values()) == 4
    for where, one in told.items():
        assert where in found["message"]
        assert one["worker_ids"][-1] in found["message"]
        assert log.count(f'"workerID": "{one["worker_ids"][-1]}", "apiKey"') == one["jobs"]
    fix = " ".join(" ".join([*one["steps"], *one["commands"]]) for one in found["fixes"])
    assert "up -d --force-recreate" in fix
    symptoms = {one["code"] for one in json.loads(before.out).get("symptoms", [])}
    assert found["explains"], "LKD203 of the server's log is this one's symptom"
    assert symptoms <= {"LKD203"}
    assert {"LKD801", "LKD808"} <= set(findings(half)), "`restart` keeps the old environment"
    assert f"{NAME}-staging" in findings(half)["LKD808"]["message"]
    assert not {"LKD801", "LKD808"} & set(findings(after))
    jobs = {one["room"]: one["worker_id"] for one in json.loads(after.out)["dispatches"] if one["room"] == "test-call"}
    names = {one["worker_id"]: one["agent_name"] for one in json.loads(after.out)["workers"]}
    assert [names[one] for one in jobs.values()] == [f"{NAME}-staging"]


def test_logs_of_containers_need_no_file(engine: Engine, tmp_path: Path) -> None:
    """A worker whose port is taken: its own words are found in the container's log, and the loop is folded under them.
    `workers` and `why` look at the same containers."""

    async def play() -> tuple[Ran, Ran, Path, Ran, Ran]:
        async with running("1.13.5", tmp_path) as server:
            await asyncio.to_thread(engine.worker, "english-1", server, environment={"LIVEKIT_AGENT_NAME": "english"})
            again = await asyncio.to_thread(
                engine.worker,
                "german-1",
                server,
                wait=False,
                environment={"LIVEKIT_AGENT_NAME": "german", "LAB_HTTP_PORT": str(server.port)},
                restart_policy={"Name": "always"},
            )
            for _ in range(240):
                again.reload()
                if again.attrs["RestartCount"] >= 3:
                    break
                await asyncio.sleep(0.5)
            case = tmp_path / "case.zip"
            live = await lkdoctor(engine, "check", "--docker", "--format", "json")
            await lkdoctor(engine, "snapshot", "--docker", "-o", case)
            roster = await lkdoctor(engine, "workers", "--docker")
            story = await lkdoctor(engine, "why", "english", "--docker")
            return live, await lkdoctor(None, "check", case, "--format", "json"), case, roster, story

    live, saved, case, roster, story = asyncio.run(play())
    assert (roster.status, story.status) == (0, 0)
    registered = re.search(r"english +(AW_\w+) +1", roster.out)
    assert registered is not None, roster.out
    for text in (roster.out, story.out):
        assert re.search(rf"english-1 +english +{registered[1]}", text), text
    for ran in (live, saved):
        found = findings(ran)
        assert set(found) == {"LKD803"}, ran.out
        assert "german-1" in found["LKD803"]["message"]
        assert found["LKD803"]["explains"]
    with zipfile.ZipFile(case) as archive:
        assert {"containers.json", "worker-english-1.log", "worker-german-1.log"} <= set(archive.namelist())
        for name in archive.namelist():
            assert SECRET.encode() not in archive.read(name)


def test_a_time_bounds_the_containers_logs(engine: Engine, tmp_path: Path) -> None:
    async def play() -> tuple[Ran, Ran]:
        async with running("1.13.5", tmp_path) as server:
            await asyncio.to_thread(engine.worker, "english-1", server, environment={"LIVEKIT_AGENT_NAME": "english"})
            every = await lkdoctor(engine, "check", "--docker", "--format", "json")
            none = await lkdoctor(engine, "check", "--docker", "--format", "json", "--until", "2026-01-01T00:00:00Z")
            return every, none

    every, none = asyncio.run(play())
    lines = {one["name"]: one["lines"] for one in json.loads(every.out)["sources"]}
    assert lines["docker/worker-english-1.log"] > 0
    assert "docker/worker-english-1.log" not in {one["name"] for one in json.loads(none.out)["sources"]}
    assert (every.status, none.status) == (0, 0)


def test_a_published_port_that_is_taken(engine: Engine) -> None:
    """What the engine says of a container that it could not start; no worker ever ran in it."""
    del engine  # a second one, in a network of its own, where a bridge may be made
    from fixtures.lab import docker_engine

    with docker_engine.running(own_network=True) as apart:
        options: dict[str, Any] = {
            "environment": {"LIVEKIT_AGENT_NAME": "inbound"},
            "network_mode": "bridge",
            "ports": {"8081/tcp": 8081},
        }
        apart.run("first-1", ["sleep", "300"], **options)
        with pytest.raises(Exception, match="8081"):
            apart.run("second-1", ["sleep", "300"], **options)
        ran = asyncio.run(lkdoctor(apart, "check", "--docker", "--format", "json"))
    found = findings(ran)["LKD803"]
    assert found["values"] == {**found["values"], "container": "second-1", "port": 8081, "held_by": "first-1"}


def test_no_engine_is_stated_and_not_fatal(tmp_path: Path) -> None:
    """Beside other evidence the report says what is missing; alone there is nothing to report on."""
    nowhere = f"unix://{tmp_path}/none.sock"
    case = ROOT / "fixtures" / "two-names-one-room"
    beside = asyncio.run(lkdoctor(None, "check", "--docker", case / "server.log", DOCKER_HOST=nowhere))
    alone = asyncio.run(lkdoctor(None, "check", "--docker", DOCKER_HOST=nowhere))
    assert "no Docker engine" in beside.out
    assert f"{tmp_path}/none.sock" in beside.out
    assert beside.status == 3
    assert alone.status == 2
    assert "no Docker engine" in alone.err


def test_a_worker_outside_of_the_containers(engine: Engine, tmp_path: Path) -> None:
    """A process of the container's name is a stray; one of another name is not; what answers on its port names it."""

    async def play() -> tuple[Ran, int]:
        async with running("1.13.5", tmp_path) as server:
            await asyncio.to_thread(engine.worker, "voice-1", server, environment={"LIVEKIT_AGENT_NAME": NAME})
            ours = {"LIVEKIT_URL": server.ws_url, "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
            program = ROOT / "fixtures" / "lab" / "programs" / "python_agent.py"
            strays = []
            for name in (NAME, f"{NAME}-dev"):
                with (tmp_path / f"{name}.log").open("wb") as out:
                    strays.append(
                        await asyncio.create_subprocess_exec(
                            *(sys.executable, str(program), "start"),
                            env={**os.environ, **ours, "LAB_AGENT_NAME": name},
                            cwd=tmp_path,
                            stdout=out,
                            stderr=out,
                        )
                    )
            try:
                await server.wait_for_line("worker registered", NAME, seconds=120, count=3)
                ran = await lkdoctor(engine, "check", "--docker", "--host", "--format", "json", "--log", server.log)
            finally:
                for one in strays:
                    one.terminate()
                    await one.wait()
            return ran, strays[0].pid

    ran, pid = asyncio.run(play())
    strays = [
        one
        for one in json.loads(ran.out)["findings"]
        if one["code"] == "LKD807" and (one["subject"]["agent_name"] or "").startswith(NAME)
    ]
    assert [one["values"]["pid"] for one in strays] == [pid]
    assert "voice-1" in strays[0]["message"]
