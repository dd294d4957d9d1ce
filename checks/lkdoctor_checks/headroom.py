"""Was the agent refused for want of headroom?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, Launch, Outcome, Room, WorkerSession
from lkdoctor.dispatch.worker_http import WorkerEndpoint
from lkdoctor.doctor.codes import NO_HEADROOM, WORKER_DRAINING
from lkdoctor.doctor.evidence import Dispatches, Evidence, Rooms, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _endpoints as ends
from lkdoctor_checks import _words as words
from lkdoctor_checks import _worker_words as told
from lkdoctor_checks._refusals import start_before_stop
from lkdoctor_checks._zero import no_load

LEAVES_WITHIN = 60.0
JUST_STARTED = 30.0
LAST_JOB = 5.0  # a draining worker leaves this soon after its last job ended
SERVER_WENT = 5.0


@check(NO_HEADROOM)
def no_headroom(
    dispatches: Dispatches, workers: Workers, rooms: Rooms, runs: ServerRuns, evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """No worker of the agent name had headroom by the server's own limit, so none of them was asked.

    ## What it means
    Workers of this name are registered and reachable, and the server counted all of them as full: each reports a load
    at or over the server's limit, has marked itself full, is shutting down, or reports a load that is not a number. The
    worker's own threshold does not matter: in dev mode it is infinite, the worker believes itself available and logs
    nothing, and the server refuses all the same. The dispatch is not retried when the load falls again.

    ## How it is decided
    `failed to send job request` with `no servers available (received N responses)`: N counts server *nodes* that have
    workers of the name, not workers, and no worker was asked. Or `no workers with sufficient capacity` without any
    worker declining: the only candidate became full within the 200 ms of selection. The limit is 0.65 on 1.8, 1 on 1.9
    and 1.10, and `agents.target_load` (0.7 unless set) from 1.11.0 on; seen exactly so on 1.8.4 (0.65 refused), 1.9.12
    (1.0 refused), 1.11.0 and 1.13.5 (0.70 refused). The server's log never holds the load itself, so no load is claimed
    here.

    ## How to fix
    Find out what keeps the machine busy: often the first job's own start, when models are loaded, refuses the second
    agent of the same room. Give the worker more CPU or a machine of its own, or its container the CPU count it may use.
    To test whether load is the cause, let the load function return 0: if the dispatch then works, it was. Is that safe
    to keep? With one worker, yes: there is nobody else to give the job to. With several, no: a busy one is chosen like
    an idle one. LiveKit Cloud ignores it for agents that it hosts.

    ## When it is not a problem
    A fleet that is full on purpose refuses jobs; the dispatcher must then try again itself. The unnamed dispatch that
    CreateDispatch adds when it makes a room is not reported if the room's named agent came. Refusals for a job type
    that the name's workers do not register are not the name's.
    """
    lives = words.rooms_by_id(rooms)
    jobs = words.assigned_jobs(dispatches)
    refused = (
        one
        for one in dispatches.ended(Outcome.NO_HEADROOM)
        if words.wanted(one) or not _side_effect(lives.get(one.room_id))
    )
    for name, group in words.by_name(refused).items():
        first, last = words.when(group)
        versions = sorted(
            {run.version for one in group if (run := words.run_of(runs, one.deciding, first)) and run.version}
        )
        there = words.alive(workers.named(name), first)
        nodes = max((launch.nodes_refusing for one in group if (launch := one.deciding)), default=0)
        own, places = told.of_refusal(there, first)
        inside = sum(1 for one in group if (launch := one.deciding) and launch.nodes_refusing == 0)
        yield Finding(
            NO_HEADROOM,
            Subject("agent", agent_name=name),
            f"No worker for {words.quoted(name)} had headroom "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}), so none was asked and "
            f"nothing is retried. {_limit(versions)}{_text_explained(nodes, inside, len(group))}{_open(there)}"
            f"{own}{_shortly_before(jobs, group)}{ends.now(evidence.facts_of(WorkerEndpoint), name)}",
            NO_HEADROOM.severity,
            words.sure(group),
            {
                "agent_name": name,
                "rooms": sorted({one.room for one in group})[:20],
                "server_versions": versions,
                "limits": [
                    rule.limit_text for version in versions or [""] for rule in rules.headrooms(version or None)
                ],
                "nodes_refusing": nodes,
                "workers_open": [one.worker_id for one in there][:20],
                "jobs_running": _running(jobs, there, first),
            },
            (*words.proof_of(group, there), *places[:2]),
            (*_more_room(name, versions, len(there)), words.ask_again(group)),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _side_effect(room: Room | None) -> bool:
    """Is this the unnamed dispatch that CreateDispatch adds to a room it makes, in a room whose named agent came?"""
    others = room.dispatches if room is not None else []
    return any(other.explicit and other.agent_name and other.came_to is Outcome.ASSIGNED for other in others)


def _limit(versions: list[str]) -> str:
    """What the server counts as full."""
    if not versions:
        known = "; ".join(
            f"{rule.first[0]}.{rule.first[1]} on: {rule.limit_text}"
            for rule in rules.headrooms(None)
            if rule.limit is not None
        )
        return f"The server's version is not in the log; the limit depends on it ({known})."
    texts = dict.fromkeys(rule.limit_text for version in versions for rule in rules.headrooms(version))
    return f"On livekit-server {words.listed(versions)}, {'; '.join(texts)}, whatever the worker's own threshold says."


def _text_explained(nodes: int, inside: int, number: int) -> str:
    """The folk reading of `received N responses`, put right."""
    text = ""
    if nodes:
        text += f' "received {nodes} responses" counts server nodes, not workers.'
    if inside:
        some = "It" if inside == number else f"In {inside} of them the worker"
        text += f" {some} became full within the 200 ms in which the server chose."
    return text


def _open(there: list[WorkerSession]) -> str:
    """Who was open and refused."""
    if not there:
        return ""
    return f" Registered at the first refusal: {words.listed(one.worker_id for one in there)}."


def _shortly_before(jobs: list[tuple[Dispatch, Launch]], group: list[Dispatch]) -> str:
    """A job that started a moment before: its start can be what keeps the machine busy."""
    at = words.asked(group[0])
    if at is None:
        return ""
    near = [
        (at - (launch.ended_at or 0.0), one.agent_name)
        for one, launch in jobs
        if 0 <= at - (launch.ended_at or 0.0) <= JUST_STARTED
    ]
    if not near:
        return ""
    seconds, name = near[-1]
    return (
        f" A job of {words.quoted(name)} had started {words.span(seconds)} before the first refusal: on one machine, a "
        "job's start (loading models) is often the load that refuses the next."
    )


def _running(jobs: list[tuple[Dispatch, Launch]], there: list[WorkerSession], at: float | None) -> int:
    """Jobs that these workers had taken and, as far as the log shows, not ended at `at`."""
    ids = {one.worker_id for one in there}
    return sum(
        1
        for _, launch in jobs
        if at is not None
        and launch.worker_id in ids
        and (launch.ended_at or 0.0) <= at
        and (launch.job_ended_at is None or launch.job_ended_at > at)
    )


def _more_room(name: str, versions: list[str], workers_open: int) -> tuple[Fix, ...]:
    """Less load, a higher limit where there is one, and the test with load 0."""
    configurable = not versions or any(rule.configurable for version in versions for rule in rules.headrooms(version))
    lower = Fix(
        "Bring the worker's load down",
        steps=(
            "Look at the CPU of the worker's machine or container at the times given here.",
            (
                "Start agents of one room one after another, or on different machines: the first job's start can refuse "
                "the second."
            ),
            "In a container, set a CPU limit or NUM_CPUS, so that the SDK measures against what it may use.",
        ),
        verify=("`assigned job to worker` follows a dispatch made under the same conditions.",),
    )
    zero = no_load(name, workers_open)
    if not configurable:
        return lower, zero
    raise_it = Fix(
        "Raise the server's limit",
        steps=("livekit.yaml: `agents: {target_load: 0.9}`, then restart the server (1.11.0 and later).",),
        caveats=(
            "Older servers refuse to start with this key. Not above 1: such workers are then claimed and found full.",
            "In production a worker calls itself full at its own `load_threshold` (0.7): raise that, too. A restart ends all calls.",
        ),
        undo=("Take the key out again; the default is 0.7.",),
    )
    return lower, zero, raise_it


@check(WORKER_DRAINING)
def worker_draining(
    dispatches: Dispatches, workers: Workers, rooms: Rooms, runs: ServerRuns
) -> Iterator[Finding | Inconclusive]:
    """The workers of the name were shutting down, which the server reports in the same words as overload.

    ## What it means
    A worker that gets SIGTERM marks itself full, takes no new job, finishes its running ones and leaves. While it does
    so, dispatches of its name are refused with `no servers available`, although the machine may be idle.

    ## How it is decided
    A refusal for want of headroom; and every worker of the name that was open then had a running job, took no other job
    afterwards, and left within 60 s, at most 5 s after its last job had ended because its people had gone, while the
    server went on. Draining itself
    is printed at debug level only, so the confidence is medium. In the raw protocol and with both SDKs draining and
    load give the same line (1.8.4 to 1.13.5).

    ## How to fix
    Start the new worker before the old one is stopped, and dispatch again for the rooms that were refused.

    ## When it is not a problem
    A worker that is refused by load stays when its job ends. A worker that leaves together with the server, in the
    middle of a talk, or long after its last job, proves nothing: then LKD303 stands alone.
    """
    lives = words.rooms_by_id(rooms)
    jobs: dict[str, list[tuple[Dispatch, Launch]]] = {}
    for pair in words.assigned_jobs(dispatches):
        jobs.setdefault(pair[1].worker_id or "", []).append(pair)
    hit: list[Dispatch] = []
    leavers: dict[str, list[WorkerSession]] = {}
    for one in dispatches.ended(Outcome.NO_HEADROOM):
        at = words.asked(one)
        there = words.alive(workers.named(one.agent_name), at)
        if at is None or not there:
            continue
        if all(_drained(session, at, jobs, lives, runs) for session in there):
            hit.append(one)
            leavers.setdefault(one.agent_name, []).extend(
                each for each in there if each not in leavers.get(one.agent_name, [])
            )
    for name, group in words.by_name(hit).items():
        first, last = words.when(group)
        gone = leavers[name]
        yield Finding(
            WORKER_DRAINING,
            Subject("agent", agent_name=name),
            f"Every worker for {words.quoted(name)} was shutting down when it was refused "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}): "
            f"{words.listed(f'{each.worker_id} left at {words.clock(each.closed_at)}' for each in gone)}.",
            WORKER_DRAINING.severity,
            Confidence.MEDIUM,
            {"agent_name": name, "worker_ids": [each.worker_id for each in gone]},
            words.spread([*words.proof_of(group, limit=4), *(place for each in gone for place in each.proof[-1:])]),
            (start_before_stop(), words.ask_again(group)),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _drained(
    session: WorkerSession,
    at: float,
    jobs: dict[str, list[tuple[Dispatch, Launch]]],
    lives: dict[str, Room],
    runs: ServerRuns,
) -> bool:
    """Did this worker behave after `at` as one that drains: finish its jobs, take no other, leave?"""
    closed = session.closed_at
    if closed is None or closed - at > LEAVES_WITHIN or session.lost_connection:
        return False
    if any(
        run.stream == session.stream and run.stopped_at is not None and abs(closed - run.stopped_at) <= SERVER_WENT
        for run in runs
    ):
        return False  # the server stopped: everything closes then
    mine = jobs.get(session.worker_id, [])
    if any((launch.ended_at or 0.0) > at for _, launch in mine):
        return False
    running = [pair for pair in mine if pair[1].job_ended_at is None or pair[1].job_ended_at > at]
    ends = [launch.job_ended_at for _, launch in running if launch.job_ended_at is not None]
    if not ends or len(ends) < len(running) or not 0 <= closed - max(ends) <= LAST_JOB:
        return False
    # Somebody who stops the worker because of the refusal cuts its jobs short: then people are left in the room.
    return all(_ended_by_itself(lives.get(one.room_id), launch.job_ended_at or 0.0) for one, launch in running)


def _ended_by_itself(room: Room | None, at: float) -> bool:
    """Had the room ended, or its people left, when the job did?"""
    if room is None:
        return False
    if room.closed_at is not None and room.closed_at <= at + 1:
        return True
    stayed = (one for one in room.people if not one.dependent and (one.left_at is None or one.left_at > at))
    return bool(room.people) and not any(stayed)
