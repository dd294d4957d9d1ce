"""Sets aside findings that are known: accepted in `lkdoctor.toml`, or in a baseline. Each is counted and shown, none is lost.

What lkdoctor itself could not do (LKD901, LKD902) is never set aside. A finding that has become worse than the baseline
says counts again, and so does one whose acceptance has ended.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from lkdoctor.doctor import fingerprint
from lkdoctor.doctor.catalogue import Catalogue, UnknownCodeError
from lkdoctor.doctor.codes import CODES, INPUT_UNREADABLE
from lkdoctor.doctor.engine import Diagnosis, Result
from lkdoctor.doctor.finding import Code, Finding, Severity
from lkdoctor.doctor.gate import OWN

# What could not be read this time is no lasting fault that a baseline could know.
NEVER_KNOWN: Final = OWN | {INPUT_UNREADABLE.id}


class Accepted(Protocol):
    """The part of a table `[[ignore]]` that is used."""

    @property
    def code(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def until(self) -> dt.date | None: ...
    @property
    def subject(self) -> str: ...
    @property
    def room(self) -> str: ...
    @property
    def agent(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A finding that the report leaves out: by what (an option, `lkdoctor.toml:12`, a baseline), and why."""

    finding: Finding
    by: str
    reason: str = ""
    until: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a baseline remembers of one finding."""

    severity: Severity
    since: str  # the day on which it was written down first


class IgnoreError(Exception):
    """A table `[[ignore]]` names a code that does not exist; the message says which, where, and what comes near."""


Why = Callable[[Finding], "LeftOut | None"]


def by_baseline(known: Mapping[str, Known], name: str) -> Why:
    """Set aside what the baseline `name` knows; `known` is by the base of published fingerprints."""

    def why(one: Finding) -> LeftOut | None:
        entry = known.get(fingerprint.of(one))
        if entry is None or one.code.id in NEVER_KNOWN or one.severity > entry.severity:
            return None
        return LeftOut(one, name, f"known since {entry.since}")

    return why


def by_config(
    accepted: Sequence[tuple[str, Accepted]], codes: Iterable[Code], today: dt.date, reminders: list[str]
) -> Why:
    """Set aside what `accepted` (each with its place in the file) describes; what has ended is told in `reminders`.

    Raises:
        IgnoreError: a code does not exist.
    """
    catalogue = Catalogue({*CODES, *codes})
    rules = [(at, one, _codes(at, one, catalogue) - OWN) for at, one in accepted]

    def why(finding: Finding) -> LeftOut | None:
        for at, one, ids in rules:
            if finding.code.id not in ids or not _about(finding, one):
                continue
            if one.until is None or today <= one.until:
                return LeftOut(finding, at, one.reason, one.until)
            told = f"{at}: ignoring {one.code} ended on {one.until} ({one.reason}); its findings count again"
            if told not in reminders:
                reminders.append(told)
        return None

    return why


def set_aside(diagnosis: Diagnosis, whys: Iterable[Why]) -> tuple[Diagnosis, list[LeftOut]]:
    """The diagnosis without what the first of `whys` explains, and what was left out."""
    reasons = list(whys)
    left: dict[str, LeftOut] = {}
    for one in (*diagnosis.findings, *diagnosis.symptoms):
        found = next((told for why in reasons if (told := why(one))), None)
        if found is not None:
            left[one.fingerprint] = found
    return without(diagnosis, left)


def without(diagnosis: Diagnosis, left: Mapping[str, LeftOut]) -> tuple[Diagnosis, list[LeftOut]]:
    """The diagnosis without the findings `left` (by fingerprint), and what of these is told as left out.

    With a cause go its symptoms: they would come back as if they had no cause.
    """
    if not left:
        return diagnosis, []
    gone = {mark for one in diagnosis.findings if one.fingerprint in left for mark in one.explains}
    told = [left[one.fingerprint] for one in diagnosis.findings if one.fingerprint in left]
    told += [
        left[one.fingerprint] for one in diagnosis.symptoms if one.fingerprint in left and one.fingerprint not in gone
    ]
    findings = tuple(
        replace(one, explains=tuple(mark for mark in one.explains if mark not in left))
        for one in diagnosis.findings
        if one.fingerprint not in left
    )
    symptoms = tuple(one for one in diagnosis.symptoms if one.fingerprint not in left and one.fingerprint not in gone)
    shown = {one.code.id for one in (*findings, *symptoms)}
    by_code = {one.finding.code.id: one.by for one in told}
    outcomes = tuple(
        replace(one, result=Result.SKIPPED, reason=f"what it found is left out by {by_code[one.code.id]}")
        if one.result is Result.FAILED and one.code.id in by_code and one.code.id not in shown
        else one
        for one in diagnosis.outcomes
    )
    return replace(diagnosis, findings=findings, symptoms=symptoms, outcomes=outcomes), told


def _codes(at: str, one: Accepted, catalogue: Catalogue) -> set[str]:
    try:
        return {code.id for code in catalogue.select(one.code)}
    except UnknownCodeError as error:
        # The package that brings a code may be absent today; a misspelt code of our own would never match.
        if re.fullmatch(r"(?!LKD)[A-Z]{2,}\d{1,3}", one.code.strip()):
            return set()
        raise IgnoreError(f"{at}: {error}") from None


def _about(finding: Finding, one: Accepted) -> bool:
    """Is the finding about what the table names, and about nothing else?

    What its subject leaves open, the dispatches that it accounts for say.
    """
    subject = finding.subject
    if one.room:
        rooms = {subject.room} if subject.room else {each.room for each in finding.folds if each.room}
        if not rooms or not all(_like(room, one.room) for room in rooms):
            return False
    if one.agent is not None:
        names = {subject.agent_name} if subject.agent_name is not None else {each.agent_name for each in finding.folds}
        if not names or not all(name is not None and _like(name, one.agent) for name in names):
            return False
    return not one.subject or _like(f"{subject.kind}:{subject.id}", one.subject)


def _like(text: str, pattern: str) -> bool:
    """Is `text` what the pattern says, in which `*` stands for any letters?"""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
