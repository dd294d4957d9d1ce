"""The report as Markdown, for a pull request's comment, an issue, or the summary of a CI step.

Names of rooms and agents come from strangers: whatever stands in them is shown as it is, and is no link, no mention, no
HTML and no end of a code block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from lkdoctor.report.json_v1 import Finding, Fix, Proof, Report
from lkdoctor.report.screen import clean
from lkdoctor.report.words import cited, clock, counts, headline, looked_at, subject_words, where
from lkdoctor.wording import counted

PROOFS: Final = 5
FINDINGS: Final = 100  # a host refuses a comment or a summary that is too long
LARGEST: Final = 900_000  # bytes: GitHub refuses a step summary above 1 MiB as a whole
_LONGEST: Final = 600  # characters of a quoted line
_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]<>|~&$]")
_AT_THE_START: Final = re.compile(r"^(\d*)(?=[-+=#:.)])")  # of a list, a heading, a rule
_RUN: Final = re.compile(r"`+")
_MARKS: Final = {"error": "🔴", "warning": "🟠", "info": "🔵"}
_VERDICTS: Final = {"healthy": "✅", "problems": "❌", "inconclusive": "❔"}


def write(report: Report) -> bytes:
    """The document."""
    return ("\n".join(_lines(report)) + "\n").encode("utf-8", "backslashreplace")


def summary(report: Report) -> bytes:
    """The same, as much of it as a step summary may hold."""
    whole = write(report)
    if len(whole) <= LARGEST:
        return whole
    lines = [f"## {_VERDICTS[report.verdict]} lkdoctor: {report.verdict}", "", escape(headline(report)), ""]
    lines += _table(report.findings[:FINDINGS])
    return ("\n".join([*lines, "", "The whole report is too long for this page."]) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def escape(text: str) -> str:
    """`text` as plain words of a paragraph or a table's cell."""
    text = _SPECIAL.sub(r"\\\g<0>", clean(text).strip())
    text = _AT_THE_START.sub(r"\1\\", text)
    # A mention rings somebody's bell, a link may lead anywhere; neither is what an agent's name is for.
    return text.replace("@", "@<!-- -->").replace("://", "\\://").replace("www.", "www<!-- -->.")


def _lines(report: Report) -> Iterator[str]:
    yield f"## {_VERDICTS[report.verdict]} lkdoctor: {report.verdict}"
    yield ""
    yield escape(headline(report))
    if report.sources:
        yield ""
        yield escape(looked_at(report))
    if report.findings:
        yield ""
        yield from _table(report.findings[:FINDINGS])
        if len(report.findings) > FINDINGS:
            yield ""
            yield f"… and {len(report.findings) - FINDINGS:,} more findings."
    symptoms = {one.fingerprint: one for one in report.symptoms}
    for one in report.findings[:FINDINGS]:
        yield from _finding(one, [symptoms[mark] for mark in one.explains if mark in symptoms], report.gate.fail_on)
    if report.questions:
        yield ""
        yield "### What the evidence cannot tell"
        yield ""
        for question in report.questions:
            yield f"- {question.code} {escape(question.name)}: {escape(f'{question.missing} {question.how}'.strip())}"
    notes = [*report.errors, *report.gaps, *report.reminders]
    notes += [f"{one.name}: {one.unusable}" for one in report.sources if one.unusable]
    if notes:
        yield ""
        yield "### About this run"
        yield ""
        for note in dict.fromkeys(notes):
            yield f"- {escape(note)}"
    if report.suppressed:
        yield ""
        yield f"<details><summary>{counted(len(report.suppressed), 'finding')} left out</summary>"
        yield ""
        for left in report.suppressed:
            about = f", {escape(subject_words(left.subject))}" if left.subject else ""
            why = f": {escape(left.reason)}" if left.reason else ""
            yield f"- {left.code} {escape(left.name)}{about}, by {escape(left.by)}{why}"
        yield ""
        yield "</details>"


def _table(findings: Sequence[Finding]) -> Iterator[str]:
    yield "| | code | what | about |"
    yield "|---|---|---|---|"
    for one in findings:
        yield f"| {_MARKS[one.severity]} {one.severity} | {one.code} | {escape(one.name)} | {escape(where(one))} |"


def _finding(one: Finding, beneath: Sequence[Finding], fail_on: str) -> Iterator[str]:
    times = f", {one.count:,} times" if one.count > 1 else ""
    sure = "" if one.confidence == "high" else f", {one.confidence} confidence"
    yield ""
    yield f"### {_MARKS[one.severity]} {one.code} {escape(one.name)}"
    yield ""
    yield f"{one.severity.capitalize()}{'' if counts(one, fail_on) else ', not counted'}: {escape(where(one))}{times}{sure}."
    if one.count > 1 and one.first_at and one.last_at and one.first_at != one.last_at:
        yield f"First {clock(one.first_at)}, last {clock(one.last_at)} UTC."
    yield ""
    yield escape(one.message)
    if one.proof:
        yield ""
        yield "<details><summary>Proof</summary>"
        yield ""
        yield from _block([_quoted(proof) for proof in one.proof[:PROOFS]], "text")
        if len(one.proof) > PROOFS:
            yield ""
            yield f"… and {len(one.proof) - PROOFS} more lines."
        yield ""
        yield "</details>"
    for fix in one.fixes:
        yield from _fix(fix)
    if beneath:
        yield ""
        yield "It explains:"
        yield ""
        for symptom in beneath:
            yield f"- {symptom.code} {escape(symptom.name)}: {escape(symptom.message)}"


def _quoted(one: Proof) -> str:
    text = cited(one)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters)"


def _fix(fix: Fix) -> Iterator[str]:
    risk = " (may interrupt something: read the notes)" if fix.safety == "unsafe" else ""
    yield ""
    yield f"**Fix: {escape(fix.title)}**{risk}"
    if fix.steps:
        yield ""
        for number, step in enumerate(fix.steps, 1):
            yield f"{number}. {escape(step)}"
    if fix.commands:
        yield ""
        yield from _block(fix.commands, "sh")
    for head, words in (("Note", fix.caveats), ("Then check", fix.verify), ("To undo", fix.undo)):
        if words:
            yield ""
            for text in words:
                yield f"- {head}: {escape(text)}"


def _block(lines: Sequence[str], language: str) -> Iterator[str]:
    """A code block whose fence is longer than any in it."""
    shown = [clean(line) for line in lines]
    fence = "`" * max(3, 1 + max((len(run) for line in shown for run in _RUN.findall(line)), default=0))
    yield f"{fence}{language}"
    yield from shown
    yield fence
