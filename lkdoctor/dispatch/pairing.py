"""Pairs `failed to send job request` lines, which name no room, with the launches that they can belong to.

Such a line carries name, type and error only. It keeps all its candidate launches until something decides: lines that do
name the room take their launches first (so a line waits until the log is `PATIENCE` further), then the launch whose age
fits the error's nominal delay best. Two launches that fit alike are rivals: the pairing is marked and judged at the end.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import Certainty, Dispatch, Launch, Origin, Outcome

PATIENCE: Final = 6.0  # seconds of log until lines with a room have had their turn (a cold survey runs 5 s)
EARLY: Final = 0.15  # the request's time comes from a line written a little after it
TICK: Final = 0.012  # of a console stamp and a call's duration, both cut to milliseconds, and a little more
LATE: Final = 9.0  # a survey and a budget, when nothing jams the node
LATE_JAMMED: Final = 120.0  # behind a hung worker launches start in waves of 3 s
TWIN: Final = 0.1  # launches nearer than this fit a line alike

Key = tuple[str, str, str]  # cluster (nodes without redis share nothing), agent name, job type


@dataclass(slots=True)
class RequestLine:
    """One `failed to send job request` line of a launch."""

    at: float | None
    stream: str
    cluster: str
    agent_name: str
    job_type: str
    error: str
    ending: rules.Ending
    place: Place
    early: bool  # stands so near the start of the evidence that its launch may be before it


@dataclass(slots=True)
class _Open:
    dispatch: Dispatch
    launch: Launch
    stream: str  # of the line that tells when it was launched; empty when none does
    key: Key


@dataclass(slots=True)
class _Contest:
    """A line that several launches fit alike."""

    winner: Launch
    rivals: list[Launch]


@dataclass(slots=True)
class Pairing:
    """The launches that still wait for an ending, and the lines that wait for their launch."""

    opened: dict[Key, dict[int, _Open]] = field(default_factory=lambda: defaultdict(dict))  # by id() of the launch
    ended: dict[Key, deque[Launch]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=512)))
    waiting: deque[RequestLine] = field(default_factory=deque)
    contests: list[_Contest] = field(default_factory=list)
    timeouts: deque[float] = field(default_factory=lambda: deque(maxlen=rules.IN_FLIGHT))
    _where: dict[int, Key] = field(default_factory=dict)  # of launches that are open, hence alive

    def open(self, dispatch: Dispatch, launch: Launch, stream: str, cluster: str) -> None:
        """A launch was made and waits for its ending; `stream` tells whose clock its time is of."""
        key = (cluster, dispatch.agent_name, launch.job_type)
        self.opened[key][id(launch)] = _Open(dispatch, launch, stream, key)
        self._where[id(launch)] = key

    def close(self, launch: Launch, key: Key) -> None:
        """A line ended the launch."""
        self._take(launch)
        if launch.outcome in _CONFIRMED_BY_LINE or launch.outcome is Outcome.ASSIGNED:
            self.ended[key].append(launch)

    def forget(self, dispatch: Dispatch) -> None:
        """The dispatch's room is long closed; nothing can come any more."""
        for launch in dispatch.launches:
            self._take(launch)

    def _take(self, launch: Launch) -> None:
        key = self._where.pop(id(launch), None)
        if key is not None:
            del self.opened[key][id(launch)]
            if not self.opened[key]:
                del self.opened[key]

    def pair(self, line: RequestLine) -> tuple[Dispatch, Launch] | bool:
        """Find the launch of this line.

        Returns:
            The dispatch and launch that it ends; True when it only confirmed an ending that is known already; False
            when no launch fits.
        """
        key = (line.cluster, line.agent_name, line.job_type)
        if self._confirm(line, key):
            return True
        candidates = self._candidates(line, key)
        if not candidates:
            return False
        best_fit, best = candidates[0]
        # which of several requests of one room a line is of is judged when all is read (`alike`)
        rivals = [
            one.launch
            for fit, one in candidates[1:]
            if fit - best_fit < TWIN and not _one_room(one.dispatch, best.dispatch)
        ]
        launch = best.launch
        launch.rivals = len(rivals)
        if rivals:
            launch.certainty = Certainty.MEDIUM
            self.contests.append(_Contest(launch, rivals))
        elif best_fit > 0.5 or line.at is None:
            launch.certainty = Certainty.MEDIUM
        self._take(launch)
        return best.dispatch, launch

    def _confirm(self, line: RequestLine, key: Key) -> bool:
        """E, E', F and H are said by the worker's node first; the room's node repeats them without the room."""
        if line.ending.outcome not in _CONFIRMED_BY_LINE:
            return False
        near = -1
        near_gap = rules.CLOCKS
        ended = self.ended.get(key, deque())
        for index in range(len(ended) - 1, -1, -1):
            launch = ended[index]
            if line.at is not None and launch.ended_at is not None and launch.ended_at < line.at - 2 * rules.CLOCKS:
                break  # they stand in the order of their ends, but for the clocks of several nodes
            if not _same_ending(launch.outcome, line.ending.outcome):
                continue
            gap = 0.0 if line.at is None or launch.ended_at is None else abs(line.at - launch.ended_at)
            if gap < near_gap and (gap < 1.0 or launch.node != line.stream):
                near, near_gap = index, gap
        if near < 0:
            return False
        launch = ended[near]
        if launch.outcome is Outcome.ASSIGNED:
            # A worker that answered in the last millisecond: assigned on its node, timed out on the room's node.
            if launch.asked_at is None or line.at is None or near_gap > 0.3 or line.at - launch.asked_at < 2.7:
                return False
            launch.ghost = True
        del ended[near]  # a launch is repeated once
        launch.proof.append(line.place)
        return True

    def _candidates(self, line: RequestLine, key: Key) -> list[tuple[float, _Open]]:
        jammed = len(self.timeouts) == rules.IN_FLIGHT and line.at is not None and line.at - self.timeouts[0] < 10
        latest = LATE_JAMMED if jammed else LATE
        fits: list[tuple[float, _Open]] = []
        young: list[tuple[float, _Open]] = []
        for one in self.opened.get(key, {}).values():
            if one.launch.asked_at is None or line.at is None:
                fits.append((latest, one))
                continue
            age = line.at - one.launch.asked_at
            slack = rules.CLOCKS if one.stream not in ("", line.stream) else 0.0
            if not line.ending.after - EARLY - slack <= age <= latest + slack:
                continue
            fit = abs(age - line.ending.after)
            if line.early and fit > 0.3:
                continue  # its launch may stand before the evidence: do not give it to the next best
            # No timer of the server runs out early, and a call on the same node is timed to the millisecond.
            exact = one.stream == line.stream and one.dispatch.origin in TIMED
            (young if exact and age < line.ending.after - TICK else fits).append((fit, one))
        fits = fits or young
        fits.sort(key=lambda pair: pair[0])
        return fits

    def settle_contests(self) -> None:
        """Judge the lines that several launches fitted alike, once every line has been read.

        All ended alike: it does not matter which was whose. One ended otherwise, or not at all: nobody can tell whose
        line it was.
        """
        unclear: list[Launch] = []
        for contest in self.contests:
            # a rival that another line ended, one with a room in it, never waited for this one
            rivals = [
                one for one in contest.rivals if one.job_id is None and one.outcome is not Outcome.NAME_NOT_SERVED
            ]
            others = [one for one in rivals if one.outcome is not contest.winner.outcome]
            if others:
                unclear += (contest.winner, *others)
            else:
                contest.winner.certainty = Certainty.HIGH
        for launch in unclear:
            launch.certainty = Certainty.LOW
            launch.rivals = max(launch.rivals, 1)
            if launch.outcome is not Outcome.PENDING:
                launch.outcome = Outcome.UNKNOWN


TIMED = frozenset((Origin.ROOM, Origin.API))  # origins whose calls print how long they took

_CONFIRMED_BY_LINE = frozenset(
    (Outcome.DECLINED, Outcome.NO_HEADROOM, Outcome.WORKER_CLOSED, Outcome.ANSWER_TIMEOUT, Outcome.UNKNOWN)
)


def _one_room(one: Dispatch, other: Dispatch) -> bool:
    """Are these of one life of a room? Its id is not printed with the call that makes it."""
    return one.room == other.room and (one.room_id == other.room_id or not one.room_id or not other.room_id)


def _same_ending(launch: Outcome, line: Outcome) -> bool:
    """Can this line of the room's node repeat that ending of the worker's node?"""
    if line is Outcome.DECLINED:  # `no workers with sufficient capacity`: declined, or E' (load)
        return launch in (Outcome.DECLINED, Outcome.NO_HEADROOM, Outcome.UNKNOWN)
    if line is Outcome.ANSWER_TIMEOUT:
        return launch in (Outcome.ANSWER_TIMEOUT, Outcome.ASSIGNED)
    return launch is line and line is Outcome.WORKER_CLOSED
