"""The application's own markers, job by job: which process logged them, which did not, and where its log is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from lkdoctor.dispatch.model import Outcome, Stories
from lkdoctor.dispatch.worker_facts import DeclaredMarker
from lkdoctor.dispatch.worker_model import Marks, WorkerJob
from lkdoctor.redact import Redactor
from lkdoctor.report.screen import Screen

MOST: Final = 10_000  # jobs in the document
SHOWN: Final = 40  # jobs on a screen without -v


def rows(stories: Stories, redactor: Redactor) -> list[dict[str, Any]]:
    """One row for each job of the rooms in which a marker stands, and one for each log whose markers name no job.

    Where markers are declared every job has its row: an empty one says that its process logged none of them.
    """
    declared = any(issubclass(kind, DeclaredMarker) for kind in stories.facts)
    sides = {job.job_id: job for run in stories.worker_runs for job in run.jobs}
    rooms = {job.room_id or job.room for job in sides.values() if job.marks}
    found: list[dict[str, Any]] = []
    told: set[str] = set()
    for dispatch in stories.dispatches:
        launch = dispatch.deciding
        if launch is None or not launch.job_id or launch.outcome is not Outcome.ASSIGNED:
            continue
        job = launch.worker_side or sides.get(launch.job_id)
        if declared or (job is not None and job.marks) or (dispatch.room_id or dispatch.room) in rooms:
            told.add(launch.job_id)
            worker_id, log = launch.worker_id or "", None if job is None else job.run.source
            marks = [] if job is None else _side(job)
            found.append(_row(dispatch.room, dispatch.agent_name, launch.job_id, worker_id, log, marks, redactor))
    found += [
        _row(job.room, job.name, job.job_id, job.worker_id, job.run.source, _side(job), redactor)
        for job in sides.values()
        if job.marks and job.job_id not in told
    ]
    found += [
        _row("", run.name, "", "", run.source, _marks(run.marks, dated=run.dated, of_job=False), redactor)
        for run in stories.worker_runs
        if run.marks
    ]
    return sorted(found, key=lambda one: (not one["room"], one["room"], one["agent_name"], one["job_id"]))[:MOST]


def _side(job: WorkerJob) -> list[dict[str, Any]]:
    return _marks(job.marks, dated=job.run.dated, of_job=True)


def _marks(marks: Mapping[str, Marks], *, dated: bool, of_job: bool) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "count": one.count,
            "first_at": _iso(one.first_at) if dated else None,
            "last_at": _iso(one.last_at) if dated else None,
            "of_job": of_job,
            "names_job": one.named,
            "source": one.places[0].source if one.places else "",
            "offsets": [place.offset for place in one.places],
        }
        for name, one in marks.items()
    ]


def _row(
    room: str, agent_name: str, job_id: str, worker_id: str, log: str | None, marks: list[dict[str, Any]],
    redactor: Redactor,
) -> dict[str, Any]:  # fmt: skip
    found: dict[str, Any] = redactor.mask_all(
        {"room": room, "agent_name": agent_name, "job_id": job_id, "worker_id": worker_id, "log": log, "marks": marks}
    )
    return found


def _iso(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lines(screen: Screen, markers: Sequence[Mapping[str, Any]], *, verbose: bool = False) -> list[str]:
    """The section of the report for people; empty without any marker."""
    if not markers:
        return []
    shown = markers if verbose else markers[:SHOWN]
    text = [screen.paint("Markers of the application", "head")]
    room: str | None = None
    for one in shown:
        if one["room"] != room and one["job_id"]:
            room = one["room"]
            text += screen.wrap(f"room {room or '(not printed)'}", "  ", "    ", style="dim")
        text += screen.wrap(f"{_who(one)}: {_told(one)}", "    ", "      ")
    if len(shown) < len(markers):
        text.append(screen.paint(f"  … and {len(markers) - len(shown):,} more; -v shows them", "dim"))
    return text


def _who(one: Mapping[str, Any]) -> str:
    if not one["job_id"]:
        return f"{one['log']}, lines that name no job"
    name = f'"{one["agent_name"]}"' if one["agent_name"] else "unnamed agent"
    log = one["log"]
    return f"{name} {one['job_id']}" + (f" ({log})" if log else "")


def _told(one: Mapping[str, Any]) -> str:
    if one["log"] is None:
        which = f"that says `registered worker` with id {one['worker_id']}" if one["worker_id"] else "of its worker"
        return f"not known, its worker's log is not in the evidence: add the one {which}"
    if not one["marks"]:
        return "none; its process logged no marker here, so it logs elsewhere, or did not come that far"
    return "; ".join(_mark(mark) for mark in one["marks"])


def _mark(mark: Mapping[str, Any]) -> str:
    times = f" {mark['count']:,} times" if mark["count"] > 1 else ""
    span: Iterable[str | None] = dict.fromkeys((mark["first_at"], mark["last_at"]))
    at = " to ".join(one[11:19] for one in span if one)
    sure = "" if mark["names_job"] or not mark["of_job"] else " (by time: no other job was open)"
    name = mark["name"] if mark["name"].startswith("[") else f'"{mark["name"]}"'
    return f"{name}{times}{f' at {at}' if at else ''}{sure}"
