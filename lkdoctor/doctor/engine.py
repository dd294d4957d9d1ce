"""Runs the checks, each behind a fence, and folds what they found: one cause, one finding, symptoms beneath."""

from __future__ import annotations

import enum
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lkdoctor.doctor import fence
from lkdoctor.doctor.codes import CHECK_CRASHED
from lkdoctor.doctor.evidence import (
    Dispatches,
    Evidence,
    Listed,
    Probes,
    Refusals,
    Rooms,
    ServerRuns,
    Steps,
    Tokens,
    WorkerRuns,
    Workers,
    fact_class,
)
from lkdoctor.doctor.finding import Code, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.folding import fold, merge
from lkdoctor.doctor.registry import Check, CheckFunction

# A view is absent when no source of this kind could be used.
NEEDS: dict[type, tuple[str, ...]] = {  # any one of the kinds will do
    Dispatches: ("server_log", "api"),
    Rooms: ("server_log", "api"),
    Workers: ("server_log",),
    ServerRuns: ("server_log",),
    Refusals: ("server_log",),
    Listed: ("api",),
    Steps: ("connection",),
    Probes: ("probe",),
    Tokens: ("token",),
    WorkerRuns: ("worker_log",),
}


def sources_of(kind: type) -> tuple[str, ...]:
    """The kinds of source, any one of which fills this view; empty for one that is never absent."""
    wanted = fact_class(kind)
    return NEEDS.get(kind, ()) if wanted is None else wanted.SOURCES


class Result(str, enum.Enum):
    """How one check ended; four ways not to fail, never mixed."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"
    CRASHED = "crashed"


_WEIGHT: Final = (Result.CRASHED, Result.FAILED, Result.INCONCLUSIVE, Result.PASSED, Result.SKIPPED)


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """One line of the report's `checks`."""

    code: Code
    result: Result
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What the check of `code` could not answer."""

    code: Code
    open: Inconclusive


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What all checks found. `symptoms` are the findings folded under one of `findings`."""

    findings: tuple[Finding, ...]
    symptoms: tuple[Finding, ...]
    questions: tuple[Question, ...]
    outcomes: tuple[CheckOutcome, ...]


def run(checks: Iterable[Check], evidence: Evidence, extra: Iterable[Finding] = ()) -> Diagnosis:
    """Run every check on the evidence; `extra` are findings from elsewhere (packages that did not load)."""
    found: list[Finding] = list(extra)
    questions: list[Question] = []
    results: dict[str, tuple[Check, Result, str]] = {}

    def note(one: Check, result: Result, reason: str) -> None:
        """A code that several functions look for ends as the weightiest of them did."""
        before = results.get(one.code.id)
        if before is None or _WEIGHT.index(result) < _WEIGHT.index(before[1]):
            results[one.code.id] = (one, result, reason)

    by_function: dict[CheckFunction, list[Check]] = {}
    for one in checks:
        by_function.setdefault(one.function, []).append(one)
    kinds = {source.kind for source in evidence.sources if not source.unusable}
    copies: dict[str, Evidence] = {}  # one for each package that is not ours: what it changes nobody else sees
    for marked in by_function.values():
        missing = sorted({need for one in marked[0].wants if (need := sources_of(one)) and kinds.isdisjoint(need)})
        if missing:
            # `server_log` alone covers "server_log or api"
            missing = [one for one in missing if not any(set(other) < set(one) for other in missing)]
            reason = f"no {' and no '.join(' or '.join(one) for one in missing).replace('_', ' ')} in the evidence"
            for one in marked:
                note(one, Result.SKIPPED, reason)
            continue
        try:
            findings, opens = _ours(marked, evidence) if _is_ours(marked[0]) else _theirs(marked, evidence, copies)
        except fence.FENCED as error:  # one bad check never ends the run
            crash = _crashed(marked[0], error)
            found.append(crash)
            for one in marked:
                note(one, Result.CRASHED, str(crash.values["error"]))
            continue
        found += findings
        questions += [Question(marked[0].code, one) for one in opens]
        for one in marked:
            note(one, *_result(one, findings, opens if one is marked[0] else []))
    roots, symptoms = fold(merge(found))
    outcomes = [CheckOutcome(one.code, result, reason) for one, result, reason in results.values()]
    return Diagnosis(
        tuple(roots),
        tuple(symptoms),
        tuple(sorted(set(questions), key=_question_order)),
        tuple(sorted(outcomes, key=lambda one: (one.code.prefix != "LKD", one.code.prefix, one.code.number))),
    )


