"""In a watched room: was an agent thrown out by its double, or the room closed under its agents?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.talks import Presence, TalkRun, watches
from lkdoctor.doctor.codes import IDENTITY_CLASH, IDLE_CLOSE
from lkdoctor.doctor.evidence import Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _talk as talk
from lkdoctor_checks import _words as words

SLACK = 4.0  # s by which the server closes an empty room after its time, and the clocks may differ
SAME_MOMENT = 1.0  # s
UNTOLD = ("", "UNKNOWN_REASON", "DUPLICATE_IDENTITY", "came again")


@check(IDENTITY_CLASH)
def clash_in_talk(runs: Facts[TalkRun], people: Facts[Presence]) -> Iterator[Finding | Inconclusive]:
    """An agent left a watched room because another connection came with its identity.

    ## What it means
    An identity stands in a room once. The second connection that comes with it throws the first one out, here an agent: its
    job goes on, in no room.

    ## How it is decided
    By `lkdoctor talk`: a participant of kind agent was gone, without a reason of its own, in the second in which another
    connection of its identity came. The server does not tell the others why it removed it (seen on 1.13.5).

    ## How to fix
    Call `accept()` without an identity (the default is unique), or give each job one of its own, with its role in it.

    ## When it is not a problem
    An agent that leaves by itself, and comes again later under the same identity.
    """
    for watch in watches(runs, people):
        thrown = [one for one in watch.agents if any(_replaced(one, other) for other in watch.agents)]
        for identity in sorted({one.identity for one in thrown}):
            mine = [one for one in thrown if one.identity == identity]
            jobs = {one.job_id for one in watch.agents if one.identity == identity and one.job_id}
            names = sorted({one.agent_name for one in watch.agents if one.identity == identity and one.agent_name})
            stable = "agent-AJ_*" if identity.startswith("agent-AJ_") else identity
            yield Finding(
                IDENTITY_CLASH,
                Subject("agent", agent_name=names[0] if len(names) == 1 else None, id=stable),
                f"In {words.marked(watch.run.room)}, a second connection came with the identity {words.marked(identity)} of an "
                f"agent, and the earlier one was thrown out ({words.counted(len(mine), 'time')}).",
                IDENTITY_CLASH.severity,
                Confidence.HIGH,
                {
                    "identity": identity,
                    "agent_names": names,
                    "jobs_in_room": len(jobs),
                    "rooms": [watch.run.room],
                },
                talk.proof(watch, mine),
                (
                    Fix(
                        "Let every job have an identity of its own",
                        steps=(
                            (
                                "Call accept() without an identity (the default is unique), or put the role into it: "
                                f"{stable}-support."
                            ),
                        ),
                        verify=("`lkdoctor talk` shows each agent there all the time.",),
                    ),
                ),
                folds=talk.folds(watch.run.room, mine),
                count=len(mine),
                first_at=mine[0].until,
                last_at=mine[-1].until,
            )


def _replaced(one: Presence, other: Presence) -> bool:
    """Was it gone in the moment in which the other came?"""
    if one.until is None or one.sid == other.sid or one.identity != other.identity or one.reason not in UNTOLD:
        return False
    return abs(other.since - one.until) <= SAME_MOMENT


@check(IDLE_CLOSE)
def idle_close_in_talk(runs: Facts[TalkRun], people: Facts[Presence]) -> Iterator[Finding | Inconclusive]:
    """The server closed a watched room under its agents, because no person had come by its empty timeout.

    ## What it means
    Agents do not keep a room open: one in which no person ever stood is closed when `empty_timeout` has passed since it was
    made (300 s by default), with the agents in it.

    ## How it is decided
    By `lkdoctor talk`: the server closed the room (it was not deleted) when it was as old as its `empty_timeout`, within 4 s;
    agents were in it, and no person was seen.

    ## How to fix
    Make the room of two agents with a longer `empty_timeout`, by CreateRoom or by `roomConfig` in the token.

    ## When it is not a problem
    An agent that waited alone for a caller who never came: one agent in the room is told as info.
    """
    for watch in watches(runs, people):
        run = watch.run
        if run.ended != "closed" or run.made_at is None or watch.persons or not run.empty_timeout:
            continue
        there = [one for one in watch.agents if one.until is None or run.ended_at - one.until <= SLACK]
        age = run.ended_at - run.made_at
        if not there or abs(age - run.empty_timeout) > SLACK:
            continue
        yield Finding(
            IDLE_CLOSE,
            Subject("agent", agent_name=min(there, key=lambda one: one.began).agent_name),
            f"The server closed {words.marked(run.room)} {words.span(age)} after it was made, with {talk.names(there)} in it: "
            f"its empty_timeout is {run.empty_timeout} s, and agents do not keep a room open.",
            IDLE_CLOSE.severity if len(there) > 1 else Severity.INFO,
            Confidence.MEDIUM,
            {"rooms": [run.room], "empty_timeout": run.empty_timeout, "agents": len(there)},
            talk.proof(watch, there),
            (
                Fix(
                    "Give the agents' room more time",
                    steps=(
                        "Make the room with a longer `empty_timeout`: CreateRoom, or `roomConfig` in the token.",
                        words.ROOM_FIRST,
                    ),
                    commands=(f"lk room create --empty-timeout 3600 {words.shell(run.room)}",),
                    verify=("ListRooms shows the new `empty_timeout`.",),
                ),
            ),
            folds=talk.folds(run.room, there),
            first_at=run.made_at,
            last_at=run.ended_at,
        )
