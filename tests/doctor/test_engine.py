"""Checks run behind a fence, and four ways not to fail are told apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lkdoctor.dispatch.model import Coverage, SourceNote, Stories
from lkdoctor.doctor import engine
from lkdoctor.doctor.codes import NAME_NOT_SERVED, NO_HEADROOM, NO_RESPONSE
from lkdoctor.doctor.engine import Result
from lkdoctor.doctor.evidence import Dispatches, Evidence, Rooms, Sources, Workers
from lkdoctor.doctor.finding import Code, Finding, Inconclusive, Subject
from lkdoctor.doctor.registry import Check, CheckFunction, describe

Yields = Iterator[Finding | Inconclusive]


def evidence(kind: str = "server_log", unusable: str = "") -> Evidence:
    return Evidence.of(Stories(sources=[SourceNote("a.log", kind, unusable=unusable)]))


def finding(code: Code, agent: str = "a") -> Finding:
    return Finding(code, Subject("agent", agent_name=agent), "It is so.", code.severity)


def one(code: Code, function: CheckFunction) -> Check:
    return describe(code, function)


def quiet(workers: Workers) -> Yields:
    yield from ()


def finds(workers: Workers, coverage: Coverage) -> Yields:
    yield finding(NO_HEADROOM)


def asks(dispatches: Dispatches) -> Yields:
    yield Inconclusive(Subject("agent", agent_name="a"), "The log starts late.", "Fetch its beginning.")


def breaks(dispatches: Dispatches) -> Yields:
    yield finding(NO_HEADROOM)
    raise ZeroDivisionError("by nought")


def strays(dispatches: Dispatches) -> Yields:
    yield finding(NO_RESPONSE)


def babbles(dispatches: Dispatches) -> Yields:
    yield "a string"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (quiet, Result.PASSED),
        (finds, Result.FAILED),
        (asks, Result.INCONCLUSIVE),
        (breaks, Result.CRASHED),
        (strays, Result.CRASHED),
        (babbles, Result.CRASHED),
    ],
)
def test_outcomes(function: CheckFunction, result: Result) -> None:
    diagnosis = engine.run([one(NO_HEADROOM, function)], evidence())
    assert [item.result for item in diagnosis.outcomes] == [result]


def test_a_crash_costs_only_its_check_and_keeps_its_traceback_out_of_the_words() -> None:
    diagnosis = engine.run([one(NO_HEADROOM, breaks), one(NAME_NOT_SERVED, asks)], evidence())
    assert [item.code.id for item in diagnosis.findings] == ["LKD901"]
    crash = diagnosis.findings[0]
    assert crash.message == (
        "The check LKD303 (no-headroom) failed with ZeroDivisionError: by nought; its question stays open."
    )
    assert "Traceback" in crash.values["traceback"]
    assert [item.open.missing for item in diagnosis.questions] == ["The log starts late."]


@pytest.mark.parametrize("given", [evidence("connection"), evidence(unusable="an nginx log")])
def test_a_check_is_skipped_when_a_whole_kind_of_evidence_is_absent(given: Evidence) -> None:
    diagnosis = engine.run([one(NO_HEADROOM, breaks)], given)
    assert [(item.result, item.reason) for item in diagnosis.outcomes] == [
        (Result.SKIPPED, "no server log or api in the evidence")
    ]
    assert not diagnosis.findings


def test_a_code_that_two_functions_look_for_ends_as_the_weightier_one() -> None:
    def passes(workers: Workers) -> Yields:
        yield from ()

    def fails(rooms: Rooms) -> Yields:
        yield finding(NO_HEADROOM)

    for functions in ((passes, fails), (fails, passes)):
        diagnosis = engine.run([one(NO_HEADROOM, function) for function in functions], evidence())
        assert [item.result for item in diagnosis.outcomes] == [Result.FAILED]
    alone = engine.run([one(NO_HEADROOM, passes), one(NO_HEADROOM, fails)], evidence("api"))
    assert [item.result for item in alone.outcomes] == [Result.FAILED]


def test_checks_of_the_sources_themselves_always_run() -> None:
    def looks(sources: Sources) -> Yields:
        yield finding(NO_HEADROOM)

    diagnosis = engine.run([one(NO_HEADROOM, looks)], evidence("api"))
    assert diagnosis.outcomes[0].result is Result.FAILED


def test_one_function_for_two_codes_runs_once_and_each_gets_its_own_outcome() -> None:
    runs = []

    def both(workers: Workers) -> Yields:
        runs.append(1)
        yield finding(NO_RESPONSE)

    diagnosis = engine.run([one(NO_HEADROOM, both), one(NO_RESPONSE, both)], evidence())
    assert len(runs) == 1
    assert [(item.code.number, item.result) for item in diagnosis.outcomes] == [
        (302, Result.FAILED),
        (303, Result.PASSED),
    ]


def test_findings_from_elsewhere_are_kept() -> None:
    extra = finding(NO_RESPONSE)
    assert engine.run([], evidence(), [extra]).findings == (extra,)
