"""lkdoctor.toml against the server's log: is everybody registered who should be?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.intentions import PlannedAgent
from lkdoctor.dispatch.model import Coverage, WorkerSession
from lkdoctor.doctor.codes import EXPECTATION_UNMET
from lkdoctor.doctor.evidence import Facts, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words

SHOWN = 20


@check(EXPECTATION_UNMET)
def planned_against_log(
    agents: Facts[PlannedAgent], workers: Workers, runs: ServerRuns, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """What lkdoctor.toml says should be there is not what is there.

    ## What it means
    The plan says which agents there are, how many workers serve each, and for which job type. The evidence shows less, or
    another type: rooms that ask for such an agent get none, or get it from fewer workers than are meant.

    ## How it is decided
    At the end of the server's log the workers that are registered are counted by name. A planned agent that never
    registered counts only in a complete log (from the server's start, at level info, of every node); one that registered and
    left counts always. The type is what `worker registered` prints. More workers than planned are LKD203. The
    deployment is not printed at registration and is left to LKD209.

    ## How to fix
    Start the missing worker, or change the plan. `lkdoctor workers` shows who is registered.

    ## When it is not a problem
    A log that ends while a deploy is under way. Agents that are started on demand: leave `workers` out, or set it to 0.
    """
    del runs
    if coverage.hides_info or coverage.sampled:
        return
    for agent in agents:
        sessions = list(workers.named(agent.name))
        here = [one for one in sessions if one.closed_at is None]
        wanted = 1 if agent.workers is None else agent.workers
        if wanted == 0:
            continue
        if not sessions:
            if coverage.complete:
                yield _unmet(agent, f"no worker of that name ever registered; there were {_names(workers)}", ())
            continue
        if len(here) < wanted:
            gone = len(sessions) - len(here)
            told = f"{words.counted(len(here), 'worker')} of it registered at the end of the log"
            yield _unmet(agent, told + (f", {gone} had left" if gone else ""), sessions)
        wrong = [one for one in here if one.job_type and one.job_type != agent.job_type]
        if wrong:
            kinds = words.listed(sorted({one.job_type for one in wrong}))
            yield _unmet(agent, f"{words.listed(one.worker_id for one in wrong)} registered for {kinds}", wrong)


def _names(workers: Workers) -> str:
    names = list(workers.names())
    return words.listed(words.quoted(one) for one in names) if names else "no workers at all"


def _unmet(agent: PlannedAgent, told: str, sessions: list[WorkerSession] | tuple[()]) -> Finding:
    planned = "a worker" if agent.workers is None else words.counted(agent.workers, "worker")
    return Finding(
        EXPECTATION_UNMET,
        Subject("agent", agent_name=agent.name),
        f"{words.quoted(agent.name)}: the plan has {planned} for {_plan.TYPES[agent.job_type]} jobs ({agent.where}), but {told}.",
        Severity.ERROR,
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
    )
