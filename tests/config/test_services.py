"""How a service is started and built: which program it runs, what its image gives, and what stays open."""

from __future__ import annotations

import pytest

from lkdoctor.dispatch.project import at_once
from lkdoctor.dispatch.settings import Setting
from tests.config.test_project import read

PROGRAM = 'server = AgentServer()\n\n\n@server.rtc_session(agent_name="mine")\nasync def entry(ctx): ...\n'


def found(named: dict[str, str], key: str, environ: dict[str, str] | None = None) -> list[tuple[str, str | None]]:
    """File and line, and value (None: not known), of each setting of this key."""
    _, settings, _ = read(named, environ)
    return [(f"{one.file}:{one.line}", one.value if one.known else None) for one in settings if one.key == key]


@pytest.mark.parametrize(
    ("dockerfile", "compose", "mode"),
    [
        ('ENTRYPOINT ["python", "agent.py"]', "command: start", "start"),
        ('ENTRYPOINT ["python", "agent.py"]\nCMD ["dev"]', "command: [start]", "start"),
        ('ENTRYPOINT ["python", "agent.py"]\nCMD ["dev"]', "command:", "dev"),
        ('CMD ["dev"]\nENTRYPOINT ["python", "agent.py"]', "image: x", "dev"),
        ('CMD ["agent.py", "dev"]', "entrypoint: python", None),
        ('ENTRYPOINT ["python", "agent.py"]', "{entrypoint: [node], command: [x.js, start]}", "start"),
        ('ENTRYPOINT ["python", "agent.py"]\nFROM base\nCMD ["start"]', "image: x", "start"),
        ('CMD ["start"]\nFROM base\nENTRYPOINT ["python", "agent.py"]', "image: x", None),
    ],
)
def test_the_images_entrypoint_and_composes_command_are_one_command(
    dockerfile: str, compose: str, mode: str | None
) -> None:
    """As Compose starts it: its command behind the image's entrypoint, its own entrypoint instead of both of the image."""
    body = compose.strip("{}").replace(", command", "\n    command")
    files = {
        "docker-compose.yml": f"services:\n  a:\n    build: .\n    {body}\n",
        "Dockerfile": f"FROM python AS base\n{dockerfile}\n",
        "agent.py": PROGRAM,
    }
    assert [value for _, value in found(files, "mode")] == ([] if mode is None else [mode])
    names = found(files, "code.agent_name")
    assert bool(names) == ("entrypoint" not in compose), "the image's program, unless Compose starts something else"


@pytest.mark.parametrize("file", ["app/agent.py", "src/app/agent.py", "app/agent/__main__.py"])
@pytest.mark.parametrize("command", ["python -m app.agent start", "uv run python -u -m app.agent start"])
def test_a_module_is_followed_to_its_file(file: str, command: str) -> None:
    files = {"docker-compose.yml": f"services:\n  a:\n    build: .\n    command: {command}\n", file: PROGRAM}
    assert found(files, "code.agent_name") == [(f"{file}:4", "mine")]
    assert not found({**files, file: "print(1)\n"}, "code.agent_name")


@pytest.mark.parametrize(
    ("args", "environ", "value"),
    [
        ("WHO: $WHO_IS_IT", {}, None),
        ("WHO: $WHO_IS_IT", {"WHO_IS_IT": "driver"}, "driver"),
        ("WHO:", {}, None),
        ("WHO:", {"WHO": "driver"}, "driver"),
        ("WHO: ''", {}, ""),
        ("OTHER: x", {}, "own"),
    ],
)
def test_a_build_argument_that_only_the_shell_sets_is_not_known(
    args: str, environ: dict[str, str], value: str | None
) -> None:
    files = {
        "docker-compose.yml": f"services:\n  a:\n    build:\n      context: .\n      args:\n        {args}\n",
        "Dockerfile": "FROM x\nARG WHO=own\nENV LIVEKIT_AGENT_NAME=$WHO\n",
    }
    assert found(files, "env.LIVEKIT_AGENT_NAME", environ) == [("Dockerfile:3", value)]


def test_the_servers_configuration_in_a_variable_is_read_at_its_place() -> None:
    text = (
        "services:\n  livekit:\n    image: livekit/livekit-server:v1.13.5\n    environment:\n      LIVEKIT_CONFIG: |\n"
        "        port: 7881\n        agents:\n          target_load: 0.5\n"
    )
    assert found({"docker-compose.yml": text}, "agents.target_load") == [("docker-compose.yml:8", "0.5")]
    project, settings, _ = read({"docker-compose.yml": text})
    assert project.server.number("agents.target_load") == 0.5
    place = next(one for one in settings if one.key == "agents.target_load")
    assert text.splitlines()[7][place.column - 1 :] == "target_load: 0.5"
    flow = text[: text.index("|")] + "'{port: 7881, agents: {target_load: 0.5}}'\n"
    place = next(one for one in read({"docker-compose.yml": flow})[1] if one.key == "port")
    assert (place.line, flow.splitlines()[4][place.column - 1 :].startswith("port: 7881")) == (5, True)


