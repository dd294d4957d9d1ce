"""The grid: every recorded case through the whole pipeline gives exactly the outcomes and codes that it promises."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.model import Dispatch, Stories
from lkdoctor.dispatch.stories import join
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


@cache
def diagnosed(case: Path) -> tuple[Stories, engine.Diagnosis]:
    """What is made of the case's server logs."""
    return diagnose(logs_of(case))


def diagnose(paths: list[Path]) -> tuple[Stories, engine.Diagnosis]:
    """Read the logs, join them, run every check."""
    logs = ServerLogs(paths)
    stories = join(logs.events())
    stories.sources = logs.notes
    loaded = load()
    assert not loaded.findings, [one.message for one in loaded.findings]
    return stories, engine.run(loaded.checks, Evidence.of(stories))


def expectation(case: Path) -> dict[str, Any]:
    """The `[expect]` table of the scenario."""
    expect: dict[str, Any] = tomllib.loads((case / "scenario.toml").read_text("utf-8"))["expect"]
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
    stories, diagnosis = diagnosed(case)
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
        stories, diagnosis = diagnosed(case)
        hides = stories.coverage.hides_info
        judged = verdict(diagnosis.findings, stories.dispatches, hides_info=hides)
        assert judged == expectation(case)["verdict"], told(case)

    def test_dispatches(self, case: Path) -> None:
        """Each dispatch that the case names is there with its outcome, as often as it says."""
        stories, _ = diagnosed(case)
        for row in expectation(case).get("dispatches", ()):
            number = sum(matches(row, one) for one in stories.dispatches)
            assert number == row.get("count", 1), f"{row}{told(case)}"

    def test_every_fault_has_its_proof(self, case: Path) -> None:
        """A finding above info quotes lines that stand in the evidence."""
        _, diagnosis = diagnosed(case)
        faults = [one for one in diagnosis.findings if one.severity >= Severity.WARNING]
        places = {place for one in faults for place in one.proof}
        proofs = ServerLogs(logs_of(case)).resolve(places)
        for one in faults:
            assert one.proof, one.message
            assert all(proofs[place].text for place in one.proof), one.message


def explained(codes: set[str]) -> set[str]:
    """These codes and all that they explain, which is what remains of them when the cause is cut away."""
    by_id = {one.id: one for one in CODES}
    every = set(codes)
    while True:
        more = {f"LKD{number}" for code in every for number in by_id[code].explains} - every
        if not more:
            return every
        every |= more


@pytest.mark.parametrize("case", [case for case in CASES if len(logs_of(case)) == 1], ids=lambda case: case.name)
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
            stories, diagnosis = diagnose([cut])
            invented = [
                (one.code.id, one.message)
                for one in diagnosis.findings
                if one.severity >= Severity.WARNING
                and one.confidence >= Confidence.MEDIUM
                and one.code.id not in allowed
            ]
            assert invented == [], f"{len(kept)} of {len(lines)} lines kept: {stories.coverage.reasons}"


def test_there_are_cases() -> None:
    """An empty grid would pass silently."""
    assert len(CASES) > 50


def test_healthy_cases_have_no_sure_fault() -> None:
    """What the lab calls healthy never gates, whatever else is found."""
    for case in CASES:
        scenario = tomllib.loads((case / "scenario.toml").read_text("utf-8"))
        if scenario["healthy"]:
            _, diagnosis = diagnosed(case)
            sure = [
                one.message
                for one in diagnosis.findings
                if one.severity >= Severity.WARNING and one.confidence >= Confidence.MEDIUM
            ]
            assert sure == [], f"{case.name}: {sure}"
