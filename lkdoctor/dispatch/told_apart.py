"""Tells requests apart that a log alone leaves open (`alike`): ListDispatch shows which dispatch has which job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from lkdoctor.dispatch import alike, rules
from lkdoctor.dispatch.model import Dispatch, Origin, Outcome, Room, WorkerSession
from lkdoctor.dispatch.samples import Seen

LISTED_BY: Final = rules.SETTLE + 0.5  # s after its making a dispatch that brought an agent lists the job
SAME_REQUEST: Final = 2.0  # s between a log line and `created_at` of one dispatch (one clock, the server's)


def tell_apart(
    room: Room,
    listed: Iterable[Seen],
    workers: Callable[[str], Iterable[WorkerSession]],
    server: Callable[[float], float],
) -> None:
    """Give each request that could be another one's the dispatch id and the job that the API lists for it.

    Args:
        room: a room that `alike` has settled by its log.
        listed: the dispatches that the API showed in it.
        workers: the worker sessions of an agent name.
        server: a time of the asking machine on the server's clock.
    """
    known: dict[int, alike.Known] = {}
    listed = sorted(listed, key=lambda one: one.info.created or one.first_at)
    for group in alike.left_open(room):
        pairs = _matched(group, [one for one in listed if one.info.agent_name == group[0].agent_name])
        if not pairs:
            continue
        alike.reopen(group)
        for dispatch, seen in pairs:
            dispatch.dispatch_id = seen.info.id
            jobs = frozenset(job.id for job in seen.info.state.jobs if job.id)
            if jobs or jobless(seen, server):
                known[id(dispatch)] = alike.Known(jobs)
        _move(group, known)
    alike.settle(room, workers, known)


def jobless(seen: Seen, server: Callable[[float], float]) -> bool:
    """Was it listed without a job when a job must have shown? The list lags."""
    at, created = seen.no_job_at, seen.info.created
    if at is None:
        return False
    return at - seen.first_at >= LISTED_BY or (created is not None and server(at) - created >= LISTED_BY)


def _matched(group: Sequence[Dispatch], listed: Sequence[Seen]) -> list[tuple[Dispatch, Seen]]:
    """Requests and entries one by one, in the order of their making; none unless every one has its entry."""
    pairs: list[tuple[Dispatch, Seen]] = []
    for deployment in sorted({one.deployment for one in group} | {one.info.deployment for one in listed}):
        # what is named when a room is made stands in its list before anything that a call adds
        asked = sorted(
            (one for one in group if one.deployment == deployment),
            key=lambda one: (one.origin is Origin.API, one.asked_at or 0.0),
        )
        entries = [one for one in listed if one.info.deployment == deployment]
        if len(asked) != len(entries):
            return []
        pairs += zip(asked, entries, strict=True)
    if any(
        one.asked_at is not None and seen.info.created is not None and abs(one.asked_at - seen.info.created) > SAME_REQUEST
        for one, seen in pairs
    ):  # fmt: skip
        return []
    return pairs


def _move(group: Sequence[Dispatch], known: Mapping[int, alike.Known]) -> None:
    """Bring each job to the request that lists it, and what ended without a job to those that list none."""
    for one in group:
        listed = known.get(id(one))
        if listed is None:
            continue
        if listed.jobs and not _jobs(one) & listed.jobs:
            held = next((other for other in group if _jobs(other) & listed.jobs), None)
            if held is None and one.outcome is not Outcome.REJECTED_TERMINALLY:
                # the job that no line tells of: the server says nothing of a terminal reject
                held = next((other for other in group if other.outcome is Outcome.REJECTED_TERMINALLY), None)
            if held is not None:
                alike.swap(one, held)


def _jobs(one: Dispatch) -> frozenset[str]:
    return frozenset(launch.job_id for launch in one.launches if launch.job_id and launch.outcome is Outcome.ASSIGNED)
