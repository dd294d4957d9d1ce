"""Makes the one report from stories and diagnosis: chooses what is listed, counts, judges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

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
from lkdoctor.report.rows import Resolve, Rows, iso, proof_of, required_time, severity
from lkdoctor.report.suppress import LeftOut

Prepare = Callable[[Iterable[Place]], None]

LISTED = 10_000  # above it only dispatches at fault are listed, unless all are asked for
AT_ONCE = 1_000  # above it listed dispatches are made while they are written, to hold few of them
HEALTHY_AFTER = frozenset({None, model.After.JOINED, model.After.LEFT, model.After.ENDED})


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
    rows = Rows(redactor, marks)
    rows.quote(resolve, _places(listed if len(listed) <= AT_ONCE else (), diagnosis, left))
    dispatches: Sequence[doc.Dispatch]
    if len(listed) <= AT_ONCE:
        dispatches = [rows.dispatch(one) for one in listed]
    else:
        dispatches = Many(listed, _maker(listed, resolve, prepare, redactor))
    findings = [rows.finding(one) for one in diagnosis.findings]
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
        run=doc.Run(required_time(run.started_at), round(run.seconds, 3), run.mode, run.interrupted),
        gate=doc.Gate(
            severity(settings.fail_on),
            settings.allow_inconclusive,
            list(settings.select),
            list(settings.ignore),
            [rows.mask(one) for one in settings.rooms],
            [rows.mask(one) for one in settings.agents],
            iso(settings.since),
            iso(settings.until),
        ),
        sources=[rows.source(one) for one in stories.sources],
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
        symptoms=[rows.finding(one) for one in diagnosis.symptoms],
        questions=[rows.question(one.code, one.open) for one in diagnosis.questions],
        checks=[
            doc.CheckResult(one.code.id, one.code.name, one.result.value, rows.mask(one.reason))
            for one in diagnosis.outcomes
        ],
        suppressed=[rows.suppressed(one) for one in run.suppressed],
        summary=doc.Summary(
            severities.count(found.Severity.ERROR),
            severities.count(found.Severity.WARNING),
            severities.count(found.Severity.INFO),
            len(diagnosis.questions),
        ),
        errors=[rows.mask(one) for one in run.errors],
        gaps=[rows.mask(one) for one in run.gaps],
        reminders=[rows.mask(one) for one in run.reminders],
        credentials={what: rows.mask(origin) for what, origin in run.credentials.items()},
        markers=markers.rows(stories, redactor),
        **live.sections(stories, run.url, redactor),
    )


def workers_of(stories: model.Stories, redactor: Redactor | None = None) -> list[doc.Worker]:
    """Every registration, oldest first."""
    rows = Rows(redactor or of_this_run())
    return [rows.worker(one) for one in sorted(stories.workers.values(), key=_worker_order)]


def _maker(listed: Sequence[model.Dispatch], resolve: Resolve, prepare: Prepare, redactor: Redactor) -> Make:
    prepared = False

    def make(some: Sequence[model.Dispatch], proved: bool) -> list[doc.Dispatch]:
        nonlocal prepared
        rows = Rows(redactor)
        if proved:
            if not prepared:
                prepare(place for one in listed for place in proof_of(one))
                prepared = True
            rows.quote(resolve, (place for one in some for place in proof_of(one)))
        return [rows.dispatch(one) for one in some]

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


def _worker_order(one: model.WorkerSession) -> tuple[float, str]:
    since = one.registered_at if one.registered_at is not None else one.first_seen_at
    return (since if since is not None else 0.0, one.worker_id)


def _dispatch_order(one: model.Dispatch) -> tuple[float, str, str, str, str]:
    deciding = one.deciding  # CreateDispatch is not logged everywhere: then only the end of it has a time
    times = (one.asked_at, deciding.ended_at if deciding else None)
    at = next((time for time in times if time is not None), 0.0)
    return (at, one.room, one.agent_name, one.dispatch_id or "", one.room_id)
