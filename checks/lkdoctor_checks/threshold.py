"""Does the worker believe itself available at a load at which the server refuses it?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, WorkerSession
from lkdoctor.doctor.codes import THRESHOLD_ABOVE_LIMIT
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, WorkerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _loads as loads
from lkdoctor_checks import _words as words
from lkdoctor_checks._refusals import SOON, refused
from lkdoctor_checks._zero import no_load

LEAVES_WITHIN = 60.0  # s; Node does not say that it drains


@check(THRESHOLD_ABOVE_LIMIT)
def threshold_above_limit(
    dispatches: Dispatches, workers: Workers, server_runs: ServerRuns, runs: WorkerRuns
) -> Iterator[Finding | Inconclusive]:
    """The worker's own threshold is above the server's limit: it looks available, logs nothing, and is refused.

    ## What it means
    Two limits judge one load. The worker compares it with its `load_threshold` (0.7 in production; infinite in dev mode,
    and in Node unless `loadThreshold` is set) and says when it is full. The server compares the same number with a limit
    of its own (0.65 on 1.8, 1 on 1.9 and 1.10, `agents.target_load`, 0.7, from 1.11.0 on) and says nothing to the worker.
    Between the two the worker is idle, available in its own eyes, and gets no job. Raising the worker's threshold changes
    nothing.

    ## How it is decided
    The server refused with `no servers available`, while every worker of the name was connected and its own log, which
    covers the moment, says neither `worker is at full capacity` nor `draining worker`. Then its load was at or over the
    server's limit and under its own threshold, or not a number (LKD407), hence the medium confidence. A log that ends
    before the moment proves nothing: then it is info. Or, with `lkdoctor load`: the measured load lay between the two. Seen with livekit-agents 1.8.9 `dev` at load 0.92 to 1.0 and
    @livekit/agents 1.9.0 on 1.13.5.

    ## How to fix
    Bring the load down; let the worker's threshold be the server's limit or less, so that its log says when it is full;
    raise the server's limit only where the machine can do more.

    ## When it is not a problem
    A higher threshold while the load never comes near: info, and in dev mode nothing. A worker that leaves soon after a
    refusal may have been shutting down, which Node does not log: then this is not said.
    """
    del runs  # asked for so that the check is skipped without a worker's log
    hit: list[Dispatch] = []
    silent: set[int] = set()  # dispatches after which a worker's log has no line: it may have been copied before
    there: dict[str, list[WorkerSession]] = {}
    for one, at, sessions in refused(dispatches, workers):
        if all(available(each, at) for each in sessions):
            hit.append(one)
            if any(each.run is None or (each.run.last_at or 0.0) < at for each in sessions):
                silent.add(id(one))
            there.setdefault(one.agent_name, []).extend(
                each for each in sessions if each not in there.get(one.agent_name, [])
            )
    for name, group in words.by_name(hit).items():
        first, last = words.when(group)
        sessions = there[name]
        versions = sorted(
            {run.version for one in group if (run := words.run_of(server_runs, one.deciding, first)) and run.version}
        )
        sdks = sorted({each.run.sdk_words for each in sessions if each.run is not None and each.run.sdk_words})
        sure = any(id(one) not in silent for one in group)
        until = "" if sure else " No line of it is younger than that, so it may end before."
        limit = "; ".join(dict.fromkeys(rule.limit_text for one in versions for rule in rules.headrooms(one)))
        by_server = f" On livekit-server {words.listed(versions)}, {limit}." if limit else ""
        yield Finding(
            THRESHOLD_ABOVE_LIMIT,
            Subject("agent", agent_name=name),
            f"Every worker for {words.quoted(name)} ({words.listed(sdks) or 'of an unknown SDK'}) believed itself available "
            f"when the server refused it ({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}): its "
            f"own log says neither that it is full nor that it drains.{until}{by_server} The worker's own threshold is higher: "
            "infinite in dev mode, and in Node unless `loadThreshold` is set.",
            THRESHOLD_ABOVE_LIMIT.severity if sure else Severity.INFO,
            Confidence.MEDIUM if sure else Confidence.LOW,
            {"agent_name": name, "worker_ids": [each.worker_id for each in sessions][:20], "server_versions": versions},
            words.spread(
                [*words.proof_of(group, limit=4), *(place for each in sessions for place in _registered(each))]
            ),
            (
                *loads.threshold_fixes(versions),
                no_load(name, len(sessions)),
                words.ask_again(group),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def available(session: WorkerSession, at: float) -> bool:
    """Does this worker's own log cover the moment and say nothing that speaks against its being available?"""
    run = session.run
    if run is None or not run.dated or not run.begun or run.last_at is None:
        return False
    if session.closed_at is not None and session.closed_at - at <= LEAVES_WITHIN:
        return False
    if run.draining_at is not None and run.draining_at <= at + LEAVES_WITHIN:
        return False
    if any(
        span.since is None or (span.since <= at + SOON and (span.until is None or at <= span.until + SOON))
        for span in run.full
    ):
        return False  # fmt: skip
    return not run.failed and (run.stopped_at is None or run.stopped_at > at + LEAVES_WITHIN)


def _registered(session: WorkerSession) -> tuple:  # type: ignore[type-arg]
    return tuple(session.run.proof[:1]) if session.run is not None else ()
