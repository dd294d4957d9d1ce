"""Does the worker's environment give it another name than the one that is asked for?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import Outcome
from lkdoctor.doctor.codes import NAME_OVERRIDDEN
from lkdoctor.doctor.evidence import Dispatches, WorkerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(NAME_OVERRIDDEN)
def name_overridden(dispatches: Dispatches, workers: Workers, runs: WorkerRuns) -> Iterator[Finding | Inconclusive]:
    """The environment names the worker, and another name is asked for.

    ## What it means
    `LIVEKIT_AGENT_NAME_OVERRIDE` beats the agent name in the program's code; `LIVEKIT_AGENT_NAME` fills it where the code
    has none. Whoever dispatches under the name in the code asks for a worker that does not exist.

    ## How it is decided
    A Node worker's `registered worker` with `agentNameIsEnv` true, under a name that nobody asked for, while another name
    was asked for that no worker ever served. Seen with @livekit/agents 1.9.0. Python's log does not say where the name
    comes from.

    ## How to fix
    Dispatch under the name that the variable gives, or set it to the one that is asked for. Take it out only where the code has
    that name: without one in the code the worker has none at all.

    ## When it is not a problem
    A name from the environment is the way to keep staging and production apart; where that very name is asked for,
    nothing is reported.
    """
    asked = {one.agent_name for one in dispatches if words.wanted(one)}
    renamed = [run for run in runs if run.name_from_env and run.name and run.name not in asked and run.registered]
    lost = [
        one
        for one in dispatches.ended(Outcome.NAME_NOT_SERVED)
        if words.wanted(one) and not workers.named(one.agent_name)
    ]
    if not renamed:
        return
    given = sorted({run.name for run in renamed})
    for name, group in words.by_name(lost).items():
        first, last = words.when(group)
        yield Finding(
            NAME_OVERRIDDEN,
            Subject("agent", agent_name=name),
            f"{words.quoted(name)} is asked for ({words.counted(len(group), 'dispatch', 'dispatches')}, "
            f"{words.rooms_of(group)}) and nobody serves it, while the environment of a worker names it "
            f"{words.listed(words.quoted(one) for one in given)}, which nobody asks for.",
            NAME_OVERRIDDEN.severity,
            Confidence.MEDIUM,
            {"agent_name": name, "from_environment": given},
            words.spread([*words.proof_of(group, limit=3), *(place for run in renamed for place in run.proof[:1])]),
            (
                Fix(
                    "Let both sides use one name",
                    steps=(
                        "Look for LIVEKIT_AGENT_NAME_OVERRIDE and LIVEKIT_AGENT_NAME in the worker's environment.",
                        (
                            f"Dispatch {words.listed(words.quoted(one) for one in given)}, or set the variable to {words.quoted(name)}; take "
                            "it out only where the code has that name, for a worker without any gets no dispatch by name."
                        ),
                    ),
                    verify=("The server's `worker registered` shows the agentName that is asked for.",),
                ),
                words.ask_again(group),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )
