"""Makes the one report from stories and diagnosis: quotes the proof, masks every string, counts, judges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal, Protocol

from lkdoctor import __version__
from lkdoctor.dispatch import model
from lkdoctor.dispatch.facts import Place
from lkdoctor.doctor import finding as found
from lkdoctor.doctor import fingerprint, gate
from lkdoctor.doctor.engine import Diagnosis
from lkdoctor.redact import Redactor, of_this_run
from lkdoctor.report import json_v1 as doc
from lkdoctor.report import live, markers
from lkdoctor.report.many import Make, Many
from lkdoctor.report.suppress import LeftOut

LISTED = 10_000  # above it only dispatches at fault are listed, unless all are asked for
AT_ONCE = 1_000  # above it listed dispatches are made while they are written, to hold few of them
PROOF_OF_A_DISPATCH = 6
HEALTHY_AFTER = frozenset({None, model.After.JOINED, model.After.LEFT, model.After.ENDED})


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
Prepare = Callable[[Iterable[Place]], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked of the report; it changes what is shown and judged, never what is true."""

    fail_on: found.Severity = found.Severity.WARNING
    allow_inconclusive: bool = False
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    list_all: bool = False
    since: float | None = None  # Unix seconds, like `until`: what lies outside was not looked at
    until: float | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How the run went."""

    started_at: float
    seconds: float
    mode: Literal["offline", "read-only", "probe"] = "offline"
    interrupted: bool = False
    errors: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()  # what was asked for and could not be learned: silence there is no health
    url: str = ""  # of the live server that was asked
    credentials: Mapping[str, str] = field(default_factory=dict)  # url, key, secret -> where it came from
    suppressed: tuple[LeftOut, ...] = ()
    reminders: tuple[str, ...] = ()


def at_fault(one: model.Dispatch) -> bool:
    """True when the dispatch did not bring an agent, or cannot be told."""
    return one.outcome is not model.Outcome.ASSIGNED or one.after not in HEALTHY_AFTER


def build(
    stories: model.Stories,
    diagnosis: Diagnosis,
    *,
    resolve: Resolve,
    run: RunFacts,
    settings: Settings | None = None,
    redactor: Redactor | None = None,
    prepare: Prepare = lambda _: None,
) -> doc.Report:
    """The report of what the evidence tells, ready for any writer.

    Above `AT_ONCE` listed dispatches these are made only when they are looked at, and `resolve` is called some hundred times
    then; `prepare` is called once before with all places.
    """
    settings = settings or Settings()
    redactor = redactor or of_this_run()
    total = len(stories.dispatches) + sum(stories.folded.values())
    listed = stories.dispatches
    if total > LISTED and not settings.list_all:
        listed = [one for one in listed if at_fault(one)]
    listed = sorted(listed, key=_dispatch_order)
    left = [one.finding for one in run.suppressed]
    marks = fingerprint.published((*diagnosis.findings, *diagnosis.symptoms, *left))
    writer = _Writer(redactor, marks)
    writer.quote(resolve, _places(listed if len(listed) <= AT_ONCE else (), diagnosis, left))
    dispatches: Sequence[doc.Dispatch]
    if len(listed) <= AT_ONCE:
        dispatches = [writer.dispatch(one) for one in listed]
    else:
        dispatches = Many(listed, _maker(listed, resolve, prepare, redactor))
    findings = [writer.finding(one) for one in diagnosis.findings]
    by_outcome = dict(stories.folded)
    for one in stories.dispatches:
        by_outcome[one.outcome.value] = by_outcome.get(one.outcome.value, 0) + 1
    severities = [one.severity for one in diagnosis.findings]
    judged = gate.verdict(
        diagnosis.findings,
        stories.dispatches,
        settings.fail_on,
        questions=[one.open for one in diagnosis.questions],
        hides_info=stories.coverage.hides_info,
    )
    if judged == "healthy" and (run.errors or run.interrupted or run.gaps):
        judged = "inconclusive"  # lkdoctor failed, no input could be read, or not all of it was
    return doc.Report(
        tool=doc.Tool("lkdoctor", __version__),
        run=doc.Run(_required_time(run.started_at), round(run.seconds, 3), run.mode, run.interrupted),
        gate=doc.Gate(
            _severity(settings.fail_on),
            settings.allow_inconclusive,
            list(settings.select),
            list(settings.ignore),
            [writer.mask(one) for one in settings.rooms],
            [writer.mask(one) for one in settings.agents],
            iso(settings.since),
            iso(settings.until),
        ),
        sources=[writer.source(one) for one in stories.sources],
        verdict=judged,
        totals=doc.Totals(
            len(stories.rooms),
            len(stories.workers),
            total,
            len(listed),
            by_outcome,
            sorted({one.version for one in stories.runs if one.version}),
            sum(one.start_seen for one in stories.runs),
        ),
        workers=workers_of(stories, redactor),
        dispatches=dispatches,
        findings=findings,
        symptoms=[writer.finding(one) for one in diagnosis.symptoms],
        questions=[writer.question(one.code, one.open) for one in diagnosis.questions],
        checks=[
            doc.CheckResult(one.code.id, one.code.name, one.result.value, writer.mask(one.reason))
            for one in diagnosis.outcomes
        ],
        suppressed=[writer.suppressed(one) for one in run.suppressed],
        summary=doc.Summary(
            severities.count(found.Severity.ERROR),
            severities.count(found.Severity.WARNING),
            severities.count(found.Severity.INFO),
            len(diagnosis.questions),
        ),
        errors=[writer.mask(one) for one in run.errors],
        gaps=[writer.mask(one) for one in run.gaps],
        reminders=[writer.mask(one) for one in run.reminders],
        credentials={what: writer.mask(origin) for what, origin in run.credentials.items()},
        markers=markers.rows(stories, redactor),
        **live.sections(stories, run.url, redactor),
    )


def workers_of(stories: model.Stories, redactor: Redactor | None = None) -> list[doc.Worker]:
    """Every registration, oldest first."""
    writer = _Writer(redactor or of_this_run())
    return [writer.worker(one) for one in sorted(stories.workers.values(), key=_worker_order)]


def _maker(listed: Sequence[model.Dispatch], resolve: Resolve, prepare: Prepare, redactor: Redactor) -> Make:
    prepared = False

    def make(some: Sequence[model.Dispatch], proved: bool) -> list[doc.Dispatch]:
        nonlocal prepared
        writer = _Writer(redactor)
        if proved:
            if not prepared:
                prepare(place for one in listed for place in proof_of(one))
                prepared = True
            writer.quote(resolve, (place for one in some for place in proof_of(one)))
        return [writer.dispatch(one) for one in some]

    return make


def _places(
    dispatches: Iterable[model.Dispatch], diagnosis: Diagnosis, left: Iterable[found.Finding]
) -> Iterable[Place]:
    for one in dispatches:
        yield from proof_of(one)
    for finding in (*diagnosis.findings, *diagnosis.symptoms, *left):
        yield from finding.proof
    for question in diagnosis.questions:
        yield from question.open.proof


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
    return None if at is None else _required_time(at)


def _required_time(at: float) -> str:
    moment = datetime.fromtimestamp(round(at, 3), timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _severity(one: found.Severity) -> doc.Severity:
    words: dict[found.Severity, doc.Severity] = {
        found.Severity.ERROR: "error",
        found.Severity.WARNING: "warning",
        found.Severity.INFO: "info",
    }
    return words[one]


def _level(one: int) -> Literal["high", "medium", "low"]:
    return "high" if one >= 3 else "medium" if one == 2 else "low"


def _worker_order(one: model.WorkerSession) -> tuple[float, str]:
    since = one.registered_at if one.registered_at is not None else one.first_seen_at
    return (since if since is not None else 0.0, one.worker_id)


def _dispatch_order(one: model.Dispatch) -> tuple[float, str, str, str, str]:
    deciding = one.deciding  # CreateDispatch is not logged everywhere: then only the end of it has a time
    times = (one.asked_at, deciding.ended_at if deciding else None)
    at = next((time for time in times if time is not None), 0.0)
    return (at, one.room, one.agent_name, one.dispatch_id or "", one.room_id)


class _Writer:
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
        values: dict[str, Any] = self._mask_all(_plain(dict(one.values)))
        return doc.Finding(
            code=one.code.id,
            name=one.code.name,
            severity=_severity(one.severity),
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
            severity=_severity(one.severity),
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


def _plain(value: Any) -> Any:
    """Values as JSON can hold them, in a fixed order: sets sorted, the rest by its text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
