"""Compose, .env, Dockerfile, livekit.yaml and programs: what is read, where it stands, and what stays open."""

from __future__ import annotations

from pathlib import Path

import pytest

from lkdoctor.collect.config.dockerfile import read_dockerfile
from lkdoctor.collect.config.files import Files
from lkdoctor.collect.config.interpolation import interpolate
from lkdoctor.collect.config.programs import read_program
from lkdoctor.collect.config.project import read_project
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import kind_of_name
from lkdoctor.collect.log.source import LogInput
from lkdoctor.dispatch import server_keys
from lkdoctor.dispatch.project import Project, project_of
from lkdoctor.dispatch.settings import Setting
from lkdoctor.placeholders import is_placeholder


def read(named: dict[str, str], environ: dict[str, str] | None = None) -> tuple[Project, list[Setting], Gathered]:
    """A project of these files."""
    gathered = Gathered()
    kinds = {name: kind_of_name(Path(name).name) for name in named}
    inputs = [(LogInput(name, Path(name)), kind) for name, kind in kinds.items() if kind]
    read_project(inputs, gathered, environ or {}, files=Files(named))
    settings = [one for one in gathered.facts.get(Setting, []) if isinstance(one, Setting)]
    return project_of(settings), settings, gathered


def environment(
    text: str, environ: dict[str, str] | None = None, more: dict[str, str] | None = None
) -> dict[str, str | None]:
    """What the service `a` sees of the variables that are told."""
    _, settings, _ = read({"docker-compose.yml": text, **(more or {})}, environ)
    return {
        one.key.removeprefix("env."): one.value if one.known else None
        for one in settings
        if one.service == "a" and one.key.startswith("env.")
    }


@pytest.mark.parametrize(
    ("text", "made", "missing"),
    [
        ("$A", "1", ()),
        ("${A}-${B:-x}", "1-x", ()),
        ("${E:-empty}${E-set}", "empty", ()),
        ("${A:+yes}${E:+no}", "yes", ()),
        ("${B:-${C:-deep}}", "deep", ()),
        ("$$A $${A}", "$A ${A}", ()),
        ("${B}", "", ("B",)),
        ("${B?needed}", "", ("B",)),
        ("${A:?needed}", "1", ()),
    ],
)
def test_interpolation(text: str, made: str, missing: tuple[str, ...]) -> None:
    def known(name: str) -> str | None:
        return {"A": "1", "E": ""}.get(name)

    found = interpolate(text, known)
    assert (found.text, found.missing, found.wrong) == (made, missing, "")


@pytest.mark.parametrize("text", ["${", "$", "${1}", "${A!x}", "a $ b"])
def test_what_compose_refuses_is_told(text: str) -> None:
    assert interpolate(text, lambda _: None).wrong


def test_override_beats_extends_and_environment_beats_env_file() -> None:
    """As Compose's own resolver does, with which the reader was compared."""
    found = environment(
        "services:\n  a:\n    extends: {service: base, file: base.yaml}\n    env_file: a.env\n"
        "    environment:\n      LIVEKIT_URL: ws://here\n",
        more={
            "base.yaml": "services:\n  base:\n    environment: [X_AGENT_NAME=base, LIVEKIT_URL=ws://base]\n",
            "a.env": "LIVEKIT_URL=ws://file\nLIVEKIT_AGENT_NAME='from file' # why\n",
            "docker-compose.override.yml": "services:\n  a:\n    environment: [LIVEKIT_AGENT_DEPLOYMENT=blue]\n",
        },
    )
    assert found == {
        "X_AGENT_NAME": "base",
        "LIVEKIT_URL": "ws://here",
        "LIVEKIT_AGENT_NAME": "from file",
        "LIVEKIT_AGENT_DEPLOYMENT": "blue",
    }


def test_what_only_the_shell_sets_is_not_known_and_never_guessed() -> None:
    text = "services:\n  a:\n    environment:\n      LIVEKIT_AGENT_NAME: ${WHO}-agent\n      LIVEKIT_URL:\n"
    assert environment(text) == {"LIVEKIT_AGENT_NAME": None, "LIVEKIT_URL": None}
    assert environment(text, {"WHO": "x", "LIVEKIT_URL": "ws://y"}) == {
        "LIVEKIT_AGENT_NAME": "x-agent",
        "LIVEKIT_URL": "ws://y",
    }
    assert environment(text, more={".env": "WHO=z\n"})["LIVEKIT_AGENT_NAME"] == "z-agent"


