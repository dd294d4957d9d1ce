"""The report as SARIF 2.1.0, as code hosts take it: every result has a place in the repository and a stable fingerprint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from lkdoctor.doctor.handbook import Page
from lkdoctor.report.json_v1 import Finding, Proof, Report, Suppressed
from lkdoctor.report.places import Repository, Spot
from lkdoctor.report.screen import clean
from lkdoctor.report.words import OWN, cited, counts, headline, where

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: Final[Mapping[str, Literal["error", "warning", "note"]]] = {
    "error": "error",
    "warning": "warning",
    "info": "note",
}
_PROBLEM: Final = {"error": "error", "warning": "warning", "info": "recommendation"}
_LINK: Final = re.compile(r"\[(?=[^\[\]]*\]\()")
_LONGEST: Final = 2000  # characters of a quoted line


def write(report: Report, repository: Repository, pages: Mapping[str, Page], config: str = "") -> bytes:
    """The document; `pages` are the handbook's, by code, and `config` is the lkdoctor.toml that was used."""
    stand_in = repository.stand_in(report.sources, config)
    told: list[Finding | Suppressed] = [*report.findings, *report.suppressed]
    codes = sorted({(one.code, one.name) for one in told})
    index = {code: number for number, (code, _) in enumerate(codes)}
    results = [_result(one, index, repository, stand_in, report) for one in report.findings]
    results += [_left_out(one, index, repository, stand_in) for one in report.suppressed]
    run = {
        "tool": {
            "driver": {
                "name": report.tool.name,
                "version": report.tool.version,
                "rules": [_rule(code, name, pages.get(code)) for code, name in codes],
            }
        },
        "invocations": [_invocation(report)],
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {"lkdoctor/verdict": report.verdict, "lkdoctor/headline": clean(headline(report))},
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _rule(code: str, name: str, page: Page | None) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": code, "name": name}
    if page is None:
        return rule
    severity = page.code.severity.word
    return rule | {
        "shortDescription": {"text": page.code.title},
        "fullDescription": {"text": page.summary},
        "help": {
            "text": f"{page.summary}\n\n{page.body}".strip(),
            "markdown": f"# {code} {name}\n\n{page.summary}\n\n{page.body}".strip() + "\n",
        },
        "defaultConfiguration": {"level": LEVELS[severity]},
        "properties": {"tags": [page.family], "problem.severity": _PROBLEM[severity]},
    }


def _result(
    one: Finding, index: Mapping[str, int], repository: Repository, stand_in: Spot, report: Report
) -> dict[str, Any]:
    # What is not sure enough for the gate must not fail a pull request either.
    level = LEVELS[one.severity] if counts(one, "info") or one.code in OWN else "note"
    symptoms = {symptom.fingerprint: symptom for symptom in report.symptoms}
    beneath = [symptoms[mark] for mark in one.explains if mark in symptoms]
    return _located(one.code, index, level, one.message, one.fingerprint, one.proof, repository, stand_in) | {
        "occurrenceCount": one.count,
        "properties": {
            "lkdoctor/severity": one.severity,
            "lkdoctor/confidence": one.confidence,
            "lkdoctor/subject": clean(where(one)),
            "lkdoctor/explains": [f"{other.code} {other.name}" for other in beneath],
            "lkdoctor/proof": [clean(cited(proof))[:_LONGEST] for proof in one.proof],
            "lkdoctor/fixes": [clean(fix.title) for fix in one.fixes],
        },
    }


def _left_out(one: Suppressed, index: Mapping[str, int], repository: Repository, stand_in: Spot) -> dict[str, Any]:
    return _located(
        one.code, index, LEVELS[one.severity], one.message, one.fingerprint, one.proof, repository, stand_in
    ) | {
        "occurrenceCount": one.count,
        "suppressions": [
            {
                "kind": "external",
                "status": "accepted",
                "justification": clean(f"{one.by}: {one.reason}" if one.reason else one.by),
            }
        ],
    }


def _located(
    code: str,
    index: Mapping[str, int],
    level: str,
    message: str,
    fingerprint: str,
    proof: Iterable[Proof],
    repository: Repository,
    stand_in: Spot,
) -> dict[str, Any]:
    spots = repository.spots(proof)
    first, *others = spots or [stand_in]
    related = [_location(spot) | {"id": number} for number, spot in enumerate(others, 1)]
    return {
        "ruleId": code,
        "ruleIndex": index[code],
        "level": level,
        "message": {"text": _text(message)},
        "locations": [_location(first)],
        **({"relatedLocations": related} if related else {}),
        # GitHub knows a result again by this key only, and else hashes the line, which a log has but once.
        "partialFingerprints": {"primaryLocationLineHash": fingerprint, "lkdoctor/v1": fingerprint},
    }


def _location(spot: Spot) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": spot.line}
    if spot.proof is not None:
        region["snippet"] = {"text": clean(spot.proof.text)[:_LONGEST]}
    found: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": quote(spot.path)}, "region": region}}
    return found if spot.proof is None else found | {"message": {"text": _text(cited(spot.proof)[:_LONGEST])}}


def _text(words: str) -> str:
    """A message's plain text; what looks like a link in it is none."""
    return _LINK.sub(r"\\[", clean(words))


def _invocation(report: Report) -> dict[str, Any]:
    told = [("error", one) for one in report.errors] + [("warning", one) for one in report.gaps]
    told += [("note", one) for one in report.reminders]
    told += [("note", f"{one.code} {one.name}: {one.missing} {one.how}".strip()) for one in report.questions]
    return {
        "executionSuccessful": not any(one.code in OWN for one in (*report.findings, *report.symptoms)),
        "startTimeUtc": report.run.started_at,
        "toolExecutionNotifications": [{"level": level, "message": {"text": _text(one)}} for level, one in told],
    }
