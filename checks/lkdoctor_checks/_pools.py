"""Workers that share one key at the same time: who they are, who gets the jobs, and which SDK versions they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.model import Dispatch, Launch, WorkerSession
from lkdoctor.dispatch.versions import oldest_first
from lkdoctor.doctor.evidence import ServerRuns, Workers
from lkdoctor_checks import _words as words

RECONNECT = 2.0  # an overlap this short is one worker coming back, not two workers
ROLLOUT = 300.0  # a rolling deploy runs two versions side by side about this long
UNLIKELY = 0.05  # below this chance, "never gets a job" is more than bad luck


def pools(workers: Workers, runs: ServerRuns) -> Iterator[tuple[str, list[WorkerSession]]]:
    """Sessions of one key that were open together with another of the key, by agent name and in order of time."""
    last = words.end_of(runs)
    # Nodes without redis share no workers, and of a log that begins late nobody can tell.
    shared = {run.stream for run in runs if run.redis}
    keys: dict[tuple[str, str, str, str, str], list[WorkerSession]] = {}
    for one in workers:
        if one.agent_name is not None and not one.refused:
            # A deployment that no line shows counts as the default one: it is shown only when the session ends.
            key = (
                one.agent_name,
                one.namespace,
                one.job_type,
                one.deployment or "",
                "" if one.stream in shared else one.stream,
            )
            keys.setdefault(key, []).append(one)
    for key in sorted(keys):
        group = sorted(keys[key], key=lambda one: (one.registered_at or 0.0, one.worker_id))
        rivals: set[str] = set()
        for index, one in enumerate(group):
            for other in group[index + 1 :]:
                if one.closed_at is not None and (other.registered_at or 0.0) >= one.closed_at:
                    break  # sorted by their start: the rest came later still
                if _rivals(one, other, last):
                    rivals |= {one.worker_id, other.worker_id}
        if rivals:
            yield key[0], [one for one in group if one.worker_id in rivals]


def _rivals(one: WorkerSession, other: WorkerSession, last: float | None) -> bool:
    """Were both there at once, and not as one worker that reconnects: its old socket closes within 2 s?"""
    both_open = one.closed_at is None and other.closed_at is None
    return both_open or together(one, other, last) > RECONNECT


def together(one: WorkerSession, other: WorkerSession, last: float | None) -> float:
    """Seconds for which both sessions were open."""
    since, until = _shared(one, other, last)
    return max(0.0, until - since)


def _shared(one: WorkerSession, other: WorkerSession, last: float | None) -> tuple[float, float]:
    """From when to when both were open, as far as the evidence reaches."""
    end = last if last is not None else 0.0
    starts = [each.registered_at if each.registered_at is not None else each.first_seen_at for each in (one, other)]
    ends = [each.closed_at if each.closed_at is not None else end for each in (one, other)]
    return max(at or 0.0 for at in starts), min(ends)


def starved(
    pool: Sequence[WorkerSession], jobs: Sequence[tuple[Dispatch, Launch]]
) -> list[tuple[WorkerSession, float]]:
    """Workers that were never asked, with the chance of that under equal shares, when it is below 5 %."""
    found = []
    by_id = {one.worker_id: one for one in pool}
    for one in pool:
        if one.jobs or one.asked or one.declined or one.timeouts:
            continue
        chance = 1.0
        for _, launch in jobs:
            taker = by_id.get(launch.worker_id or "")
            at = launch.ended_at or 0.0
            # Another node's job says nothing: between nodes the roomier one wins each time.
            if taker is None or taker.stream != one.stream or not one.alive_at(at):
                continue
            rivals = sum(1 for each in pool if each.stream == one.stream and each.alive_at(at))
            chance *= 1 - 1 / max(2, rivals)
        if chance <= UNLIKELY:
            found.append((one, chance))
    return found


def mixed_versions(
    pool: Sequence[WorkerSession], jobs: Sequence[tuple[Dispatch, Launch]], last: float | None
) -> list[str]:
    """SDK versions that work side by side as no rollout has them: empty when there are none.

    In a rollout both versions are open for a moment, and the old worker gets no job once it is told to stop. Two jobs or
    more for each of them in their shared time, or one for each in a shared time of minutes, is a split.
    """
    found: set[str] = set()
    for one in pool:
        for other in pool:
            if not one.sdk or not other.sdk or one.sdk == other.sdk:
                continue
            since, until = _shared(one, other, last)
            if until <= since:
                continue
            takers = [launch.worker_id for _, launch in jobs if since <= (launch.ended_at or 0.0) <= until]
            each = min(takers.count(one.worker_id), takers.count(other.worker_id))
            if each > 1 or (each and until - since > ROLLOUT):
                found.update((one.sdk, other.sdk))
    return oldest_first(found)


def shares(pool: Sequence[WorkerSession]) -> str:
    """`AW_a 3 jobs, AW_b none`; with the log of its own where there is one, which says where it runs."""
    return words.listed(
        f"{one.worker_id}{_own_log(one)} {words.counted(one.jobs, 'job') if one.jobs else 'no job'}"
        f" (since {words.clock(one.registered_at)})"
        for one in pool
    )


def _own_log(one: WorkerSession) -> str:
    return f" ({one.run.source.rpartition('/')[2]})" if one.run is not None else ""


def described(one: WorkerSession) -> dict[str, object]:
    """A worker as the finding's values show it."""
    return {
        "worker_id": one.worker_id,
        "sdk": one.sdk,
        "registered_at": one.registered_at,
        "closed_at": one.closed_at,
        "jobs": one.jobs,
        "node": one.stream,
    }
