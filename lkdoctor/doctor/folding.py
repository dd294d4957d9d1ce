"""Merges equal findings and folds symptoms under the cause that explains them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lkdoctor.dispatch.facts import Place
from lkdoctor.doctor.finding import Confidence, Finding, Subject

SAMPLES = 10  # proof lines kept for one finding: the first and the last ones


def order(one: Finding) -> tuple[int, int, int, bool, str, int, str]:
    """Worst and surest first, then what hit most dispatches, then by code and subject."""
    hit = max(len(one.folds), one.count)
    code = one.code
    return (-one.severity, -one.confidence, -hit, code.prefix != "LKD", code.prefix, code.number, one.subject.stable())


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each fingerprint: counts add up, first and last span all, proof is sampled; sorted."""
    groups: dict[str, list[Finding]] = {}
    for one in findings:
        groups.setdefault(one.fingerprint, []).append(one)
    return sorted((_merged(group) for group in groups.values()), key=order)


def _merged(group: list[Finding]) -> Finding:
    best = min(group, key=lambda one: (-one.severity, -one.confidence, one.first_at or 0.0))
    first = [one.first_at for one in group if one.first_at is not None]
    last = [one.last_at for one in group if one.last_at is not None]
    proof = list(dict.fromkeys(place for one in group for place in one.proof))
    return replace(
        best,
        count=sum(one.count for one in group),
        first_at=min(first, default=None),
        last_at=max(last, default=None),
        proof=tuple(_sample(proof)),
        folds=tuple(dict.fromkeys(subject for one in group for subject in one.folds)),
        explains=tuple(dict.fromkeys(mark for one in group for mark in one.explains)),
    )


def _sample(proof: list[Place]) -> list[Place]:
    if len(proof) <= SAMPLES:
        return proof
    half = SAMPLES // 2
    return proof[:half] + proof[-half:]


def fold(findings: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Split into causes and the symptoms that they explain.

    A symptom folds when its code is among those that the cause explains and both speak of the same dispatches: by
    their lists of dispatches when both have one, else by room and agent name. Several causes may share the
    explanation of one symptom, each of some of its dispatches; it stands under the one that accounts for most.
    """
    explaining: dict[int, list[Finding]] = {}
    for one in findings:
        for number in one.code.explains:
            explaining.setdefault(number, []).append(one)
    parent: dict[str, Finding] = {}
    for symptom in findings:
        cause = _cause(symptom, explaining.get(symptom.code.number, [])) if symptom.code.prefix == "LKD" else None
        if cause is not None:
            parent[symptom.fingerprint] = cause
    children: dict[str, list[Finding]] = {}
    for symptom in findings:
        if symptom.fingerprint in parent:
            children.setdefault(_root(symptom, parent).fingerprint, []).append(symptom)
    causes: list[Finding] = []
    symptoms: list[Finding] = []
    for one in findings:
        beneath = children.get(one.fingerprint, [])
        if one.fingerprint in parent:
            symptoms.append(one)
        elif beneath:
            marks = sorted({*one.explains, *(child.fingerprint for child in beneath)})
            # A cause is as bad as the worst that it does: else --fail-on error would lose the error beneath a warning.
            severity = max(one.severity, *(child.severity for child in beneath))
            causes.append(replace(one, explains=tuple(marks), severity=severity))
        else:
            causes.append(one)
    return sorted(causes, key=order), sorted(symptoms, key=order)


def _root(symptom: Finding, parent: dict[str, Finding]) -> Finding:
    # `explains` has no cycles (tested over the catalogue); other people's codes might, hence the memory.
    seen = set()
    one = symptom
    while one.fingerprint in parent and one.fingerprint not in seen:
        seen.add(one.fingerprint)
        one = parent[one.fingerprint]
    return one


def _cause(symptom: Finding, findings: list[Finding]) -> Finding | None:
    candidates = [
        one
        for one in findings
        # A guess never swallows what is certain: the gate would lose it.
        if (one.confidence >= Confidence.MEDIUM or one.confidence >= symptom.confidence)
    ]
    listed = [one for one in candidates if one.folds and symptom.folds]
    covered: set[Subject] = set()
    for one in listed:
        covered |= set(one.folds)
    if symptom.folds and covered >= set(symptom.folds):
        return max(listed, key=lambda one: (len(set(one.folds) & set(symptom.folds)), one.confidence, one.fingerprint))
    for one in candidates:
        both_listed = one.folds and symptom.folds
        if symptom.subject in one.folds or (not both_listed and _same(one.subject, symptom.subject)):
            return one
    return None


def _same(cause: Subject, symptom: Subject) -> bool:
    """True when the cause is about the same token, the same agent name and room, or about all rooms of that name."""
    if cause.kind == "token" and cause == symptom:
        return True
    if cause.agent_name is not None and symptom.agent_name is not None:
        return cause.agent_name == symptom.agent_name and cause.room in {"", symptom.room}
    return bool(cause.room) and cause.room == symptom.room
