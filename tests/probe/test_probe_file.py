"""`probe.jsonl`: what is written is read back the same, without secrets; what is no run is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lkdoctor.cli import pipeline
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.probe_file import read_probes, write_probe
from lkdoctor.dispatch.facts import Place
from lkdoctor.report import probes as section
from lkdoctor.report.screen import Screen

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
RECORDED = sorted(FIXTURES.glob("probe-*/probe.jsonl"))
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLXRoZS10ZXN0"


def read(lines: list[bytes]) -> Gathered:
    gathered = Gathered()
    read_probes(lines, "probe.jsonl", gathered)
    return gathered


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.parent.name)
def test_there_and_back(file: Path) -> None:
    """Every recorded run survives writing and reading; each step has its words, at the run's own place."""
    lines = file.read_bytes().splitlines(keepends=True)
    first = read(lines)
    again = read([write_probe(one).encode() for one in first.probes])
    assert len(first.probes) == len(lines)
    anywhere = Place("")
    assert [replace(one, place=anywhere) for one in again.probes] == [
        replace(one, place=anywhere) for one in first.probes
    ]
    for run in first.probes:
        assert run.steps
        for step in run.steps:
            assert step.name in first.quotes[run.place_of(step)].text
    assert first.notes[0].lines == len(lines)
    assert not first.notes[0].skipped


def test_secrets_are_masked_both_ways() -> None:
    """A token in a server's words is neither written nor read back."""
    plain = json.loads(RECORDED[0].read_text("utf-8").splitlines()[0])
    plain["error"] = plain["steps"][0]["detail"] = f"invalid token: {JWT}, error: x"
    gathered = read([json.dumps(plain).encode()])
    assert JWT not in repr(gathered)
    gathered.probes[0].error = JWT
    assert JWT not in write_probe(gathered.probes[0])


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"kind": "canary"', b'{"kind": "other", "agent_name": 1}'],
)
def test_what_is_no_run(line: bytes) -> None:
    """It is left out and counted; a file of nothing else is no evidence; a good line beside it counts."""
    good = RECORDED[0].read_bytes().splitlines(keepends=True)[0]
    gathered = read([line + b"\n", good])
    assert len(gathered.probes) == 1
    assert sum(gathered.notes[0].skipped.values()) == (1 if line else 0)
    alone = read([line + b"\n"])
    assert alone.probes == []
    assert bool(alone.notes[0].unusable) == bool(line)


def test_a_time_that_cannot_be() -> None:
    """A line that would break every clock is left out."""
    plain = json.loads(RECORDED[0].read_text("utf-8").splitlines()[0])
    for at in (-1.0, 1e300):
        assert read([json.dumps({**plain, "started_at": at}).encode()]).probes == []


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.parent.name)
@pytest.mark.parametrize("width", [40, 100])
def test_the_section_of_the_report(file: Path, width: int) -> None:
    """Each run and each failure stands in it, at any width, and what was left is told once with its command."""
    wish = pipeline.Wish((str(file.parent),), quiet=True)
    report = pipeline.report(pipeline.collect(wish), wish)
    text = "\n".join(section.lines(Screen(width), report.probes))
    for one in report.probes:
        assert width < 100 or one["kind"] == "canary" or one["agent_name"] in text  # a narrow cell is folded
    left = {room for one in report.probes for room in one["left_over"]}
    assert text.count("lkdoctor probe --cleanup") >= len(left)
    assert ("Probe: the canary" in text) == any(one["kind"] == "canary" for one in report.probes)
    assert section.lines(Screen(width), []) == []
