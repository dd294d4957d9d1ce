"""A service whose program is not in view may serve any name: nothing is claimed, and nothing changed, as if it did not."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.cli.running import call
from tests.config.test_services import PROGRAM

SEEN = "services:\n  helper:\n    build: .\n    command: python agent.py start\n"
KEYS = "{LIVEKIT_URL: 'ws://lk:7880', LIVEKIT_API_KEY: k, LIVEKIT_API_SECRET: 0123456789abcdef0123456789abcdef}"
PLAN = '[[agents]]\nname = "outbound"\ndispatched_by = "api"\n'


def project(tmp_path: Path, more: str, own: str = "") -> Path:
    (tmp_path / "docker-compose.yml").write_text(SEEN + more)
    (tmp_path / "agent.py").write_text(PROGRAM.replace('agent_name="mine"', own))
    (tmp_path / "lkdoctor.toml").write_text(PLAN)
    return tmp_path


@pytest.mark.parametrize(
    ("more", "open_"),
    [
        (f"  outbound: {{image: r.example/outbound:3, environment: {KEYS}}}\n", True),
        ("  outbound: {image: r.example/outbound:3, command: python -m outbound start}\n", True),
        ("  outbound: {build: ., command: python -m outbound start}\n", True),
        ("  redis: {image: 'redis:7'}\n", False),
        (f"  outbound: {{image: r.example/outbound:3, scale: 0, environment: {KEYS}}}\n", False),
        (f"  outbound: {{image: r.example/outbound:3, command: agent console, environment: {KEYS}}}\n", False),
    ],
)
def test_a_name_that_an_unseen_program_may_have_is_open(tmp_path: Path, more: str, open_: bool) -> None:
    folder = project(tmp_path, more, 'agent_name="inbound"')
    found = json.loads(call("check", folder, "--format", "json").stdout)
    failed = [one["code"] for one in found["findings"] if one["code"] in {"LKD301", "LKD202"}]
    assert bool(failed) is not open_
    folder = project(tmp_path, more)
    before = (folder / "docker-compose.yml").read_bytes()
    ran = call("fix", folder)
    assert ('service outbound may serve "outbound"' in ran.output) is open_
    assert ((folder / "docker-compose.yml").read_bytes() == before) is open_


def test_a_zip_is_not_to_be_fixed(tmp_path: Path) -> None:
    """`lkdoctor fix` edits folders: told of a zip, it is no help."""
    more = "".join(
        f"  {one}:\n    build: .\n    command: python {program} start\n    environment: {{LIVEKIT_AGENT_NAME: outbound}}\n"
        for one, program in (("outbound", "agent.py"), ("copy", "copy.py"))
    )
    project(tmp_path, more)
    (tmp_path / "copy.py").write_text((tmp_path / "agent.py").read_text())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("docker-compose.yml", "agent.py", "copy.py", "lkdoctor.toml"):
            archive.write(tmp_path / name, name)
    said = {given: call("check", tmp_path / given, "--format", "json", "--config", tmp_path / "lkdoctor.toml").stdout
            for given in ("docker-compose.yml", "a.zip")}  # fmt: skip
    assert {given: "lkdoctor fix" in text for given, text in said.items()} == {
        "docker-compose.yml": True,
        "a.zip": False,
    }
    assert all("LKD802" in text for text in said.values())
