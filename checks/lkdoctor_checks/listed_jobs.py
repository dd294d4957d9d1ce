"""The API lists a job that runs: is its agent there?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.aftermath import JOIN_PATIENCE
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import After, Dispatch, Outcome, Room
from lkdoctor.doctor.codes import ASSIGNED_NEVER_JOINED, NO_REDISPATCH, STALE_STATUS
from lkdoctor.doctor.evidence import Dispatches, Listed, Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _words as words

LONELY = 15.0  # as in the log: shorter, the person may have been on the way out
ONE_LOOK = 6.0  # s within which agents in several rooms must have vanished: a watch's interval and the lag of its lists
MANY = 3  # rooms from which on agents that vanish at once are hardly goodbyes


@check(STALE_STATUS)
def stale_status(rooms: Rooms, listed: Listed) -> Iterator[Finding | Inconclusive]:
    """ListDispatch says that a job runs, and its agent is not in the room.

    ## What it means
    The status of a listed job is a copy that was made at its assignment and never changes: an agent that has finished,
    crashed or been thrown out still counts as running there, until the room closes. Never read `JS_RUNNING` as "there
    is an agent"; look at the room's participants.

    ## How it is decided
    A job in ListDispatch, assigned 20 s or more before, and a complete list of the room's participants without the
    identity that the job names; or an agent that an earlier listing showed and the last one does not. Seen on 1.8.4,
    1.9.12, 1.11.0 and 1.13.5.

    ## How to fix
    Nothing, if the agent had done its work. A program that watches its agents should watch participants of kind AGENT.

    ## When it is not a problem
    After every agent that has finished it is so; hence it is only worth knowing. Whether the agent ever came (LKD601),
    or left people alone (LKD606), one look cannot tell: watch for a while, or add the server's log.
    """
    del listed
    gone = [one for room in seen.lives(rooms) for one in room.dispatches if _agent_gone(room, one)]
    for name, group in words.by_name(gone).items():
        jobs = [launch.job_id for one in group if (launch := one.deciding) and launch.job_id]
        first, last = words.when(group)
        yield Finding(
            STALE_STATUS,
            Subject("agent", agent_name=name),
            f"ListDispatch says that {words.counted(len(group), 'job')} of {words.quoted(name)} "
            f"{'runs' if len(group) == 1 else 'run'} in {words.rooms_of(group)}, and no such agent is there: that status "
            "never changes after the assignment.",
            STALE_STATUS.severity,
            Confidence.HIGH,
            {"agent_name": name, "rooms": sorted({one.room for one in group})[:20], "job_ids": jobs[:20]},
            words.spread(place for one in group for place in one.proof[-1:]),
            (
                Fix(
                    "Watch participants, not the dispatch's status",
                    steps=(
                        "An agent is there when the room lists a participant of kind AGENT with the job's identity.",
                    ),
                    commands=(f"lk room participants list {words.shell(group[-1].room)}",),
                ),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _agent_gone(room: Room, one: Dispatch) -> bool:
    """Is the job listed, and the agent of its newest job not in the room?"""
    if not one.listed or one.outcome is not Outcome.ASSIGNED or one.deleted_at is not None or room.looked_at is None:
        return False
    if one.participant is not None:
        return not seen.here(one.participant)
    launch = one.deciding
    started = launch.ended_at if launch is not None else None
    return started is not None and room.looked_at - started >= JOIN_PATIENCE


@check(ASSIGNED_NEVER_JOINED)
def maybe_never_joined(rooms: Rooms, listed: Listed) -> Iterator[Finding | Inconclusive]:
    """From the API it needs a watch: from 5 s after the assignment or earlier until 20 s after it, with a look at the room
    every 5 s or more often, in none of which the agent was there; the confidence is medium, for one that left within
    seconds was not seen either. One look at a job without an agent cannot tell an agent that never came from one that has
    left: that stays open, and `--watch 30` or the server's log answers it. Where the person there has no agent at all, the verdict is
    `inconclusive` until then."""
    del listed
    unseen = [
        one
        for room in seen.lives(rooms)
        for one in room.dispatches
        if _agent_gone(room, one) and one.participant is None and one.after is None and seen.waiting(room)
    ]
    empty = {id(one) for room in rooms if not seen.agents_here(room) for one in room.dispatches}
    for group in words.by_name(unseen).values():
        yield seen.asked_back(
            group,
            "a job that runs and no agent: whether it never came or has left, one look cannot tell.",
            seen.WATCH,
            weighs=any(id(one) in empty for one in group),  # the person there has no agent at all
        )


@check(NO_REDISPATCH)
def vanished_together(dispatches: Dispatches, rooms: Rooms, listed: Listed) -> Iterator[Finding | Inconclusive]:
    """From the API alone: all agents of one worker, in several rooms, were gone between two looks of a watch, none of that
    worker's has been seen since, and people stayed in each of the rooms for 15 s without an agent (1.8.4 lists no worker
    ids: there all agents of the name). Three rooms or more give medium confidence; two agents may also have said goodbye in
    one moment, which is low and does not count. One agent that leaves looks the same whether it said goodbye or its worker
    died: that stays open until the server's log is there.
    """
    del listed
    homes = {id(one): room for room in rooms for one in room.dispatches if seen.alone(room)}
    workers: dict[tuple[str, str], list[Dispatch]] = {}
    for one in dispatches.ended(Outcome.ASSIGNED):
        launch = one.deciding
        if id(one) in homes and one.participant is not None and launch is not None:
            # 1.8.4 lists no worker ids: there all agents of one name must be gone at once
            workers.setdefault((launch.worker_id or "", "" if launch.worker_id else one.agent_name), []).append(one)
    found: dict[str, list[tuple[str, list[Dispatch]]]] = {}
    left: list[Dispatch] = []
    for (worker_id, _), served in workers.items():
        lost = _lost_at_once(served, homes)
        if lost:
            found.setdefault(lost[0].agent_name, []).append((worker_id, lost))
            continue
        left += [one for one in served if one.after is After.LEFT and _left_alone(one, homes[id(one)])]
    for group in words.by_name(left).values():
        yield seen.asked_back(
            group,
            "the agent left while somebody stayed; a goodbye and a worker that died look the same in the API.",
            "Add the server's log, which shows whether the worker's socket closed.",
        )
    for name, hits in sorted(found.items()):
        group = [one for _, lost in hits for one in lost]
        first, last = words.when(group)
        leavers = [worker_id for worker_id, _ in hits if worker_id]
        yield Finding(
            NO_REDISPATCH,
            Subject("agent", agent_name=name),
            f"All agents of {f'worker {words.listed(leavers)} (' if leavers else ''}{words.quoted(name)}"
            f"{')' if leavers else ''} vanished at once, and "
            f"{words.rooms_of(group)} stayed with people and without an agent; the server does not dispatch again.",
            NO_REDISPATCH.severity,
            # Two may hang up in one look of a busy service; of three or more that would be a rare chance.
            Confidence.MEDIUM if max(len(lost) for _, lost in hits) >= MANY else Confidence.LOW,
            {"agent_name": name, "worker_ids": leavers, "rooms": sorted({one.room for one in group})[:20]},
            words.spread(place for one in group for place in (*one.proof[-1:], *_shown(one))),
            (
                words.ask_again(group),
                Fix(
                    "Find out why the worker went",
                    steps=(
                        "Read the worker's own log of that moment: crash, memory limit, deploy, network.",
                        "Let something watch for rooms with people, a dispatch and no agent, and dispatch again there.",
                    ),
                    commands=(f"lkdoctor check {seen.asked_at(group)}server.log",),
                    verify=("ListParticipants shows an agent in each of these rooms.",),
                ),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _shown(one: Dispatch) -> list[Place]:
    """The listing that showed the agent."""
    return one.participant.proof[-1:] if one.participant is not None else []


def _lost_at_once(served: list[Dispatch], homes: dict[int, Room]) -> list[Dispatch]:
    """The dispatches whose agents all went in one moment, leaving people alone; empty unless it looks like a death."""
    spans = [
        (one, one.participant.listed_last_at, one.participant.gone_by)
        for one in served
        if one.participant is not None and one.participant.listed_last_at is not None
    ]
    if any(gone is None for _, _, gone in spans):
        return []  # one of its agents is still there: the worker lives
    until = max((last for _, last, _ in spans), default=0.0)
    # An agent that left earlier did so by itself; what counts are those that were there until the last moment.
    at_end = [
        (one, last, gone) for one, last, gone in spans if gone is not None and gone > until and gone - last <= ONE_LOOK
    ]
    rooms = {homes[id(one)].room_id for one, _, _ in at_end}
    # One whose dispatch was taken back has ended by that.
    if len(rooms) < 2 or not all(one.after is After.LEFT and _left_alone(one, homes[id(one)]) for one, _, _ in at_end):
        return []
    return [one for one, _, _ in at_end]


def _left_alone(one: Dispatch, room: Room) -> bool:
    """Did somebody stay for 15 s after the agent, without any other?"""
    left = one.participant.left_at if one.participant is not None else None
    if left is None or room.looked_at is None or room.closed_at is not None or seen.agents_here(room):
        return False
    later = any(other.joined_at is not None and other.joined_at > left for other in room.agents)
    people = [person for person in seen.waiting(room) if person.joined_at is not None and person.joined_at < left]
    return not later and bool(people) and room.looked_at - left >= LONELY
