"""The grid: every recorded case through the whole pipeline gives exactly the outcomes and codes that it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lkdoctor import testing
from lkdoctor.cli.pipeline import Collected
from lkdoctor.doctor import engine
from lkdoctor.doctor.finding import Confidence, Severity
from lkdoctor.testing import Case, explained

__all__ = [
    "CASES",
    "diagnose",
    "diagnosed",
    "evidence_of",
    "expectation",
    "explained",
    "logs_of",
    "scenario_of",
    "whole",
]

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
CASES = sorted(path.parent for form in ("*", "excerpts/*") for path in FIXTURES.glob(f"{form}/scenario.toml"))


def logs_of(case: Path) -> list[Path]:
    """The server logs of a recorded case, in any wrapper; a worker's log is none of them."""
    return Case(case).server_logs


def evidence_of(case: Path) -> list[str]:
    """The kinds of evidence that the case is judged by."""
    return Case(case).evidence


def scenario_of(case: Path) -> dict[str, Any]:
    """`scenario.toml`."""
    return Case(case).scenario


def expectation(case: Path) -> dict[str, Any]:
    """The `[expect]` table of the scenario."""
    return Case(case).expect


def diagnosed(case: Path) -> tuple[Collected, engine.Diagnosis]:
    """What is made of the evidence that the case is judged by: its server logs, or all that its folder holds."""
    seen = testing.look(Case(case))
    return seen.collected, seen.diagnosis


def whole(case: Path) -> tuple[Collected, engine.Diagnosis]:
    """What is made of everything in the case's folder, as `lkdoctor check CASE` reads it."""
    seen = testing.look_at_all(Case(case))
    return seen.collected, seen.diagnosis


def diagnose(paths: list[Path]) -> tuple[Collected, engine.Diagnosis]:
    """Read the logs, join them, run every check."""
    seen = testing.look_at(logs=paths)
    return seen.collected, seen.diagnosis


@pytest.mark.parametrize("case", [Case(one) for one in CASES], ids=lambda case: case.name)
class TestGrid:
    """One row a recorded case."""

    def test_nothing_crashes(self, case: Case) -> None:
        testing.assert_no_crash(testing.look(case))

    def test_exactly_these_faults(self, case: Case) -> None:
        testing.assert_codes(testing.look(case), case.expect["codes"])

    def test_worth_knowing(self, case: Case) -> None:
        testing.assert_infos(testing.look(case), case.expect.get("infos", ()))

    def test_nothing_that_must_be_absent(self, case: Case) -> None:
        testing.assert_absent(testing.look(case), case.expect.get("absent", ()))

    def test_verdict(self, case: Case) -> None:
        testing.assert_verdict(testing.look(case), case.expect["verdict"])

    def test_dispatches(self, case: Case) -> None:
        testing.assert_dispatches(testing.look(case), case.expect.get("dispatches", ()))

    def test_every_fault_has_its_proof(self, case: Case) -> None:
        testing.assert_proof(testing.look(case))


BOTH = [case for case in CASES if evidence_of(case) == ["server_log"] and (case / "api.jsonl").is_file()]


@pytest.mark.parametrize("case", BOTH, ids=lambda case: case.name)
def test_the_api_beside_the_log_changes_no_verdict(case: Path) -> None:
    """What the API listed at the end of a recording raises confidence: the same faults, the same dispatches, or more."""
    _, diagnosis = whole(case)
    faults = {one.code.id for one in diagnosis.findings if one.severity >= Severity.WARNING}
    expected = set(expectation(case)["codes"])
    verdicts = {expectation(case)["verdict"]}
    if verdicts == {"inconclusive"}:
        # What the log left open the API may have shown: that a job came, or that none did.
        expected |= {"LKD315"} & faults
        verdicts |= {"problems"} if "LKD315" in faults else {"healthy"}
    # A worker's log in the folder may tell the cause: then what the server's log alone tells stands beneath it.
    beneath = {one.code.id for one in diagnosis.symptoms} if any(case.glob("worker-*.log")) else set()
    causes = {one.code.id for one in diagnosis.findings if {f"LKD{n}" for n in one.code.explains} & beneath & expected}
    assert faults - causes == expected - beneath, [one.message for one in diagnosis.findings]
    assert not {one.code.id for one in diagnosis.findings} & set(expectation(case).get("absent", ()))
    assert testing.look_at_all(Case(case)).verdict in verdicts
    surer = {one.fingerprint: one.confidence for one in diagnosis.findings}
    for one in diagnosed(case)[1].findings:
        if one.severity >= Severity.WARNING and one.code.id not in beneath:
            assert surer[one.fingerprint] >= one.confidence, one.message


ONE_LOG = [case for case in CASES if evidence_of(case) == ["server_log"] and len(logs_of(case)) == 1]


@pytest.mark.parametrize("case", ONE_LOG, ids=lambda case: case.name)
def test_a_cut_log_invents_nothing(case: Path) -> None:
    testing.assert_cut_invents_nothing(Case(case))


def test_there_are_cases() -> None:
    """An empty grid would pass silently."""
    assert len(CASES) > 50


def test_healthy_cases_have_no_sure_fault() -> None:
    """What the lab calls healthy never gates, whatever else is found."""
    for case in CASES:
        if scenario_of(case)["healthy"]:
            _, diagnosis = diagnosed(case)
            sure = [
                one.message
                for one in diagnosis.findings
                if one.severity >= Severity.WARNING and one.confidence >= Confidence.MEDIUM
            ]
            assert sure == [], f"{case.name}: {sure}"
