"""What lkdoctor foresees from a project's files happens on a real server; and the server's own list of configuration keys."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from fixtures.lab.binaries import server_binary
from fixtures.lab.planned_stage import play_plan, read_plan
from fixtures.lab.record import stage
from fixtures.lab.scenario import Lab
from fixtures.lab.scenarios import REGISTRY
from lkdoctor.dispatch import server_keys
from tests.recorded import case

pytestmark = pytest.mark.live

# One for each way to fail that a dispatch shows, and the sound ones beside them.
PLAYED = (
    "planned-name-near-miss", "planned-deployment-one-side", "planned-deployment-both-sides", "planned-type-never-raised",
    "planned-room-made-first", "planned-unnamed-suppressed", "planned-no-response", "planned-limit-zero",
)  # fmt: skip


@pytest.mark.parametrize("name", PLAYED)
def test_what_is_foreseen_happens(name: str, tmp_path: Path) -> None:
    async def play() -> list[str]:
        async with stage(REGISTRY[name], tmp_path) as servers:
            lab = Lab(servers, tmp_path)
            try:
                return await play_plan(lab, read_plan(case(name)))
            finally:
                await lab.close()

    assert asyncio.run(play()) == []


@pytest.mark.parametrize("version", ["1.13.5", "1.11.0", "1.9.12", "1.8.4"])
def test_the_server_refuses_exactly_the_keys_that_are_said_to_be_refused(version: str, tmp_path: Path) -> None:
    """One file with every key that is held, and one that no server knows, so that it always ends at once and lists them."""
    keys = sorted(server_keys.all_keys())
    sections = sorted(server_keys.known_sections())
    lines = ["zz_unknown: 1"]
    places: dict[int, str] = {1: "zz_unknown"}
    for key in (one for one in keys if "." not in one and one not in sections):
        lines.append(f"{key}: null")
        places[len(lines)] = key
    for section in sections:
        lines.append(f"{section}:")
        places[len(lines)] = section
        for key in (*(one for one in keys if one.startswith(f"{section}.")), f"{section}.zz_unknown"):
            lines.append(f"  {key.partition('.')[2]}: null")
            places[len(lines)] = key
    file = tmp_path / "livekit.yaml"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    done = subprocess.run(
        [str(server_binary(version)), "--config", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, "it ends with status 0"
    refused = {places[int(line)] for line in re.findall(r"line (\d+): field \S+ not found", done.stdout + done.stderr)}
    said = {key for key in places.values() if server_keys.refuses(key, version)}
    gone = {one for one in said if one.partition(".")[0] in said - {one}}  # below a section that is refused itself
    assert refused == said - gone
