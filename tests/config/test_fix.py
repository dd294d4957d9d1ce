"""`lkdoctor fix` and `lkdoctor init`: what they write, what they leave alone, and the way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lkdoctor import config
from tests.cli.running import call
from tests.recorded import case

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
        ("docker-compose.yml", "command: python staging.py start", "command: run", "is not in view"),
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
