"""The lab works on every server version, and the recordings still tell what the servers do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fixtures.lab import logs
from fixtures.lab.api import Api
from fixtures.lab.binaries import VERSIONS
from fixtures.lab.paths import FIXTURES
from fixtures.lab.raw_worker import RawWorker
from fixtures.lab.scenarios import REGISTRY
from fixtures.lab.servers import running
from fixtures.lab.verify import differences, verify

REPRESENTATIVE = (
    "name-not-served",
    "no-headroom-1-8-4",
    "no-headroom-1-13-5",
    "declined",
    "answer-timeout",
    "rejected-terminally",
    "deployment-isolated",
    "two-nodes-declined",
)


@pytest.mark.live
@pytest.mark.parametrize("version", VERSIONS)
def test_a_worker_gets_its_job(version: str, tmp_path: Path) -> None:
    """A server comes up, a raw worker registers, is asked, accepts, joins; the log and the API say the same."""

    async def play() -> tuple[RawWorker, str]:
        async with running(version, tmp_path) as server:
            client = Api(server.url, tmp_path / "api.jsonl")
            worker = RawWorker(server.ws_url, "inbound-agent")
            try:
                await worker.start()
                await asyncio.sleep(0.5)
                status, _ = await client.create_room("support-call-7", "inbound-agent")
                assert status == 200
                await worker.wait_for("joined")
                await server.wait_for_line("participant active")
            finally:
                await worker.close()
                await client.close()
            return worker, server.log_text()

    worker, log = asyncio.run(play())
    assert worker.server_version == version
    assert [one.what for one in worker.seen][:4] == ["asked", "answered", "assigned", "joined"]
    assigned = [fields for _, message, fields in logs.records(log) if message == "assigned job to worker"]
    assert [one["workerID"] for one in assigned] == [worker.worker_id]


@pytest.fixture(scope="module")
def replayed() -> dict[str, list[str]]:
    """Differences between the recordings and what the servers do now; all played at once, to save time."""

    async def play() -> list[list[str]]:
        return await asyncio.gather(*(verify(REGISTRY[name], FIXTURES / name) for name in REPRESENTATIVE))

    return dict(zip(REPRESENTATIVE, asyncio.run(play()), strict=True))


@pytest.mark.live
@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_recording_still_holds(name: str, replayed: dict[str, list[str]]) -> None:
    assert replayed[name] == []


def test_a_recording_that_differs_is_told(tmp_path: Path) -> None:
    """`verify` must be able to fail: one line taken out of a recording, and it names that line."""
    case = FIXTURES / "declined"
    log = (case / "server.log").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in log if "no worker available to handle job" not in line]
    assert len(kept) == len(log) - 1
    (tmp_path / "server.log").write_text("".join(kept), encoding="utf-8")
    found = differences(REGISTRY["declined"], case, tmp_path)
    assert len(found) == 1
    assert "no worker available to handle job" in found[0]


def test_every_recording_has_its_scenario() -> None:
    """No recording without a scenario that can play it again, and no scenario without a recording."""
    recorded = {path.parent.name for path in FIXTURES.glob("*/scenario.toml")}
    assert recorded == set(REGISTRY)
