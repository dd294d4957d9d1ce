"""The verdict, and the exit status when several things hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from lkdoctor.dispatch.model import Dispatch, Origin, Outcome
from lkdoctor.doctor.codes import CHECK_CRASHED, DUPLICATE_AGENT_NAME, NO_HEADROOM, PLUGIN_NOT_LOADED
from lkdoctor.doctor.finding import Confidence, Finding, Inconclusive, Severity, Subject
from lkdoctor.doctor.gate import Exit, counts, exit_status, verdict

FAULT = Finding(NO_HEADROOM, Subject("agent", agent_name="a"), "It is so.", Severity.ERROR)
INFO = Finding(DUPLICATE_AGENT_NAME, Subject("agent", agent_name="a"), "It is so.", Severity.INFO)


def dispatch(outcome: Outcome) -> Dispatch:
    return Dispatch("r", "RM_1", "a", Origin.API, 1.0, outcome=outcome)


@pytest.mark.parametrize(
    ("severity", "confidence", "fail_on", "expected"),
    [
        (severity, confidence, fail_on, severity >= fail_on and confidence >= Confidence.MEDIUM)
        for severity, confidence, fail_on in product(Severity, Confidence, Severity)
    ],
)
def test_counts(severity: Severity, confidence: Confidence, fail_on: Severity, expected: bool) -> None:
    assert counts(replace(FAULT, severity=severity, confidence=confidence), fail_on) is expected


def test_verdict() -> None:
    unknown = dispatch(Outcome.UNKNOWN)
    assert verdict([FAULT, INFO], [unknown]) == "problems"
    assert verdict([INFO], [unknown]) == "inconclusive"
    assert verdict([INFO], [dispatch(Outcome.NOT_ASSIGNED)]) == "inconclusive"
    assert verdict([INFO], [dispatch(Outcome.ASSIGNED), dispatch(Outcome.PENDING)]) == "healthy"
    assert verdict([INFO], [], Severity.INFO) == "problems"
    assert verdict([replace(FAULT, confidence=Confidence.LOW)], []) == "healthy"
    assert verdict([], []) == "healthy"
    asks = Inconclusive(Subject("agent", agent_name="a"), "whether it came", "watch")
    assert verdict([], [dispatch(Outcome.ASSIGNED)], questions=[asks]) == "healthy"
    waits = replace(asks, weighs=True)  # a person is there without an agent
    assert verdict([], [dispatch(Outcome.ASSIGNED)], questions=[waits]) == "inconclusive"
    assert verdict([FAULT], [], questions=[waits]) == "problems"
    assert verdict([], [], hides_info=True) == "inconclusive"  # silence of a log at level warn is not health


def test_own_failures_are_no_fault_of_what_is_looked_at() -> None:
    for code in (CHECK_CRASHED, PLUGIN_NOT_LOADED):
        assert verdict([replace(FAULT, code=code)], [], Severity.INFO) == "healthy"


@pytest.mark.parametrize(
    ("judged", "own", "interrupted", "usage"),
    list(product(["healthy", "problems", "inconclusive"], [False, True], [False, True], [False, True])),
)
def test_precedence(judged: str, own: bool, interrupted: bool, usage: bool) -> None:
    held = {
        Exit.INTERRUPTED: interrupted,
        Exit.USAGE: usage,
        Exit.FINDINGS: judged == "problems",
        Exit.OWN_ERROR: own,
        Exit.INCONCLUSIVE: judged == "inconclusive",
        Exit.CLEAN: True,
    }
    expected = next(one for one in (130, 2, 1, 4, 3, 0) if held[Exit(one)])
    assert exit_status(judged, own_error=own, interrupted=interrupted, usage=usage) == expected  # type: ignore[arg-type]


def test_the_two_softening_options() -> None:
    assert exit_status("inconclusive", allow_inconclusive=True) == 0
    assert exit_status("problems", allow_inconclusive=True) == 1
    assert exit_status("problems", exit_zero=True) == 0
    assert exit_status("inconclusive", exit_zero=True) == 0
    assert exit_status("problems", exit_zero=True, own_error=True) == 4
    assert exit_status("healthy", exit_zero=True, usage=True) == 2
    assert exit_status("healthy", exit_zero=True, interrupted=True) == 130
