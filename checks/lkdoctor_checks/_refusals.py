"""What the checks of refused workers share: who was there at a refusal for want of headroom, and a fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lkdoctor.dispatch.model import Dispatch, Outcome, WorkerSession
from lkdoctor.doctor.evidence import Dispatches, Workers
from lkdoctor.doctor.finding import Fix
from lkdoctor_checks import _words as words

SOON: Final = 1.0  # s between a worker's own line and the server's knowledge of it


def refused(dispatches: Dispatches, workers: Workers) -> Iterator[tuple[Dispatch, float, list[WorkerSession]]]:
    """Each dispatch refused for want of headroom, its moment (Unix seconds), and the workers of its name that were there.

    A refusal at which nobody was there, or of an unknown moment, tells nothing of workers and is left out.
    """
    for one in dispatches.ended(Outcome.NO_HEADROOM):
        at = words.asked(one)
        there = words.alive(workers.named(one.agent_name), at)
        if at is not None and there and words.wanted(one):
            yield one, at, there


def start_before_stop() -> Fix:
    """A deploy in which no moment is without a worker that takes jobs."""
    return Fix(
        "Start the new worker before the old one stops",
        steps=("Wait for `worker registered` of the new worker, then send SIGTERM to the old one.",),
        verify=("No refusal between `worker registered` of the new and `closing worker` of the old one.",),
    )
