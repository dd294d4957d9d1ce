"""Workers' own logs on the command line: alone, beside the server's, from a pipe, and in the story of one job."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.running import run
from tests.recorded import case

CRASHED = case("worker-job-crashed-dev")
LOG = CRASHED / "worker-inbound.log"


def job_of(folder: Path) -> str:
    """The job id that the worker's log names first."""
    text = (folder / "worker-inbound.log").read_text("utf-8")
    return text[(at := text.index("AJ_")) : at + 15]


def test_a_worker_log_alone_is_judged() -> None:
    ran = run("check", str(LOG))
    assert ran.status == 1
    assert "LKD602" in ran.out
    assert "KeyError: 'OPENAI_API_KEY'" in ran.out
    assert "times name no zone" in ran.out


def test_what_it_proves_is_quoted_in_the_document() -> None:
    ran = run("check", str(LOG), "--format", "json")
    document = json.loads(ran.out)
    (source,) = document["sources"]
    assert (source["kind"], source["lines"]) == ("worker_log", len(LOG.read_bytes().splitlines()))
    (finding,) = [one for one in document["findings"] if one["code"] == "LKD602"]
    crash = [one for one in finding["proof"] if "unhandled exception" in one["text"]]
    assert crash[0]["source"] == str(LOG)
    assert b"unhandled exception" in LOG.read_bytes().splitlines()[crash[0]["line"] - 1]
    assert finding["subject"]["agent_name"] == "inbound-agent"
    (dispatch,) = document["dispatches"]
    assert (dispatch["room"], dispatch["outcome"], dispatch["job_id"]) == (
        "support-call-7",
        "assigned",
        job_of(CRASHED),
    )
    (worker,) = document["workers"]
    assert worker["sdk"] == "1.8.9"
    skipped = {one["code"] for one in document["checks"] if one["outcome"] == "skipped"}
    assert "LKD301" in skipped
    assert "LKD602" not in skipped


def test_the_option_forces_the_kind(tmp_path: Path) -> None:
    odd = tmp_path / "output.of.some.thing"
    odd.write_bytes(LOG.read_bytes())
    assert "LKD602" in run("check", "--worker-log", str(odd)).out
    server = CRASHED / "server.log"
    ran = run("check", "--worker-log", str(server))
    assert ran.status == 2
    assert "no line of an agent worker's SDK" in ran.out + ran.err


def test_a_worker_log_from_a_pipe() -> None:
    ran = run("check", "--worker-log", "-", stdin=LOG.read_bytes())
    assert ran.status == 1
    assert "-:13" in ran.out


def test_a_healthy_worker_log_is_no_fault(tmp_path: Path) -> None:
    folder = case("worker-drained-quietly")
    ran = run("check", str(folder / "worker-inbound.log"))
    assert ran.status == 0
    assert "No fault found" in ran.out


def test_the_story_of_a_job_has_both_sides() -> None:
    ran = run("why", job_of(CRASHED), str(CRASHED))
    assert ran.status == 0
    assert "was assigned to worker" in ran.out
    assert "its worker: asked for job" in ran.out
    assert "crashed: KeyError" in ran.out
    times = [line.split()[0] for line in ran.out.splitlines() if line.startswith("  1")]
    assert times == sorted(times)


def test_the_story_of_a_job_from_the_worker_alone() -> None:
    ran = run("why", job_of(CRASHED), "--worker-log", str(LOG))
    assert ran.status == 0
    assert "time unknown" in ran.out
    assert "crashed: KeyError" in ran.out


def test_an_output_never_overwrites_a_worker_log(tmp_path: Path) -> None:
    mine = tmp_path / "worker.log"
    mine.write_bytes(LOG.read_bytes())
    ran = run("check", str(mine), "-o", f"json={mine}")
    assert ran.status == 2
    assert mine.read_bytes() == LOG.read_bytes()


def test_the_roster_of_a_worker_log() -> None:
    ran = run("workers", str(case("worker-job-crashed") / "worker-inbound.log"))
    assert ran.status == 0
    assert "inbound-agent" in ran.out


def test_since_leaves_out_what_a_worker_said_before() -> None:
    log = case("worker-job-crashed") / "worker-inbound.log"
    assert run("check", str(log), "--until", "2030-01-01T00:00:00Z").status == 1
    assert run("check", str(log), "--since", "2030-01-01T00:00:00Z").status == 0