def _is_ours(one: Check) -> bool:
    return one.code.prefix == "LKD"  # which the loader gives to nobody else


def _ours(marked: list[Check], evidence: Evidence) -> tuple[list[Finding], list[Inconclusive]]:
    return _sorted_out(marked, _call(marked[0], evidence))


def _theirs(
    marked: list[Check], evidence: Evidence, copies: dict[str, Evidence]
) -> tuple[list[Finding], list[Inconclusive]]:
    package = marked[0].package
    if package not in copies:
        copies[package] = fence.own_copy(evidence)
    with fence.fenced():
        return _sorted_out(marked, fence.checked(_call(marked[0], copies[package]), marked[0].function.__name__))


def _call(one: Check, evidence: Evidence) -> Iterable[object]:
    return one.function(*(evidence.view(kind) for kind in one.wants))


def _sorted_out(marked: list[Check], items: Iterable[object]) -> tuple[list[Finding], list[Inconclusive]]:
    first = marked[0]
    allowed = {one.code for one in marked}
    findings: list[Finding] = []
    opens: list[Inconclusive] = []
    for item in items:
        if isinstance(item, Inconclusive):
            opens.append(item)
        elif isinstance(item, Finding):
            if item.code not in allowed:
                raise ValueError(f"{first.function.__name__} found {item.code.id}, which it is not marked for")
            findings.append(item)
        else:
            raise TypeError(f"{first.function.__name__} yielded {item!r}, neither Finding nor Inconclusive")
    return findings, opens


def _result(one: Check, findings: list[Finding], opens: list[Inconclusive]) -> tuple[Result, str]:
    mine = [item for item in findings if item.code == one.code]
    if mine:
        return Result.FAILED, mine[0].message
    if opens:
        return Result.INCONCLUSIVE, f"{opens[0].missing} {opens[0].how}".strip()
    return Result.PASSED, ""


def _question_order(one: Question) -> tuple[str, str, str, str]:
    return (one.code.id, one.open.subject.stable(), one.open.subject.id, one.open.missing)


def _crashed(one: Check, error: BaseException) -> Finding:
    whose = "" if _is_ours(one) else f" of {one.package}"
    return _failure(
        error,
        Subject("check", id=one.code.id),
        f"The check {one.code.id} ({one.code.name}){whose} failed with {_words(error)}; its question stays open.",
        {"check": one.code.id, "module": one.module},
        "lkdoctor" if _is_ours(one) else one.package,
    )


def own_failure(error: BaseException) -> Finding:
    """The finding that says that lkdoctor itself failed, outside of any check."""
    return _failure(
        error, Subject("check", id="lkdoctor"), f"lkdoctor itself failed with {_words(error)}.", {}, "lkdoctor"
    )


def _words(error: BaseException) -> str:
    text = fence.words_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _failure(error: BaseException, subject: Subject, message: str, values: dict[str, str], package: str) -> Finding:
    return Finding(
        code=CHECK_CRASHED,
        subject=subject,
        message=message,
        severity=CHECK_CRASHED.severity,
        values={**values, "error": _words(error), "traceback": "".join(traceback.format_exception(error))},
        fixes=(
            Fix(
                "Report the failure",
                steps=(
                    f"Run the same command with --format json and send its `findings` to the authors of {package}.",
                    *(() if package == "lkdoctor" else ("Until then --no-plugins leaves it out.",)),
                ),
            ),
        ),
    )
