"""Did the worker come too late, or had it left?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Coverage, Dispatch, Outcome, ServerRun, WorkerSession
from lkdoctor.doctor.codes import REGISTERED_TOO_LATE, WORKER_GONE
from lkdoctor.doctor.evidence import Dispatches, Rooms, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

AFTER_UNKNOWN_END = 300.0  # a room whose end is not known: its empty_timeout, by default
RACE = 0.5  # a registration this shortly before the question may have missed it
CACHE_SLACK = 2.0
RETURN = (
    30.0  # an SDK worker is back within seconds after its server is; one that takes longer has a problem of its own
)


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
    request and can stand after `worker registered` (seen on 1.13.5). Where the log does not show the request (1.8.4
    does not print what CreateDispatch asked for), it may have been made up to 5 s before the refusal: a worker that
    registered within those 5 s *may* have been too late, and the finding says so.

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
        if not words.wanted(one) or at is None:
            continue
        at -= _unseen(one)
        if there.of(one).anybody_before(at - RACE):
            continue
        room = lives.get(one.room_id)
        until = room.closed_at if room is not None and room.closed_at is not None else at + AFTER_UNKNOWN_END
        came = there.of(one).first_came(at - RACE, until)
        if came is not None:
            late.append((one, came))
    partner = {id(one): session for one, session in late}
    for name, group in words.by_name(one for one, _ in late).items():
        delays = [(partner[id(one)].registered_at or 0.0) - (words.asked(one) or 0.0) for one in group]
        guess = all(_unseen(one) for one in group)
        first, last = words.when(group)
        comers = list(dict.fromkeys(partner[id(one)].worker_id for one in group))
        yield Finding(
            REGISTERED_TOO_LATE,
            Subject("agent", agent_name=name),
            f"The worker for {words.quoted(name)} {_late(delays, guess)} its dispatch had been made "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}); the server tries once "
            "and does not come back to it.",
            REGISTERED_TOO_LATE.severity,
            # Before a log that begins in the middle an earlier worker may have come and gone (then it is LKD208).
            min(words.sure(group), Confidence.MEDIUM) if coverage.starts_late or guess else words.sure(group),
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


def _unseen(dispatch: Dispatch) -> float:
    """Seconds by which the request may be older than its refusal, when the log shows the refusal only."""
    launch = dispatch.deciding
    shown = dispatch.asked_at is not None or (launch is not None and launch.asked_at is not None)
    return 0.0 if shown or dispatch.came_to is not Outcome.NAME_NOT_SERVED else rules.SURVEY


def _late(delays: list[float], guess: bool) -> str:
    """`registered 3.2 s after`, `registered in the very moment when`."""
    if guess and min(delays) <= 0:
        return f"registered {words.between(-one for one in delays)} before the refusal, and may have come just after"
    if max(delays) <= RACE:
        return "registered in the very moment when"
    return f"registered {words.between(delays)} after"


@check(WORKER_GONE)
def worker_gone(dispatches: Dispatches, workers: Workers, runs: ServerRuns) -> Iterator[Finding | Inconclusive]:
    """The worker of this name had been registered, and was gone when the dispatch was made.

    ## What it means
    The worker stopped, crashed, was redeployed or lost its connection. For up to 60 s the server still remembers the
    name and asks into the void (`no response from servers`); after that it knows that nobody serves it. Both end the
    same way, without a retry, and a worker that comes back does not pick the room up.

    ## How it is decided
    The dispatch ended with nobody to ask, no worker of the name was open at that moment, and one had closed before: at
    any time before a `not dispatching` line, within 60 s before a `no response` one (the life of the server's list of
    names, seen as 57 s and 62 s on 1.13.5). Or the worker's socket closed while it was being asked (`worker closed`,
    `no workers available`). When the worker's session ended because its server stopped, and the server had started
    again before the dispatch, the restart is named as the cause. For the unnamed agent only the `no response` form exists, and it counts only if an unnamed
    worker had left within those 60 s.

    ## How to fix
    Keep at least two workers of the name, or let the new one register before the old one goes, and drain the old one.
    After a restart of the server a second worker does not help, for all are away at once: whatever dispatches must wait
    until they are back, which SDK workers are within seconds. Then dispatch again for the rooms that missed it.

    ## When it is not a problem
    A worker of the name that was still open rules this out. A server restart closes all workers at once; a dispatch
    made before they return is reported, because its room did miss its agent.
    """
    there = _Names(workers)
    restarts = _restarts(runs)
    gone: list[tuple[Dispatch, WorkerSession | None]] = []
    for one in dispatches.ended(Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE, Outcome.WORKER_CLOSED):
        at = words.asked(one)
        if at is None or (one.came_to is Outcome.NAME_NOT_SERVED and not words.wanted(one)):
            continue
        if one.came_to is Outcome.WORKER_CLOSED:
            # it closed while it was asked: within the server's budget after the question
            gone.append((one, there.of(one).first_left(at - 1, at + rules.SETTLE)))
            continue
        last = there.of(one).last_left(at)
        if last is None or there.of(one).anybody(at):
            continue
        if one.came_to is Outcome.NO_RESPONSE and at - (last.closed_at or 0.0) > rules.CACHE + CACHE_SLACK:
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
        started = [_restarted_at(restarts, partner[id(one)], words.asked(one)) for one in group]
        known = [at for at in started if at is not None]
        yield Finding(
            WORKER_GONE,
            Subject("agent", agent_name=name),
            _restart_message(name, group, known, back)
            if len(known) == len(group)
            else _gone_message(name, group, leavers, back),
            WORKER_GONE.severity,
            confidence if leavers else min(confidence, Confidence.MEDIUM),
            {
                "agent_name": name,
                "worker_ids": list(leavers),
                "lost_connection": any(each.lost_connection for each in leavers.values()),
                "returned": [each.worker_id for each in back],
                "server_restarted_at": known[-1] if known else None,
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
                *([_wait_for_workers(name, (until or 0.0) - known[-1])] if known else []),
                *([_keep_served(name)] if len(known) < len(group) else []),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=until,
        )


def _keep_served(name: str) -> Fix:
    """A worker that goes by itself."""
    return Fix(
        "Keep the name served",
        steps=(
            "Run two workers of the name, or start the new one before the old one is stopped.",
            "Read the worker's own log around the time it left: crash, memory limit, deploy, network.",
        ),
        verify=(f"`worker registered` for {words.quoted(name)} stands before the next dispatch.",),
    )


def _wait_for_workers(name: str, seconds: float) -> Fix:
    """All workers of a server that restarts are away at once, and come back by themselves."""
    steps = [
        "After a restart of the server let whatever dispatches wait, or try again, until the workers are back.",
        "SDK workers reconnect by themselves within seconds; make sure that nothing stops them from trying.",
    ]
    if seconds > RETURN:
        steps.append(f"A dispatch {words.span(seconds)} after the restart still found nobody: read the worker's log.")
    return Fix(
        "Dispatch only once the workers are back",
        steps=tuple(steps),
        verify=(f"`worker registered` for {words.quoted(name)} stands between the restart and the next dispatch.",),
    )


def _restarts(runs: ServerRuns) -> dict[str, list[tuple[ServerRun, float]]]:
    """By stream, each run that another one followed, with the start of the next."""
    streams: dict[str, list[ServerRun]] = {}
    for run in runs:
        streams.setdefault(run.stream, []).append(run)
    found: dict[str, list[tuple[ServerRun, float]]] = {}
    for stream, lives in streams.items():
        for one, following in pairwise(lives):
            start = following.started_at if following.started_at is not None else following.first_at
            if start is not None:
                found.setdefault(stream, []).append((one, start))
    return found


def _restarted_at(
    restarts: dict[str, list[tuple[ServerRun, float]]], leaver: WorkerSession | None, asked: float | None
) -> float | None:
    """When the server had started again, if the worker's session ended with its server's life; None otherwise."""
    if leaver is None or leaver.closed_at is None or asked is None:
        return None
    for run, start in restarts.get(leaver.stream, ()):
        if not leaver.closed_at <= start <= asked or run.stopped_at is None or leaver.closed_at < run.stopped_at:
            continue
        # A server that is killed writes no end, nor does its worker's session; a worker that wrote one left by itself.
        told_stop = run.last_at is not None and run.stopped_at < run.last_at
        if told_stop or leaver.last_seen_at != leaver.closed_at:
            return start
    return None


def _restart_message(name: str, group: list[Dispatch], known: list[float], back: list[WorkerSession]) -> str:
    """The server's restart, and what it cost."""
    times = words.listed((words.clock(at) for at in known), 3)
    text = (
        f"The server restarted at {times}; its workers for {words.quoted(name)} had not come back when they were asked "
        f"for ({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)})."
    )
    if back:
        text += f" The first was back at {words.clock(back[0].registered_at)}; the server does not retry for it."
    return text


def _gone_message(
    name: str, group: list[Dispatch], leavers: dict[str, WorkerSession], back: list[WorkerSession]
) -> str:
    """Who left when, and what it cost."""
    asked = f"{words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}"
    if all(one.came_to is Outcome.WORKER_CLOSED for one in group):
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
