"""Sentences and small words of the text report, derived from the document."""

from __future__ import annotations

import re
from datetime import datetime

from lkdoctor.dispatch.facts import NAME_NOT_PRINTED
from lkdoctor.dispatch.model import READ_KINDS
from lkdoctor.report.json_v1 import Dispatch, Finding, Proof, Report, Source, Subject
from lkdoctor.report.many import bare
from lkdoctor.wording import counted

OWN = frozenset({"LKD901", "LKD902"})  # lkdoctor's own failures: no fault of the system that is looked at
_RANK = {"info": 10, "warning": 20, "error": 30}


def agent(name: str) -> str:
    """The agent name as it is shown; the unnamed worker has none."""
    return name or "(unnamed)"


def clock(at: str | None, *, date: bool = True) -> str:
    """`2026-01-02 03:04:05`, or the time of day alone; empty when unknown."""
    if at is None:
        return ""
    return at[:19].replace("T", " ") if date else at[11:19]


def took(seconds: float | None) -> str:
    """`0.20 s`; empty when unknown."""
    return "" if seconds is None else f"{seconds:.2f} s"


def where(one: Finding) -> str:
    """Its subject in words."""
    return subject_words(one.subject)


def subject_words(subject: Subject) -> str:
    """`agent "x" in room "y"`."""
    parts = []
    if subject.agent_name == NAME_NOT_PRINTED:
        parts.append("an agent whose name is not printed")
    elif subject.agent_name is not None:
        parts.append(f'agent "{subject.agent_name}"' if subject.agent_name else "the unnamed agent")
    if subject.room:
        parts.append(f'room "{subject.room}"')
    if parts:
        return " in ".join(parts)
    return f"{subject.kind} {subject.id}".strip()


def cited(one: Proof) -> str:
    """A proof line with its place: `server.log:7  not dispatching agent job …`."""
    return f"{one.source if one.line is None else f'{one.source}:{one.line}'}  {one.text}"


def open_question(one: Dispatch) -> bool:
    """True for a dispatch whose outcome stays open, and that somebody asked for (else nobody misses the agent)."""
    return one.outcome in {"unknown", "not-assigned"} and one.origin != "implicit"


def usable(one: Source) -> bool:
    """True for a source that something could be learned from."""
    return one.kind in READ_KINDS and not one.unusable


def counts(one: Finding, fail_on: str) -> bool:
    """True when this finding is one of those that the verdict rests on."""
    return one.code not in OWN and _RANK[one.severity] >= _RANK[fail_on] and one.confidence != "low"


def headline(report: Report) -> str:
    """The verdict in one sentence; after Ctrl-C that of what was read until then."""
    return f"Interrupted, so far: {_verdict(report)}" if report.run.interrupted else _verdict(report)


def _verdict(report: Report) -> str:
    if not any(usable(one) for one in report.sources):
        return f"Nothing could be looked at: {report.errors[0]}" if report.errors else "Nothing could be looked at."
    if report.verdict == "problems":
        guilty = [one for one in report.findings if counts(one, report.gate.fail_on)]
        worst = guilty[0]
        if len(guilty) == 1:
            return f"Fault found: {first_sentence(worst.message)}"
        return f"{len(guilty):,} faults found. The worst: {first_sentence(worst.message)}"
    if report.verdict == "inconclusive":
        undecided = [one for one in bare(report.dispatches) if open_question(one)]
        if report.run.interrupted and not undecided and not report.questions:
            return f"no fault found in {counted(report.totals.dispatches, 'dispatch', 'dispatches')}."
        if report.gaps and not undecided:
            return f"Cannot tell: {report.gaps[0]}"
        if not undecided and report.questions and not any(one.kind == "server_log" for one in report.sources):
            return f"Cannot tell: {first_sentence(report.questions[0].missing)} What to fetch stands below."
        if not undecided:
            return "Cannot tell: this log does not show how dispatches end. What to fetch stands below."
        return (
            f"Cannot tell: of {counted(report.totals.dispatches, 'dispatch', 'dispatches')}, {len(undecided):,} "
            f"{'stays' if len(undecided) == 1 else 'stay'} open with this evidence. What to fetch stands below."
        )
    if report.totals.dispatches == 0:
        if outside := _outside(report):
            return f"No fault found, and nothing to judge: {outside}"
        kinds = {one.kind for one in report.sources if usable(one)}
        if kinds.isdisjoint({"server_log", "worker_log", "api"}):
            return "No fault found."
        if "worker_log" in kinds and kinds.isdisjoint({"server_log", "api"}):
            return "No fault found, and nothing to judge: no worker in this evidence was asked for a job."
        if "server_log" not in kinds:
            return "No fault found, and nothing to judge: the server has no agent dispatches now."
        return "No fault found, and nothing to judge: no agent was dispatched in this evidence."
    return f"No fault found in {counted(report.totals.dispatches, 'dispatch', 'dispatches')}{_doubts(report)}."


