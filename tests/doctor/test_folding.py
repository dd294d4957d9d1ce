"""One cause, one finding: equal ones are merged, symptoms fold under what explains them."""

from __future__ import annotations

from dataclasses import replace

from lkdoctor.dispatch.facts import Place
from lkdoctor.doctor.codes import (
    NAME_NEAR_MISS,
    NAME_NOT_SERVED,
    NO_HEADROOM,
    NO_WORKER,
    REGISTERED_TOO_LATE,
    WORKER_GONE,
    WORKER_SAID_FULL,
)
from lkdoctor.doctor.finding import Code, Confidence, Finding, Severity, Subject
from lkdoctor.doctor.folding import SAMPLES, fold, merge


def about(code: Code, agent: str | None = "a", room: str = "", dispatches: tuple[int, ...] = ()) -> Finding:
    folds = tuple(Subject("dispatch", room=f"r{number}", agent_name=agent) for number in dispatches)
    return Finding(code, Subject("agent", room=room, agent_name=agent), "It is so.", code.severity, folds=folds)


def shape(findings: list[Finding]) -> tuple[list[int], list[int]]:
    causes, symptoms = fold(merge(findings))
    return [one.code.number for one in causes], [one.code.number for one in symptoms]


def test_equal_findings_become_one_with_count_span_and_samples() -> None:
    many = [
        replace(about(NO_HEADROOM), proof=(Place("s", number),), first_at=float(number), last_at=float(number))
        for number in range(9000)
    ]
    (one,) = merge(many)
    assert (one.count, one.first_at, one.last_at) == (9000, 0.0, 8999.0)
    assert len(one.proof) == SAMPLES
    assert (one.proof[0].offset, one.proof[-1].offset) == (0, 8999)


def test_a_cause_swallows_its_symptom_and_names_it() -> None:
    symptom = about(NAME_NOT_SERVED, dispatches=(1, 2))
    causes, symptoms = fold(merge([symptom, about(REGISTERED_TOO_LATE, dispatches=(1, 2, 3))]))
    assert [one.code.number for one in causes] == [207]
    assert causes[0].explains == (symptom.fingerprint,)
    assert [one.fingerprint for one in symptoms] == [symptom.fingerprint]


def test_a_cause_of_some_dispatches_leaves_the_others_standing() -> None:
    found = [about(NAME_NOT_SERVED, dispatches=(1, 2)), about(REGISTERED_TOO_LATE, dispatches=(1,))]
    assert shape(found) == ([301, 207], [])


def test_two_causes_may_share_one_symptom() -> None:
    found = [
        about(NAME_NOT_SERVED, dispatches=(1, 2, 3)),
        about(REGISTERED_TOO_LATE, dispatches=(1,)),
        about(WORKER_GONE, dispatches=(2, 3)),
    ]
    causes, symptoms = fold(merge(found))
    assert [one.code.number for one in symptoms] == [301]
    assert {one.code.number: len(one.explains) for one in causes} == {207: 0, 208: 1}


def test_without_lists_the_agent_name_and_room_decide() -> None:
    assert shape([about(NAME_NOT_SERVED, room="x"), about(REGISTERED_TOO_LATE)]) == ([207], [301])
    assert shape([about(NAME_NOT_SERVED, room="x"), about(REGISTERED_TOO_LATE, room="y")]) == ([207, 301], [])
    assert shape([about(NAME_NOT_SERVED, "b"), about(REGISTERED_TOO_LATE, "a")]) == ([207, 301], [])
    assert shape([about(NAME_NOT_SERVED, None), about(REGISTERED_TOO_LATE, None)]) == ([207, 301], [])


def test_a_chain_ends_under_its_root() -> None:
    found = [
        about(NAME_NOT_SERVED, dispatches=(1,)),
        about(NO_WORKER, dispatches=(1,)),
        about(NAME_NEAR_MISS, dispatches=(1,)),
    ]
    causes, symptoms = fold(merge(found))
    assert [one.code.number for one in causes] == [202]
    assert len(causes[0].explains) == 2
    assert [one.code.number for one in symptoms] == [201, 301]


def test_a_guess_never_swallows_what_is_certain() -> None:
    guess = replace(about(REGISTERED_TOO_LATE, dispatches=(1,)), confidence=Confidence.LOW)
    certain = about(NAME_NOT_SERVED, dispatches=(1,))
    assert shape([guess, certain]) == ([301, 207], [])
    assert shape([guess, replace(certain, confidence=Confidence.LOW)]) == ([207], [301])


def test_a_cause_is_as_bad_as_the_worst_that_it_does() -> None:
    causes, _ = fold(merge([about(WORKER_SAID_FULL, dispatches=(1,)), about(NO_HEADROOM, dispatches=(1,))]))
    assert [(one.code.number, one.severity) for one in causes] == [(411, Severity.ERROR)]


def test_other_peoples_codes_are_not_taken_for_ours() -> None:
    theirs = Code(301, "acme", Severity.ERROR, "Theirs.", prefix="ACME")
    assert shape([about(theirs, dispatches=(1,)), about(REGISTERED_TOO_LATE, dispatches=(1,))]) == ([207, 301], [])


def test_the_order_is_worst_surest_most_hit_then_code() -> None:
    found = [
        replace(about(NO_HEADROOM, "x"), severity=Severity.INFO),
        about(WORKER_GONE, "y"),
        replace(about(NO_WORKER, "z"), confidence=Confidence.MEDIUM),
    ]
    assert [one.code.number for one in merge(found)] == [208, 201, 303]
    hits = [about(NO_WORKER, "a"), about(NAME_NOT_SERVED, "b", dispatches=(1, 2)), about(WORKER_GONE, "c")]
    assert [one.code.number for one in merge(hits)] == [301, 201, 208]
