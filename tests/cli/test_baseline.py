"""The baseline and accepted findings: what is set aside is exactly what was known, and it is counted and named."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.running import FAULTY, HEALTHY, OPEN, call
from tests.recorded import case
from tests.report import valid


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a faulty log."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / "logs").mkdir()
    shutil.copy(FAULTY / "server.log", tmp_path / "logs" / "server.log")
    return tmp_path


def entries() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(Path("lkdoctor-baseline.json").read_text())["findings"]
    return found


def test_what_is_known_passes_and_is_named_everywhere() -> None:
    written = call("baseline", "write", "logs")
    assert written.exit_code == 0, written.output
    assert "1 known finding" in written.stdout
    (entry,) = entries()
    assert (entry["code"], entry["subject"], entry["severity"]) == ("LKD202", 'agent "Inbound Agent"', "error")
    outputs = [part for form in ("json", "sarif", "junit", "markdown") for part in ("-o", f"{form}=report.{form}")]
    ran = call("check", "logs", "--baseline", "lkdoctor-baseline.json", *outputs)
    assert ran.exit_code == 0
    assert ran.stdout.startswith("No fault found in 1 dispatch; 1 finding left out.")
    assert "1 finding left out by lkdoctor-baseline.json (known since" in ran.stdout
    document = valid.json_v1(Path("report.json").read_bytes())
    (left,) = document["suppressed"]
    assert (left["code"], left["by"], left["fingerprint"]) == ("LKD202", "lkdoctor-baseline.json", entry["fingerprint"])
    assert left["proof"]
    assert document["verdict"] == "healthy"
    assert "LKD301" not in [one["code"] for one in document["findings"]]  # the symptom goes with its cause
    run = valid.sarif(Path("report.sarif").read_bytes())
    (result,) = (one for one in run["results"] if "suppressions" in one)
    assert result["ruleId"] == "LKD202"
    assert result["suppressions"][0]["kind"] == "external"
    suite = valid.junit(Path("report.junit").read_bytes())
    assert suite.find("testcase[@classname='lkdoctor.LKD202']/skipped") is not None
    assert "1 finding left out" in Path("report.markdown").read_text()


def test_another_fault_is_new() -> None:
    call("baseline", "write", "logs")
    shutil.copy(case("no-headroom-1-13-5") / "server.log", "logs/server.log")
    assert call("check", "logs", "--baseline", "lkdoctor-baseline.json").exit_code == 1
    told = call("baseline", "check", "logs")
    assert told.exit_code == 1
    assert re.search(r"(?m)^new    LKD303", told.stdout)


def test_check_write_and_prune_over_a_fault_that_is_repaired() -> None:
    call("baseline", "write", "logs")
    days = (
        Path("lkdoctor-baseline.json").read_text().replace(f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d}", "2020-01-01")
    )
    Path("lkdoctor-baseline.json").write_text(days)
    known = call("baseline", "check", "logs")
    assert known.exit_code == 0
    assert known.stdout.startswith("known  LKD202 name-near-miss")
    call("baseline", "write", "logs")
    assert entries()[0]["since"] == "2020-01-01"  # what stood there keeps its day
    shutil.copy(HEALTHY / "server.log", "logs/server.log")
    gone = call("baseline", "check", "logs")
    assert gone.exit_code == 0
    assert gone.stdout.startswith("gone   LKD202")
    pruned = call("baseline", "prune", "logs")
    assert pruned.stdout.startswith("Took 1 out of lkdoctor-baseline.json, 0 left.")
    assert entries() == []


def test_prune_keeps_what_this_evidence_cannot_show() -> None:
    call("baseline", "write", "logs")
    before = Path("lkdoctor-baseline.json").read_bytes()
    shutil.copy(case("worker-gave-up") / "worker-inbound.log", "logs/worker.log")
    pruned = call("baseline", "prune", "logs/worker.log")
    assert pruned.exit_code == 0, pruned.output
    assert "Took 0 out" in pruned.stdout
    assert "Kept, as this evidence cannot tell (1):" in pruned.stdout
    assert Path("lkdoctor-baseline.json").read_bytes() == before


def test_what_has_become_worse_is_new() -> None:
    call("baseline", "write", "logs")
    text = Path("lkdoctor-baseline.json").read_text().replace('"severity": "error"', '"severity": "warning"')
    Path("lkdoctor-baseline.json").write_text(text)
    assert call("check", "logs", "--baseline", "lkdoctor-baseline.json").exit_code == 1
    told = call("baseline", "check", "logs")
    assert (told.exit_code, told.stdout[:12]) == (1, "worse  LKD20")


def test_nothing_is_written_after_a_failure(folder: Path) -> None:
    (folder / "empty.log").write_text("")
    ran = call("baseline", "write", "empty.log")
    assert ran.exit_code == 2
    assert "lkdoctor-baseline.json was left as it is" in ran.stderr
    assert not Path("lkdoctor-baseline.json").exists()


def test_an_inconclusive_log_is_written_with_a_warning() -> None:
    ran = call("baseline", "write", OPEN)
    assert ran.exit_code == 0
    assert "leaves questions open" in ran.stderr
    assert call("baseline", "check", OPEN).exit_code == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; `lkdoctor baseline write` writes one"),
        ("{}", "not a baseline"),
        ("nonsense", "not a baseline"),
        ('{"schema": "lkdoctor.baseline/v9", "findings": []}', "not a baseline of this version"),
        ('{"schema": "lkdoctor.baseline/v1", "findings": [{"fingerprint": "x"}]}', "not a baseline of this version"),
    ],
)
def test_a_file_that_is_no_baseline(content: str | None, message: str) -> None:
    if content is not None:
        Path("b.json").write_text(content)
    for arguments in (["check", "logs", "--baseline", "b.json"], ["baseline", "check", "logs", "-b", "b.json"]):
        ran = call(*arguments)
        assert ran.exit_code == 2
        assert message in ran.stderr
        assert "Traceback" not in ran.stderr


# -- lkdoctor.toml --------------------------------------------------------------------------------------------------


def accept(**keys: str) -> None:
    lines = [f"{key} = {value}" for key, value in {"code": '"LKD202"', "reason": '"known in staging"', **keys}.items()]
    Path("lkdoctor.toml").write_text("\n[[ignore]]\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ({}, 0),
        ({"code": '"name-near-miss"'}, 0),
        ({"code": '"LKD2xx"'}, 0),
        ({"code": '"LKD303"'}, 1),
        ({"agent": '"Inbound Agent"'}, 0),
        ({"agent": '"*nbound*gent"'}, 0),
        ({"agent": '"billing"'}, 1),
        ({"room": '"support-*"'}, 0),
        ({"room": '"sales-*"'}, 1),
        ({"subject": '"agent:*"'}, 0),
        ({"subject": '"room:*"'}, 1),
        ({"until": "2999-01-31"}, 0),
        ({"until": "2020-01-31"}, 1),
        ({"code": '"ACME7"'}, 1),  # its package may be absent today
    ],
)
def test_what_is_accepted(keys: dict[str, str], status: int) -> None:
    accept(**keys)
    ran = call("check", "logs", "--format", "json")
    assert ran.exit_code == status, ran.output
    found = valid.json_v1(ran.stdout.encode())
    if status == 0:
        (left,) = (one for one in found["suppressed"] if one["code"] == "LKD202")
        assert (left["by"], left["reason"]) == ("lkdoctor.toml line 2", "known in staging")
        assert left["until"] == keys.get("until")
    else:
        assert "LKD202" in [one["code"] for one in found["findings"]]


def test_what_has_ended_counts_again_and_is_told() -> None:
    accept(until="2020-01-31")
    ran = call("check", "logs")
    assert ran.exit_code == 1
    told = " ".join(ran.stdout.split())
    assert (
        "lkdoctor.toml line 2: ignoring LKD202 ended on 2020-01-31 (known in staging); its findings count again" in told
    )


def test_the_last_day_is_a_day_too() -> None:
    accept(until=f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d}")
    assert call("check", "logs").exit_code == 0


def test_a_code_that_does_not_exist_is_wrong_usage() -> None:
    accept(code='"LKD330"')
    ran = call("check", "logs")
    assert ran.exit_code == 2
    assert "lkdoctor.toml line 2: there is no code or name 'LKD330'" in ran.stderr
    accept(code='"no-hedroom"')
    assert "Did you mean LKD303 (no-headroom)?" in call("check", "logs").stderr
