"""`lkdoctor fix` and `lkdoctor init`: what they write, what they leave alone, and the way back."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from lkdoctor import config
from lkdoctor.wording import quoted
from tests.cli.running import call, run
from tests.recorded import case

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CLASH = case("planned-two-services-one-name")


def project(tmp_path: Path, name: str = "planned-two-services-one-name") -> Path:
    folder = tmp_path / "project"
    shutil.copytree(case(name), folder)
    (folder / "scenario.toml").unlink()
    (folder / "truth.json").unlink()
    return folder


def texts(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


def test_a_shared_name_is_made_unique_and_taken_back_byte_for_byte(tmp_path: Path) -> None:
    folder = project(tmp_path)
    before = texts(folder)
    assert call("check", folder).exit_code == 1
    ran = call("fix", folder)
    assert ran.exit_code == 0, ran.output
    assert b"LIVEKIT_AGENT_NAME: inbound-staging\n" in (folder / "docker-compose.yml").read_bytes()
    assert call("check", folder).exit_code == 0
    assert call("fix", folder).output == "Nothing to fix in the agent names.\n"
    assert call("fix", folder, "--undo").exit_code == 0
    assert texts(folder) == before


def test_a_dry_run_changes_nothing_and_shows_the_lines(tmp_path: Path) -> None:
    folder = project(tmp_path)
    before = texts(folder)
    ran = call("fix", folder, "--dry-run")
    assert ran.exit_code == 1
    assert "+      LIVEKIT_AGENT_NAME: inbound-staging" in ran.output
    assert "LIVEKIT_API_SECRET" not in ran.output
    assert texts(folder) == before


def test_comments_line_endings_byte_order_mark_mode_and_links_stay(tmp_path: Path) -> None:
    folder = project(tmp_path)
    real = folder / "real.yml"
    target = folder / "docker-compose.yml"
    text = target.read_text("utf-8").replace(
        "      LIVEKIT_AGENT_NAME: inbound\n\n  staging", "      LIVEKIT_AGENT_NAME: inbound  # käse\n\n  staging"
    )
    raw = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    real.write_bytes(raw)
    real.chmod(0o640)
    target.unlink()
    target.symlink_to("real.yml")
    assert call("fix", folder).exit_code == 0
    after = real.read_bytes()
    # The last name of the file is the staging service's; nothing else has moved.
    head, _, tail = raw.rpartition(b"LIVEKIT_AGENT_NAME: inbound")
    assert after == head + b"LIVEKIT_AGENT_NAME: inbound-staging" + tail
    assert target.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert call("fix", folder, "--undo").exit_code == 0
    assert real.read_bytes() == raw


def test_undo_refuses_a_file_that_was_changed_since(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert call("fix", folder, "--undo").exit_code == 2
    call("fix", folder)
    with (folder / "docker-compose.yml").open("a") as file:
        file.write("# mine\n")
    changed = texts(folder)
    ran = call("fix", folder, "--undo")
    assert ran.exit_code == 2
    assert "was changed since" in ran.output
    assert texts(folder) == changed


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("lkdoctor.toml", 'dispatched_by = "token"\n', "", 'who asks for "inbound" is not in view'),
        ("staging.py", "rtc_session()", 'rtc_session(agent_name="inbound")', "the program itself names the agent"),
        (
            "docker-compose.yml",
            "command: python staging.py start",
            "command: python elsewhere.py start",
            "is not in view",
        ),
        ("docker-compose.yml", "  inbound:\n", "  production:\n", 'which service is to keep "inbound" is not said'),
    ],
)
def test_what_is_not_safe_is_shown_and_left(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    folder = project(tmp_path)
    path = folder / file
    assert old in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    before = texts(folder)
    ran = call("fix", folder)
    assert ran.exit_code == 1, ran.output
    assert said in ran.output
    assert texts(folder) == before


def test_a_name_that_two_services_take_from_one_place_is_set_for_one_alone(tmp_path: Path) -> None:
    folder = project(tmp_path)
    path = folder / "docker-compose.yml"
    path.write_text(
        "x-env: &env\n  LIVEKIT_AGENT_NAME: inbound\nservices:\n"
        "  inbound:\n    build: .\n    command: python agent.py start\n    environment: *env\n"
        "  staging:\n    build: .\n    command: python staging.py start\n    environment:\n      <<: *env # shared\n      X: '1'\n",
        "utf-8",
    )
    ran = call("fix", folder)
    assert ran.exit_code == 0, ran.output
    text = path.read_text("utf-8")
    assert text.count("LIVEKIT_AGENT_NAME: inbound-staging") == 1
    assert "      <<: *env # shared\n" in text
    assert text.startswith("x-env: &env\n  LIVEKIT_AGENT_NAME: inbound\n")


def test_a_slip_is_corrected_to_the_planned_name(tmp_path: Path) -> None:
    folder = project(tmp_path, "planned-name-near-miss")
    assert call("check", folder).exit_code == 1
    assert call("fix", folder).exit_code == 0
    assert b"LIVEKIT_AGENT_NAME: inbound_agent\n" in (folder / "docker-compose.yml").read_bytes()
    assert call("check", folder).exit_code == 0


def test_init_writes_a_plan_that_check_reads(tmp_path: Path) -> None:
    folder = project(tmp_path, "planned-and-right")
    assert call("init", folder).exit_code == 2, "a file that is there is not written over"
    (folder / "lkdoctor.toml").unlink()
    ran = call("init", folder)
    assert ran.exit_code == 0, ran.output
    found = config.load((str(folder),)).config
    assert [(one.name, one.workers, one.ways) for one in found.agents] == [("inbound", 1, ("token",))]
    assert call("check", folder).exit_code == 0


def test_init_accepts_no_fault(tmp_path: Path) -> None:
    folder = project(tmp_path)
    shown = call("init", folder, "--stdout").output
    assert "different programs take this name (LKD802)" in shown
    assert "\nworkers" not in shown


def test_init_of_an_empty_folder_is_a_plan_to_fill_in(tmp_path: Path) -> None:
    assert call("init", tmp_path).exit_code == 0
    assert config.load((str(tmp_path),)).config.agents == ()


def test_a_gate_is_not_green_over_a_compose_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  a: [\n", "utf-8")
    ran = call("check", tmp_path)
    assert ran.exit_code in {1, 2}
    assert "is not valid YAML" in " ".join((ran.output + ran.stderr).split())


@pytest.mark.parametrize(
    "record",
    [
        b"x\n",
        b"[3]",
        b'[[{"file": 1}]]',
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'[[{"file":"a","was":"","is":"","steps":[{"at":-1}]}]]',
    ],
)
def test_a_record_that_is_none_stops_before_the_first_write(tmp_path: Path, record: bytes) -> None:
    folder = project(tmp_path)
    (folder / ".lkdoctor-undo.json").write_bytes(record)
    before = texts(folder)
    for arguments in ((), ("--undo",)):
        ran = call("fix", folder, *arguments)
        assert ran.exit_code == 2, ran.output
        assert "is not what `lkdoctor fix` writes" in ran.output
        assert texts(folder) == before


def test_whatever_fails_while_it_writes_puts_everything_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path)
    before = texts(folder)

    def fails(*_: object) -> None:
        assert texts(folder) != before, "the files are written by now"
        raise KeyError("broken")

    monkeypatch.setattr("lkdoctor.cli.way_back.remember", fails)
    assert isinstance(call("fix", folder).exception, KeyError)
    assert texts(folder) == before


def victim_record(folder: Path, name: str, victim: Path, content: str) -> None:
    """A record that somebody made to have `victim` replaced, with hashes that are right."""
    was = victim.read_bytes()
    hashes = [hashlib.sha256(one).hexdigest() for one in (content.encode(), was)]
    step = {"at": 0, "before": content, "after": was.decode()}
    entry = {"file": name, "was": hashes[0], "is": hashes[1], "steps": [step]}
    (folder / ".lkdoctor-undo.json").write_text(json.dumps([[entry]]), "utf-8")


@pytest.mark.parametrize("way", ["../victim", "absolute", "link", "linked/victim"])
def test_undo_leaves_alone_what_is_not_of_the_folder(tmp_path: Path, way: str) -> None:
    folder = project(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("mine\n", "utf-8")
    (folder / "link").symlink_to(victim)
    (folder / "linked").symlink_to(tmp_path)
    victim_record(folder, str(victim) if way == "absolute" else way, victim, "theirs\n")
    ran = call("fix", folder, "--undo")
    assert ran.exit_code == 2, ran.output
    assert "which is no file of" in ran.output
    assert victim.read_text("utf-8") == "mine\n"


def test_a_record_that_is_a_link_out_of_the_folder_is_not_written_through(tmp_path: Path) -> None:
    folder = project(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("[]", "utf-8")
    (folder / ".lkdoctor-undo.json").symlink_to(victim)
    before = texts(folder)
    assert call("fix", folder).exit_code == 2
    assert (texts(folder), victim.read_text("utf-8")) == (before, "[]")


def test_a_plan_beside_the_folder_is_changed_and_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path)
    plan = tmp_path / "lkdoctor.toml"
    (folder / "lkdoctor.toml").rename(plan)
    before = {**texts(folder), **texts(tmp_path)}
    monkeypatch.chdir(tmp_path)
    assert call("fix", "project").exit_code == 0
    assert "inbound-staging" in plan.read_text("utf-8")
    assert call("fix", "project", "--undo").exit_code == 0
    assert {**texts(folder), **texts(tmp_path)} == before


def test_a_service_that_another_folder_describes_is_shown_and_left(tmp_path: Path) -> None:
    folder = project(tmp_path)
    path = folder / "docker-compose.yml"
    shared = tmp_path / "docker-compose.yml"
    path.rename(shared)
    path.write_text("include:\n  - ../docker-compose.yml\n", "utf-8")
    for one in ("agent.py", "staging.py"):
        shutil.copy(folder / one, tmp_path / one)
    before = {**texts(folder), **texts(tmp_path)}
    ran = call("fix", folder)
    assert ran.exit_code == 1, ran.output
    assert "is no file of" in ran.output
    assert {**texts(folder), **texts(tmp_path)} == before


@pytest.mark.parametrize("name", ["front 😀", "café au lait"])
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_a_name_of_any_letters_is_written_as_it_is(tmp_path: Path, name: str, quote: str) -> None:
    folder = project(tmp_path, "planned-name-near-miss")
    path = folder / "docker-compose.yml"
    for one, old, new in (
        (folder / "lkdoctor.toml", "inbound_agent", name),
        (path, "inbound-agent", f"{quote}{name.replace(' ', '-')}{quote}"),
    ):
        text = one.read_text("utf-8")
        assert old in text
        one.write_text(text.replace(old, new), "utf-8")
    ran = call("fix", folder)
    assert ran.exit_code == 0, ran.output
    assert name in path.read_text("utf-8")
    assert call("check", folder).exit_code == 0
    (folder / "lkdoctor.toml").unlink()
    assert call("init", folder).exit_code == 0
    assert f'name = "{name}"' in (folder / "lkdoctor.toml").read_text("utf-8")


@pytest.mark.parametrize(
    "name", ["plain", "😀", "é", 'a"b', "a\\b", "\x7f", "\x85", "\u2028", "\ufeff", "a\tb\n", "👩\u200d💻"]
)
def test_quotes_mean_the_same_to_yaml_and_toml(name: str) -> None:
    assert yaml.safe_load(f"a: {quoted(name)}\n") == {"a": name}
    assert tomllib.loads(f"a = {quoted(name)}\n") == {"a": name}


def test_names_reach_no_terminal_raw(tmp_path: Path) -> None:
    folder = project(tmp_path)
    path = folder / "docker-compose.yml"
    text = path.read_text("utf-8")
    path.write_text(
        text.replace("LIVEKIT_AGENT_NAME: inbound\n", 'LIVEKIT_AGENT_NAME: "in\\e]0;pwn\\x07bound"\n'), "utf-8"
    )
    ran = run("fix", folder, "--dry-run")
    assert "in\\x1b]0;pwn\\x07bound" in ran.out
    assert not {"\x1b", "\x07"} & set(ran.out + ran.err)


def test_what_undo_says_of_a_file_is_not_taken_for_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    file.write_text("mine\n", "utf-8")
    victim_record(tmp_path, "passwd", file, "theirs\n")
    file.write_text("mine, changed\n", "utf-8")
    ran = run("fix", tmp_path, "--undo")
    assert ran.status == 2
    assert "passwd was changed since `lkdoctor fix`" in ran.err
    assert "<secret" not in ran.err
