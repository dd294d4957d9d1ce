"""A batch of conversations as text and as JSON (`lkdoctor.conversations/v1`)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lkdoctor.collect.snapshot.case_file import CaseFile
    from lkdoctor.worker.batch import Batch
    from lkdoctor.worker.results import Conversation

_ROWS: Final = 25
"""So many rows are shown; of a larger batch only the conversations that failed, and the totals."""


def document(batch: Batch) -> dict[str, Any]:
    """The whole batch; times in seconds."""
    from lkdoctor.worker.results import totals

    wish, cores = batch.wish, os.cpu_count() or 1
    share = batch.worker_cpu / (batch.seconds * cores) if batch.seconds else None
    return {
        "schema": "lkdoctor.conversations/v1",
        "server": batch.target.url,
        "run": {
            "id": batch.run_id,
            "shape": wish.shape,
            "asked": wish.conversations,
            "parallel": wish.parallel,
            "seconds": batch.seconds,
            "interrupted": batch.interrupted,
            "proven": wish.proven,
        },
        "workers": {
            "cpu_seconds": batch.worker_cpu,
            "cpus": cores,
            "share_of_machine": round(share, 3) if share is not None else None,
        },
        "totals": totals(batch.done),
        "conversations": [one.document() for one in batch.done],
        "left_over": batch.left_over,
    }


def as_json(content: dict[str, Any]) -> bytes:
    """As it is printed and written, masked."""
    from lkdoctor.redact import of_this_run

    return (json.dumps(of_this_run().mask_all(content), indent=1, ensure_ascii=False) + "\n").encode()


def finish(case: CaseFile, batch: Batch) -> None:
    """Puts the case into its place."""
    from lkdoctor.redact import mask

    live = {"url": mask(batch.target.url), "origins": dict(batch.target.origins)}
    case.finish(mode="conversations", interrupted=batch.interrupted, live=live, gaps=[])


def status(batch: Batch) -> int:
    """0: all conversations went well; 1: one did not; 130: interrupted."""
    if batch.interrupted:
        return 130
    return 0 if all(one.outcome == "ok" for one in batch.done) and batch.done else 1


def as_text(batch: Batch, content: dict[str, Any]) -> bytes:
    """The table and the totals."""
    from tabulate import tabulate

    from lkdoctor.redact import mask

    shown = [one for one in batch.done if len(batch.done) <= _ROWS or one.outcome != "ok"]
    lines = []
    if shown:
        heads = ["room", "joined", "after", "heard", "round trip", "result"]
        lines += [tabulate([_row(one) for one in shown], heads, tablefmt="simple", disable_numparse=True), ""]
    sums, run = content["totals"], content["run"]
    lines.append(
        f"{sums['ok']} of {run['asked']} conversations went well (shape {run['shape']}, {run['parallel']} at once, "
        f"{run['seconds']:g} s){', interrupted' if run['interrupted'] else ''}."
    )
    if run["proven"]:
        lines.append(
            f"{sums['words']} words came back exactly; {sums['said']} times something was said, {sums['heard']} times heard; "
            f"{sums['lost']} tries got no answer, {sums['wrong']} wrong words."
        )
    if sums["joined_median"] is not None:
        lines.append(
            f"Session after the dispatch: median {sums['joined_median']:.2f} s, 95 % {sums['joined_p95']:.2f} s."
        )
    if sums["round_trip_median"] is not None:
        trips = f"median {sums['round_trip_median']:.2f} s, 95 % {sums['round_trip_p95']:.2f} s"
        lines.append(f"A word there and back: {trips}.")
    for outcome, count in sums["failed"].items():
        code = next(one["code"] for one in content["conversations"] if one["outcome"] == outcome)
        lines.append(f"{count} failed: {f'{code} ' if code else ''}{outcome}")
    if content["workers"]["share_of_machine"] is not None:
        share = content["workers"]["share_of_machine"]
        lines.append(f"The workers took {share:.0%} of this machine's {content['workers']['cpus']} CPUs.")
    return mask("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _row(one: Conversation) -> list[str]:
    first, partner = one.sides
    joined = ", ".join(side.role for side in one.sides if side.asked_to_session is not None) or "nobody"
    times = [side.asked_to_session for side in one.sides if side.asked_to_session is not None]
    heard = f"{partner.role} {len(set(partner.heard))}, {first.role} {len(set(first.heard))} of {len(one.lines)}"
    trip = f"{max(one.round_trips):.2f} s" if one.round_trips else "-"
    result = (
        one.outcome if one.outcome == "ok" else f"{one.document()['code'] or ''} {one.outcome}: {one.reason}".strip()
    )
    return [one.room, joined, f"{max(times):.2f} s" if times else "-", heard, trip, result]
