"""lkdoctor.toml against the server's log: is everybody registered who should be?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.intentions import PlannedAgent
from lkdoctor.dispatch.model import Coverage, Outcome, WorkerSession
from lkdoctor.doctor.codes import EXPECTATION_UNMET
from lkdoctor.doctor.evidence import Dispatches, Facts, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words

SHOWN = 20
MISSED = frozenset({Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE, Outcome.NO_HEADROOM})


@check(EXPECTATION_UNMET)
def planned_against_log(
    agents: Facts[PlannedAgent], workers: Workers, runs: ServerRuns, dispatches: Dispatches, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """What lkdoctor.toml says should be there is not what is there.

    ## What it means
    The plan says which agents there are, how many workers serve each, and for which job type. The evidence shows less, or
    another type: rooms that ask for such an agent get none, or get it from fewer workers than are meant.

    ## How it is decided
    The most workers of each name that were registered at once are counted, in the last life of each node. Too few of them,
    or none, count only in a complete log (from the server's start, at level info, of every node). Workers that have left by the
    end of the log are worth knowing, and nothing when the server itself stopped; they are an error when a later dispatch
    of the name failed (beneath what tells of that dispatch: LKD301, LKD302 or LKD208). The type is what `worker registered` prints. More workers than planned are LKD203. The
    deployment is not printed at registration and is left to LKD209.

    ## How to fix
    Start the missing worker, or change the plan. `lkdoctor workers` shows who is registered.

    ## When it is not a problem
    Agents that are started on demand: leave `workers` out, or set it to 0.
    """
    if coverage.hides_info or coverage.sampled:
        return
    for agent in agents:
        sessions = list(workers.named(agent.name))
        wanted = 1 if agent.workers is None else agent.workers
        if wanted == 0:
            continue
        if not sessions:
            if coverage.complete:
                told = f"no worker of that name ever registered; there were {_names(workers)}"
                yield _unmet(agent, told, (), missed=_missed(dispatches, agent.name))
            continue
        last = _of_last_lives(sessions, runs)
        here = [one for one in last if one.closed_at is None]
        gone = [one for one in last if one.closed_at is not None]
        most = _at_once(last)
        if most < wanted and coverage.complete:
            yield _unmet(
                agent,
                f"{'no' if not most else 'at most'} {words.counted(most, 'worker')} of it registered at once",
                sessions,
            )
        elif len(here) < wanted and gone:
            left = max(one.closed_at for one in gone if one.closed_at is not None)
            missed = _missed(dispatches, agent.name, left)
            told = f"{words.counted(len(here), 'worker')} of it registered at the end of the log, {len(gone)} had left"
            if missed:
                yield _unmet(agent, f"{told}, and a later dispatch failed", sessions, missed=missed)
            elif not all(run.stopped_at is not None for run in runs):
                yield _unmet(agent, told, sessions, Severity.INFO)
        judged = here or last[-1:]
        wrong = [one for one in judged if one.job_type and one.job_type != agent.job_type]
        if wrong:
            kinds = words.listed(sorted({one.job_type for one in wrong}))
            yield _unmet(agent, f"{words.listed(one.worker_id for one in wrong)} registered for {kinds}", wrong)


def _of_last_lives(sessions: Sequence[WorkerSession], runs: ServerRuns) -> list[WorkerSession]:
    """Sessions that reach into the last life of their node: those before it ended with the server, not by themselves."""
    begins: dict[str, float] = {}
    for run in runs:
        at = run.started_at if run.started_at is not None else run.first_at
        begins[run.stream] = max(begins.get(run.stream, float("-inf")), float("-inf") if at is None else at)
    return [one for one in sessions if one.closed_at is None or one.closed_at >= begins.get(one.stream, float("-inf"))]


def _at_once(sessions: Sequence[WorkerSession]) -> int:
    """The most of them that were registered at one time."""
    moments = [float("-inf") if one.registered_at is None else one.registered_at for one in sessions]
    return max((sum(one.alive_at(at) for one in sessions) for at in moments), default=0)


def _missed(dispatches: Dispatches, name: str, since: float = float("-inf")) -> tuple[Subject, ...]:
    """The dispatches of the name that failed for want of a worker after `since`: who tells of all of them tells of this, too."""
    return words.folds_of(
        one
        for one in dispatches
        if one.agent_name == name
        and words.asked(one) is not None
        and (words.asked(one) or 0.0) >= since
        and one.came_to in MISSED
    )


def _names(workers: Workers) -> str:
    names = list(workers.names())
    return words.listed(words.quoted(one) for one in names) if names else "no workers at all"


def _unmet(
    agent: PlannedAgent,
    told: str,
    sessions: Sequence[WorkerSession],
    severity: Severity = Severity.ERROR,
    missed: tuple[Subject, ...] = (),
) -> Finding:
    planned = "a worker" if agent.workers is None else words.counted(agent.workers, "worker")
    return Finding(
        EXPECTATION_UNMET,
        Subject("agent", agent_name=agent.name),
        f"{words.quoted(agent.name)}: the plan has {planned} for {_plan.TYPES[agent.job_type]} jobs ({agent.where}), but {told}.",
        severity,
        Confidence.HIGH,
        {
            "agent_name": agent.name,
            "planned_workers": agent.workers,
            "job_type": agent.job_type,
            "workers": [one.worker_id for one in sessions][:SHOWN],
        },
        words.spread([agent.place, *(place for one in sessions for place in one.proof[-1:])]),
        (
            Fix(
                "Start what the plan says, or change the plan",
                steps=(f"Start the worker of {words.quoted(agent.name)}, or change {agent.where}.",),
                verify=("`lkdoctor workers` lists it; `lkdoctor check` finds nothing.",),
            ),
        ),
        folds=missed,
    )
