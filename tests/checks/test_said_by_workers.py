"""What short pieces of workers' logs let say: a worker that never got in, a job that a signal ended, names that no line tells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import call
from tests.collect import wrap
from tests.recorded import case


def piece(folder: Path, name: str, *, keep: str = "", until: str = "", file: str = "worker-inbound.log") -> Path:
    """Lines of a recorded worker's log: those with `keep`, or those up to the first with `until`."""
    lines = (case(name) / file).read_text("utf-8").splitlines()
    if until:
        lines = lines[: next(at for at, line in enumerate(lines) if until in line) + 1]
    path = folder / "piece.log"
    path.write_text("\n".join(line for line in lines if keep in line) + "\n", "utf-8")
    return path


def checked(path: Path) -> dict[str, Any]:
    """The JSON report on a worker's log."""
    found = json.loads(call("check", path, "--format", "json").stdout)
    assert isinstance(found, dict)
    return found


def outcome(report: dict[str, Any], code: str) -> str:
    return next(str(one["outcome"]) for one in report["checks"] if one["code"] == code)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("worker-gave-up", "nothing listens at the address of its URL"),
        ("worker-name-unknown", "has no address (DNS)"),
        ("worker-path-wrong", "404"),
    ],
)
def test_a_log_that_ends_while_the_worker_tries_is_no_health(tmp_path: Path, name: str, reason: str) -> None:
    path = piece(tmp_path, name, until="failed to connect to livekit")
    report = checked(path)
    assert report["verdict"] == "inconclusive"
    assert outcome(report, "LKD211") == "inconclusive"
    assert not report["findings"]
    said = " ".join(call("check", path).output.split())
    assert "was not connected when its log ended (1 try)" in said
    assert reason in said


def test_a_worker_that_was_in_is_not_asked_after_while_it_comes_back(tmp_path: Path) -> None:
    report = checked(piece(tmp_path, "worker-reconnects", until="failed to connect to livekit"))
    assert (report["verdict"], outcome(report, "LKD211")) == ("healthy", "passed")


@pytest.mark.parametrize(
    ("number", "word", "fix"),
    [
        ("3", "exit code 3", "Mend the exception"),
        ("-4", "SIGILL", "native"),
        ("-11", "SIGSEGV", "native"),
        ("-9", "killed from outside", "memory"),
    ],
)
def test_a_signal_has_no_traceback_to_start_at(tmp_path: Path, number: str, word: str, fix: str) -> None:
    path = piece(tmp_path, "worker-job-exits", keep="process exited with non-zero exit code")
    path.write_text(path.read_text("utf-8").replace("exit code 3", f"exit code {number}"), "utf-8")
    found = checked(path)["findings"][0]
    assert found["code"] == "LKD602"
    assert word in found["message"]
    assert fix in found["fixes"][0]["title"]
    assert ("traceback in the worker's log" in json.dumps(found["fixes"])) is (number == "3")


def test_a_name_that_no_line_tells_is_not_called_unnamed(tmp_path: Path) -> None:
    path = piece(tmp_path, "worker-job-exits", keep="process exited with non-zero exit code")
    older = re.sub(r', "agent_name": "[^"]*"', "", path.read_text("utf-8"))  # 0.12 to 1.2 do not print it there
    path.write_text(older, "utf-8")
    assert checked(path)["dispatches"][0]["agent_name"] == "(name not printed)"
    said = call("check", path).output
    assert "unnamed" not in said
    assert "whose name is not printed" in said


def test_a_worker_has_the_name_that_its_requests_are_made_under(tmp_path: Path) -> None:
    path = piece(tmp_path, "worker-job-exits", until="received job request")
    lines = [line for line in path.read_text("utf-8").splitlines() if "registered worker" not in line]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    assert [one["agent_name"] for one in checked(path)["dispatches"]] == ["inbound-agent"]


def test_lines_that_tell_of_nothing_are_a_workers_log_all_the_same(tmp_path: Path) -> None:
    path = piece(tmp_path, "worker-job-exits", keep="initializing process")
    report = checked(path)
    assert [one["kind"] for one in report["sources"]] == ["worker_log"]
    assert not any(one["code"] == "LKD903" for one in report["findings"])


def test_a_process_managers_time_and_bar_stand_around_a_record(tmp_path: Path) -> None:
    path = piece(tmp_path, "worker-job-exits")
    plain = checked(path)
    path.write_bytes(
        b"".join(b"agent    | 2026-01-17 21:26:17.408 | " + line + b"\n" for line in wrap.lines_of(path.read_bytes()))
    )
    again = checked(path)
    assert [one["fingerprint"] for one in again["findings"]] == [one["fingerprint"] for one in plain["findings"]]
    assert again["findings"]
