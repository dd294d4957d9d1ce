"""`lkdoctor check`: inputs in any mix, narrowing, and where the output goes."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import FAULTY, HEALTHY, call, environment, run
from tests.recorded import case


def checked(*arguments: str | Path) -> dict[str, Any]:
    """The JSON document of a run."""
    found: dict[str, Any] = json.loads(call("check", *arguments, "--format", "json").stdout)
    return found


def codes(found: dict[str, Any]) -> list[str]:
    return [one["code"] for one in found["findings"]]


def test_files_folders_zips_and_stdin_tell_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    log = folder / "server.log"
    log.write_bytes((FAULTY / "server.log").read_bytes())
    packed = tmp_path / "case.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(log, "case/server.log")
    squeezed = tmp_path / "server.log.gz"
    squeezed.write_bytes(gzip.compress(log.read_bytes()))
    by_stdin = json.loads(run("check", "-", "--format", "json", stdin=log.read_bytes()).out)
    reports = [by_stdin, *(checked(one) for one in (log, folder, packed, squeezed)), checked("--log", log)]
    assert {tuple(codes(one)) for one in reports} == {tuple(codes(reports[0]))}
    assert "LKD202" in codes(reports[0])
    assert len({json.dumps(one["dispatches"][0] | {"proof": 0, "node": 0}) for one in reports}) == 1


def test_without_paths_the_current_folder_is_looked_at(tmp_path: Path) -> None:
    shutil.copy(HEALTHY / "server.log", tmp_path)
    assert run("check", cwd=tmp_path).out.startswith("No fault found in 2 dispatches.")
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = run("check", cwd=empty)
    assert ran.status == 2
    assert "no server log in the current folder" in ran.err
    assert "--live" not in ran.err
    assert 'no server log in ".", and nothing else to look at' in run("check", ".", cwd=empty).err
    set_all_the_same = run("check", cwd=empty, environ={"LIVEKIT_URL": "ws://127.0.0.1:1"})
    assert (set_all_the_same.status, set_all_the_same.out) == (2, "")
    assert "LIVEKIT_URL is set: `--live` asks that server." in " ".join(set_all_the_same.err.split())


def test_a_source_is_named_as_it_was_given() -> None:
    found = checked(FAULTY / "server.log")
    assert found["sources"][0]["name"] == str(FAULTY / "server.log")
    proof = found["findings"][0]["proof"][0]
    line = (FAULTY / "server.log").read_bytes().splitlines()[proof["line"] - 1].decode()
    assert "not dispatching agent job" in line
    assert "not dispatching agent job" in proof["text"]


def test_narrowing_to_a_room_and_an_agent() -> None:
    folder = case("no-headroom-1-13-5")
    every = checked(folder)
    assert {one["room"] for one in every["dispatches"]} == {"busy-room", "calm-room"}
    calm = checked(folder, "--room", "calm-room")
    assert {one["room"] for one in calm["dispatches"]} == {"calm-room"}
    assert (codes(calm), calm["verdict"]) == ([], "healthy")
    busy = checked(folder, "--agent", "inbound-agent")
    assert (codes(busy), busy["verdict"]) == (["LKD303"], "problems")
    assert {one["agent_name"] for one in busy["dispatches"]} == {"inbound-agent"}


def test_the_cause_in_another_room_is_left_out_though_its_agent_is_in_this_one() -> None:
    here = checked(FAULTY, case("no-headroom-1-13-5"), "--room", "busy-room")
    assert "inbound-agent" in {one["agent_name"] for one in here["dispatches"]}  # whose name the other room missed
    assert "LKD303" in codes(here)
    assert "LKD202" not in codes(here)


def test_who_was_turned_away_at_the_door_is_no_matter_of_a_room_that_has_its_agent() -> None:
    both = (case("api-key-unknown"), case("no-headroom-1-13-5"))
    assert "LKD104" in codes(checked(*both))
    assert "LKD104" not in codes(checked(*both, "--room", "calm-room"))
    lacking = (case("api-key-unknown"), FAULTY)  # nobody served its name: a worker that got in nowhere may be why
    assert "LKD104" in codes(checked(*lacking, "--room", "support-call-7"))


def test_an_expected_agent_is_told_of_in_a_chosen_room() -> None:
    expected = ("--expect", "support-agent", "--room", "support-call-7")
    found = checked(case("listed-chosen-room"), *expected)
    assert codes(found) == ["LKD310"]


@pytest.mark.parametrize("name", ["listed-token-ignored", "listed-token-not-used-yet"])
def test_what_a_token_asks_for_in_a_chosen_room_is_told(name: str) -> None:
    folder = case(name)
    every = checked(folder)
    [found] = [one for one in every["findings"] if one["code"] == "LKD307"]
    assert codes(checked(folder, "--room", found["values"]["rooms"][0])) == codes(every)


def test_a_selected_symptom_keeps_its_cause() -> None:
    found = checked(FAULTY, "--select", "LKD301")
    assert codes(found) == ["LKD202"]
    assert "LKD301" in [one["code"] for one in found["symptoms"]]
    assert {one["code"]: one["outcome"] for one in found["checks"]}["LKD303"] == "skipped"


def test_what_is_ignored_is_counted() -> None:
    found = checked(FAULTY, "--ignore", "name-near-miss,LKD311")
    assert codes(found) == []
    assert {(one["code"], one["by"]) for one in found["suppressed"]} == {
        ("LKD202", "--ignore name-near-miss"),
        ("LKD311", "--ignore LKD311"),
    }
    assert "1 finding left out by --ignore LKD311" in run("check", FAULTY, "--ignore", "LKD311").out


def test_an_ignored_cause_takes_its_symptoms_along() -> None:
    found = checked(FAULTY, "--ignore", "LKD202")
    assert "LKD301" not in codes(found) + [one["code"] for one in found["symptoms"]]


def test_since_and_until_cut_the_log() -> None:
    folder = case("no-headroom-1-13-5")
    first = checked(folder)["sources"][0]["first_at"]
    assert checked(folder, "--until", first)["totals"]["dispatches"] == 0
    assert checked(folder, "--since", first)["totals"]["dispatches"] == 2


def test_a_window_beside_the_evidence_is_told() -> None:
    folder = case("no-headroom-1-13-5")
    before = run("check", folder, "--until", "2001-01-01T00:00:00Z")
    assert "--until (2001-01-01 00:00:00 UTC) is before the evidence, which starts at " in " ".join(before.out.split())
    after = run("check", folder, "--since", "2100-01-01")
    assert "--since (2100-01-01 00:00:00 UTC) is after the evidence, which ends at " in " ".join(after.out.split())
    assert checked(folder, "--since", "2100-01-01")["gate"]["since"] == "2100-01-01T00:00:00.000Z"


def test_a_time_of_day_alone_names_no_moment() -> None:
    refused = run("check", FAULTY, "--since", "12:00:00")
    assert refused.status == 2
    assert "'12:00:00' does not say which day; write 2026-01-31T12:00:00Z" in refused.err


def test_every_version_and_the_number_of_starts_stand_in_the_header(tmp_path: Path) -> None:
    both = [(case(name) / "server.log").read_bytes() for name in ("no-headroom-1-8-4", "no-headroom-1-13-5")]
    (tmp_path / "server.log").write_bytes(b"".join(both))
    header = " ".join(run("check", tmp_path / "server.log").out.split("\n\n")[0].split())
    assert "livekit-server 1.13.5 and 1.8.4 (2 server starts);" in header
    assert "server start" not in run("check", FAULTY).out.split("\n\n")[0]


def test_documents_go_to_files_beside_stdout(tmp_path: Path) -> None:
    ran = run(
        "check",
        FAULTY,
        "-o",
        f"json={tmp_path / 'a.json'}",
        "-o",
        f"text={tmp_path / 'a.txt'}",
        environ={"FORCE_COLOR": "1"},
    )
    assert ran.status == 1
    assert json.loads((tmp_path / "a.json").read_text())["verdict"] == "problems"
    assert "\x1b[" in ran.out
    assert "\x1b[" not in (tmp_path / "a.txt").read_text()


@pytest.mark.parametrize(
    ("options", "environ", "colored"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_color(options: list[str], environ: dict[str, str], colored: bool) -> None:
    assert ("\x1b[" in run("check", FAULTY, *options, environ=environ).out) is colored


def test_the_width_follows_columns() -> None:
    narrow = run("check", FAULTY, environ={"COLUMNS": "60"}).out
    assert max(len(line) for line in narrow.splitlines() if "$ " not in line) <= 60


def test_an_output_that_is_not_utf8() -> None:
    ran = run("check", FAULTY, "-q", environ={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"})
    assert ran.status == 1
    assert ran.out.isascii()


def test_json_is_the_same_whatever_is_said_on_stderr() -> None:
    ran = run("check", FAULTY, "--format", "json", "-v", "--color", "always")
    assert json.loads(ran.out)["verdict"] == "problems"
    assert "\x1b" not in ran.out


def test_json_is_utf8_in_every_locale(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text(
        (FAULTY / "server.log").read_text("utf-8").replace("support-call-7", "Büro µ 日本 \U0001f916"), "utf-8"
    )
    ran = run("check", log, "--format", "json", environ={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"})
    assert {one["room"] for one in json.loads(ran.out)["dispatches"]} == {"Büro µ 日本 \U0001f916"}


def test_one_file_under_two_names_counts_once(tmp_path: Path) -> None:
    shutil.copy(FAULTY / "server.log", tmp_path)
    (tmp_path / "link.log").symlink_to(tmp_path / "server.log")
    ran = run("check", "server.log", "./server.log", tmp_path / "link.log", "--format", "json", cwd=tmp_path)
    found = json.loads(ran.out)
    assert (found["totals"]["dispatches"], [one["name"] for one in found["sources"]]) == (1, ["server.log"])


def test_other_files_of_a_folder_are_no_fault(tmp_path: Path) -> None:
    shutil.copy(HEALTHY / "server.log", tmp_path)
    (tmp_path / "notes.txt").write_text("call Alice back\n")
    found = checked(tmp_path)
    assert (found["verdict"], codes(found)) == ("healthy", [])
    assert "some other text" in next(one for one in found["sources"] if "notes" in one["name"])["notes"][0]
    assert "LKD903" in codes(checked(tmp_path / "server.log", tmp_path / "notes.txt"))


def test_a_workers_log_alone_is_called_what_it_is(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_text('{"message": "starting worker", "level": "INFO", "name": "livekit.agents"}\n')
    ran = run("check", log)
    assert ran.status == 2
    assert "it looks like the log of a Python agent worker" in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--room", "support-call-8"], "Did you mean 'support-call-7'?"),
        (["--agent", "inbound_agent"], "Did you mean 'inbound-agent'"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "--since is later than --until"),
        (["-o", "json=a", "-o", "text=./a"], "-o names ./a twice"),
        (["x" * 300], "cannot be opened: File name too long"),
    ],
)
def test_a_slip_in_the_options_is_told_and_never_green(options: list[str], words: str, tmp_path: Path) -> None:
    ran = run("check", FAULTY, *options, cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert words in ran.err
    assert list(tmp_path.iterdir()) == []


def test_evidence_is_never_written_over(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    shutil.copy(FAULTY / "server.log", log)
    before = log.read_bytes()
    ran = run("check", tmp_path, "-o", "text=server.log", cwd=tmp_path)
    assert ran.status == 2
    assert "-o would overwrite" in ran.err
    assert log.read_bytes() == before


def test_a_full_disk_is_told_without_asking_for_a_bug_report() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with full.open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "lkdoctor", "check", str(FAULTY)],
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
            env=environment(),
        )
    assert done.returncode == 2
    assert done.stderr.decode().endswith("the report was not written there\n")


def test_help_names_every_option_and_status() -> None:
    text = run("check", "--help").out
    for word in ("--select", "--ignore", "--fail-on", "--allow-inconclusive", "--exit-zero", "--since", "--all", "130"):
        assert word in text
