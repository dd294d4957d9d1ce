"""The grid: every recorded case through the whole pipeline gives exactly the outcomes and codes that it promises."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lkdoctor.cli import pipeline
from lkdoctor.cli.pipeline import Collected
from lkdoctor.dispatch.model import Dispatch, Wanted
from lkdoctor.doctor import engine
from lkdoctor.doctor.codes import CODES
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Confidence, Severity
from lkdoctor.doctor.gate import verdict
from lkdoctor.doctor.loader import load

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
CASES = sorted(path.parent for form in ("*", "excerpts/*") for path in FIXTURES.glob(f"{form}/scenario.toml"))


def logs_of(case: Path) -> list[Path]:
    """The server logs of a recorded case, in any wrapper; a worker's log is none of them."""
    return sorted(path for path in case.iterdir() if path.name.startswith("server"))


def evidence_of(case: Path) -> list[str]:
    """The kinds of evidence that the case is judged by."""
    kinds: list[str] = scenario_of(case).get("evidence", ["server_log"])
    return kinds


@cache
def scenario_of(case: Path) -> dict[str, Any]:
    """`scenario.toml`."""
    return tomllib.loads((case / "scenario.toml").read_text("utf-8"))


@cache
def diagnosed(case: Path) -> tuple[Collected, engine.Diagnosis]:
    """What is made of the evidence that the case is judged by: its server logs, or all that its folder holds."""
    if evidence_of(case) == ["server_log"]:
        return diagnose(logs_of(case))
    return whole(case)


@cache
def whole(case: Path) -> tuple[Collected, engine.Diagnosis]:
    """What is made of everything in the case's folder, as `lkdoctor check CASE` reads it."""
    wanted = scenario_of(case).get("wanted", {})
    groups = tuple(tuple(group) for group in wanted.get("together", ()))
    return _diagnose(pipeline.Wish((str(case),), quiet=True, wanted=Wanted(tuple(wanted.get("agents", ())), groups)))


def diagnose(paths: list[Path]) -> tuple[Collected, engine.Diagnosis]:
    """Read the logs, join them, run every check."""
    return _diagnose(pipeline.Wish(logs=tuple(map(str, paths)), quiet=True))


def _diagnose(wish: pipeline.Wish) -> tuple[Collected, engine.Diagnosis]:
    loaded = load()
    assert not loaded.findings, [one.message for one in loaded.findings]
    collected = pipeline.collect(wish)
    return collected, engine.run(loaded.checks, Evidence.of(collected.stories))


def expectation(case: Path) -> dict[str, Any]:
    """The `[expect]` table of the scenario."""
    expect: dict[str, Any] = scenario_of(case)["expect"]
    return expect


def matches(expected: dict[str, Any], one: Dispatch) -> bool:
    """Does this dispatch have everything that the row says?"""
    launch = one.deciding
    seen = {
        "room": one.room,
        "agent_name": one.agent_name,
        "outcome": one.outcome.value,
        "after": one.after.value if one.after else None,
        "job_type": launch.job_type if launch else None,
    }
    return all(seen[key] == value for key, value in expected.items() if key != "count")


