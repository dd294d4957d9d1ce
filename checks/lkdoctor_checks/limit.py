"""Does the server's limit itself, or one broken load value, refuse everything?"""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, Outcome, ServerRun, WorkerSession
from lkdoctor.doctor.codes import LIMIT_ZERO, LOAD_NOT_A_NUMBER
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

ENOUGH_REFUSALS = 5
ENOUGH_KEYS = 2
NAN_REFUSALS = 2


@check(LIMIT_ZERO)
def limit_zero(dispatches: Dispatches, workers: Workers, runs: ServerRuns) -> Iterator[Finding | Inconclusive]:
    """In the whole life of the server nothing was ever assigned, everything was refused for want of headroom.

    ## What it means
    `agents.target_load: 0` in livekit.yaml (1.11.0 and later) makes the server refuse every worker at every load, load
    0 included. It reads like "no load allowed yet" or "off", and it switches all agents off. No worker can mend it.

    ## How it is decided
    At least five refusals for want of headroom, of two or more agent names or against two or more workers, and not one
    assignment or question to any worker in the same run of the server. The log does not hold the setting, so this is a
    suggestion (low confidence); livekit.yaml proves it. On servers before 1.11.0, which do not know the key, it is
    never said. Seen on 1.13.5 and 1.11.0.

    ## How to fix
    Take the key out of livekit.yaml, or set it between 0.5 and 1, and restart the server.

    ## When it is not a problem
    A machine that is simply too busy, with all workers on it, looks the same in a short log. One assignment is enough to
    rule the limit out.
    """
    for run, mine in _by_run(dispatches, runs):
        if rules.since(run.version, rules.parse_version("1.11.0") or (1, 11, 0)) is False:
            continue
        refused = [one for one in mine if one.came_to is Outcome.NO_HEADROOM]
        if len(refused) < ENOUGH_REFUSALS or any(_was_asked(one) for one in mine):
            continue
        names = sorted({one.agent_name for one in refused})
        there = {
            each.worker_id for one in refused for each in words.alive(workers.named(one.agent_name), words.asked(one))
        }
        if max(len(names), len(there)) < ENOUGH_KEYS:
            continue
        first, last = words.when(refused)
        yield Finding(
            LIMIT_ZERO,
            Subject("server", id=run.node_id),
            f"The server refused all {len(refused)} dispatches for want of headroom "
            f"({words.listed(words.quoted(name) for name in names)}) and never asked a worker: `agents.target_load: 0` "
            "in livekit.yaml does exactly that.",
            LIMIT_ZERO.severity,
            Confidence.LOW,
            {"agent_names": names, "workers": sorted(there)[:20], "server_version": run.version},
            words.proof_of(refused),
            (
                Fix(
                    "Look at agents.target_load in livekit.yaml",
                    steps=("If it is 0 or negative, take it out (default 0.7) and restart the server.",),
                    verify=("The next dispatch ends with `assigned job to worker`.",),
                ),
            ),
            count=len(refused),
            first_at=first,
            last_at=last,
        )


def _by_run(dispatches: Dispatches, runs: ServerRuns) -> Iterator[tuple[ServerRun, list[Dispatch]]]:
    """Each run with the dispatches that ended on its node during its life."""
    by_stream: dict[str | None, list[tuple[float, Dispatch]]] = {}
    for one in dispatches:
        launch, at = one.deciding, words.asked(one)
        if launch is not None and at is not None:
            by_stream.setdefault(launch.node, []).append((at, one))
    for listed in by_stream.values():
        listed.sort(key=lambda pair: pair[0])
    for run in runs:
        mine = []
        for stream in (run.stream, None):  # None: rejected for good or still open, which no line tells
            listed = by_stream.get(stream, [])
            start = 0 if run.first_at is None else bisect.bisect_left(listed, run.first_at, key=lambda pair: pair[0])
            stop = (
                len(listed)
                if run.last_at is None
                else bisect.bisect_right(listed, run.last_at, key=lambda pair: pair[0])
            )
            mine += [one for _, one in listed[start:stop]]
        yield run, mine


