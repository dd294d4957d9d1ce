"""Workers and rooms without an agent name: who gets which room, and was a name meant?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Coverage, Origin, Room, Wanted
from lkdoctor.doctor.codes import IMPLICIT_DISPATCH_ONLY, UNNAMED_WORKERS_COMPETE
from lkdoctor.doctor.evidence import Dispatches, Rooms, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks._pools import described, mixed_versions, pools

LISTED = 20


@check(UNNAMED_WORKERS_COMPETE)
def unnamed_workers_compete(
    dispatches: Dispatches, workers: Workers, runs: ServerRuns, wanted: Wanted
) -> Iterator[Finding | Inconclusive]:
    """Several workers without a name are registered, so one of them, by load, gets each room.

    ## What it means
    A room whose creation names no agent gets one unnamed dispatch, which is one job. All unnamed workers share it: two
    different programs do not both come, one of them does, now this one and now that one. It looks like "one worker per
    room", but it is one job per dispatch.

    ## How it is decided
    Two or more sessions with an empty agent name and the same job type were open at once for longer than 2 s. The
    values show which rooms each of them got. It is a warning when two or more agents are expected (`--expect`,
    `--together`) and no worker registers any of these names, or when workers of different SDK versions took jobs side
    by side; else it is only worth knowing.

    ## How to fix
    If two different agents are meant to come into one room: (a) give each worker its own name and make two dispatches;
    or (b) one worker, two dispatches of its name, with the role in each dispatch's metadata; or (c) one worker, one
    job, two sessions, where the second session has a room connection and an identity of its own. Two sessions on one
    connection are one participant that talks to itself.

    ## When it is not a problem
    Several copies of one program without a name are ordinary scale-out. Workers of different job types do not compete:
    each type gets a job of its own.
    """
    last = words.end_of(runs)
    jobs = words.assigned_jobs(dispatches)
    expected = [
        name for name in dict.fromkeys((*wanted.agents, *(one for group in wanted.together for one in group))) if name
    ]
    meant = expected if len(expected) > 1 and not any(workers.named(name) for name in expected) else []
    for name, pool in pools(workers, runs):
        if name:
            continue
        got: dict[str, list[str]] = {one.worker_id: [] for one in pool}
        for dispatch, launch in jobs:
            if dispatch.agent_name == "" and launch.worker_id in got:
                got[launch.worker_id].append(dispatch.room)
        versions = mixed_versions(pool, jobs, last)
        told = words.listed(
            f"{worker} got {words.listed(rooms_got, 3) if rooms_got else 'none'}" for worker, rooms_got in got.items()
        )
        yield Finding(
            UNNAMED_WORKERS_COMPETE,
            Subject("agent", agent_name=""),
            f"{len(pool)} workers have no name and share the one unnamed dispatch of each room: {told}."
            + (
                f" {words.listed(map(words.quoted, meant))} are expected, and no worker registers one of these names."
                if meant
                else ""
            )
            + (f" They run different SDK versions ({words.listed(versions)})." if versions else ""),
            Severity.WARNING if versions or meant else UNNAMED_WORKERS_COMPETE.severity,
            Confidence.HIGH,
            {
                "workers": [described(one) for one in pool[:LISTED]],
                "rooms": {worker: sorted(set(rooms_got))[:LISTED] for worker, rooms_got in got.items()},
                "sdk_versions": versions,
            },
            words.spread(place for one in pool for place in one.proof[:1]),
            _two_agents(meant, next((rooms_got[-1] for rooms_got in got.values() if rooms_got), "")),
            # That nobody asks for the expected names (LKD310) is the other side of the same cause.
            folds=tuple(Subject("agent", agent_name=name) for name in meant),
            count=len(pool),
        )


def _two_agents(meant: list[str], room: str) -> tuple[Fix, ...]:
    """Three ways to two agents in one room; `meant` are the names that are expected, `room` is one that got one agent."""
    one, other = (*meant, "A", "B")[:2] if len(meant) > 1 else ("A", "B")
    people = words.shell(room or "ROOM")
    token = f"lkdoctor token create --room {people} --identity USER"
    roles = (f'{{"role": "{one}"}}', f'{{"role": "{other}"}}')
    return (
        Fix(
            "Two agents in one room: two names, two dispatches",
            steps=(
                (
                    f"Give each program a name of its own: `agent_name={words.quoted(one)}` (Python) or "
                    f"`agentName: '{one}'` (Node); or LIVEKIT_AGENT_NAME={one} in its environment where the code has none."
                ),
                (
                    "Name both where the room is made: in the token, as the first command does, or in CreateRoom's "
                    "`agents`. Into a room that is open call them by the other two."
                ),
            ),
            commands=(
                f"{token} --agent {words.shell(one)} --agent {words.shell(other)}",
                words.dispatch_command(room, one),
                words.dispatch_command(room, other),
            ),
            caveats=("A worker with a name no longer gets rooms whose creation names no agent.", words.NAME_VARIABLE),
            verify=("Two `assigned job to worker` lines of one room, with two agent names.",),
        ),
        Fix(
            "Or one worker with two roles",
            steps=(
                "Dispatch the one name twice into the room, with the role in each dispatch's metadata.",
                "Read the role from the job's metadata (`ctx.job.metadata`); counting participants races.",
                "The reference worker does it so (docs/worker.md, shape b): the first command runs it, the others call it.",
            ),
            commands=(
                words.worker_command("both"),
                *(f"{words.dispatch_command(room, 'both')} --metadata {words.shell(role)}" for role in roles),
            ),
        ),
        Fix(
            "Or one job with two sessions, each with a room connection of its own",
            steps=(
                (
                    "`second = rtc.Room(); await second.connect(url, token)` with a token of kind agent and an identity of "
                    "its own, then `session.start(agent, room=second)`: `second_connection` in docs/worker.md, shape c."
                ),
                "The command lets two such agents of the reference worker talk to each other on this server.",
            ),
            commands=("lkdoctor worker --conversations 1 --shape c",),
        ),
    )


@check(IMPLICIT_DISPATCH_ONLY)
def implicit_dispatch_only(
    dispatches: Dispatches, workers: Workers, rooms: Rooms, runs: ServerRuns, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """Workers with names were ready, people waited, and only the unnamed dispatch was made.

    ## What it means
    A worker that has a name is never given a room that does not ask for it by that name. The room's creation named no
    agent, so the server made its unnamed dispatch, which only a worker without a name can take. Setting a name on a
    worker switches automatic dispatch off.

    ## How it is decided
    A person was in the room for 8 s or more while a named worker was open and no unnamed one was; the room got no
    dispatch with a name in its whole life, no joiner's token named an agent, and no agent came. And no room of the
    whole log got a dispatch with a name: one that did would show that the others are without an agent by choice.

    ## How to fix
    Name the agent where the room is made: the token's `roomConfig.agents`, CreateRoom's `agents`, or CreateDispatch.
    Or take the name off the worker, if it should come to every room.

    ## When it is not a problem
    Rooms for people only, beside rooms with agents, and hidden participants (recorders): not reported. The line `failed to send job request` with an empty
    agentName and `no response from servers` is what each such room leaves; it is harmless by itself.
    """
    last = words.end_of(runs)
    if last is None or coverage.hides_info or any(one.explicit for one in dispatches) or dispatches.folded:
        return
    named = sorted(name for name in workers.names() if name)
    if not named:
        return
    with_name = words.Attendance(one for one in workers if one.agent_name)
    without = words.Attendance(one for one in workers if one.agent_name == "")
    waited = [room for room in rooms if _waited(room, with_name, without, last)]
    if not waited:
        return
    first = min((room.opened_at for room in waited if room.opened_at is not None), default=None)
    hit = [one for room in waited for one in room.dispatches]
    yield Finding(
        IMPLICIT_DISPATCH_ONLY,
        Subject("server"),
        f"{words.counted(len(waited), 'room')} with people in it got only the unnamed dispatch, while the workers have "
        f"names ({words.listed(words.quoted(name) for name in named)}): nobody asked for them by name.",
        IMPLICIT_DISPATCH_ONLY.severity,
        Confidence.MEDIUM,
        {"rooms": sorted({room.name for room in waited})[:LISTED], "registered_names": named},
        words.spread(
            [
                *(place for room in waited for place in room.proof[:1]),
                *(place for one in workers if one.agent_name for place in one.proof[:1]),
            ]
        ),
        (
            Fix(
                f"Ask for {words.quoted(named[0])} by name",
                steps=(
                    (
                        "Put the name into the token (`roomConfig.agents`), into CreateRoom (`agents`), or call "
                        "CreateDispatch."
                    ),
                    "Or start the worker without a name, if it should come to every room.",
                ),
                commands=(words.dispatch_command(words.open_name(waited[-1]), named[0]),),
                verify=("`assigned job to worker` with the agent's name follows.",),
            ),
        ),
        # The named workers that nobody asked (LKD310) are the other side of the same cause.
        folds=(*words.folds_of(hit), *(Subject("agent", agent_name=name) for name in named)),
        count=len(waited),
        first_at=first,
        last_at=last,
    )


def _waited(room: Room, with_name: words.Attendance, without: words.Attendance, last: float) -> bool:
    """Did a person wait for an agent in this room, with named workers open and none without a name?"""
    if room.agents or not room.dispatches or any(one.origin is not Origin.IMPLICIT for one in room.dispatches):
        return False
    if room.presets or any(one.asked_agents for one in room.people):
        return False  # a preset may name agents that no line shows; a token's ignored agents are LKD307
    end = room.closed_at if room.closed_at is not None else last
    for one in room.people:
        if one.dependent or one.hidden or one.joined_at is None:
            continue
        if words.present(one.joined_at, one.left_at, one.joined_at, end) < rules.SETTLE:
            continue
        if with_name.anybody(one.joined_at) and not without.anybody(one.joined_at):
            return True
    return False
