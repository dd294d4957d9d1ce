"""A project as it comes out of git: its `.env` is not there, Compose may be missing, and the top folder may hold nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import call

NAMED = 'server = AgentServer()\n\n\n@server.rtc_session(agent_name="front-desk")\nasync def entry(ctx): ...\n'
BY_VARIABLE = (
    'import os\n\nserver = AgentServer()\n\n\n@server.rtc_session(agent_name=os.getenv("MY_AGENT", "front-desk"))\n'
    "async def entry(ctx): ...\n"
)
COMPOSE = """services:
  desk:
    build: .
    image: agents:latest
    env_file: .env
    environment: {LIVEKIT_URL: "wss://livekit.example.com"}
    command: python agent.py start
  night:
    image: agents:latest
    env_file: .env
    command: python night.py start
"""


def written(folder: Path, **files: str) -> Path:
    """These files; `__` in a name is its dot, `_of_` its slash."""
    for name, text in files.items():
        path = folder / name.replace("_of_", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def composed(folder: Path, program: str = NAMED, **more: str) -> Path:
    """Two services of one image, of which one builds it."""
    night = NAMED.replace("front-desk", "night-desk")
    return written(
        folder, Dockerfile="FROM python\n", agent__py=program, night__py=night, compose__yaml=COMPOSE, **more
    )


def checked(folder: Path, *more: str) -> dict[str, Any]:
    """The JSON report on a folder."""
    found = json.loads(call("check", folder, "--format", "json", *more).stdout)
    assert isinstance(found, dict)
    return found


def env_files(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["severity"], one["message"]) for one in report["findings"] if one["code"] == "LKD513"]


def test_a_missing_env_file_is_told_once_and_nothing_is_claimed_of_what_it_holds(tmp_path: Path) -> None:
    found = env_files(checked(composed(tmp_path)))
    assert [severity for severity, _ in found] == ["error"]
    assert "Services desk, night refer to the env_file" in found[0][1]
    assert "LIVEKIT_API_KEY" not in found[0][1]


@pytest.mark.parametrize(
    "more",
    [{"__env__example": "LIVEKIT_URL=\n"}, {"__gitignore": "# secrets\n/.env\n"}, {"__gitignore": "*.pyc\n.env*\n"}],
)
def test_an_env_file_that_each_machine_makes_fails_no_gate(tmp_path: Path, more: dict[str, str]) -> None:
    report = checked(composed(tmp_path, **more))
    found = env_files(report)
    assert [severity for severity, _ in found] == ["info"]
    assert "made on each machine" in found[0][1]
    assert report["verdict"] == "healthy"
    assert call("check", tmp_path, "--expect", "front-desk,night-desk").exit_code == 0


@pytest.mark.parametrize("ignored", ["!.env\n", "# .env\n", "node_modules\n"])
def test_a_gitignore_that_does_not_name_it_excuses_nothing(tmp_path: Path, ignored: str) -> None:
    assert [one for one, _ in env_files(checked(composed(tmp_path, __gitignore=ignored)))] == ["error"]


def test_a_name_that_the_missing_file_may_set_is_not_known(tmp_path: Path) -> None:
    folder = composed(tmp_path, BY_VARIABLE, __env__example="MY_AGENT=\n")
    assert call("check", folder, "--expect", "front-desk").exit_code == 3
    assert call("check", folder, "--expect", "somebody-else").exit_code == 3
    (folder / ".env").write_text("MY_AGENT=back-office\n", "utf-8")
    assert call("check", folder, "--expect", "front-desk").exit_code == 1
    assert call("check", folder, "--expect", "back-office", "--select", "LKD515").exit_code == 0


def test_a_value_that_several_services_take_from_one_file_is_told_once(tmp_path: Path) -> None:
    folder = composed(
        tmp_path, __env="LIVEKIT_API_KEY=\nLIVEKIT_API_SECRET=my-secret\nLIVEKIT_URL=wss://a.example.com\n"
    )
    found = env_files(checked(folder))
    assert [message.partition(" (")[0] for _, message in found] == [
        "Services desk, night have LIVEKIT_API_KEY, which is empty"
    ]


def test_a_service_that_names_the_image_of_another_runs_its_programs(tmp_path: Path) -> None:
    assert (
        call("check", composed(tmp_path, __env="A=b\n"), "--expect", "night-desk", "--select", "LKD515").exit_code == 0
    )
    text = COMPOSE.replace("image: agents:latest\n    env_file: .env\n    command", "image: other:1\n    command")
    (tmp_path / "compose.yaml").write_text(text, "utf-8")
    assert call("check", tmp_path, "--expect", "night-desk", "--select", "LKD515").exit_code == 3


@pytest.mark.parametrize("start", ['["uv", "run", "src/agent.py", "start"]', "python -m agent start"])
def test_the_program_that_a_dockerfile_starts_is_a_worker_without_compose(tmp_path: Path, start: str) -> None:
    folder = written(tmp_path, src_of_agent__py=NAMED, Dockerfile=f"FROM python\nCMD {start}\n")
    assert call("check", folder, "--expect", "front-desk").exit_code == 0
    wrong = call("check", folder, "--expect", "frontdesk")
    assert wrong.exit_code == 1
    assert "LKD515" in wrong.output
    assert 'name = "front-desk"' in call("init", folder, "--stdout").output


@pytest.mark.parametrize(
    "files",
    [{"__env__example": "LIVEKIT_URL=\n"}, {"Dockerfile": 'FROM nginx\nCMD ["nginx"]\n'}],
)
def test_a_gate_is_not_green_over_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    ran = call("check", written(tmp_path, **files), "--expect", "front-desk")
    assert ran.exit_code == 2
    assert "nothing else to look at" in ran.output


def test_folders_below_are_offered(tmp_path: Path) -> None:
    written(tmp_path, services_of_desk_of_compose__yaml=COMPOSE, node_modules_of_x_of_compose__yaml=COMPOSE)
    ran = call("check", tmp_path)
    assert ran.exit_code == 2
    said = "".join(ran.output.split())
    assert str(tmp_path / "services" / "desk") in said
    assert "node_modules" not in said


def test_a_variable_of_ones_own_names_the_agent_wherever_it_is_set(tmp_path: Path) -> None:
    """The program takes its name from MY_AGENT: its value counts, from `.env`, from the image, or from Compose."""
    start = 'FROM python\nCMD ["python", "agent.py", "start"]\n'
    for number, files in enumerate(
        (
            {"Dockerfile": start, "__env": "MY_AGENT=back-office\n"},
            {"Dockerfile": start.replace("CMD", "ENV MY_AGENT=back-office\nCMD")},
            {
                "Dockerfile": start,
                "compose__yaml": "services:\n  a:\n    build: .\n    environment: [MY_AGENT=back-office]\n",
            },
        )
    ):
        folder = written(tmp_path / str(number), agent__py=BY_VARIABLE, **files)
        assert call("check", folder, "--expect", "back-office").exit_code == 0, files
        wrong = call("check", folder, "--expect", "front-desk")
        assert wrong.exit_code == 1, files
        assert "back-office" in wrong.output


@pytest.mark.parametrize("key", ["${LIVEKIT_API_KEY}", "$LIVEKIT_API_KEY", "'{{ livekit_key }}'"])
def test_a_variable_for_a_key_in_livekit_yaml_is_told_once(tmp_path: Path, key: str) -> None:
    folder = composed(
        tmp_path, __env="LIVEKIT_API_KEY=APIabc\nLIVEKIT_API_SECRET=real\nLIVEKIT_URL=ws://livekit:7880\n"
    )
    server = "  livekit:\n    image: livekit/livekit-server:v1.13.5\n    volumes: [./livekit.yaml:/livekit.yaml]\n"
    written(folder, livekit__yaml=f"port: 7880\nkeys:\n  {key}: real\n")
    (folder / "compose.yaml").write_text(
        COMPOSE.replace("wss://livekit.example.com", "ws://livekit:7880") + server, "utf-8"
    )
    found = checked(folder)["findings"]
    assert [(one["code"], one["confidence"]) for one in found] == [("LKD514", "medium")]
    assert key.strip("'") in found[0]["message"]
    # A script of the image's user fills it in: nothing is known then.
    filled = f"{server}    entrypoint: /fill-in.sh\n"
    (folder / "compose.yaml").write_text(
        COMPOSE.replace("wss://livekit.example.com", "ws://livekit:7880") + filled, "utf-8"
    )
    assert "LKD514" not in {one["code"] for one in checked(folder)["findings"]}


def test_a_key_with_a_dollar_is_a_key(tmp_path: Path) -> None:
    folder = written(tmp_path, livekit__yaml="port: 7880\nkeys:\n  API$abc: s3cr$t-of-32-characters-or-more-xyz\n")
    assert not checked(folder)["findings"]


def test_a_very_long_name_is_compared_whole(tmp_path: Path) -> None:
    long = f"front-desk-{'ü' * 150}-日本"
    program = NAMED.replace('(agent_name="front-desk")', "()")
    text = f"services:\n  a:\n    build: .\n    command: python agent.py start\n    environment: {{LIVEKIT_AGENT_NAME: {long}}}\n"
    folder = written(tmp_path, Dockerfile="FROM python\n", agent__py=program, compose__yaml=text)
    (folder / "lkdoctor.toml").write_text(
        f'[[agents]]\nname = "{long}"\nworkers = 1\ndispatched_by = "token"\n', "utf-8"
    )
    assert checked(folder)["findings"] == []


def test_a_list_of_packages_is_nothing_to_tell_of_and_a_broken_file_is_to_be_corrected(tmp_path: Path) -> None:
    folder = written(composed(tmp_path, __env="A=b\n"), requirements__txt="livekit-agents\n", notes__txt="nothing\n")
    said = call("check", folder).output
    assert "requirements.txt" not in said
    assert "notes.txt" in said
    (folder / "compose.yaml").write_text("services:\n  a:\n    image: [\n", "utf-8")
    found = next(one for one in checked(folder)["findings"] if one["code"] == "LKD903")
    assert found["fixes"][0]["steps"] == [f"Correct {folder / 'compose.yaml'}, line 4."]
