"""Does this SDK version ever call itself full?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lkdoctor.dispatch.model import Dispatch, WorkerSession
from lkdoctor.doctor.codes import NEVER_FULL
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, WorkerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks._refusals import refused
from lkdoctor_checks.threshold import available

#: Versions of @livekit/agents of which it was seen: `start` keeps the infinite threshold of dev mode.
VERSIONS: Final = frozenset({"1.9.0"})


@check(NEVER_FULL)
def never_full(
    dispatches: Dispatches, workers: Workers, runs: WorkerRuns, server_runs: ServerRuns
) -> Iterator[Finding | Inconclusive]:
    """A Node worker in production never calls itself full, so that only the server refuses, and silently.

    ## What it means
    `@livekit/agents` 1.9.0 should mark itself full at load 0.7 when it is started with `start`. It never does:
    `new ServerOptions({…})` in the program settles the defaults before the command line does, as those of dev mode, and
    the threshold is infinite there. The worker looks available in its own log, whatever its load is; the server refuses
    it at a limit of its own and tells it nothing.

    ## How it is decided
    The server refused with `no servers available`, every worker of the name was a Node worker of that version in
    production (JSON log), connected and not about to leave, and its log, which goes on afterwards, says neither `worker is at full capacity` nor
    anything else that speaks against it. Seen at load 0.9 and at 100 % CPU on livekit-server 1.13.5; a Python worker
    beside it said that it was full.

    ## How to fix
    Set `loadThreshold: 0.7` in `new ServerOptions({…})`: the worker then says when it is full, in dev mode as well. The load
    itself must come down all the same.

    ## When it is not a problem
    Where the load never comes near the server's limit nothing is refused, and nothing is said. A worker that sets
    `loadThreshold` says that it is full (LKD411).
    """
    del runs, server_runs  # asked for so that the check is skipped without either log
    hit: list[Dispatch] = []
    there: dict[str, list[WorkerSession]] = {}
    for one, at, sessions in refused(dispatches, workers):
        if all(_never(each, at) for each in sessions):
            hit.append(one)
            there.setdefault(one.agent_name, []).extend(sessions)
    for name, group in words.by_name(hit).items():
        first, last = words.when(group)
        sessions = list({one.worker_id: one for one in there[name]}.values())
        versions = sorted({one.run.sdk_words for one in sessions if one.run is not None})
        yield Finding(
            NEVER_FULL,
            Subject("agent", agent_name=name),
            f"The worker for {words.quoted(name)} ({words.listed(versions)}) never calls itself full: started with `start` it keeps "
            f"the infinite threshold of dev mode. The server refused it ({words.counted(len(group), 'dispatch', 'dispatches')}, "
            f"{words.rooms_of(group)}), and its own log says nothing.",
            NEVER_FULL.severity,
            Confidence.MEDIUM,
            {"agent_name": name, "worker_ids": [one.worker_id for one in sessions][:20], "versions": versions},
            words.spread(
                [*words.proof_of(group, limit=4), *(one.run.proof[0] for one in sessions if one.run and one.run.proof)]
            ),
            (
                Fix(
                    "Let the worker say when it is full",
                    steps=(
                        "`new ServerOptions({ …, loadThreshold: 0.7 })`; it then holds in dev mode, too.",
                        "Bring the load down as well: `lkdoctor load` beside the worker says of what it is.",
                    ),
                    caveats=("It does not get more jobs by this: the server's limit stays.",),
                    verify=("Under the same load the worker's log says `worker is at full capacity`.",),
                ),
                words.ask_again(group),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _never(session: WorkerSession, at: float) -> bool:
    run = session.run
    if run is None or run.sdk != "node" or run.production is not True or run.version not in VERSIONS:
        return False
    # A log that ends before may have said it in a line that is missing.
    return run.last_at is not None and run.last_at > at and available(session, at)
