"""Do several workers share one agent name, and is that meant?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.model import WorkerSession
from lkdoctor.doctor.codes import DUPLICATE_AGENT_NAME, VERSION_SPLIT
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks._pools import described, mixed_versions, pools, shares, starved

LISTED = 20


@check(DUPLICATE_AGENT_NAME)
def duplicate_agent_name(
    dispatches: Dispatches, workers: Workers, runs: ServerRuns
) -> Iterator[Finding | Inconclusive]:
    """Several workers are registered under one agent name at the same time, so each job goes to one of them.

    ## What it means
    Workers of one name are a pool: the server draws one of them for each job, by load. That is how one scales out. It
    is also what happens when a laptop, a staging container or a forgotten process uses the name of production: jobs go
    to a stranger, now and then or always, and one's own worker looks healthy and idle. The API key does not separate
    workers, and neither does the worker's host.

    ## How it is decided
    Two or more sessions of the same name, job type and deployment were open at once for longer than 2 s (less is one
    worker reconnecting). It is only worth knowing, unless something speaks for a mistake: both of different SDK
    versions took jobs for minutes side by side, or one of them never got a job although equal shares would have given
    it one with more than 95 % chance. The chance is counted from the jobs of the time in which both were open, on one
    node; between nodes the server prefers the one with more room, every time, so no chance is counted there (20 of 20
    jobs on 1.13.5).

    ## How to fix
    If the pool is meant, nothing. If not, find the other worker and stop it, or give each its own name: set
    `LIVEKIT_AGENT_NAME` in the one place that starts it, and use the same name where it is dispatched.

    ## When it is not a problem
    Scale-out, a rolling deploy, a hot standby. A draining worker gets no new jobs, but it has had some, so it does not
    count as one that never got any. Workers of another job type or deployment are not rivals.
    """
    last = words.end_of(runs)
    jobs = words.assigned_jobs(dispatches)
    for name, pool in pools(workers, runs):
        if not name:
            continue  # workers without a name are LKD204
        idle = starved(pool, jobs)
        split = mixed_versions(pool, jobs, last)
        reasons = []
        if idle:
            reasons.append(
                f"{words.listed(one.worker_id for one, _ in idle)} never got a job "
                f"(by chance: {max(chance for _, chance in idle):.1%})"
            )
        if split:
            reasons.append(f"they run different SDK versions ({words.listed(split)})")
        told = f" What speaks for a mistake: {'; '.join(reasons)}." if reasons else " Fine if scale-out is meant."
        yield Finding(
            DUPLICATE_AGENT_NAME,
            Subject("agent", agent_name=name),
            f"{len(pool)} workers share the agent name {words.quoted(name)}, so each job goes to one of them: "
            f"{shares(pool)}.{told}",
            Severity.WARNING if idle or split else DUPLICATE_AGENT_NAME.severity,
            Confidence.HIGH if not idle else Confidence.MEDIUM,
            {
                "agent_name": name,
                "workers": [described(one) for one in pool[:LISTED]],
                "never_got_a_job": [one.worker_id for one, _ in idle],
                "sdk_versions": split,
            },
            words.spread(place for one in pool for place in one.proof[:1]),
            (_own_name(name, pool),),
            count=len(pool),
            first_at=min((one.registered_at for one in pool if one.registered_at is not None), default=None),
            last_at=max((one.registered_at for one in pool if one.registered_at is not None), default=None),
        )


def _own_name(name: str, pool: Sequence[WorkerSession]) -> Fix:
    """A name for each, or the other one stopped."""
    own = f"{name}-mine"
    return Fix(
        "If the pool is not meant, give each worker its own name or stop the other one",
        steps=(
            (
                f"Find where the other worker runs: {words.listed(one.worker_id for one in pool)} stand in the workers' "
                "own logs as `registered worker` with this id."
            ),
            (
                f"Set LIVEKIT_AGENT_NAME={words.shell(own)} in the compose file or unit that starts yours, and start it "
                "anew (`docker compose up -d --force-recreate`; `restart` keeps the old environment). A name in the code "
                "beats this variable: change it there."
            ),
            (
                f"Ask for {words.quoted(own)} where it is dispatched: token roomConfig (the first command makes such a "
                "token), CreateRoom or CreateDispatch."
            ),
            "The second command sends a test call to the new name; its report names the worker that took it.",
        ),
        commands=(
            f"lkdoctor token create --room ROOM --identity USER --agent {words.shell(own)}",
            f"lkdoctor probe {words.shell(own)}",
        ),
        caveats=("Dispatches that still use the old name go to the remaining worker.", words.NAME_VARIABLE),
        verify=(
            "The test call's worker id is the one in your own worker's `registered worker` line.",
            "`assigned job to worker` of the next dispatch shows that id, too.",
        ),
        undo=("Take LIVEKIT_AGENT_NAME out again and restart the worker.",),
    )


@check(VERSION_SPLIT)
def version_split(dispatches: Dispatches, workers: Workers, runs: ServerRuns) -> Iterator[Finding | Inconclusive]:
    """One agent name is served at the same time by workers of different SDK versions.

    ## What it means
    Two builds answer for one name, and chance decides which of them a user meets: "it works every second time". Mostly
    an old container was left running after a deploy, or a developer's machine joined the pool.

    ## How it is decided
    Sessions of the same name, job type and deployment were open at once, and the server's lines show different
    versions for them. Servers print the version from 1.13.0 on, with `closing worker` and `job ended`, not when a
    worker registers. In the time in which both were open each of them took two jobs or more, or one job or more in more
    than 5 minutes.

    ## How to fix
    Find the older worker and stop it, or finish the deploy.

    ## When it is not a problem
    A rolling deploy: the old workers drain while the new ones take the jobs. It passes within minutes, and the old ones
    get no new job. A canary release is a split on purpose.
    """
    last = words.end_of(runs)
    jobs = words.assigned_jobs(dispatches)
    for name, pool in pools(workers, runs):
        versions = mixed_versions(pool, jobs, last)
        if not versions:
            continue
        yield Finding(
            VERSION_SPLIT,
            Subject("agent", agent_name=name),
            f"Workers of {words.quoted(name)} run different SDK versions at the same time: "
            f"{words.listed(f'{one.worker_id} {one.sdk}' for one in pool if one.sdk)}. "
            "Both versions take jobs.",
            VERSION_SPLIT.severity,
            Confidence.HIGH,
            {"agent_name": name, "sdk_versions": versions, "workers": [described(one) for one in pool[:LISTED]]},
            words.spread(place for one in pool if one.sdk for place in one.proof[-1:]),
            (
                Fix(
                    "Leave one version running",
                    steps=(
                        (
                            f"Stop the workers of the older version ({versions[0]}); they finish their jobs when they are "
                            "stopped with SIGTERM."
                        ),
                        "Look for stopped deploys, forgotten containers and developers' machines.",
                    ),
                    verify=("`closing worker` lines with the old version, and none of it registers again.",),
                ),
            ),
            count=len(pool),
        )
