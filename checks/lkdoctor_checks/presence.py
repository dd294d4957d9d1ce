"""Did the worker come too late, or had it left?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Coverage, Dispatch, Outcome, WorkerSession
from lkdoctor.doctor.codes import REGISTERED_TOO_LATE, WORKER_GONE
from lkdoctor.doctor.evidence import Dispatches, Rooms, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

AFTER_UNKNOWN_END = 300.0  # a room whose end is not known: its empty_timeout, by default
RACE = 0.5  # a registration this shortly before the question may have missed it
CACHE_SLACK = 2.0


@check(REGISTERED_TOO_LATE)
def registered_too_late(
    dispatches: Dispatches, workers: Workers, rooms: Rooms, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """The worker registered after its dispatch had been tried, and the server tries only once.

    ## What it means
    The room and its dispatch were there first, the worker came after. It looks as if everything were in place: worker
    registered, dispatch listed, room open; but the one try for this agent is over. Later rooms work.

    ## How it is decided
    The dispatch ended with nobody to ask; no worker of the name had been registered before; and one registered after
    the dispatch was made, while the room still lived (or within 5 minutes, if its end is not in the log). Times are
    compared with the *request*, not with the refusal's line: with a cold list of names that line comes 5 s after the
    request and can stand after `worker registered` (seen on 1.13.5).

    ## How to fix
    Start workers first and wait until they say `registered worker`; dispatch afterwards. For the rooms that missed it,
    make the dispatch once more.

    ## When it is not a problem
    A worker of another job type, or one that registered after the room had closed, is not the cause and is not named.
    If an earlier worker of the name had been there and left, LKD208 tells that story instead.
    """
    lives = words.rooms_by_id(rooms)
    late: list[tuple[Dispatch, WorkerSession]] = []
    there = _Names(workers)
    for one in dispatches.ended(Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE):
        at = words.asked(one)
        if not words.wanted(one) or at is None or there.of(one).anybody_before(at - RACE):
            continue
        room = lives.get(one.room_id)
        until = room.closed_at if room is not None and room.closed_at is not None else at + AFTER_UNKNOWN_END
        came = there.of(one).first_came(at - RACE, until)
        if came is not None:
            late.append((one, came))
    partner = {id(one): session for one, session in late}
    for name, group in words.by_name(one for one, _ in late).items():
        delays = [(partner[id(one)].registered_at or 0.0) - (words.asked(one) or 0.0) for one in group]
        first, last = words.when(group)
        comers = list(dict.fromkeys(partner[id(one)].worker_id for one in group))
        yield Finding(
            REGISTERED_TOO_LATE,
            Subject("agent", agent_name=name),
            f"The worker for {words.quoted(name)} registered {_late(delays)} its dispatch had been made "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}); the server tries once "
            "and does not come back to it.",
            REGISTERED_TOO_LATE.severity,
            # Before a log that begins in the middle an earlier worker may have come and gone (then it is LKD208).
            min(words.sure(group), Confidence.MEDIUM) if coverage.starts_late else words.sure(group),
            {
                "agent_name": name,
                "worker_ids": comers,
                "seconds_late": [round(max(0.0, one), 3) for one in delays[:20]],
            },
            words.proof_of(group, (partner[id(one)] for one in group)),
            (
                words.ask_again(group),
                Fix(
                    "Dispatch only to registered workers",
                    steps=(
                        (
                            "Let the start of whatever dispatches wait for the worker's line `registered worker`, and one "
                            "second more."
                        ),
                    ),
                    verify=("`worker registered` stands before the room's first line in the server's log.",),
                ),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


class _Names:
    """The attendance of a name's workers of one job type, made when first asked for."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._known: dict[tuple[str, str], words.Attendance] = {}

    def of(self, dispatch: Dispatch) -> words.Attendance:
        """Those whom the deciding launch of the dispatch could have asked."""
        key = dispatch.agent_name, words.launch_type(dispatch)
        if key not in self._known:
            sessions = self._workers.named(key[0])
            self._known[key] = words.Attendance(each for each in sessions if words.same_type(each, key[1]))
        return self._known[key]


def _late(delays: list[float]) -> str:
    """`3.2 s after`, `in the very moment when`."""
    if max(delays) <= RACE:
        return "in the very moment when"
    return f"{words.between(delays)} after"


