"""The lab's private Docker engine: a real worker registers from a container with a quota, and nothing is left afterwards."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fixtures.lab import docker_engine
from fixtures.lab.docker_engine import Engine
from fixtures.lab.servers import running

pytestmark = pytest.mark.live


def test_a_worker_registers_from_a_container(engine: Engine, tmp_path: Path) -> None:
    async def play() -> tuple[str, int, int]:
        async with running("1.13.5", tmp_path) as server:
            worker = await asyncio.to_thread(
                engine.worker, "agent-1", server, environment={"LAB_AGENT_NAME": "inbound"}, cpus=0.5, memory="2g"
            )
            limits = worker.attrs["HostConfig"]
            return server.log_text(), limits["NanoCpus"], limits["Memory"]

    log, cpus, memory = asyncio.run(play())
    assert '"agentName": "inbound"' in log
    assert (cpus, memory) == (500_000_000, 2 << 30)


def test_nothing_is_left(engine: Engine) -> None:
    """`engine` is there only so that this is reported as not run where no engine starts."""
    assert engine.client.ping()
    with docker_engine.running() as second:
        folder = Path(second.host.removeprefix("unix://")).parent
        pids = [int(top[1]) for top in (second.run("idle-1", ["sleep", "60"]).top()["Processes"])]
        pids.append(int((folder / "pid").read_text(encoding="utf-8")))
        assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert not folder.exists()
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    assert str(folder) not in Path("/proc/self/mounts").read_text(encoding="utf-8")
