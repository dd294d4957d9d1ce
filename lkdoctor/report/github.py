"""The report as GitHub Actions takes it: one annotation a line, the verdict first, worst findings next.

GitHub shows ten annotations of each kind for a step and drops the rest, so the order matters; the step summary has all.
Names of rooms and agents come from strangers: nothing in them may end an annotation or begin a workflow command.
"""

from __future__ import annotations

from typing import Final

from lkdoctor.report.json_v1 import Finding, Report
from lkdoctor.report.places import Repository
from lkdoctor.report.screen import clean
from lkdoctor.report.words import OWN, counts, headline, where

_KINDS: Final = {"error": "error", "warning": "warning", "info": "notice"}
_VERDICTS: Final = {"healthy": "notice", "problems": "notice", "inconclusive": "warning"}
_FIXES: Final = 2  # told in an annotation; the summary and the other formats have all


def write(report: Report, repository: Repository) -> bytes:
    """Workflow commands, one a line."""
    failed = any(one.code in OWN for one in report.findings)
    lines = [
        _command("error" if failed else _VERDICTS[report.verdict], f"lkdoctor: {report.verdict}", headline(report))
    ]
    lines += [_annotation(one, repository) for one in report.findings]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _annotation(one: Finding, repository: Repository) -> str:
    kind = _KINDS[one.severity] if counts(one, "info") or one.code in OWN else "notice"
    words = [one.message, *(f"Fix: {fix.title}" for fix in one.fixes[:_FIXES])]
    # Without a file of the repository an annotation stands at the step, which is better than at a line that says nothing.
    spots = repository.spots(one.proof)
    place = {"file": spots[0].path, "line": str(spots[0].line)} if spots else {}
    return _command(kind, f"{one.code} {one.name} ({where(one)})", *words, **place)


def _command(kind: str, title: str, *words: str, **place: str) -> str:
    properties = {**place, "title": title}
    told = ",".join(f"{key}={_property(clean(value))}" for key, value in properties.items())
    return f"::{kind} {told}::{_data(chr(10).join(clean(one) for one in words))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