@check(WORKER_GONE)
def worker_gone(dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """The worker of this name had been registered, and was gone when the dispatch was made.

    ## What it means
    The worker stopped, crashed, was redeployed or lost its connection. For up to 60 s the server still remembers the
    name and asks into the void (`no response from servers`); after that it knows that nobody serves it. Both end the
    same way, without a retry, and a worker that comes back does not pick the room up.

    ## How it is decided
    The dispatch ended with nobody to ask, no worker of the name was open at that moment, and one had closed before: at
    any time before a `not dispatching` line, within 60 s before a `no response` one (the life of the server's list of
    names, seen as 57 s and 62 s on 1.13.5). Or the worker's socket closed while it was being asked (`worker closed`,
    `no workers available`). For the unnamed agent only the `no response` form exists, and it counts only if an unnamed
    worker had left within those 60 s.

    ## How to fix
    Keep at least two workers of the name, or let the new one register before the old one goes, and drain the old one.
    Then dispatch again for the rooms that missed it.

    ## When it is not a problem
    A worker of the name that was still open rules this out. A server restart closes all workers at once; a dispatch
    made before they return is reported, because its room did miss its agent.
    """
    there = _Names(workers)
    gone: list[tuple[Dispatch, WorkerSession | None]] = []
    for one in dispatches.ended(Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE, Outcome.WORKER_CLOSED):
        at = words.asked(one)
        if at is None or (one.outcome is Outcome.NAME_NOT_SERVED and not words.wanted(one)):
            continue
        if one.outcome is Outcome.WORKER_CLOSED:
            # it closed while it was asked: within the server's budget after the question
            gone.append((one, there.of(one).first_left(at - 1, at + rules.SETTLE)))
            continue
        last = there.of(one).last_left(at)
        if last is None or there.of(one).anybody(at):
            continue
        if one.outcome is Outcome.NO_RESPONSE and at - (last.closed_at or 0.0) > rules.CACHE + CACHE_SLACK:
            continue  # the list of names cannot be that old: something else made the server believe in the name
        gone.append((one, last))
    partner = {id(one): session for one, session in gone}
    for name, group in words.by_name(one for one, _ in gone).items():
        first, until = words.when(group)
        leavers = {each.worker_id: each for one in group if (each := partner[id(one)]) is not None}
        back = [
            each
            for each in workers.named(name)
            if each.registered_at is not None and first is not None and each.registered_at > first
        ]
        confidence = words.sure(group)
        yield Finding(
            WORKER_GONE,
            Subject("agent", agent_name=name),
            _gone_message(name, group, leavers, back),
            WORKER_GONE.severity,
            confidence if leavers else min(confidence, Confidence.MEDIUM),
            {
                "agent_name": name,
                "worker_ids": list(leavers),
                "lost_connection": any(each.lost_connection for each in leavers.values()),
                "returned": [each.worker_id for each in back],
                "rooms": sorted({one.room for one in group})[:20],
            },
            words.spread(
                [
                    *(place for each in leavers.values() for place in each.proof[-1:]),
                    *(place for one in group for place in words.ending(one)),
                ]
            ),
            (
                words.ask_again(group),
                Fix(
                    "Keep the name served",
                    steps=(
                        "Run two workers of the name, or start the new one before the old one is stopped.",
                        "Read the worker's own log around the time it left: crash, memory limit, deploy, network.",
                    ),
                    verify=(f"`worker registered` for {words.quoted(name)} stands before the next dispatch.",),
                ),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=until,
        )


def _gone_message(
    name: str, group: list[Dispatch], leavers: dict[str, WorkerSession], back: list[WorkerSession]
) -> str:
    """Who left when, and what it cost."""
    asked = f"{words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}"
    if all(one.outcome is Outcome.WORKER_CLOSED for one in group):
        return f"The worker for {words.quoted(name)} closed its socket while it was being asked ({asked})."
    last = max(leavers.values(), key=lambda one: one.closed_at or 0.0)
    at = words.asked(group[0]) or 0.0
    before = [at - each.closed_at for each in leavers.values() if each.closed_at is not None and each.closed_at <= at]
    ago = f" {words.span(min(before))} before the first dispatch" if before else ""
    how = "lost its connection" if last.lost_connection else "left"
    text = f"The worker for {words.quoted(name)} ({last.worker_id}) {how}{ago}, and nobody took its place ({asked})."
    if back:
        text += f" It came back at {words.clock(back[0].registered_at)}; the server does not retry for it."
    return text