def _was_asked(one: Dispatch) -> bool:
    """Was any worker asked for any launch of this dispatch? Only a worker with headroom is."""
    asked = (Outcome.ASSIGNED, Outcome.DECLINED, Outcome.ANSWER_TIMEOUT, Outcome.REJECTED_TERMINALLY)
    return any(launch.outcome in asked or launch.asked_workers or launch.worker_id for launch in one.launches)


@check(LOAD_NOT_A_NUMBER)
def load_not_a_number(dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """As long as one particular worker was registered, every dispatch of its name was refused; before and after, not.

    ## What it means
    The server adds up the headroom of all workers of a name on a node. If one of them reports a load that is not a
    number (0/0 in a load function, a CPU list that is empty), the sum is not a number either, and the server refuses
    the name for **all** its workers. The healthy ones look idle and get nothing.

    ## How it is decided
    Two or more refusals for want of headroom, all of them within the life of one session that never got a job; and no
    job of the name was assigned during that life, while another worker of the name, open all the time, got jobs before
    it came and again after it had left. The value itself is never in the server's log, so the confidence is medium.
    That NaN has this effect was seen on 1.8.4, 1.9.12, 1.11.0 and 1.13.5.

    ## How to fix
    Stop that worker, and make its load function return a number between 0 and 1. In Node, SDKs before 1.0.49 divide by
    the number of CPUs that `os.cpus()` lists, which is zero in some sandboxes.

    ## When it is not a problem
    A busy machine refuses regardless of who is registered; then refusals lie outside that session's life too, and
    nothing is said. A worker that has had any job has a usable load.
    """
    refusals = words.by_name(dispatches.ended(Outcome.NO_HEADROOM))
    jobs = words.assigned_jobs(dispatches)
    for name, group in refusals.items():
        if len(group) < NAN_REFUSALS:
            continue
        sessions = workers.named(name)
        taken = [(launch.worker_id, launch.ended_at or 0.0) for one, launch in jobs if one.agent_name == name]
        for suspect in sessions:
            if suspect.registered_at is None or suspect.closed_at is None or suspect.jobs:
                continue
            since, until = suspect.registered_at, suspect.closed_at
            if not all(since <= (words.asked(one) or 0.0) <= until for one in group):
                continue
            healthy = [other for other in sessions if other is not suspect and _spans(other, since, until, taken)]
            if not healthy or any(since <= at <= until for _, at in taken):
                continue
            first, last = words.when(group)
            yield Finding(
                LOAD_NOT_A_NUMBER,
                Subject("agent", agent_name=name),
                f"While {suspect.worker_id} was registered, all {len(group)} dispatches of {words.quoted(name)} were "
                f"refused; {healthy[0].worker_id} got jobs before and after. A load that is not a number in one worker "
                "switches off every worker of its name.",
                LOAD_NOT_A_NUMBER.severity,
                Confidence.MEDIUM,
                {"agent_name": name, "suspect": suspect.worker_id, "healthy": [one.worker_id for one in healthy]},
                words.proof_of(group, (suspect, healthy[0])),
                (
                    Fix(
                        f"Stop {suspect.worker_id} and mend its load function",
                        steps=(
                            "Find the worker by its id in the workers' own logs (`registered worker`).",
                            "Make its load function return a number between 0 and 1; guard against 0/0.",
                        ),
                        verify=("Dispatches of the name are assigned again as soon as it is gone.",),
                    ),
                ),
                folds=words.folds_of(group),
                count=len(group),
                first_at=first,
                last_at=last,
            )
            break


def _spans(other: WorkerSession, since: float, until: float, taken: list[tuple[str | None, float]]) -> bool:
    """Was the other worker open from before to after, with jobs on both sides?"""
    before = other.registered_at is None or other.registered_at <= since
    after = other.closed_at is None or other.closed_at >= until
    mine = [at for worker, at in taken if worker == other.worker_id]
    return before and after and any(at < since for at in mine) and any(at > until for at in mine)
