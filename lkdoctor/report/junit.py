"""The report as JUnit XML: red exactly where the exit status is not 0.

Each finding is a test case, and so is each check that found nothing. A finding that counts for the gate fails, one below it
passes with its words as output, a suppressed one and an open question are skipped. What keeps lkdoctor itself from an
answer (its own failure, unreadable input, an inconclusive verdict, Ctrl-C) is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from xml.etree import ElementTree as ET

from lkdoctor.report.json_v1 import Finding, Report
from lkdoctor.report.places import Repository
from lkdoctor.report.screen import clean
from lkdoctor.report.words import OWN, cited, counts, headline, looked_at, subject_words, where

# What `clean` leaves and XML 1.0 forbids: the two code points of each plane that are no characters.
_FORBIDDEN: Final = re.compile("[\ufffe\uffff]")
Kind = Literal["passed", "failure", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class _Case:
    """One test case: `message` stands beside its name, `body` is shown when it is opened."""

    classname: str
    name: str
    kind: Kind = "passed"
    message: str = ""
    body: str = ""
    file: str = ""


def write(report: Report, repository: Repository) -> bytes:
    """The document."""
    cases = list(_unique(_cases(report, repository)))
    numbers = {
        "tests": len(cases),
        "failures": sum(one.kind == "failure" for one in cases),
        "errors": sum(one.kind == "error" for one in cases),
        "skipped": sum(one.kind == "skipped" for one in cases),
        "time": report.run.seconds,
    }
    counted = {key: str(value) for key, value in numbers.items()}
    root = ET.Element("testsuites", {"name": "lkdoctor", **counted})
    suite = ET.SubElement(root, "testsuite", {"name": "lkdoctor", "timestamp": report.run.started_at, **counted})
    for one in cases:
        file = {"file": one.file} if one.file else {}
        case = ET.SubElement(suite, "testcase", {"classname": one.classname, "name": one.name, "time": "0", **file})
        if one.kind != "passed":
            kind = {"type": one.classname.rpartition(".")[2]} if one.kind != "skipped" else {}
            ET.SubElement(case, one.kind, {"message": one.message, **kind}).text = one.body or None
        elif one.body:
            ET.SubElement(case, "system-out").text = one.body
    ET.SubElement(suite, "system-out").text = f"{_safe(headline(report))}\n{_safe(looked_at(report))}"
    ET.indent(root)
    document: bytes = ET.tostring(root, "utf-8", xml_declaration=True)
    return document + b"\n"


def _cases(report: Report, repository: Repository) -> Iterator[_Case]:
    told = set()
    for one in report.findings:
        told.add(one.code)
        kind: Kind = "error" if one.code in OWN else "failure" if counts(one, report.gate.fail_on) else "passed"
        spots = repository.spots(one.proof)
        yield _Case(
            f"lkdoctor.{one.code}",
            _safe(f"{one.name}: {where(one)}"),
            kind,
            _safe(one.message),
            _body(one),
            _safe(spots[0].path) if spots else "",
        )
    for left in report.suppressed:
        told.add(left.code)
        why = f"{left.by}: {left.reason}" if left.reason else f"left out by {left.by}"
        named = f": {subject_words(left.subject)}" if left.subject else ""
        yield _Case(f"lkdoctor.{left.code}", _safe(left.name + named), "skipped", _safe(why), _safe(left.message))
    for check in report.checks:
        if check.code not in told:
            # A crashed check is an error already, as LKD901.
            skipped = check.outcome in {"skipped", "inconclusive", "crashed"}
            words = _safe(f"{check.outcome}: {check.reason}") if skipped else ""
            yield _Case(f"lkdoctor.{check.code}", check.name, "skipped" if skipped else "passed", words)
    yield from _overall(report)


def _overall(report: Report) -> Iterator[_Case]:
    """Why there is no answer, when there is none."""
    for number, error in enumerate(report.errors, 1):
        yield _Case("lkdoctor", f"input {number}", "error", _safe(error))
    if report.run.interrupted:
        yield _Case("lkdoctor", "verdict", "error", _safe(headline(report)))
    elif report.verdict == "inconclusive" and not report.gate.allow_inconclusive:
        open_ends = [*report.gaps, *(f"{one.missing} {one.how}".strip() for one in report.questions)]
        yield _Case("lkdoctor", "verdict", "error", _safe(headline(report)), "\n".join(map(_safe, open_ends)))
    else:
        yield _Case("lkdoctor", "verdict", body=_safe(headline(report)))


def _unique(cases: Iterable[_Case]) -> Iterator[_Case]:
    """CI tells test cases apart by class and name only."""
    seen: dict[tuple[str, str], int] = {}
    for one in cases:
        number = seen[one.classname, one.name] = seen.get((one.classname, one.name), 0) + 1
        yield (
            one
            if number == 1
            else _Case(one.classname, f"{one.name} ({number})", one.kind, one.message, one.body, one.file)
        )


def _body(one: Finding) -> str:
    lines = [f"{one.severity.upper()} {one.code} {one.name}, {one.confidence} confidence", one.message]
    lines += [f"  | {cited(proof)}" for proof in one.proof]
    for fix in one.fixes:
        lines.append(f"Fix: {fix.title}")
        lines += [f"  {number}. {step}" for number, step in enumerate(fix.steps, 1)]
        lines += [f"  $ {command}" for command in fix.commands]
    return "\n".join(map(_safe, lines))


def _safe(text: str) -> str:
    """`text` on one line, without what XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", clean(text))
