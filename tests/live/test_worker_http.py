"""`check --worker-url` on real SDK workers: healthy, spelt differently, stopped; and the case that `snapshot` writes of them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from fixtures.lab.scenario import Lab
from fixtures.lab.sdk_workers import python_worker
from fixtures.lab.servers import free_port, running
from tests.live.test_check_url import lkdoctor

pytestmark = pytest.mark.live


def test_a_worker_tells_of_itself(tmp_path: Path) -> None:
    async def play() -> None:
        async with running("1.13.5", tmp_path) as server:
            lab = Lab([server], tmp_path)
            try:
                port = free_port()
                worker = await python_worker(
                    lab, "inbound", program="troubled_agent.py", LAB_AGENT_NAME="inbound-agent", LAB_PORT=str(port)
                )
                well = await lkdoctor("check", "--worker-url", str(port), cwd=tmp_path / "nowhere")
                assert (well.status, well.codes) == (0, set())
                (source,) = well.report["sources"]
                assert (source["kind"], source["name"]) == ("worker_http", f"http://127.0.0.1:{port}")

                mistaken = await lkdoctor("check", "--worker-url", server.url, json_=False)
                assert mistaken.status == 2
                assert "livekit-server's own port" in " ".join(mistaken.out.split())

                case = tmp_path / "case"
                await lkdoctor("snapshot", "--worker-url", str(port), "-o", case, json_=False)
                assert "inbound-agent" in (case / "worker-http.jsonl").read_text("utf-8")
                again = await lkdoctor("check", case)
                assert (again.status, again.codes) == (0, set())

                os.kill(worker.process.pid, signal.SIGSTOP)
                stopped = await lkdoctor("check", "--worker-url", str(port))
                os.kill(worker.process.pid, signal.SIGCONT)
                assert (stopped.status, stopped.codes) == (1, {"LKD806"})
            finally:
                await lab.close()

    (tmp_path / "nowhere").mkdir()
    asyncio.run(play())
