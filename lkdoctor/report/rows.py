"""Makes the rows of the report from stories and findings: every proof quoted, every string masked on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Literal, Protocol

from lkdoctor.dispatch import model
from lkdoctor.dispatch.facts import Place
from lkdoctor.doctor import finding as found
from lkdoctor.redact import Redactor
from lkdoctor.report import json_v1 as doc
from lkdoctor.report.suppress import LeftOut

PROOF_OF_A_DISPATCH = 6


class Quoted(Protocol):
    """What a collector makes of a place."""

    @property
    def source(self) -> str: ...

    @property
    def offset(self) -> int | None: ...

    @property
    def line(self) -> int | None: ...

    @property
    def text(self) -> str: ...


Resolve = Callable[[Iterable[Place]], Mapping[Place, Quoted]]


class Rows:
    """Turns model objects into document objects, every string masked on the way."""

    def __init__(self, redactor: Redactor, marks: Mapping[str, str] | None = None) -> None:
        """`marks` are the published fingerprints, by those of this run."""
        self.mask = redactor.mask
        self._marks = marks or {}
        self._mask_all = redactor.mask_all
        self._quotes: dict[Place, doc.Proof] = {}

    def quote(self, resolve: Resolve, places: Iterable[Place]) -> None:
        for place, quoted in resolve(list(dict.fromkeys(places))).items():
            self._quotes[place] = doc.Proof(
                self.mask(quoted.source), quoted.offset, quoted.line, self.mask(quoted.text)
            )

    def proof(self, places: Iterable[Place]) -> list[doc.Proof]:
        return [self._quotes[place] for place in places if place in self._quotes]

    def source(self, one: model.SourceNote) -> doc.Source:
        return doc.Source(
            self.mask(one.name),
            one.kind,
            one.lines,
            one.bytes,
            iso(one.first_at),
            iso(one.last_at),
            one.server_version,
            [self.mask(note) for note in one.notes],
            {self.mask(reason): number for reason, number in one.skipped.items()},
            self.mask(one.unusable),
        )

    def worker(self, one: model.WorkerSession) -> doc.Worker:
        return doc.Worker(
            one.worker_id,
            None if one.agent_name is None else self.mask(one.agent_name),
            one.job_type,
            None if one.deployment is None else self.mask(one.deployment),
            one.sdk,
            iso(one.registered_at),
            iso(one.closed_at),
            one.jobs,
        )

    def dispatch(self, one: model.Dispatch) -> doc.Dispatch:
        # Whose ending it was is not told: the request's own row says nothing of any job.
        told = one.among is None
        deciding = one.deciding
        shown = deciding if told else None
        seconds = one.seconds if told else None
        return doc.Dispatch(
            room=self.mask(one.room),
            room_id=one.room_id,
            agent_name=self.mask(one.agent_name),
            deployment=self.mask(one.deployment),
            dispatch_id=one.dispatch_id,
            origin=one.origin.value,
            outcome=one.outcome.value,
            after=one.after.value if told and one.after is not None else None,
            asked_at=iso(one.asked_at),
            seconds=None if seconds is None else round(seconds, 3),
            job_type=deciding.job_type if deciding else None,
            job_id=shown.job_id if shown else None,
            worker_id=shown.worker_id if shown else None,
            node=shown.node if shown else None,
            certainty=_level(one.certainty if told else model.Certainty.LOW),
            reason=self.mask(one.reason),
            missing=self.mask(one.missing),
            launches=[self.launch(launch, told=told or not launch.decides) for launch in one.launches],
            noise_lines=one.noise_lines,
            proof=self.proof(proof_of(one)),
        )

    def launch(self, one: model.Launch, *, told: bool) -> doc.Launch:
        participant = None if one.participant is None else self.mask(one.participant)
        if not told:
            return doc.Launch(one.job_type, participant, model.Outcome.UNKNOWN.value, None, None, one.decides, "")
        error = self.mask(one.error)
        return doc.Launch(one.job_type, participant, one.outcome.value, one.job_id, one.worker_id, one.decides, error)

    def subject(self, one: found.Subject) -> doc.Subject:
        name = None if one.agent_name is None else self.mask(one.agent_name)
        return doc.Subject(one.kind, self.mask(one.room), name, self.mask(one.id))

    def finding(self, one: found.Finding) -> doc.Finding:
        values: dict[str, Any] = self._mask_all(plain(dict(one.values)))
        return doc.Finding(
            code=one.code.id,
            name=one.code.name,
            severity=severity(one.severity),
            confidence=_level(one.confidence),
            subject=self.subject(one.subject),
            message=self.mask(one.message),
            values=values,
            proof=self.proof(one.proof),
            explains=sorted(self._marks[mark] for mark in one.explains if mark in self._marks),
            count=one.count,
            first_at=iso(one.first_at),
            last_at=iso(one.last_at),
            fixes=[self.fix(fix) for fix in one.fixes],
            docs=f"docs/checks.md#{one.code.id.lower()}-{one.code.name}",
            fingerprint=self._marks[one.fingerprint],
        )

    def suppressed(self, left: LeftOut) -> doc.Suppressed:
        one = left.finding
        return doc.Suppressed(
            code=one.code.id,
            name=one.code.name,
            fingerprint=self._marks[one.fingerprint],
            severity=severity(one.severity),
            count=one.count,
            by=self.mask(left.by),
            reason=self.mask(left.reason),
            until=None if left.until is None else left.until.isoformat(),
            message=self.mask(one.message),
            subject=self.subject(one.subject),
            proof=self.proof(one.proof),
        )

    def fix(self, one: found.Fix) -> doc.Fix:
        def masked(lines: tuple[str, ...]) -> list[str]:
            return [self.mask(line) for line in lines]

        return doc.Fix(
            self.mask(one.title),
            one.safety,
            masked(one.steps),
            masked(one.commands),
            masked(one.caveats),
            masked(one.verify),
            masked(one.undo),
        )

    def question(self, code: found.Code, one: found.Inconclusive) -> doc.Question:
        return doc.Question(
            code.id, code.name, self.subject(one.subject), self.mask(one.missing), self.mask(one.how),
            self.proof(one.proof),
        )  # fmt: skip


def proof_of(one: model.Dispatch) -> tuple[Place, ...]:
    """The few places that tell the dispatch's story: how it was asked for, and how it ended."""
    deciding = one.deciding
    places = [*one.proof[:2], *(deciding.proof if deciding else ())]
    if deciding is None:
        places += [place for launch in one.launches for place in launch.proof[:2]]
    if one.participant is not None:
        places += one.participant.proof[-1:]
    return tuple(dict.fromkeys(places))[:PROOF_OF_A_DISPATCH]


def iso(at: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds; None stays None."""
    return None if at is None else required_time(at)


def required_time(at: float) -> str:
    """As `iso`, of a time that is known."""
    moment = datetime.fromtimestamp(round(at, 3), timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def severity(one: found.Severity) -> doc.Severity:
    """The document's word for it."""
    words: dict[found.Severity, doc.Severity] = {
        found.Severity.ERROR: "error",
        found.Severity.WARNING: "warning",
        found.Severity.INFO: "info",
    }
    return words[one]


def _level(one: int) -> Literal["high", "medium", "low"]:
    return "high" if one >= 3 else "medium" if one == 2 else "low"


def plain(value: Any) -> Any:
    """Values as JSON can hold them, in a fixed order: sets sorted, the rest by its text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
