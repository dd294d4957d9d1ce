"""Declared markers in the reports: which process logged them, which did not, and whose log is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.recorded import case


def test_who_logged_and_who_did_not() -> None:
    ran = run("check", str(case("markers-of-one-agent")))
    text = " ".join(ran.out.split())
    assert '"session started" at 18:31:40; "said" at 18:31:40' in text
    assert '"worker starting" (by time: no other job was open)' in text
    assert "none; its process logged no marker here" in text
    assert (
        "its worker's log is not in the evidence: add the one that says `registered worker` with id AW_QbU5N3Bkm49x"
        in text
    )


def test_the_document_has_a_row_for_each_job() -> None:
    report = json.loads(run("check", "--format", "json", str(case("markers-of-one-agent"))).out)
    rows = {one["agent_name"]: one for one in report["markers"]}
    assert set(rows) == {"dispatcher", "driver", "listener"}
    assert {one["name"] for one in rows["dispatcher"]["marks"]} == {"worker starting", "session started", "said"}
    assert (rows["driver"]["marks"], rows["driver"]["log"].rpartition("/")[2]) == ([], "worker-driver.log")
    assert rows["listener"]["log"] is None


def test_they_stand_in_the_rooms_story() -> None:
    ran = run("why", "support-call-7", str(case("markers-of-two-agents")))
    assert ran.status == 0
    assert ran.out.count("logged the marker session started") == 2


@pytest.mark.parametrize(
    ("markers", "why"),
    [
        ('name = "a"\nregex = "("', "line 3: `regex` is no regular expression"),
        ('name = "a"\nregex = "(a+)+b"', "line 3: `regex` repeats a repetition"),
        ('name = "a"\nregex = "ready"\n[[markers]]\nname = "a"\nregex = "hello"', 'line 5: there are two markers "a"'),
        ('name = "a"\nregex = "\\\\d+"', "line 3: `regex` has no fixed word"),
    ],
)
def test_a_marker_that_cannot_be_used_is_an_error_with_its_line(markers: str, why: str, tmp_path: Path) -> None:
    shutil.copytree(case("markers-of-two-agents"), tmp_path / "case")
    (tmp_path / "case" / "lkdoctor.toml").write_text(f"[[markers]]\n{markers}\n", "utf-8")
    ran = run("check", str(tmp_path / "case"))
    assert ran.status == 2
    assert why in ran.err
