"""Load on real machines: what each SDK divides by in real containers, and `lkdoctor load` beside a live server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fixtures.lab.docker_engine import Engine
from fixtures.lab.paths import FIXTURES, cache
from fixtures.lab.sdk_workers import node_modules
from fixtures.lab.servers import KEY, SECRET, running
from lkdoctor.collect.load import cgroups
from lkdoctor.dispatch.metering import metering, share_of
from tests.cli.running import environment

pytestmark = pytest.mark.live

ROOT = FIXTURES.parent
PYTHONS = [sys.prefix, *sorted(map(str, cache().glob("python-agents-*")))]


def measured(engine: Engine, name: str, cpus: float | None, environment: dict[str, str]) -> list[dict[str, object]]:
    """What `lkdoctor load` in a container says of every livekit-agents at hand."""
    named = [word for one in PYTHONS for word in ("--python", one)]
    command = [sys.executable, "-m", "lkdoctor", "load", "--seconds", "3", *named, "--format", "json", "--exit-zero"]
    variables = {"PYTHONPATH": f"{ROOT}:{ROOT / 'checks'}", "HOME": "/tmp", **environment}
    made = engine.run(name, command, cpus=cpus, environment=variables, mounts=[cache()])
    status = made.wait(timeout=110)["StatusCode"]
    said = made.logs(stdout=True, stderr=False).decode()
    assert status == 0, made.logs().decode()[-2000:]
    found: list[dict[str, object]] = json.loads(said)["load"]
    return found


@pytest.mark.parametrize(
    ("name", "cpus", "variables"),
    [("quota-1", 0.8, {}), ("quota-2", 1.5, {}), ("free-1", None, {}), ("told-1", 0.8, {"NUM_CPUS": "0.8"})],
)
def test_what_every_version_divides_by(
    engine: Engine, name: str, cpus: float | None, variables: dict[str, str]
) -> None:
    """The SDKs' own answers in a real container are those of the table, on whichever cgroup version this machine has."""
    found = measured(engine, name, cpus, variables)
    assert len(found) == len(PYTHONS)
    version = cgroups.seen_by_sdks().version
    for one in found:
        how = metering("python", str(one["version"]))
        assert how is not None
        told = share_of(
            how,
            cgroup=version,
            root_quota=cpus,
            host_cpus=psutil.cpu_count() or 1,
            num_cpus=float(variables["NUM_CPUS"]) if variables else None,
        )
        assert one["contained"] is True
        assert one["cgroup"] == version
        assert one["quota"] == cpus
        assert one["of"] == told.of, one
        if told.of == "group":
            assert one["divisor"] == told.cpus, one


@pytest.mark.parametrize("by", ["pid", "container"])
def test_a_worker_in_a_container_from_outside(engine: Engine, tmp_path: Path, by: str) -> None:
    """Its quota, its NUM_CPUS and its SDK's version, by its process alone."""

    def how(pid: str) -> list[str]:
        return ["--pid", pid] if by == "pid" else ["--container", f"agent-{by}"]

    async def play() -> str:
        async with running("1.13.5", tmp_path) as server:
            worker = await asyncio.to_thread(
                engine.worker,
                f"agent-{by}",
                server,
                environment={"LAB_AGENT_NAME": "inbound", "NUM_CPUS": "2"},
                cpus=1.5,
            )
            worker.reload()
            pid = str(worker.attrs["State"]["Pid"])
            ran = await asyncio.to_thread(
                subprocess.run,
                [
                    sys.executable,
                    "-m",
                    "lkdoctor",
                    "load",
                    *how(pid),
                    "--seconds",
                    "2",
                    "--format",
                    "json",
                    "--exit-zero",
                ],
                capture_output=True,
                check=True,
                timeout=60,
                env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'checks'}", DOCKER_HOST=engine.host),
            )
            return ran.stdout.decode()

    (one,) = json.loads(asyncio.run(play()))["load"]
    assert (one["sdk"], one["quota"], one["num_cpus"], one["contained"]) == ("python", 1.5, 2.0, True)
    assert one["divisor"] == 2.0
    assert one["load"] is not None


@pytest.mark.parametrize(("version", "limit"), [("1.9.12", 1.0), ("1.13.5", 0.7)])
def test_the_limit_of_a_live_server(tmp_path: Path, version: str, limit: float) -> None:
    """With --url the canary measures it, and every headroom is against that."""
    command = [sys.executable, "-m", "lkdoctor", "load", "--seconds", "1", "--node", str(node_modules())]

    async def play() -> subprocess.CompletedProcess[bytes]:
        async with running(version, tmp_path) as server:
            return await asyncio.to_thread(
                subprocess.run,
                [*command, "--url", server.ws_url, "--format", "json", "--exit-zero"],
                capture_output=True,
                check=False,
                timeout=110,
                env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'checks'}", LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET),
            )

    ran = asyncio.run(play())
    assert ran.returncode == 0, ran.stderr.decode()
    (one,) = json.loads(ran.stdout)["load"]
    assert one["measured_limit"] == pytest.approx(limit, abs=0.002)
    assert one["server_version"] == version