def test_anchors_include_profiles_and_places() -> None:
    project, settings, _ = read(
        {
            "compose.yaml": "include: [more.yaml]\nx-e: &e\n  LIVEKIT_AGENT_NAME: one\nservices:\n  a:\n    environment:\n"
            "      <<: *e\n  b:\n    profiles: [test]\n    scale: 3\n    environment: {<<: *e, LIVEKIT_AGENT_NAME: two}\n",
            "more.yaml": "services:\n  c:\n    environment:\n      - LIVEKIT_AGENT_NAME=three\n",
        }
    )
    names = {one.name: (one.agent_name.value, one.replicas, set(one.profiles)) for one in project.services}
    assert names == {"a": ("one", 1, set()), "b": ("two", 3, {"test"}), "c": ("three", 1, set())}
    begins = {one.service: one.where for one in settings if one.key == "service"}
    assert begins == {"a": "compose.yaml:5:3", "b": "compose.yaml:8:3", "c": "more.yaml:2:3"}
    where = {one.service: one.where for one in settings if one.key == "env.LIVEKIT_AGENT_NAME"}
    assert where == {"a": "compose.yaml:3:23", "b": "compose.yaml:11:47", "c": "more.yaml:4:28"}


def test_secrets_are_tokens_from_the_start_and_other_variables_are_not_told() -> None:
    _, settings, gathered = read(
        {
            "docker-compose.yml": "services:\n  a:\n    environment:\n      LIVEKIT_API_KEY: APIplanted\n"
            "      LIVEKIT_API_SECRET: planted-secret\n      OPENAI_API_KEY: planted-openai\n"
            "      LIVEKIT_URL: wss://u:planted-pass@h\n      LIVEKIT_AGENT_NAME: x\n",
            "livekit.yaml": "keys:\n  APIplanted: planted-secret\nturn: {enabled: true}\nredis: {password: planted-redis}\n",
        }
    )
    everything = repr(settings) + repr(gathered.quotes)
    assert "planted" not in everything.lower()
    values = {one.key: one.value for one in settings}
    assert values["env.LIVEKIT_API_SECRET"] == values["secrets"]
    assert values["env.LIVEKIT_API_KEY"] == values["keys"]


@pytest.mark.parametrize(
    "text",
    [
        "services: [",
        "services: 3",
        "- a\n- b",
        "a: &a [*a]",
        "services:\n  a: *x",
        "services:\n  a:\n    extends: a\n",
        "\x00",
    ],
)
def test_a_broken_file_costs_only_itself(text: str) -> None:
    project, _, gathered = read({"docker-compose.yml": text, "livekit.yaml": "agents:\n  target_load: 0.5\n"})
    assert project.server.number("agents.target_load") == 0.5
    assert [one.name for one in gathered.notes]


def test_a_dockerfile_gives_its_last_stage() -> None:
    stage = read_dockerfile(
        "ARG V=1\nFROM base AS one\nENV LIVEKIT_AGENT_NAME=\"a b\" X=$Y\nFROM one\nARG V\nENV A=$V \\\n  B='$V'\nENV OLD form\n"
        'CMD ["python", "agent.py", "start"]\n',
        "Dockerfile",
    )
    assert stage is not None
    env = stage.all_env()
    assert {name: one.value for name, one in env.items() if not one.missing} == {
        "LIVEKIT_AGENT_NAME": "a b", "A": "1", "B": "$V", "OLD": "form",
    }  # fmt: skip
    assert env["X"].missing == ("Y",)
    assert stage.start()[:2] == ([], ["python", "agent.py", "start"])


