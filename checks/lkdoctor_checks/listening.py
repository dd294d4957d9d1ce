"""The server knew the name; why did nobody listen?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, Outcome, WorkerSession
from lkdoctor.doctor.codes import DEPLOYMENT_ISOLATED, NO_RESPONSE
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(NO_RESPONSE)
def no_response(dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """The server knew the agent name, asked for it, and no node answered.

    ## What it means
    The name is on the server's list, yet nobody listens on exactly this name, job type and deployment. The list is kept
    60 s and is not cleared when a worker leaves; it holds names without their deployment; and a node answers for all
    its names at once, whatever their type.

    ## How it is decided
    The server says so 1.0 s after the launch: `failed to send job request` with `no response from servers`, for the
    job type that the name's workers register (seen on 1.8.4, 1.9.12, 1.11.0 and 1.13.5). The line names no room: it is
    paired with its room by name, type, node and time, and the confidence says how surely.

    ## How to fix
    In this order: did the worker leave within the last minute (LKD208)? Is it registered under a deployment that the
    dispatch does not name (LKD209)? On several nodes: do their clocks agree within 3 s?

    ## When it is not a problem
    The same line with an **empty** agentName comes 1 s after every room that names no agent, where only named workers
    exist: harmless, and never reported here. The same line for another job type than the worker's is harmless, too.
    """
    missed = (one for one in dispatches.ended(Outcome.NO_RESPONSE) if words.wanted(one))
    for name, group in words.by_name(missed).items():
        first, last = words.when(group)
        there = words.alive(workers.named(name), last)
        yield Finding(
            NO_RESPONSE,
            Subject("agent", agent_name=name),
            f"The server knew {words.quoted(name)}, but nobody listened for it "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}). {_reasons(there)}",
            NO_RESPONSE.severity,
            words.sure(group),
            {
                "agent_name": name,
                "rooms": sorted({one.room for one in group})[:20],
                "workers_open": [one.worker_id for one in there],
            },
            words.proof_of(group, workers.named(name)),
            (
                Fix(
                    "Make the worker listen on exactly this key",
                    steps=(
                        "See whether the worker left within the minute before: its list entry outlives it by 60 s.",
                        "Compare the worker's deployment (LIVEKIT_AGENT_DEPLOYMENT) with the dispatch's.",
                        "On several nodes, compare the clocks: 3 s apart is enough to lose every request.",
                    ),
                    verify=("A dispatch made 1 s after `worker registered` ends with `assigned job to worker`.",),
                ),
                words.ask_again(group),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _reasons(there: list[WorkerSession]) -> str:
    """What remains possible, given who was open."""
    if there:
        return (
            f"A worker of the name was open ({words.listed(one.worker_id for one in there)}): another deployment, or "
            "clocks of two nodes that disagree."
        )
    return "Most likely its worker had left less than 60 s before."


@check(DEPLOYMENT_ISOLATED)
def deployment_isolated(dispatches: Dispatches, workers: Workers, runs: ServerRuns) -> Iterator[Finding | Inconclusive]:
    """The worker registered under a deployment, and the dispatch does not name that deployment.

    ## What it means
    From 1.12.0 on a worker's deployment is part of its key: a worker that was started with LIVEKIT_AGENT_DEPLOYMENT
    gets only dispatches that name the same deployment. Name, type and server are right, and still nobody listens.

    ## How it is decided
    The dispatch ended `no-response` while a worker of the same name and job type was open. It is sure when a line shows
    that worker's deployment (`closing worker` or `job ended`, from 1.13.0 on; never `worker registered`) and it is not
    the one asked for (seen on 1.13.5). Without such a line it is only suggested, with low confidence, and on servers
    before 1.12.0, which do not know deployments, never (1.11.0 assigns such dispatches).

    ## How to fix
    Name the deployment in the dispatch, or start the worker without LIVEKIT_AGENT_DEPLOYMENT.

    ## When it is not a problem
    A staging worker that is to be reached by its deployment only. If another worker of the name serves the plain
    dispatches, nothing is lost and nothing is reported.
    """
    shown: list[Dispatch] = []
    hidden: list[Dispatch] = []
    deaf: dict[str, dict[str, WorkerSession]] = {}
    for one in dispatches.ended(Outcome.NO_RESPONSE):
        run = words.run_of(runs, one.deciding, words.asked(one))
        if not words.wanted(one) or rules.since(run.version if run else None, rules.DEPLOYMENTS) is False:
            continue
        there = _open(workers, one)
        if not there:
            continue
        if all(each.deployment is not None and each.deployment != one.deployment for each in there):
            shown.append(one)
            deaf.setdefault(one.agent_name, {}).update((each.worker_id, each) for each in there)
        elif all(each.deployment is None or each.deployment != one.deployment for each in there):
            hidden.append(one)
            deaf.setdefault(one.agent_name, {}).update((each.worker_id, each) for each in there)
    for group_of, sure in ((shown, True), (hidden, False)):
        for name, group in words.by_name(group_of).items():
            sessions = list(deaf[name].values())
            first, last = words.when(group)
            theirs = sorted({each.deployment for each in sessions if each.deployment})
            ours = sorted({one.deployment for one in group})
            yield Finding(
                DEPLOYMENT_ISOLATED,
                Subject("agent", agent_name=name),
                _isolated(name, theirs, ours, len(group), sure),
                DEPLOYMENT_ISOLATED.severity,
                words.sure(group) if sure else Confidence.LOW,
                {
                    "agent_name": name,
                    "deployments_asked": ours,
                    "deployments_registered": theirs,
                    "worker_ids": [each.worker_id for each in sessions][:20],
                },
                words.spread(
                    [*words.proof_of(group, limit=4), *(place for each in sessions[:2] for place in each.proof[-1:])]
                ),
                (
                    Fix(
                        "Use one deployment on both sides",
                        steps=(
                            f"Name the deployment in the dispatch: {words.listed(theirs) or 'the one of the worker'}.",
                            "Or start the worker without LIVEKIT_AGENT_DEPLOYMENT, and dispatch without a deployment.",
                        ),
                        verify=("`assigned job to worker` follows the next dispatch.",),
                    ),
                    words.ask_again(group, _meant(sessions)),
                ),
                folds=words.folds_of(group) if sure else (),
                count=len(group),
                first_at=first,
                last_at=last,
            )


def _open(workers: Workers, one: Dispatch) -> list[WorkerSession]:
    """Open sessions of the dispatch's name and type when it was asked and still when nobody had answered."""
    at = words.asked(one)
    if at is None:
        return []
    sessions = (each for each in workers.named(one.agent_name) if words.same_type(each, words.launch_type(one)))
    return [each for each in sessions if each.alive_at(at) and each.alive_at(at + rules.NO_CLAIM)]


def _meant(sessions: Sequence[WorkerSession]) -> str:
    """The deployment to dispatch to: the workers' own where the log shows one."""
    known = {each.deployment for each in sessions}
    return next(iter(known)) or "" if len(known) == 1 and None not in known else "DEPLOYMENT"


def _isolated(name: str, theirs: list[str], ours: list[str], number: int, sure: bool) -> str:
    """The mismatch in words."""
    asked = words.listed(f'"{one}"' if one else "none" for one in ours)
    if sure:
        return (
            f"The worker for {words.quoted(name)} is registered under deployment "
            f"{words.listed(words.marked(one) for one in theirs) or 'none'}, the dispatches name {asked} "
            f"({words.counted(number, 'dispatch', 'dispatches')}): they never meet."
        )
    return (
        f"A worker for {words.quoted(name)} was open and did not listen "
        f"({words.counted(number, 'dispatch', 'dispatches')}); a deployment of its own would explain it, but no line "
        "of this log shows it."
    )
