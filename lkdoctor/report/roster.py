"""The roster of workers: the table of `check`, and the whole text of `lkdoctor workers`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lkdoctor.dispatch.model import Stories
from lkdoctor.dispatch.worker_http import WorkerEndpoint
from lkdoctor.redact import of_this_run
from lkdoctor.report import containers, live
from lkdoctor.report.build import workers_of
from lkdoctor.report.json_v1 import Worker
from lkdoctor.report.rows import iso
from lkdoctor.report.screen import Screen
from lkdoctor.report.words import agent, clock
from lkdoctor.wording import counted


def worker_table(workers: Sequence[Worker], screen: Screen) -> list[str]:
    """One row a registration."""
    days = {(at or "")[:10] for one in workers for at in (one.registered_at, one.closed_at) if at}
    rows = [
        [
            "?" if one.agent_name is None else agent(one.agent_name),
            one.worker_id,
            one.job_type.removeprefix("JT_"),
            one.deployment or "",
            one.sdk or "",
            clock(one.registered_at, date=len(days) > 1) or "before the log",
            clock(one.closed_at, date=len(days) > 1) or "still there",
            f"{one.jobs:,}",
        ]
        for one in workers
    ]
    heads = ["agent", "worker", "type", "deployment", "sdk", "since (UTC)", "until (UTC)", "jobs"]
    return screen.table(heads, rows, spare=["sdk", "type", "since (UTC)", "deployment", "until (UTC)"])


def lines(stories: Stories, screen: Screen, at: float | None = None) -> list[str]:
    """The roster over the whole evidence, or of the moment `at` (Unix seconds)."""
    everyone = workers_of(stories)
    known = [one for one in everyone if not stories.workers[one.worker_id].refused]
    if at is not None:
        known = [one for one in known if stories.workers[one.worker_id].alive_at(at)]
    when = f" at {clock(iso(at))} UTC" if at is not None else ""
    what = counted(len(known), "registration") if at is None else counted(len(known), "worker") + " registered"
    logs = any(one.kind in {"server_log", "worker_log"} and not one.unusable for one in stories.sources)
    head = f"{what}{when or ' in this evidence'}."
    text = screen.wrap(head if logs else "No log of a server or a worker, so no registration is shown.", style="head")
    if known:
        text += ["", *worker_table(known, screen)]
    notes = []
    first, last = stories.first_at, stories.last_at
    if at is not None and first is not None and last is not None and not first <= at <= last:
        notes.append(f"The evidence covers {clock(iso(first))} to {clock(iso(last))} UTC only.")
    refused = [one for one in stories.workers.values() if one.refused]
    notes += [f"{one.worker_id} was refused: {one.refused}" for one in refused]
    notes += stories.coverage.reasons
    for note in notes:
        text += screen.wrap(note, "note: ", style="")
    redactor = of_this_run()
    asked = [redactor.mask_all(msgspec.to_builtins(one)) for one in stories.facts.get(WorkerEndpoint, [])]
    for section in (
        containers.lines(redactor.mask_all(containers.rows(stories)), screen),
        containers.processes(stories.facts, screen),
        live.endpoints(asked, screen),
    ):
        text += ["", *section] if section else []
    return text
