"""Was one agent asked for twice?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from lkdoctor.dispatch.model import Dispatch, Origin, Outcome, Room
from lkdoctor.doctor.codes import DOUBLED_DISPATCH
from lkdoctor.doctor.evidence import Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _words as words

CLOSE = 60.0
AT_ONCE = 1.0  # s between a room and the dispatches that its making named


@check(DOUBLED_DISPATCH)
def doubled_dispatch(rooms: Rooms) -> Iterator[Finding | Inconclusive]:
    """One agent name was dispatched twice into one room, and both jobs were assigned.

    ## What it means
    Dispatches are not compared with each other: two of one name are two jobs, on one worker or on two, and two agents
    talk to the user at once. Usual accidents: the token names the agent *and* the backend calls CreateDispatch; a
    frontend effect runs twice; a call is retried after a timeout although the first one had worked.

    ## How it is decided
    Two dispatches of the same name in the same life of a room, within 60 s, both assigned, the second asked for before
    the first one's job had ended (seen on 1.8.4 to 1.13.5). If they were made in different ways (token and
    CreateDispatch) it is a warning; two by the same way may be meant, and are only worth knowing. From the API, whose
    jobs never end: a listing showed both agents at once. Then one of them was named when the room was made, if its
    dispatch is as old as a room that has no unnamed one.

    ## How to fix
    Choose one way to ask for the agent. Before CreateDispatch, look at ListDispatch.

    ## When it is not a problem
    Two agents of one program with different roles, told apart by the dispatches' metadata, are made exactly so. A
    second dispatch after the first agent had ended brings the agent back, and a JT_PUBLISHER worker gets one job for
    each publisher from one dispatch: neither is reported.
    """
    pairs: dict[str, list[tuple[Dispatch, Dispatch]]] = {}
    listed: set[tuple[int, int]] = set()  # pairs that the API showed to be made in two ways
    for room in rooms:
        for name, group in words.by_name(one for one in room.dispatches if words.wanted(one)).items():
            taken = [one for one in group if one.came_to is Outcome.ASSIGNED]
            for first, second in itertools.pairwise(taken):
                if _seen_together(first, second) if seen.alone(room) else _side_by_side(first, second):
                    pairs.setdefault(name, []).append((first, second))
                    if seen.alone(room) and _made_apart(room, first, second):
                        listed.add((id(first), id(second)))
    for name, found in sorted(pairs.items()):
        every = list({id(one): one for pair in found for one in pair}.values())
        ways = sorted({one.origin.value for one in every if one.origin is not Origin.SEEN and one.among is None})
        mixed = any(_ways_differ(one, other) or (id(one), id(other)) in listed for one, other in found)
        begin, end = words.when(every)
        yield Finding(
            DOUBLED_DISPATCH,
            Subject("agent", agent_name=name),
            f"{words.quoted(name)} was dispatched twice into {words.rooms_of(every)}, and both jobs were assigned"
            f"{f' ({words.listed(ways)})' if ways else ''}{', one with the room and one later' if listed else ''}."
            + ("" if mixed else " Fine if two agents of this name are meant, with roles in the metadata."),
            DOUBLED_DISPATCH.severity if mixed else Severity.INFO,
            Confidence.MEDIUM if listed else min(Confidence.HIGH, words.sure(every)),
            {
                "agent_name": name,
                "rooms": sorted({one.room for one in every})[:20],
                "ways": ways,
                "job_ids": [launch.job_id for one in every if (launch := one.deciding)][:20],
            },
            words.proof_of(every),
            (
                Fix(
                    "Ask for the agent in one way only",
                    steps=(
                        "Keep either the agents in the token (or CreateRoom), or the CreateDispatch call.",
                        "Before a CreateDispatch, look whether ListDispatch already holds the name (a 503 means that there is no room yet).",
                    ),
                    commands=(f"lk dispatch list {words.shell('ROOM' if every[-1].room_closed else every[-1].room)}",),
                    caveats=("Agents of a token count only when that join makes the room.",),
                    verify=("One `assigned job to worker` line a room for this name.",),
                ),
            ),
            folds=words.folds_of(every),
            count=len(found),
            first_at=begin,
            last_at=end,
        )


def _side_by_side(first: Dispatch, second: Dispatch) -> bool:
    """Were both asked for within a minute, the second before the first had ended?"""
    one, other = words.asked(first), words.asked(second)
    if one is None or other is None or other - one > CLOSE:
        return False
    launch = first.deciding
    # `job ended` is not printed for every job: an agent that has left, or a dispatch that was deleted, is over, too
    ends = [
        launch.job_ended_at if launch is not None else None,
        first.participant.left_at if first.participant is not None else None,
        first.deleted_at,
    ]
    return all(ended is None or other < ended for ended in ends)


def _seen_together(first: Dispatch, second: Dispatch) -> bool:
    """Did listings show both agents in the room at once, and were they asked for within a minute?"""
    one, other = first.participant, second.participant
    if one is None or other is None or one is other or not one.listed or not other.listed:
        return False
    since = max(one.listed[0][0], other.listed[0][0])
    asked = words.asked(first), words.asked(second)
    near = asked[0] is not None and asked[1] is not None and asked[1] - asked[0] <= CLOSE
    return near and since <= min(one.listed_last_at or 0.0, other.listed_last_at or 0.0)


def _made_apart(room: Room, first: Dispatch, second: Dispatch) -> bool:
    """Was the first made with its room (by a token or CreateRoom), the second by a call of its own?

    A CreateDispatch that makes the room leaves the unnamed dispatch beside it.
    """
    if room.info is None or not room.info.creation_time_ms or any(not one.agent_name for one in room.dispatches):
        return False
    made, one, other = room.info.created_at, words.asked(first), words.asked(second)
    return made is not None and one is not None and other is not None and one - made < AT_ONCE and other - one > AT_ONCE


def _ways_differ(first: Dispatch, second: Dispatch) -> bool:
    """Token and API, or CreateRoom and CreateDispatch: hardly ever meant. Not said where it is open whose the jobs are."""
    if first.among is not None or second.among is not None:
        return False
    return Origin.SEEN not in (first.origin, second.origin) and first.origin is not second.origin
