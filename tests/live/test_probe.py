"""The probe on real servers is right about each and about its agents, and nobody's agent sees it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from fixtures.lab.raw_worker import TERMINATE, Answer
from fixtures.lab.servers import KEY, SECRET
from tests.live.probe_stage import ended, found, play, staged, steps

pytestmark = pytest.mark.live

LIMITS = [
    ("1.13.5", None, 0.699, 0.7),
    ("1.13.5", 0.9, 0.899, 0.9),
    ("1.13.5", 1.5, 0.999, 1.0),
    ("1.8.4", None, 0.649, 0.65),
]


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
