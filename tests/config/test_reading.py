"""`lkdoctor.toml`: what it holds, where each value stands, and how every mistake in it is told."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import lkdoctor
from lkdoctor import config
from tests.cli.running import FAULTY, HEALTHY, ROOT, call

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = (ROOT / "docs" / "config.md").read_text("utf-8")
EXAMPLE = PAGE.split("```toml\n", 1)[1].split("```", 1)[0]


def parsed(text: str) -> config.ConfigFile:
    return config.parse(text.encode(), "lkdoctor.toml")


def refused(text: str) -> str:
    with pytest.raises(config.ConfigError) as caught:
        parsed(text)
    return str(caught.value)


def test_the_example_of_the_page_is_read_whole_with_the_line_of_every_value() -> None:
    file = parsed(EXAMPLE)
    found = file.config
    assert (found.server.version, [one.name for one in found.agents]) == ("1.13.5", ["dispatcher", "driver"])
    assert [one.ways for one in found.agents] == [("token",), ("api", "sip")]
    assert (found.rooms[0].expected, found.rooms[0].talk) == (("dispatcher", "driver"), True)
    assert (found.ignore[0].until, found.ignore[0].agent) == (dt.date(2027, 1, 31), "dispatcher")
    assert re.search(found.markers[0].regex, "12:00 ✓ Driver agent session started")
    lines = EXAMPLE.splitlines()
    assert lines[(file.line("agents", 1, "dispatched_by") or 0) - 1] == 'dispatched_by = ["api", "sip"]'
    assert lines[(file.line("ignore", 0, "until") or 0) - 1].startswith("until")
    assert lines[(file.line("agents", 0, "deployment") or 0) - 1] == "[[agents]]", "a key that is absent: its table"


def test_lines_are_right_where_values_span_lines_and_tables_stand_inside_each_other() -> None:
    file = parsed(
        '# a comment\nserver = {url = "ws://x", version = "1.13.5"}\n\n[[agents]]\nname = """a"""\n[[agents]]\n'
        'name = "b" # [[agents]]\n[[rooms]]\npattern = "x-*"\nagents = [\n  "a",\n  # [rooms]\n  "b",\n]\n'
        '[rooms.roles]\n"the driver" = "a"\n[[markers]]\nname = """\n[[rooms]]\n"""\nregex = \'xyz\'\n'
    )
    wanted = {
        ("server", "version"): 2,
        ("agents", 0, "name"): 5,
        ("agents", 1): 6,
        ("rooms", 0, "agents", 1): 10,
        ("rooms", 0, "roles", "the driver"): 16,
        ("markers", 0, "regex"): 21,
    }
    assert {path: file.lines[path] for path in wanted} == wanted
    assert file.config.rooms[0].expected == ("a", "b", "a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[server]\nversoin = "1.13.5"\n', "line 2: unknown key `versoin` in [server]; did you mean `version`?"),
        ('[[agent]]\nname = "a"\n', "line 1: unknown key `agent` in the file; did you mean `agents`?"),
        ('[[agents]]\nname = "a"\nxyz = 1\n', "line 3: unknown key `xyz` in [[agents]]; it knows `name`, `type`"),
        ('[[agents]]\ntype = "room"\n', "line 1: [[agents]] needs a `name`"),
        ("[[agents]]\nname = 3\n", "line 2: `name`: expected a text, got a whole number"),
        (
            '[[agents]]\nname = "a"\ntype = "rom"\n',
            "line 3: `type` cannot be `rom`; it is one of `room`, `participant`, `publisher`; did you mean `room`?",
        ),
        ('[[agents]]\nname = "a"\ndispatched_by = ["tokn"]\n', "line 3: `dispatched_by` cannot be `tokn`"),
        ('[[agents]]\nname = "a"\nworkers = -1\n', "line 3: `workers` cannot be negative"),
        ('[[agents]]\nname = "a"\ndispatched_by = "automatic"\n', 'line 3: "a" has a name, and only an agent without one'),
        ('[[agents]]\nname = ""\ndispatched_by = "token"\n', "line 3: an agent without a name is dispatched by `automatic`"),
        ('[[agents]]\nname = "a"\n[[agents]]\nname = "a"\n', 'line 3: the agent "a" stands here twice'),
        ("[[rooms]]\nagents = []\n", "line 1: [[rooms]] needs either `name` (a fixed name) or `pattern`"),
        ('[[rooms]]\npattern = "call"\n', 'line 2: `pattern` "call" has no `*`'),
        (
            '[[agents]]\nname = "driver"\n[[rooms]]\nname = "x"\nagents = ["drivr"]\n',
            'line 3: "drivr" is no agent of this file; did you mean "driver"?',
        ),
        ('[[markers]]\nname = "x"\nregex = "("\n', "line 3: `regex` is no regular expression: missing )"),
        ('[[ignore]]\ncode = "LKD203"\n', "line 1: [[ignore]] needs a `reason`"),
        (
            '[[ignore]]\ncode = "LKD203"\nreason = "x"\nuntil = "soon"\n',
            "line 4: `until`: expected a date such as 2027-01-31, got a text",
        ),
        ('[server]\nversion = "latest"\n', "line 2: `version`: expected a text matching regex"),
        ("agents = 3\n", "line 1: `agents`: expected a list, got a whole number"),
        ("[server\n", "line 1 column 8: not valid TOML"),
        ("x = [", "line 1: not valid TOML"),
        ("[a]\n" + "x = " + "[" * 3000 + "]" * 3000, "not valid TOML"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_line_and_what_to_do(text: str, said: str) -> None:
    assert said in refused(text)


def test_all_unknown_keys_are_told_at_once() -> None:
    told = refused('[server]\nurll = "x"\n[[agents]]\nname = "a"\ntpye = "room"\n').splitlines()
    assert [one.split(":")[0] for one in told] == ["lkdoctor.toml line 2", "lkdoctor.toml line 5"]


def test_a_file_that_is_no_text_or_far_too_big_is_refused() -> None:
    with pytest.raises(config.ConfigError, match=r"lkdoctor.toml line 2: not UTF-8 text"):
        config.parse(b"# fine\n\xff\xfe", "lkdoctor.toml")
    with pytest.raises(config.ConfigError, match="larger than 1 MiB"):
        config.parse(b"#" * (1 << 20) + b"\n", "lkdoctor.toml")
    assert config.parse(b"\xef\xbb\xbf[server]\r\nurl = 'ws://x'\r\n", "x").config.server.url == "ws://x"


def test_the_published_schema_is_current_and_agrees_with_the_reader() -> None:
    published = Path(lkdoctor.__file__).parent / "schemas" / "config-v1.json"
    assert published.read_bytes() == config.schema()
    schema: dict[str, Any] = json.loads(config.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    plain = json.loads(json.dumps(tomllib.loads(EXAMPLE), default=str))
    validator.validate(plain)
    mistakes: tuple[dict[str, Any], ...] = (
        {"servr": {}},
        {"agents": [{}]},
        {"agents": [{"name": "a", "type": "rom"}]},
        {"ignore": [{"code": "x"}]},
    )
    for wrong in mistakes:
        assert not validator.is_valid(wrong), wrong


def test_the_page_names_every_key_of_the_schema() -> None:
    schema = json.loads(config.schema())
    keys = {key for table in (schema, *schema["$defs"].values()) for key in table["properties"]}
    assert {key for key in keys if f"`{key}`" not in PAGE and f"[{key}]" not in PAGE} == set()


def test_the_command_finds_the_file_and_refuses_a_wrong_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = str(HEALTHY / "server.log")
    named = tmp_path / "other.toml"
    named.write_text("[servr]\n", "utf-8")
    ran = call("check", log, "--config", named)
    assert ran.exit_code == 2
    assert f"{named} line 1: unknown key `servr` in the file; did you mean `server`?" in ran.output
    assert call("check", log, "--config", tmp_path / "absent.toml").exit_code == 2
    monkeypatch.chdir(tmp_path)
    assert call("check", log).exit_code == 0
    (tmp_path / "lkdoctor.toml").write_text("nonsense\n", "utf-8")
    assert "lkdoctor.toml line 1" in call("check", log).output
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "server.log").write_bytes((FAULTY / "server.log").read_bytes())
    (folder / "lkdoctor.toml").write_text("[server]\n", "utf-8")
    assert call("check", folder).exit_code == 1, "the file in the folder comes before that of the current one"


def test_file_and_options_together_say_what_is_wanted(tmp_path: Path) -> None:
    from lkdoctor.cli.plan import wanted_of

    found = wanted_of(parsed(EXAMPLE).config, ("driver", "extra"), (("a", "b"),))
    assert found.agents == ("driver", "extra", "dispatcher")
    assert found.together == (("a", "b"), ("dispatcher", "driver"))
