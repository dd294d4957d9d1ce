"""A sample token beside the project's own secret: held against it where the key is the same, and the secret is never shown."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
import pytest

from tests.cli.running import call

RIGHT = "right-secret-of-the-server-0123456789abcdef"
WRONG = "another-secret-of-somebody-9876543210abcdef"
YAML = "port: 7880\nkeys:\n  APIone: {secret}\n"
ENV = "LIVEKIT_API_KEY=APIone\nLIVEKIT_API_SECRET={secret}\n"


def project(folder: Path, *, yaml: str = "", env: str = "", signed: str = RIGHT, key: str = "APIone") -> Path:
    now = int(time.time())
    claims = {"iss": key, "sub": "alice", "nbf": now - 5, "exp": now + 3600}
    claims |= {"video": {"roomJoin": True, "room": "demo"}}
    (folder / "token.txt").write_text(jwt.encode(claims, signed, "HS256") + "\n", "utf-8")
    if yaml:
        (folder / "livekit.yaml").write_text(YAML.format(secret=yaml), "utf-8")
    if env:
        (folder / ".env").write_text(ENV.format(secret=env), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("files", "wrong", "where"),
    [
        ({"yaml": RIGHT}, False, ""),
        ({"env": RIGHT}, False, ""),
        ({"yaml": WRONG}, True, "livekit.yaml:3"),
        ({"env": WRONG}, True, ".env:2"),
        # The server's own file says what the secret is; what a program uses does not change it.
        ({"yaml": RIGHT, "env": WRONG}, False, ""),
        ({"yaml": WRONG, "env": RIGHT}, True, "livekit.yaml:3"),
        # Of another key nothing is known, nor of a template's word or a mark that stands for a secret.
        ({"yaml": WRONG, "key": "APItwo"}, False, ""),
        ({"env": "<your api secret>"}, False, ""),
        ({"env": "<secret:a019>"}, False, ""),
        ({}, False, ""),
    ],
)
def test_a_signature_is_held_against_the_projects_own_secret(
    tmp_path: Path, files: dict[str, str], wrong: bool, where: str
) -> None:
    folder = project(tmp_path, **files)
    for given in ((folder,), (folder, "--token", folder / "token.txt")):
        ran = call("check", *given, "--format", "json")
        found = [one for one in json.loads(ran.stdout)["findings"] if one["code"] == "LKD502"]
        assert bool(found) is wrong, ran.stdout
        assert RIGHT not in ran.output
        assert WRONG not in ran.output
        for one in found:
            assert one["severity"] == "error"
            assert f'The secret of key "APIone" stands in {tmp_path}/{where}.' in one["message"]


@pytest.mark.parametrize(("signed", "wrong"), [(RIGHT, False), (WRONG, True)])
def test_a_services_own_environment_counts_too(tmp_path: Path, signed: str, wrong: bool) -> None:
    project(tmp_path, signed=signed)
    (tmp_path / "worker.env").write_text(ENV.format(secret=RIGHT), "utf-8")
    (tmp_path / "docker-compose.yml").write_text(
        "services:\n  api: {image: r.example/api:3, env_file: worker.env}\n", "utf-8"
    )
    assert ("LKD502" in call("check", tmp_path, "-q").output) is wrong


def test_a_case_tells_what_its_project_told_and_holds_no_secret(tmp_path: Path) -> None:
    made = tmp_path / "case"
    (tmp_path / "project").mkdir()
    call("snapshot", project(tmp_path / "project", yaml=WRONG, env=WRONG), "-o", made)
    for one in made.iterdir():
        assert WRONG not in one.read_text("utf-8", "replace")
    assert "LKD502" in call("check", made, "-q").output