def _doubts(report: Report) -> str:
    """What keeps "no fault found" from being the whole answer, as a part of that sentence."""
    young = sum(one.outcome == "pending" and bool(one.agent_name) for one in bare(report.dispatches))
    doubts = [f"{young:,} {'is' if young == 1 else 'are'} too young to judge"] if young else []
    if report.suppressed:
        doubts.append(f"{counted(len(report.suppressed), 'finding')} left out")
    if report.questions:
        doubts.append("what this evidence cannot tell stands below")
    return "".join(f"; {one}" for one in doubts)


def _outside(report: Report) -> str:
    """Why --since or --until leave nothing of the evidence to look at; empty when something is left."""
    since, until = report.gate.since, report.gate.until
    times = [at for one in report.sources if usable(one) for at in (one.first_at, one.last_at) if at]
    if times and since and since > max(times):
        return f"--since ({clock(since)} UTC) is after the evidence, which ends at {clock(max(times))} UTC."
    if times and until and until < min(times):
        return f"--until ({clock(until)} UTC) is before the evidence, which starts at {clock(min(times))} UTC."
    return ""


def first_sentence(message: str) -> str:
    """`message` up to the end of its first sentence: a full stop before a blank and a capital letter."""
    found = re.search(r"\.(?= [A-Z\"'`(])", message)
    return message[: found.end()] if found else message


def looked_at(report: Report) -> str:
    """How much the verdict rests on."""
    used = [one for one in report.sources if usable(one)]
    logs = [one for one in used if one.kind in {"server_log", "worker_log"}]
    known = [one.lines for one in logs if one.lines is not None]
    size = counted(sum(known), "line") if len(known) == len(logs) else f"{sum(one.bytes for one in logs) / 1e6:,.1f} MB"
    listed = list(dict.fromkeys(one.name for one in used))
    names = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
    times = [at for one in used for at in (one.first_at, one.last_at) if at]
    span = [size] if logs else []
    span += [_span(min(times), max(times))] if times else []
    totals = report.totals
    versions = sorted({*totals.server_versions, *(one.server_version for one in used if one.server_version)})
    starts = f" ({totals.server_starts:,} server starts)" if totals.server_starts > 1 else ""
    span += [f"livekit-server {' and '.join(versions)}{starts}"] if versions else []
    workers = [counted(totals.workers, "worker")] if logs else []  # no API lists workers
    counts = [counted(totals.rooms, "room"), *workers, counted(totals.dispatches, "dispatch", "dispatches")]
    if not any(one.kind in {"server_log", "worker_log", "api"} for one in used):
        counts = []  # a token or a connection shows no rooms, which is not the same as none
    parts = "; ".join(", ".join(some) for some in (span, counts) if some)
    return f"Looked at {names or 'nothing'}{': ' if parts else ''}{parts}."


def _span(first: str, last: str) -> str:
    same_day = first[:10] == last[:10]
    seconds = (datetime.fromisoformat(last[:19]) - datetime.fromisoformat(first[:19])).total_seconds()
    length = f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min" if seconds < 7200 else ""
    length = length or f"{seconds / 3600:.1f} h"
    return f"{clock(first)} to {clock(last, date=not same_day)} UTC ({length})"
