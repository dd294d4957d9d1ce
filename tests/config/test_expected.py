"""The gate before a deploy: `check . --expect NAME` and a plan's names against the project's files, and refused Compose files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import call
from tests.recorded import case

AGENT = (case("planned-and-right") / "agent.py").read_text("utf-8")
SERVER = """services:
  livekit:
    image: livekit/livekit-server:v1.13.5
    command: --config /livekit.yaml{flag}
    volumes: [./livekit.yaml:/livekit.yaml]
    {more}
"""


def project(folder: Path, *names: str, more: str = "") -> Path:
    """A Compose project whose services register under these names."""
    lines = ["services:"]
    for number, name in enumerate(names):
        lines += [f"  s{number}:", "    build: .", f"    command: python agent{number}.py start"]
        lines += [f"    environment: {{LIVEKIT_AGENT_NAME: {name}}}"]
        (folder / f"agent{number}.py").write_text(AGENT, "utf-8")
    (folder / "docker-compose.yml").write_text("\n".join(lines) + more + "\n", "utf-8")
    (folder / "Dockerfile").write_text("FROM python\n", "utf-8")
    return folder


@pytest.mark.parametrize(
    ("named", "asked", "status"),
    [
        (("dispatcher", "driver"), "dispatcher,driver", 0),
        (("dispatcher", "driver", "recorder"), "driver", 0),
        (("dispatcher", "drivr"), "dispatcher,driver", 1),
        (("dispatcher", "driver"), "nobody-at-all", 1),
        (("dispatcher", "$OPEN"), "driver", 3),
    ],
)
def test_an_expected_name_must_be_that_of_a_worker(
    tmp_path: Path, named: tuple[str, ...], asked: str, status: int
) -> None:
    ran = call("check", project(tmp_path, *named), "--expect", asked, "-q")
    assert ran.exit_code == status, ran.output
    assert ("LKD515" in ran.output) is (status == 1)


def test_a_service_whose_program_is_not_in_view_may_serve_the_name(tmp_path: Path) -> None:
    more = "\n  driver:\n    image: r.example/driver:3\n    command: python -m driver start"
    ran = call("check", project(tmp_path, "dispatcher", more=more), "--expect", "driver", "-q")
    assert ran.exit_code == 3, ran.output


BACKEND = "\n  api:\n    {run}\n    environment: {{LIVEKIT_AGENT_NAME: driver{more}}}"
KEYS = ", LIVEKIT_API_KEY: k, LIVEKIT_API_SECRET: 0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("services", "run", "more", "status", "told"),
    [
        # It makes tokens for a worker that nothing starts, or it is the worker: nothing says which.
        (("dispatcher",), "image: r.example/api:3", KEYS, 3, "its program is not in view"),
        (("dispatcher",), "{build: ., command: npm run start}", "", 3, "its program is not in view"),
        (("dispatcher",), "{build: ., command: uvicorn api:app}", KEYS, 3, "uvicorn (docker-compose.yml:"),
        (("dispatcher",), "{build: ., command: python api.py}", KEYS, 3, "api.py (api.py:2:1) answers"),
        # Beside the worker it is the backend.
        (("dispatcher", "driver"), "image: r.example/api:3", KEYS, 0, ""),
        # Started as a worker is.
        (("dispatcher",), "{image: r.example/driver:3, command: python -m driver start}", "", 0, ""),
    ],
)
def test_a_variable_alone_makes_no_worker(
    tmp_path: Path, services: tuple[str, ...], run: str, more: str, status: int, told: str
) -> None:
    (tmp_path / "api.py").write_text("import os\nfrom fastapi import FastAPI\napp = FastAPI()\n", "utf-8")
    run = run.strip("{}").replace(", command", "\n    command")
    folder = project(tmp_path, *services, more=BACKEND.format(run=run, more=more))
    ran = call("check", folder, "--expect", "driver", "-q")
    assert ran.exit_code == status, ran.output
    text = " ".join(call("check", folder, "--expect", "driver").output.split()).replace(f"{tmp_path}/", "")
    assert told in text
    assert ("only an environment has it" in text) is (status == 3)


def test_a_web_server_without_the_name_is_no_worker_that_may_have_it(tmp_path: Path) -> None:
    more = BACKEND.format(run="build: .\n    command: uvicorn api:app", more=KEYS).replace(
        "LIVEKIT_AGENT_NAME: driver, ", ""
    )
    ran = call("check", project(tmp_path, "dispatcher", more=more), "--expect", "driver", "-q")
    assert ran.exit_code == 1, ran.output
    assert "LKD515" in ran.output


def test_an_expected_name_without_any_worker_in_view_is_open(tmp_path: Path) -> None:
    (tmp_path / "lkdoctor.toml").write_text('[[agents]]\nname = "driver"\n', "utf-8")
    assert call("check", tmp_path, "--expect", "nobody-at-all", "-q").exit_code == 3
    assert call("check", tmp_path, "-q").exit_code == 0


@pytest.mark.parametrize(
    ("names", "plan", "status"),
    [
        (("dispatcher", "drivr"), "", 1),
        (("dispatcher",), "", 1),
        (("dispatcher",), "workers = 0\n", 0),
        (("dispatcher", "driver"), "", 0),
        (("dispatcher", "drivr"), 'dispatched_by = "token"\n', 1),  # LKD202 tells
    ],
)
def test_a_planned_name_that_no_service_has(tmp_path: Path, names: tuple[str, ...], plan: str, status: int) -> None:
    folder = project(tmp_path, *names)
    text = f'[[agents]]\nname = "dispatcher"\n[[agents]]\nname = "driver"\n{plan}'
    (folder / "lkdoctor.toml").write_text(text, "utf-8")
    ran = call("check", folder, "-q")
    assert ran.exit_code == status, ran.output
    if status:
        assert ("LKD202" in ran.output) is ("token" in plan)
        assert ("LKD515" in ran.output) is ("token" not in plan)


@pytest.mark.parametrize(
    ("more", "flag", "redis", "islands"),
    [
        ("deploy: {replicas: 2}", "", "", True),
        ("scale: 2", "", "", True),
        ("deploy: {replicas: 1}", "", "", False),
        ("deploy: {replicas: 2}", "", "redis: {address: redis:6379}\n", False),
        ("deploy: {replicas: 2}", " --redis-host redis:6379", "", False),
        ("deploy: {replicas: 2}", " $MORE", "", False),
        ("scale: 2\n    environment: {LIVEKIT_CONFIG: $BODY}", "", "", False),
        ("scale: 2\n    environment: {REDIS_HOST: redis:6379}", "", "", False),
    ],
)
def test_replicas_of_the_server_without_redis(tmp_path: Path, more: str, flag: str, redis: str, islands: bool) -> None:
    (tmp_path / "docker-compose.yml").write_text(SERVER.format(more=more, flag=flag), "utf-8")
    (tmp_path / "livekit.yaml").write_text(f"port: 7880\n{redis}", "utf-8")
    ran = call("check", tmp_path, "-q")
    assert ("LKD514" in ran.output) is islands, ran.output
    assert ran.exit_code == int(islands), ran.output


@pytest.mark.parametrize(
    "text",
    [
        "services: [a, b]",
        "services: a",
        "services:\n  a: nginx",
        "services:\n  a:\n    image: nginx\n    environment: foo",
        "services:\n  a:\n    image: nginx\n    environment: {A: [b]}",
        "services:\n  a:\n    image: nginx\n    deploy: 3",
        "services:\n  a:\n    image: nginx\n    profiles: x",
        "services:\n  a:\n    image: [nginx]",
    ],
)
def test_a_form_that_compose_refuses_is_no_clean_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "docker-compose.yml").write_text(text + "\n", "utf-8")
    ran = call("check", tmp_path, "-q")
    assert ran.exit_code in {1, 2}, ran.output
    assert "is refused by Compose" in ran.output


def test_forms_that_compose_takes_raise_nothing(tmp_path: Path) -> None:
    text = (
        "services:\n  a:\n    image: nginx\n    environment: [A=b, C]\n    deploy:\n    command:\n    env_file: a.env\n"
    )
    (tmp_path / "docker-compose.yml").write_text(text, "utf-8")
    (tmp_path / "a.env").write_text("A=1\n", "utf-8")
    assert "refused" not in call("check", tmp_path).output


def test_fix_is_named_only_where_it_changes_something(tmp_path: Path) -> None:
    folder = project(tmp_path, "front", "front")
    assert "lkdoctor fix --dry-run" not in call("check", folder).output  # who keeps the name is not said
    (folder / "lkdoctor.toml").write_text(
        '[[agents]]\nname = "front"\nservice = "s0"\ndispatched_by = "token"\n', "utf-8"
    )
    told = call("check", folder).output
    assert "lkdoctor fix --dry-run" in told
    assert "front-s1" in told
    assert "front-s1" in call("fix", folder, "--dry-run").output
