"""Recorded worker logs, cut and alone: less evidence tells the same causes, fewer, or none; never another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lkdoctor.cli import pipeline
from lkdoctor.doctor import engine
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Confidence, Finding, Severity
from lkdoctor.doctor.loader import load
from tests.checks.test_grid import CASES, evidence_of, expectation, explained

LOG = "worker-inbound.log"
WORKER_CASES = [case for case in CASES if "worker_log" in evidence_of(case) and (case / LOG).is_file()]
#: What a server's log alone says of these cases, and what they have that no worker's log can show.
SERVER_ONLY = {"LKD201", "LKD301", "LKD303", "LKD304", "LKD305", "LKD306", "LKD601", "LKD105"}


def sure(*paths: Path) -> list[Finding]:
    """The findings that would count."""
    collected = pipeline.collect(pipeline.Wish(tuple(map(str, paths)), quiet=True, jobs=1))
    diagnosis = engine.run(load().checks, Evidence.of(collected.stories))
    return [
        one for one in diagnosis.findings if one.severity >= Severity.WARNING and one.confidence >= Confidence.MEDIUM
    ]


def test_there_are_cases() -> None:
    assert len(WORKER_CASES) > 40


@pytest.mark.parametrize("case", WORKER_CASES, ids=lambda case: case.name)
def test_a_cut_worker_log_invents_nothing(case: Path, tmp_path: Path) -> None:
    allowed = explained(set(expectation(case)["codes"])) | {"LKD903"}
    if (case / "server.log").exists():
        shutil.copy(case / "server.log", tmp_path / "server.log")
    lines = (case / LOG).read_bytes().splitlines(keepends=True)
    for number in sorted({max(1, len(lines) * part // 5) for part in range(1, 5)}):
        for kept in (lines[number:], lines[:number]):
            (tmp_path / LOG).write_bytes(b"".join(kept))
            invented = [(one.code.id, one.message) for one in sure(tmp_path) if one.code.id not in allowed]
            assert invented == [], f"{len(kept)} of {len(lines)} lines kept"


@pytest.mark.parametrize("case", WORKER_CASES, ids=lambda case: case.name)
def test_a_worker_log_alone_invents_nothing(case: Path) -> None:
    """Without the server's side the worker's log tells its own part or nothing, and healthy ones stay healthy."""
    found = {one.code.id for one in sure(case / LOG)}
    assert found <= explained(set(expectation(case)["codes"]))


@pytest.mark.parametrize("case", [case for case in WORKER_CASES if evidence_of(case)[1:]], ids=lambda case: case.name)
def test_without_the_worker_log_its_codes_are_gone(case: Path) -> None:
    """What only a worker's log proves is not claimed without it."""
    found = {one.code.id for one in sure(case / "server.log")}
    assert found <= SERVER_ONLY


def test_what_a_worker_log_alone_tells() -> None:
    by_code: dict[str, set[str]] = {}
    for case in WORKER_CASES:
        for one in sure(case / LOG):
            by_code.setdefault(one.code.id, set()).add(case.name)
    assert {"LKD211", "LKD305", "LKD602", "LKD603", "LKD604", "LKD706", "LKD803"} <= set(by_code)
    assert len(by_code["LKD602"]) >= 14


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("worker-secret-wrong", "credentials"),
        ("worker-secret-wrong-node", "credentials"),
        ("worker-refused", "refused"),
        ("worker-refused-node", "refused"),
        ("worker-gave-up", "refused"),
        ("worker-name-unknown", "name"),
        ("worker-tls-against-plain", "tls"),
        ("worker-path-wrong", "path"),
        ("worker-no-url", "unset"),
    ],
)
def test_the_reason_of_a_lost_worker(case: str, reason: str) -> None:
    folder = next(one for one in WORKER_CASES if one.name == case)
    (found,) = sure(folder / LOG)
    assert found.values["reason"] == reason


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ("worker-said-full", "LKD303", "called itself full (load 0.90, threshold 0.7) since 14:59:30.1 UTC"),
        ("worker-draining-said", "LKD303", "was draining since 15:11:11.3 UTC"),
        ("worker-answers-late", "LKD305", "asked at 15:00:30.6 UTC, it accepted 5.0 s later (at 15:00:35.7 UTC)"),
    ],
)
def test_a_refusal_quotes_the_workers_own_log(case: str, code: str, words: str) -> None:
    """What the server cannot tell stands beside its word, to the tenth of a second."""
    folder = next(one for one in WORKER_CASES if one.name == case)
    collected = pipeline.collect(pipeline.Wish((str(folder),), quiet=True, jobs=1))
    diagnosis = engine.run(load().checks, Evidence.of(collected.stories))
    said = [one.message for one in (*diagnosis.findings, *diagnosis.symptoms) if one.code.id == code]
    assert any(words in one for one in said), said
