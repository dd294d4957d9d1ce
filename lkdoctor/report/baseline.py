"""The baseline: findings that were there on a day, so that a gate fails on new ones only. Its form, made to be committed.

`lkdoctor.baseline/v1` is JSON, sorted, one finding a few lines, and holds no time but days, so that a change of it can be
read in a review. Findings are compared by `fingerprint` (`doctor/fingerprint.py`) and nothing else; the other fields are
for people, except `severity`: a finding that is worse now is new.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from lkdoctor.doctor import fingerprint
from lkdoctor.doctor.finding import Severity
from lkdoctor.report import json_v1
from lkdoctor.report.suppress import NEVER_KNOWN, Known
from lkdoctor.report.words import counts, subject_words

FILE: Final = "lkdoctor-baseline.json"
SCHEMA: Final = "lkdoctor.baseline/v1"
_LARGEST: Final = 1 << 24  # bytes


class BaselineError(Exception):
    """The file is no baseline of this version; the message says why and what to do."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One known finding; `since` is the day on which it was written down first, `count` how often it was seen then."""

    fingerprint: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
    code: str
    name: str
    subject: str
    severity: json_v1.Severity
    count: int
    since: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d$")]


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: Literal["lkdoctor.baseline/v1"]
    findings: list[Entry]

    def known(self) -> dict[str, Known]:
        """What sets findings aside."""
        return {one.fingerprint: Known(Severity[one.severity.upper()], one.since) for one in self.findings}


@dataclass(frozen=True, slots=True)
class Pruned:
    """A baseline without what is gone; `kept` is what this evidence could not look for, so that it stays."""

    baseline: Baseline
    gone: tuple[Entry, ...]
    kept: tuple[Entry, ...]


def decode(data: bytes) -> Baseline:
    """The file's content.

    Raises:
        BaselineError: it is none.
    """
    if len(data) > _LARGEST:
        raise BaselineError("larger than 16 MiB, so it is no baseline")
    try:
        return msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BaselineError(f"not a baseline of this version ({error}); `lkdoctor baseline write` writes one") from None


def encode(baseline: Baseline) -> bytes:
    """The file, sorted by code and subject."""
    entries = sorted(baseline.findings, key=lambda one: (one.code, one.subject, one.fingerprint))
    return (
        msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(baseline, findings=entries)), indent=2) + b"\n"
    )


def of(report: json_v1.Report, today: str, before: Baseline | None = None) -> Baseline:
    """The baseline that makes this report pass: what counts for the gate. What stood in `before` keeps its day."""
    days = {one.fingerprint: one.since for one in before.findings} if before else {}
    entries: dict[str, Entry] = {}
    for one in report.findings:
        if one.code in NEVER_KNOWN or not counts(one, report.gate.fail_on):
            continue
        mark = fingerprint.base(one.fingerprint)
        same = entries.get(mark)
        subject = msgspec.structs.replace(one.subject, room=fingerprint.pattern(one.subject.room))
        entries[mark] = Entry(
            mark,
            one.code,
            one.name,
            subject_words(subject),
            one.severity if same is None else max(one.severity, same.severity, key=("info", "warning", "error").index),
            one.count + (same.count if same else 0),
            days.get(mark, today),
        )
    return Baseline(SCHEMA, list(entries.values()))


def worse(one: json_v1.Finding, entry: Entry) -> bool:
    """Is the finding worse than the baseline knows it?"""
    order = ("info", "warning", "error")
    return order.index(one.severity) > order.index(entry.severity)


def prune(baseline: Baseline, report: json_v1.Report) -> Pruned:
    """Without the entries that this report, made without the baseline, does not find any more.

    An entry stays while its check could not look: skipped for want of evidence, inconclusive, crashed or not installed.
    """
    found = {fingerprint.base(one.fingerprint) for one in _all(report)}
    looked = {one.code for one in report.checks if one.outcome in {"passed", "failed"}}
    open_ones = {one.code for one in report.questions}
    gone = [one for one in baseline.findings if one.fingerprint not in found]
    kept = [one for one in gone if one.code not in looked or one.code in open_ones]
    gone = [one for one in gone if one not in kept]
    left = [one for one in baseline.findings if one not in gone]
    return Pruned(msgspec.structs.replace(baseline, findings=left), tuple(gone), tuple(kept))


def _all(report: json_v1.Report) -> Iterable[json_v1.Finding | json_v1.Suppressed]:
    return (*report.findings, *report.symptoms, *report.suppressed)