SERVER = "services:\n  livekit:\n    image: livekit/livekit-server:v1.13.5\n"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("command:\n      - --config-body\n      - |\n        agents:\n          target_load: 0.5", 8),
        ("command: [--config-body, 'agents: {target_load: 0.5}']", 4),
        ("command: [--bind, 0.0.0.0, '--config-body=agents: {target_load: 0.5}']", 4),
        ("command: >-\n      --config-body 'agents: {target_load: 0.5}' --bind 0.0.0.0", 4),
    ],
)
def test_the_servers_configuration_in_its_command_is_read(more: str, line: int) -> None:
    file = "docker-compose.yml"
    assert found({file: f"{SERVER}    {more}\n"}, "agents.target_load") == [(f"{file}:{line}", "0.5")]


def test_a_configuration_in_the_command_replaces_the_variable_and_the_file() -> None:
    """As `livekit-server ports` prints them on 1.13.5 and 1.8.4."""
    files = {"livekit.yaml": "port: 7883\nagents: {target_load: 0.1}\n"}
    command = "    command: [--config, /l.yaml{body}]\n    volumes: [./livekit.yaml:/l.yaml]\n"
    variable = "    environment: {LIVEKIT_CONFIG: 'port: 7882'}\n"
    body = ", --config-body, 'port: 7881'"
    both = {**files, "docker-compose.yml": SERVER + command.format(body=body) + variable}
    assert [value for _, value in found(both, "port")] == ["7881"]
    assert found(both, "agents.target_load") == []
    alone = {**files, "docker-compose.yml": SERVER + command.format(body="") + variable}
    assert [value for _, value in found(alone, "port")] == ["7882"]
    plain = {**files, "docker-compose.yml": SERVER + command.format(body="")}
    assert [value for _, value in found(plain, "port")] == ["7883"]
    empty = {**files, "docker-compose.yml": SERVER + command.format(body=", --config-body, ''")}
    assert [value for _, value in found(empty, "port")] == ["7883"]


def test_a_configuration_in_the_command_that_is_not_known_is_told() -> None:
    notes = read({"docker-compose.yml": SERVER + "    command: [--config-body, $BODY]\n"})[2].notes
    assert "--config-body is made of $BODY" in notes[0].notes[0]


def test_a_configuration_in_a_variable_that_cannot_be_read_is_told() -> None:
    head = "services:\n  livekit:\n    image: livekit/livekit-server:v1.13.5\n    environment:\n      LIVEKIT_CONFIG: "
    notes = read({"docker-compose.yml": head + "$FROM_SHELL\n"})[2].notes
    assert "line 5: LIVEKIT_CONFIG is made of $FROM_SHELL" in notes[0].notes[0]
    notes = read({"docker-compose.yml": head + "'port: ['\n"})[2].notes
    assert notes[0].unusable.startswith("line 5: LIVEKIT_CONFIG line 2: not valid YAML")


def test_an_address_is_told_without_user_password_and_query() -> None:
    url = "WSS://bob:hunter2@lk.example:7880/x?access=hunter2hunter2#hunter3"
    text = f"services:\n  a:\n    image: x\n    environment:\n      LIVEKIT_URL: '{url}'\n"
    settings: list[Setting] = read({"docker-compose.yml": text})[1]
    told = next(one.value for one in settings if one.key == "env.LIVEKIT_URL")
    assert told == "WSS://lk.example:7880/x"


@pytest.mark.parametrize(
    "names", [("i/A/docker-compose.yml", "i/B/docker-compose.yml"), ("compose.dev.yml", "compose.prod.yml")]
)
def test_services_of_one_name_in_two_projects_stay_apart(names: tuple[str, str]) -> None:
    one, other = names
    text = "services:\n  agent: {build: ., environment: {LIVEKIT_AGENT_NAME: %s}}\n"
    project, _, _ = read({one: text % "agent-A", other: text % "agent-B"})
    workers = list(project.workers())
    assert [(each.project, each.agent_name.value) for each in workers] == [(one, "agent-A"), (other, "agent-B")]
    assert not at_once(*workers), "whether both projects are up, no file says"


def test_a_program_has_the_environment_of_its_own_folder() -> None:
    files = {
        "A/agent.py": PROGRAM.replace('agent_name="mine"', ""),
        "B/agent.py": PROGRAM.replace('agent_name="mine"', ""),
    }
    project, _, _ = read({**files, "A/.env": "LIVEKIT_AGENT_NAME=a\n", "B/.env": "LIVEKIT_AGENT_NAME=b\n"})
    assert [each.agent_name.value for each in project.workers()] == ["a", "b"]