@pytest.mark.parametrize(
    ("name", "text", "value", "variable"),
    [
        ("a.py", "s = AgentServer()\n@s.rtc_session(agent_name='x')\nasync def e(c): ...", "x", ""),
        ("a.py", "N = os.getenv('AGENT_NAME', 'd')\nrun(WorkerOptions(agent_name=N))", "d", "AGENT_NAME"),
        ("a.py", "N = 'a'\nN = 'b'\nrun(WorkerOptions(agent_name=N))", None, ""),
        ("a.py", "run(WorkerOptions(agent_name=f'{x}-agent'))", None, ""),
        ("a.ts", "cli.runApp(new ServerOptions({ agent, agentName: 'x', }));", "x", ""),
        ("a.ts", "cli.runApp(new ServerOptions({ agentName: process.env.AGENT_NAME ?? 'd' }));", "d", "AGENT_NAME"),
        ("a.ts", "cli.runApp(new ServerOptions({ agentName: `a-${stage}` }));", None, ""),
        ("a.ts", "cli.runApp(new ServerOptions({ ...options }));", None, ""),
    ],
)
def test_the_name_in_a_program(name: str, text: str, value: str | None, variable: str) -> None:
    program = read_program(text, name)
    assert program is not None
    said = program.get("agent_name")
    assert said is not None
    assert (said.value, said.variable) == (value, variable)


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("a.py", "opts = WorkerOptions(entrypoint_fnc=run)\nopts.agent_name = 'desk'\n", "agent_name"),
        ("a.py", "opts = WorkerOptions(agent_name='x')\nif here:\n    opts.agent_name = 'desk'\n", "agent_name"),
        ("a.py", "self.opts = WorkerOptions()\nself.opts.type = kind\n", "type"),
        ("a.py", "o = WorkerOptions(agent_name=os.environ['X'])\no.agent_name = 'y'\n", "agent_name"),
        ("a.py", "s = AgentServer()\ndef tune(one):\n    one.load_threshold = 0.9\n", "load_threshold"),
        ("a.py", "opts = WorkerOptions()\nsetattr(opts, 'agent_name', name)\n", "agent_name"),
        ("a.py", "opts = WorkerOptions()\nsetattr(opts, key, name)\n", "agent_name"),
        ("a.py", "opts = replace(WorkerOptions(), agent_name=name)\n", "agent_name"),
        ("a.ts", "const o = new ServerOptions({agent: a});\no.agentName = 'desk';\n", "agent_name"),
    ],
)
def test_an_option_that_is_set_later_is_not_known(name: str, text: str, key: str) -> None:
    program = read_program(text, name)
    said = [] if program is None else [one for one in program.said if one.key == key]
    assert [(one.value, one.variable) for one in said] == [(None, "")]


@pytest.mark.parametrize(
    "text",
    [
        "s = AgentServer()\nclass Desk(Agent):\n    def __init__(self):\n        self.type = 'x'\n        self.agent_name = 'y'\n",
        "opts = WorkerOptions()\nprint(opts.agent_name == 'desk', room.type)\nother.port = 1\nword.replace('a', 'b')\n",
    ],
)
def test_what_other_objects_hold_is_no_option(text: str) -> None:
    program = read_program(text, "a.py")
    assert program is not None
    assert program.said == ()


def test_a_file_that_starts_no_worker_is_no_program() -> None:
    assert read_program("print('agent_name')", "a.py") is None
    assert read_program("WorkerOptions(", "a.py") is None


def test_keys_of_the_server_by_version() -> None:
    assert server_keys.refuses("agents.target_load", "1.9.12") is True
    assert server_keys.refuses("agents.target_load", "1.10.0") is None, "between two versions that were asked"
    assert server_keys.refuses("agents.target_load", "1.13.5") is False
    assert server_keys.refuses("agents.target_laod", None) is True
    assert server_keys.refuses("agents.brand_new", "1.14.0") is None, "a newer server may know it"
    assert server_keys.meant("agents.target_laod") == "agents.target_load"
    assert server_keys.meant("auto_create") == "room.auto_create"


@pytest.mark.parametrize(
    "word", ["MyQ8planted7sd8f7sd8f7", "your-api-key", "<your planted key>", "changeme", "todo-planted-x"]
)
def test_a_key_and_a_secret_are_tokens_whatever_they_look_like(word: str) -> None:
    """What looks like a template's word may be somebody's secret; that it is one is told beside the token."""
    _, settings, gathered = read(
        {
            "docker-compose.yml": f"services:\n  a:\n    environment:\n      LIVEKIT_API_KEY: {word}\n"
            f"      LIVEKIT_API_SECRET: {word}\n      LIVEKIT_AGENT_NAME: x\n",
            "livekit.yaml": f"keys:\n  {word}: {word}\n",
        }
    )
    assert word not in repr(settings) + repr(gathered.quotes)
    assert len({one.value for one in settings if one.key in {"keys", "secrets", "env.LIVEKIT_API_SECRET"}}) == 1
    _, settings, gathered = read({".env": f"LIVEKIT_API_SECRET={word}\n", "agent.py": "AgentServer()"})
    assert word not in repr(settings) + repr(gathered.quotes)
    assert [one.placeholder for one in settings if one.key == "env.LIVEKIT_API_SECRET"] == [is_placeholder(word)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<your api key>", True),
        ("your_api_key", True),
        ("YOUR API KEY", True),
        ("changeme", True),
        ("wss://your-project.livekit.cloud", True),
        ("wss://<project>.livekit.cloud/", True),
        ("mykey", False),
        ("my-very-long-shared-secret-0123456789", False),
        ("wss://yourmd.livekit.cloud", False),
        ("changeme-to-the-real-one-I-did", False),
        ("todos-app-key", False),
        ("xxxlkey", False),
        ("", False),
    ],
)
def test_placeholders_are_exact_words(value: str, expected: bool) -> None:
    assert is_placeholder(value) is expected
