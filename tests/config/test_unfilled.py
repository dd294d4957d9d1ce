"""LKD513: templates that were copied and not filled in, told once for each file."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.running import call
from tests.recorded import case


def test_a_template_that_was_left_as_it_is_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "LIVEKIT_URL=<your url>\nLIVEKIT_API_KEY=<your key>\nLIVEKIT_API_SECRET=<your secret>\n", "utf-8"
    )
    (tmp_path / "agent.py").write_text((case("planned-and-right") / "agent.py").read_text("utf-8"), "utf-8")
    (tmp_path / "Dockerfile").write_text(
        'FROM python:3.11\nCOPY agent.py .\nCMD ["python", "agent.py", "start"]\n', "utf-8"
    )
    report = json.loads(call("check", tmp_path, "--format", "json").stdout)
    (found,) = report["findings"]
    assert found["code"] == "LKD513"
    assert "LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, which are still placeholders" in found["message"]
    assert len(found["proof"]) == 3
    assert "docker compose" not in json.dumps(found["fixes"])  # no Compose file starts it


def test_what_is_empty_is_told_apart_from_what_is_a_placeholder(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LIVEKIT_URL=\nLIVEKIT_API_KEY=\nLIVEKIT_API_SECRET=<your secret>\n", "utf-8")
    (tmp_path / "agent.py").write_text((case("planned-and-right") / "agent.py").read_text("utf-8"), "utf-8")
    compose = "services:\n  agent:\n    build: .\n    command: python agent.py start\n    env_file: .env\n"
    (tmp_path / "docker-compose.yml").write_text(compose, "utf-8")
    found = json.loads(call("check", tmp_path, "--format", "json").stdout)["findings"]
    told = sorted(one["message"] for one in found if one["code"] == "LKD513")
    assert len(told) == 2
    assert "LIVEKIT_API_SECRET, which is still a placeholder" in told[0]
    assert "LIVEKIT_URL, LIVEKIT_API_KEY, which are empty" in told[1]
