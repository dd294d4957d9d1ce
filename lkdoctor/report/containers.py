"""Which container runs which worker, and what it got: so that a dispatch's worker id leads to a container."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from lkdoctor.dispatch.facts import Fact
from lkdoctor.dispatch.machine import WORKER, Container, HostProcess
from lkdoctor.dispatch.model import Outcome, Stories
from lkdoctor.dispatch.worker_http import WorkerEndpoint
from lkdoctor.redact import mask
from lkdoctor.report.screen import Screen
from lkdoctor.report.words import agent

_ROOMS: Final = 20  # of one container; the newest


def rows(stories: Stories) -> list[dict[str, Any]]:
    """One for each container that runs a worker now, by what its own log and the server say."""
    found = [one for one in stories.facts.get(Container, []) if isinstance(one, Container)]
    return [_row(one, stories) for one in found if one.role == WORKER and one.running]


def _row(one: Container, stories: Stories) -> dict[str, Any]:
    # Its log holds earlier lives of it, too.
    runs = [run for run in stories.worker_runs if run.source.removesuffix(" (workers)") == one.log_source]
    run = runs[-1] if runs and one.log_source else None
    ids = [worker_id for _, worker_id in run.registered if worker_id] if run is not None else []
    jobs = {job.job_id for job in run.jobs if job.ran or job.assigned_at is not None} if run is not None else set()
    rooms: list[str] = []
    for dispatch in stories.dispatches:
        given = {
            launch.job_id
            for launch in dispatch.launches
            if launch.job_id and launch.outcome is Outcome.ASSIGNED and launch.worker_id in ids
        }
        jobs |= given
        rooms += [dispatch.room] if given else []
    counted = sum(each.jobs for each in stories.workers.values() if each.worker_id in ids)
    return {
        "name": one.name,
        "project": one.compose.project if one.compose is not None else None,
        "service": one.compose.service if one.compose is not None else None,
        "agent_name": run.agent_name if run is not None else None,
        "worker_id": ids[-1] if ids else None,
        "jobs": max(len(jobs), counted),
        "rooms": list(dict.fromkeys(rooms))[-_ROOMS:],
    }


def lines(found: Sequence[dict[str, Any]], screen: Screen) -> list[str]:
    """The section of the text report; nothing without containers."""
    if not found:
        return []
    table = [
        [
            one["name"],
            one["service"] or "",
            "?" if one["agent_name"] is None else agent(one["agent_name"]),
            one["worker_id"] or "?",
            f"{one['jobs']:,}",
            _last(one["rooms"]),
        ]
        for one in found
    ]
    heads = ["container", "service", "agent", "worker", "jobs", "in rooms"]
    return [
        screen.paint(f"Containers ({len(found):,})", "head"),
        *screen.table(heads, table, spare=["in rooms", "service", "agent"]),
    ]


def processes(facts: Mapping[type[Fact], Sequence[Fact]], screen: Screen) -> list[str]:
    """The workers among this machine's processes, each under the name that its own endpoint says; nothing without any."""
    found = [one for one in facts.get(HostProcess, []) if isinstance(one, HostProcess)]
    if not found:
        return []
    names = {one.found_in: one.agent_name for one in facts.get(WorkerEndpoint, []) if isinstance(one, WorkerEndpoint)}
    table = []
    for one in found:
        name = names.get(f"process {one.pid}")
        folder = f"{one.folder} (deleted)" if one.folder_gone else one.folder
        table.append([str(one.pid), "?" if name is None else agent(name), one.container, folder, mask(one.command)])
    heads = ["process", "agent", "in container", "folder", "command"]
    return [
        screen.paint(f"Processes ({len(found):,})", "head"),
        *screen.table(heads, table, spare=["command", "folder", "in container"]),
    ]


def _last(rooms: Iterable[str]) -> str:
    named = list(rooms)
    return ", ".join(named) if len(named) < 4 else f"{', '.join(named[-3:])} and {len(named) - 3} more"