def told(case: Path) -> str:
    """What the pipeline made of the case, for a failing test's message."""
    collected, diagnosis = diagnosed(case)
    stories = collected.stories
    lines = [
        f"  {one.room} {one.agent_name!r} {one.origin.value} {one.outcome.value} {one.after and one.after.value} {one.reason}"
        for one in stories.dispatches
    ]
    lines += [f"  {one.code.id} {one.severity.word}/{one.confidence.word} {one.message}" for one in diagnosis.findings]
    lines += [f"    under another: {one.code.id} {one.message}" for one in diagnosis.symptoms]
    return "\n" + "\n".join(lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestGrid:
    """One row a recorded case."""

    def test_nothing_crashes(self, case: Path) -> None:
        """Every check runs on every case."""
        _, diagnosis = diagnosed(case)
        assert [one.reason for one in diagnosis.outcomes if one.result is engine.Result.CRASHED] == []

    def test_exactly_these_faults(self, case: Path) -> None:
        """The codes at warning and above are those of the case and no other, once for each subject."""
        _, diagnosis = diagnosed(case)
        faults = [one for one in diagnosis.findings if one.severity >= Severity.WARNING]
        assert {one.code.id for one in faults} == set(expectation(case)["codes"]), told(case)
        assert len({one.fingerprint for one in faults}) == len(faults), told(case)

    def test_worth_knowing(self, case: Path) -> None:
        """The infos that the case must show are there."""
        _, diagnosis = diagnosed(case)
        infos = {one.code.id for one in diagnosis.findings if one.severity is Severity.INFO}
        assert set(expectation(case).get("infos", ())) <= infos, told(case)

    def test_nothing_that_must_be_absent(self, case: Path) -> None:
        """No code is claimed that the case rules out, at any severity."""
        _, diagnosis = diagnosed(case)
        found = {one.code.id for one in diagnosis.findings}
        assert not found & set(expectation(case).get("absent", ())), told(case)

    def test_verdict(self, case: Path) -> None:
        """The verdict is the case's."""
        assert judged(*diagnosed(case)) == expectation(case)["verdict"], told(case)

    def test_dispatches(self, case: Path) -> None:
        """Each dispatch that the case names is there with its outcome, as often as it says."""
        stories = diagnosed(case)[0].stories
        for row in expectation(case).get("dispatches", ()):
            number = sum(matches(row, one) for one in stories.dispatches)
            assert number == row.get("count", 1), f"{row}{told(case)}"

    def test_every_fault_has_its_proof(self, case: Path) -> None:
        """A finding above info quotes lines that stand in the evidence."""
        collected, diagnosis = diagnosed(case)
        faults = [one for one in diagnosis.findings if one.severity >= Severity.WARNING]
        places = {place for one in faults for place in one.proof}
        proofs = collected.resolve(places)
        for one in faults:
            assert one.proof, one.message
            assert all(proofs[place].text for place in one.proof), one.message


def judged(collected: Collected, diagnosis: engine.Diagnosis) -> str:
    """The verdict on what was read."""
    stories = collected.stories
    told = verdict(diagnosis.findings, stories.dispatches, hides_info=stories.coverage.hides_info)
    return "inconclusive" if told == "healthy" and collected.gaps else told


BOTH = [case for case in CASES if evidence_of(case) == ["server_log"] and (case / "api.jsonl").is_file()]


@pytest.mark.parametrize("case", BOTH, ids=lambda case: case.name)
def test_the_api_beside_the_log_changes_no_verdict(case: Path) -> None:
    """What the API listed at the end of a recording raises confidence: the same faults, the same dispatches, or more."""
    with_api, diagnosis = whole(case)
    faults = {one.code.id for one in diagnosis.findings if one.severity >= Severity.WARNING}
    expected = set(expectation(case)["codes"])
    verdicts = {expectation(case)["verdict"]}
    if verdicts == {"inconclusive"}:
        # What the log left open the API may have shown: that a job came, or that none did.
        expected |= {"LKD315"} & faults
        verdicts |= {"problems"} if "LKD315" in faults else {"healthy"}
    assert faults == expected, [one.message for one in diagnosis.findings]
    assert not {one.code.id for one in diagnosis.findings} & set(expectation(case).get("absent", ()))
    assert judged(with_api, diagnosis) in verdicts
    surer = {one.fingerprint: one.confidence for one in diagnosis.findings}
    for one in diagnosed(case)[1].findings:
        if one.severity >= Severity.WARNING:
            assert surer[one.fingerprint] >= one.confidence, one.message


def explained(codes: set[str]) -> set[str]:
    """These codes and all that they explain, which is what remains of them when the cause is cut away."""
    by_id = {one.id: one for one in CODES}
    every = set(codes)
    while True:
        more = {f"LKD{number}" for code in every for number in by_id[code].explains} - every
        if not more:
            return every
        every |= more


ONE_LOG = [case for case in CASES if evidence_of(case) == ["server_log"] and len(logs_of(case)) == 1]


@pytest.mark.parametrize("case", ONE_LOG, ids=lambda case: case.name)
def test_a_cut_log_invents_nothing(case: Path, tmp_path: Path) -> None:
    """Without its head or its tail a log shows the same causes, their symptoms, or less; never another cause.

    For the healthy cases that means: no fault at all, wherever the log is cut.
    """
    (log,) = logs_of(case)
    lines = log.read_bytes().splitlines(keepends=True)
    allowed = explained(set(expectation(case)["codes"])) | {"LKD903"}  # half a record may be left over
    if "LKD208" in allowed:
        # Cut at the server's second start, the log is whole, and the worker that returns is one that comes late.
        allowed.add("LKD207")
    cut = tmp_path / "server.log"
    for number in sorted({max(1, len(lines) * part // 6) for part in range(1, 6)}):
        for kept in (lines[number:], lines[:number]):
            cut.write_bytes(b"".join(kept))
            collected, diagnosis = diagnose([cut])
            invented = [
                (one.code.id, one.message)
                for one in diagnosis.findings
                if one.severity >= Severity.WARNING
                and one.confidence >= Confidence.MEDIUM
                and one.code.id not in allowed
            ]
            assert invented == [], f"{len(kept)} of {len(lines)} lines kept: {collected.stories.coverage.reasons}"


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
