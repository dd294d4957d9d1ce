"""The job was assigned: did the agent come, and did it stay?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import After, AgentParticipant, Dispatch, Outcome, Room, WorkerSession
from lkdoctor.doctor.codes import ASSIGNED_NEVER_JOINED, IDENTITY_CLASH, NO_REDISPATCH
from lkdoctor.doctor.evidence import Dispatches, Rooms, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _words as words
from lkdoctor_checks._worker_words import of_job

LONELY = 15.0  # shorter, the person may have been on the way out, or something may be about to dispatch again
STOPPING = 10.0  # a worker that is stopped takes its agents out of their rooms this soon after its socket
WITH_WORKER = 2.0  # a clean exit takes the agent out a moment before its worker's socket


@check(ASSIGNED_NEVER_JOINED)
def assigned_never_joined(dispatches: Dispatches, rooms: Rooms) -> Iterator[Finding | Inconclusive]:
    """A worker took the job, and its agent never came into the room.

    ## What it means
    Dispatching is over and done: the worker accepted and got its token. What failed is the worker's side: the job's
    process did not start, crashed, ended before it connected, or could not reach the server's address for media.
    ListDispatch goes on saying that the job runs; it never changes.

    ## How it is decided
    `assigned job to worker`, then no `starting RTC session` of an agent in that room for 20 s or more, in a log that
    shows other sessions and goes on. The default identity is `agent-` and the job's id; agents with identities of their
    own are matched by kind and time, and where that is ambiguous nothing is said.

    ## How to fix
    Look into the worker's own log for this job id: a traceback, `process initialization timed out`, `The room
    connection was not established within 10 seconds`, or an entrypoint that returned without connecting.

    ## When it is not a problem
    A job that only works in the background and never connects is meant so. A cold process takes up to 10 s to start and
    10 s to connect, so nothing is said before 20 s. An agent that came and left is not reported here.
    """
    missing = [one for one in dispatches.ended(Outcome.ASSIGNED) if one.after is After.NEVER_JOINED]
    looked = {id(one) for room in rooms if seen.alone(room) for one in room.dispatches}
    for name, group in words.by_name(missing).items():
        first, last = words.when(group)
        launches = [launch for one in group if (launch := one.deciding)]
        jobs = [launch.job_id for launch in launches if launch.job_id]
        only_looked = all(id(one) in looked for one in group)
        told = sorted({launch.job_error or launch.job_status for launch in launches if launch.job_ended_at is not None})
        yield Finding(
            ASSIGNED_NEVER_JOINED,
            Subject("agent", agent_name=name),
            f"A worker took the job of {words.quoted(name)}, and no agent {_came(only_looked)} "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}, "
            f"{words.listed(jobs, 3)})."
            + (f" The worker reported: {words.listed(told)}." if told else "")
            + (" One that left within seconds would look the same." if only_looked else "")
            + of_job([side for one in launches if (side := one.worker_side) is not None]),
            ASSIGNED_NEVER_JOINED.severity,
            min(Confidence.MEDIUM, words.sure(group)) if only_looked else words.sure(group),
            {
                "agent_name": name,
                "job_ids": jobs[:20],
                "worker_ids": sorted({launch.worker_id for launch in launches if launch.worker_id}),
                "reported": told,
            },
            words.proof_of(group),
            (
                Fix(
                    "Read what the worker says of this job",
                    steps=(
                        f"Search the worker's own log for {jobs[0] if jobs else 'the job id'}.",
                        (
                            "A traceback: mend it. `process initialization timed out`: prewarm takes too long (LKD603); shorten "
                            "it or raise `initialize_process_timeout`. `connection was not established`: look for a wait "
                            "before `ctx.connect()`, then at LIVEKIT_URL, ICE and UDP ports."
                        ),
                        "Nothing after `received job request`: the entrypoint returned without `ctx.connect()`.",
                    ),
                    verify=("`starting RTC session` of the agent's identity follows the assignment.",),
                ),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _came(only_looked: bool) -> str:
    """A log shows every join; listings show who is there while they are made."""
    return "was seen in its room" if only_looked else "came"


@check(IDENTITY_CLASH)
def identity_clash(rooms: Rooms) -> Iterator[Finding | Inconclusive]:
    """An agent was thrown out of the room because another connection came with the same identity.

    ## What it means
    An identity is there once a room: the newcomer replaces the one that is there. Two agents that accept with the same
    identity throw each other out, and often both vanish, because the server ends the *second* job when the first
    participant goes. The same happens to one agent whose connection starts anew with the same token: its own job is
    ended for it.

    ## How it is decided
    `removing duplicate participant` for a participant of kind agent. With two or more jobs assigned in the room it is a
    clash of two agents, else one agent's second connection. With a warm list of names the second job gets `job ended`
    `JS_FAILED` `agent worker left the room` 1 to 2 ms later (seen on 1.13.5); with a cold one the second agent stays.

    ## How to fix
    Leave the identity out when accepting the job: the SDK's default, `agent-` and the job's id, is unique. Or put the
    role into it.

    ## When it is not a problem
    A *person* who reloads the page comes back with the same identity and replaces the old connection: normal, and not
    reported.
    """
    clashes: dict[str, list[tuple[Room, AgentParticipant]]] = {}
    for room in rooms:
        for agent in room.agents:
            if agent.duplicate_removed:
                clashes.setdefault(_stable(agent.identity), []).append((room, agent))
    for identity, group in sorted(clashes.items()):
        hit = [one for room, _ in group for one in room.dispatches if one.came_to is Outcome.ASSIGNED]
        names = sorted({one.agent_name for one in hit})
        jobs = max(_jobs(room) for room, _ in group)
        times = sorted(agent.left_at or agent.joined_at or 0.0 for _, agent in group)
        who = "two agents used" if jobs > 1 else "an agent connected a second time with"
        yield Finding(
            IDENTITY_CLASH,
            Subject("agent", agent_name=names[0] if len(names) == 1 else None, id=identity),
            f'In {words.listed(words.marked(room.name) for room, _ in group)}, {who} the identity "{identity}", and the earlier '
            f"connection was thrown out ({words.counted(len(group), 'time')}"
            f"{f'; agents: {words.listed(words.quoted(name) for name in names)}' if names else ''}).",
            IDENTITY_CLASH.severity,
            Confidence.HIGH,
            {
                "identity": identity,
                "agent_names": names,
                "jobs_in_room": jobs,
                "rooms": [room.name for room, _ in group][:20],
            },
            words.spread(place for _, agent in group for place in agent.proof),
            (
                Fix(
                    "Let every job have an identity of its own",
                    steps=(
                        (
                            "Call accept() without an identity (the default is unique), or put the role into it: "
                            f"{identity}-support."
                        ),
                        "If one agent reconnects by itself, do not start a second connection with the job's token.",
                    ),
                    verify=("No `removing duplicate participant` for an agent.",),
                ),
            ),
            folds=words.folds_of(hit),
            count=len(group),
            first_at=times[0],
            last_at=times[-1],
        )


def _stable(identity: str) -> str:
    """The identity, with a job id in it left out, so that the finding keeps its fingerprint."""
    return "agent-AJ_*" if identity.startswith("agent-AJ_") else identity


def _jobs(room: Room) -> int:
    """Jobs that were assigned in this room."""
    return sum(1 for one in room.dispatches for launch in one.launches if launch.outcome is Outcome.ASSIGNED)


@check(NO_REDISPATCH)
def no_redispatch(
    dispatches: Dispatches, workers: Workers, rooms: Rooms, runs: ServerRuns
) -> Iterator[Finding | Inconclusive]:
    """The worker of a running job died, and the room went on without an agent.

    ## What it means
    An open-source server does not make a new job for one whose worker is gone; only LiveKit Cloud does. The room stays
    open, people wait, and ListDispatch keeps saying that the job runs.

    ## How it is decided
    The worker's socket closed while its job had not ended, the agent's participant left with it or later, and then
    somebody was in the room for 15 s or more without any agent. Servers 1.8.4 to 1.13.5 never dispatch again.

    ## How to fix
    Let something watch: a room with people, a dispatch, and no agent needs a new dispatch. Stop workers with SIGTERM
    and give them time to finish their jobs.

    ## When it is not a problem
    A worker that lost its socket and registered again while its job's process went on: the agent stays in the room, and
    nothing is reported, also when that agent says goodbye later on. Neither is an agent that had left before its worker,
    nor a room that people left soon after.
    """
    by_id = {one.worker_id: one for one in workers}
    lives = words.rooms_by_id(rooms)
    last = words.end_of(runs)
    hit: list[Dispatch] = []
    gone: dict[int, WorkerSession] = {}
    for one in dispatches.ended(Outcome.ASSIGNED):
        launch, room = one.deciding, lives.get(one.room_id)
        session = by_id.get(launch.worker_id or "") if launch is not None else None
        if room is None or last is None or session is None or session.closed_at is None or one.participant is None:
            continue
        if _left_alone(room, one.participant, session.closed_at, last):
            hit.append(one)
            gone[id(one)] = session
    for name, group in words.by_name(hit).items():
        first, until = words.when(group)
        leavers = list(dict.fromkeys(gone[id(one)].worker_id for one in group))
        yield Finding(
            NO_REDISPATCH,
            Subject("agent", agent_name=name),
            f"The worker of {words.quoted(name)} ({words.listed(leavers)}) was gone while its job ran, and "
            f"{words.rooms_of(group)} stayed without an agent; the server does not dispatch again.",
            NO_REDISPATCH.severity,
            words.sure(group),
            {"agent_name": name, "worker_ids": leavers, "rooms": sorted({one.room for one in group})[:20]},
            words.spread(
                [*(place for one in group for place in gone[id(one)].proof[-1:]), *words.proof_of(group, limit=4)]
            ),
            (
                words.ask_again(group),
                Fix(
                    "Watch for rooms whose agent is gone",
                    steps=(
                        "Rooms with people, with a dispatch, without an agent participant need a new dispatch.",
                        "Stop workers with SIGTERM and give them time (`stop_grace_period` in Compose): they finish their jobs first.",
                    ),
                    verify=("A new `assigned job to worker` line of the room.",),
                ),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=until,
        )


def _left_alone(room: Room, agent: AgentParticipant, closed_at: float, last: float) -> bool:
    """Did the agent go with its worker, and people stay in the room without any agent?"""
    if agent.left_at is None or agent.left_at < closed_at - WITH_WORKER:
        return False
    if agent.leave_reason == "CLIENT_REQUEST_LEAVE" and agent.left_at > closed_at + STOPPING:
        return False  # it had outlived its worker's socket, and went of its own accord
    end = room.closed_at if room.closed_at is not None else last
    since, until = agent.left_at, min(end, last)
    for other in room.agents:
        if other is not agent and words.present(other.joined_at, other.left_at, since, until) > 0:
            return False
    waited = (
        words.present(one.joined_at if one.joined_at is not None else since, one.left_at, since, until)
        for one in room.people
        if not one.dependent and not one.hidden
    )
    return max(waited, default=0.0) >= LONELY
