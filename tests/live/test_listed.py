"""Recorded cases of listings, played again on real servers while `lkdoctor check --url` itself looks: it must say the same."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.lab.record import stage
from fixtures.lab.scenario import Lab, Scenario
from fixtures.lab.scenarios import REGISTRY
from fixtures.lab.servers import KEY, SECRET
from tests.cli.running import environment

pytestmark = pytest.mark.live
LOOKS_AFTER = 1.0  # s that a watch needs until its first look

# Seconds to watch: the scenario's own time, with some to spare.
WATCHED = {
    "listed-never-joined": 40,
    "listed-slow-joiner": 24,
    "listed-worker-died": 42,
    "listed-goodbyes": 44,
    "listed-rejoin": 34,
}
ONCE = (
    "listed-not-assigned",
    "listed-pending",
    "listed-waits-for-publisher",
    "listed-doubled",
    "listed-implicit-only",
    "listed-bystanders",
    "listed-one-never-asked",
    "listed-agent-finished",
    "listed-partner-missing",
    "listed-deaf-pair",
    "listed-pair-waits",
    "listed-no-audio-track",
    "listed-text-agent",
    "listed-token-ignored",
    "listed-token-agent-there",
)


def _command(scenario: Scenario, url: str, *more: str) -> list[str]:
    wanted = scenario.wanted
    expect = ["--expect", ",".join(wanted["agents"])] if wanted.get("agents") else []
    together = [word for group in wanted.get("together", ()) for word in ("--together", ",".join(group))]
    return [sys.executable, "-m", "lkdoctor", "check", "--url", url, "--format", "json", *expect, *together, *more]


async def _run(command: list[str], home: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET, HOME=str(home)),
        cwd=home,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 90)
    finally:
        if process.returncode is None:
            process.kill()
    assert "Traceback" not in err.decode()
    report: dict[str, Any] = json.loads(out)
    return report


def _says_the_same(scenario: Scenario, report: dict[str, Any]) -> None:
    expect = scenario.expect
    findings = report["findings"]
    told = [(one["code"], one["severity"], one["message"]) for one in findings]
    assert report["verdict"] == expect.verdict, told
    faults = {one["code"] for one in findings if one["severity"] != "info"}
    assert faults == {f"LKD{code}" for code in expect.codes}, told
    infos = {one["code"] for one in findings if one["severity"] == "info"}
    assert infos >= {f"LKD{code}" for code in expect.infos}, told
    assert not {one["code"] for one in findings} & {f"LKD{code}" for code in expect.absent}, told


async def _play(scenario: Scenario, folder: Path, watch: int) -> dict[str, Any]:
    """Plays the scenario; `watch` seconds of lkdoctor beside it, or one look afterwards when that is 0."""
    async with stage(scenario, folder) as servers:
        lab = Lab(servers, folder)
        try:
            if not watch:
                await scenario.play(lab)
                return await _run(_command(scenario, lab.server.ws_url, *map(str, lab.documents)), folder)
            command = _command(scenario, lab.server.ws_url, "--watch", str(watch))
            watching = asyncio.create_task(_run(command, folder))
            await asyncio.sleep(LOOKS_AFTER)
            await scenario.play(lab)
            return await watching
        finally:
            await lab.close()


@pytest.mark.parametrize("name", sorted(WATCHED))
def test_watched(name: str, tmp_path: Path) -> None:
    """A watch that began before the call."""
    _says_the_same(REGISTRY[name], asyncio.run(_play(REGISTRY[name], tmp_path, WATCHED[name])))


@pytest.mark.parametrize("name", ONCE)
def test_one_look(name: str, tmp_path: Path) -> None:
    """One look after what happened."""
    _says_the_same(REGISTRY[name], asyncio.run(_play(REGISTRY[name], tmp_path, 0)))
