"""The document: its published schema is current, every recorded case's report follows it, and it is deterministic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import lkdoctor
from lkdoctor.cli import pipeline
from lkdoctor.report import json_v1
from tests.recorded import CASES, case, report_of

PUBLISHED = Path(lkdoctor.__file__).parent / "schemas" / "report-v1.json"
# The contract: a field may be added, none may go or change its type within v1.
TOP = {
    "schema", "tool", "run", "sources", "verdict", "workers", "dispatches", "findings", "checks", "suppressed", "summary",
}  # fmt: skip
FINDING = {
    "code", "name", "severity", "confidence", "subject", "message", "values", "proof", "explains", "count", "first_at",
    "last_at", "fixes", "docs", "fingerprint",
}  # fmt: skip
DISPATCH = {
    "room", "room_id", "agent_name", "deployment", "dispatch_id", "outcome", "after", "asked_at", "seconds", "job_type",
    "job_id", "worker_id", "node", "launches", "noise_lines", "proof",
}  # fmt: skip


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json_v1.encode(report_of(folder)))
    return found


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(PUBLISHED.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED.read_bytes() == json_v1.schema(), "run python docs/generate.py"


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_every_recorded_case_follows_the_schema(folder: Path, validator: jsonschema.Draft202012Validator) -> None:
    found = document(folder)
    assert not list(validator.iter_errors(found))
    assert set(found) >= TOP
    assert all(set(one) >= FINDING for one in found["findings"] + found["symptoms"])
    assert all(set(one) >= DISPATCH for one in found["dispatches"])


def test_the_schema_refuses_what_breaks_the_contract(validator: jsonschema.Draft202012Validator) -> None:
    found = document(case("no-headroom-1-13-5"))
    spoils: list[Callable[[dict[str, Any]], object]] = [
        lambda one: one.pop("verdict"),
        lambda one: one.update(verdict="fine"),
        lambda one: one["findings"][0].pop("fingerprint"),
        lambda one: one["dispatches"][0].update(outcome="lost"),
        lambda one: one.update(schema="lkdoctor.report/v2"),
    ]
    for spoil in spoils:
        broken = json.loads(json.dumps(found))
        spoil(broken)
        assert not validator.is_valid(broken)


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_counts_and_references_agree(folder: Path) -> None:
    report = report_of(folder)
    severities = [one.severity for one in report.findings]
    summary = report.summary
    assert (summary.errors, summary.warnings, summary.infos) == tuple(
        severities.count(word) for word in ("error", "warning", "info")
    )
    assert summary.inconclusive == len(report.questions)
    explained = {mark for one in report.findings for mark in one.explains}
    assert {one.fingerprint for one in report.symptoms} <= explained
    assert not {one.fingerprint for one in report.findings} & {one.fingerprint for one in report.symptoms}
    assert report.totals.dispatches == sum(report.totals.by_outcome.values())
    assert report.totals.listed == len(report.dispatches)
    fingerprints = [one.fingerprint for one in (*report.findings, *report.symptoms)]
    assert len(fingerprints) == len(set(fingerprints))


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_every_finding_at_or_above_warning_quotes_its_proof(folder: Path) -> None:
    sources = {one.name: one for one in report_of(folder).sources}
    for one in report_of(folder).findings:
        if one.severity == "info" or one.code.startswith("LKD9"):
            continue
        assert one.proof, f"{one.code} quotes nothing"
        assert all(proof.source in sources and proof.text for proof in one.proof)


@pytest.mark.parametrize("name", ["no-headroom-1-13-5", "name-near-miss", "two-names-one-room", "answer-timeout"])
def test_two_runs_differ_in_run_only(name: str) -> None:
    wish = pipeline.Wish((str(case(name)),), quiet=True, jobs=1)
    again = json.loads(json_v1.encode(pipeline.report(pipeline.collect(wish), wish)))
    first = document(case(name))
    assert again.pop("run")
    assert first.pop("run")
    assert again == first


def test_values_that_json_has_no_word_for_are_written_all_the_same() -> None:
    from lkdoctor.report.rows import plain

    assert plain({"a": {3, 1}, 2: float("nan"), "c": (1.23456789, None, True), "d": float("inf")}) == {
        "a": [1, 3], "2": "nan", "c": [1.234568, None, True], "d": "inf",
    }  # fmt: skip
