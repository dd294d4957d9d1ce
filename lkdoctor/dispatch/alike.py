"""Finds requests of one agent name in one room whose endings could be each other's, and says that it is not known whose.

No log line names a dispatch: of two requests of one name that were open at the same time, an ending tells its room and
name, never which of the two it is about. Where several readings fit the lines, only what holds in all of them is told; what
each of the requests came to in the reading at hand is kept in `among`, so that "one of two" can still be said of them all.

Requests that nothing tells apart (two entries of one call) need no reading: whichever is which, the same is said of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Final

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.judge import decisive
from lkdoctor.dispatch.model import Dispatch, Launch, Origin, Outcome, Room, WorkerSession
from lkdoctor.dispatch.pairing import EARLY, LATE_JAMMED, TICK, TIMED, TWIN

FETCH_LIST: Final = "ListDispatch of the room while it is open (`--url`): it shows which dispatch has which job"

_SILENT: Final = frozenset((Outcome.PENDING, Outcome.REJECTED_TERMINALLY, Outcome.WAITING, Outcome.NOT_ASSIGNED))
# Seconds from the launch: no timer of the server runs out early, and none of these comes later unless something is held up.
_BETWEEN: Final[Mapping[Outcome, tuple[float, float]]] = {
    Outcome.ASSIGNED: (rules.SELECTION, rules.ANSWER_BUDGET),  # the worker takes its time to answer
    Outcome.DECLINED: (rules.SELECTION, rules.ANSWER_BUDGET),
    Outcome.WORKER_CLOSED: (rules.SELECTION, rules.ANSWER_BUDGET),
    Outcome.ANSWER_TIMEOUT: (rules.ANSWER_BUDGET, rules.ANSWER_BUDGET),
    Outcome.NO_HEADROOM: (rules.SELECTION, rules.SELECTION),
    Outcome.NO_RESPONSE: (rules.NO_CLAIM, rules.NO_CLAIM),
    Outcome.NAME_NOT_SERVED: (0.0, rules.SURVEY),
}
_ANY: Final = (0.0, rules.SETTLE)


@dataclass(frozen=True, slots=True)
class Known:
    """What the API lists of one dispatch: its jobs; none, once a job must have shown."""

    jobs: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Try:
    dispatch: Dispatch
    launch: Launch
    known: Known | None


Misfit = Callable[[_Try, _Try], float]
Cycle = list[
    tuple[_Try, list[_Try]]
]  # launches whose endings can go round, each with those whose ending it can have had


def settle(
    room: Room, workers: Callable[[str], Iterable[WorkerSession]], known: Mapping[int, Known] | None = None
) -> None:
    """Make `unknown` what differs between the readings that fit the lines of `room`.

    Args:
        room: a room whose dispatches are all decided, each by itself.
        workers: the worker sessions of an agent name.
        known: what the API lists, by `id()` of the dispatch; it rules readings out.
    """
    for group in _by_name(room).values():
        if len(group) < 2:
            continue
        misfit = partial(_misfit, room=room, workers=list(workers(group[0].agent_name)))
        for tries in _tries(group, known or {}):
            _mend(tries, misfit)
        found: dict[int, Counter[Outcome]] = {}
        for tries in _tries(group, known or {}):
            for cycle in _cycles(tries, misfit):
                if not _twins(cycle):
                    _tell(cycle, found)
        for one in group:
            if id(one) in found and one.outcome is not Outcome.UNKNOWN:
                _leave_open(one, found[id(one)])


def reopen(group: Iterable[Dispatch]) -> None:
    """Go back to the reading at hand, to settle it anew with what has become known since."""
    for one in group:
        if one.among is not None:
            one.outcome, one.among = one.among, None
            one.reason = one.missing = ""


def left_open(room: Room) -> list[list[Dispatch]]:
    """The requests of each name that `settle` could not tell apart, with the other ones of their name."""
    return [group for group in _by_name(room).values() if any(one.among is not None for one in group)]


def swap(one: Dispatch, other: Dispatch) -> None:
    """Let two requests change places: each gets all that was said of the other's job."""
    times = {key: mine.asked_at for key, mine in _by_kind(one).items()}
    for key, theirs in _by_kind(other).items():
        if key in times:  # when it was asked for is the request's
            _by_kind(one)[key].asked_at, theirs.asked_at = theirs.asked_at, times[key]
    own = [[place for place in each.proof if not _of_launches(place, each)] for each in (one, other)]
    for name in _STORY:
        before = getattr(one, name)
        setattr(one, name, getattr(other, name))
        setattr(other, name, before)
    for each, asked in zip((one, other), own, strict=True):
        launch = each.deciding
        each.proof = [*asked, *(launch.proof if launch is not None else ())]


_STORY: Final = (
    "launches", "outcome", "certainty", "reason", "missing", "after", "participant", "noise_lines", "noise",
)  # fmt: skip


def _by_kind(one: Dispatch) -> dict[tuple[str, str | None], Launch]:
    return {(launch.job_type, launch.participant): launch for launch in one.launches}


def _of_launches(place: Place, dispatch: Dispatch) -> bool:
    return any(place in launch.proof for launch in dispatch.launches)


def _by_name(room: Room) -> dict[str, list[Dispatch]]:
    found: dict[str, list[Dispatch]] = {}
    for one in room.dispatches:
        found.setdefault(one.agent_name, []).append(one)
    return found


def _tries(group: Sequence[Dispatch], known: Mapping[int, Known]) -> Iterable[list[_Try]]:
    """The launches of a name that can be taken for one another: of one job type, and of one person."""
    found: dict[tuple[str, str | None], list[_Try]] = {}
    for one in group:
        deciding = [launch for launch in one.launches if launch.decides]
        for launch in deciding or [each for each in one.launches if each.job_type == rules.JT_ROOM]:
            key = (launch.job_type, launch.participant)
            found.setdefault(key, []).append(_Try(one, launch, known.get(id(one))))
    return found.values()


def _misfit(one: _Try, other: _Try, room: Room, workers: Sequence[WorkerSession]) -> float:
    """By how many seconds the ending of `other` misses what `one` can have ended with; infinite when it cannot be."""
    ending = other.launch
    if one.known is not None and not _listed(one.known, ending):
        return math.inf
    if ending.ended_at is None and ending.outcome in _SILENT:
        return 0.0
    if not _served(one, ending, workers):
        return math.inf
    asked, ended = one.launch.asked_at, ending.ended_at
    if asked is None or ended is None:
        return 0.0
    earliest, latest = _BETWEEN.get(ending.outcome, _ANY)
    if ending.outcome is Outcome.NO_HEADROOM and ending.job_id is not None:
        latest = rules.ANSWER_BUDGET  # the node had claimed the job
    near = ending.node in (None, "", room.stream)
    slack = 0.0 if near else rules.CLOCKS
    early = TICK if near and one.dispatch.origin in TIMED else EARLY
    age = ended - asked
    return math.inf if age < earliest - early - slack else max(0.0, age - latest - slack)


def _listed(known: Known, ending: Launch) -> bool:
    """Can a dispatch that is listed so have ended so?"""
    if ending.outcome in (Outcome.ASSIGNED, Outcome.REJECTED_TERMINALLY) and not ending.ghost:
        return ending.job_id in known.jobs if ending.job_id else bool(known.jobs)
    return not known.jobs


def _served(one: _Try, ending: Launch, workers: Sequence[WorkerSession]) -> bool:
    """Could workers of the request's deployment have brought this ending about? They are printed late, if at all."""
    wanted, at = one.dispatch.deployment, one.launch.asked_at
    asked = {ending.worker_id, *ending.asked_workers}
    if any(each.worker_id in asked and each.deployment not in (None, wanted) for each in workers):
        return False
    there = [each for each in workers if each.job_type in ("", ending.job_type) and (at is None or each.alive_at(at))]
    if ending.outcome is Outcome.NO_HEADROOM and there:
        return any(each.deployment in (None, wanted) for each in there)
    if ending.outcome is Outcome.NO_RESPONSE:
        return not any(each.deployment == wanted for each in there)
    return True


def _mend(tries: Sequence[_Try], misfit: Misfit) -> None:
    """Let requests change places while that makes the reading at hand a better one: lines were taken as they came."""
    for near in _near(tries):
        if len({one.dispatch.outcome for one in near}) < 2:
            continue
        for one, other in combinations(near, 2):
            single = all(sum(launch.decides for launch in each.dispatch.launches) == 1 for each in (one, other))
            if not single or one.dispatch.outcome is other.dispatch.outcome:
                continue
            here = _Try(one.dispatch, _own(one), one.known), _Try(other.dispatch, _own(other), other.known)
            now = misfit(here[0], here[0]) + misfit(here[1], here[1])
            if misfit(here[0], here[1]) + misfit(here[1], here[0]) + TWIN < now:
                swap(one.dispatch, other.dispatch)


def _own(one: _Try) -> Launch:
    """The launch that the request has now."""
    return next(launch for launch in one.dispatch.launches if launch.decides)


def _cycles(tries: Sequence[_Try], misfit: Misfit) -> Iterable[Cycle]:
    """Launches whose endings can go round: an ending of its cycle that fits a launch is its own in some reading."""
    for near in _near(tries):
        if len({one.dispatch.outcome for one in near}) < 2:
            continue
        count = len(near)
        # What holds up the one may have held up the other: an ending as late as it is here is not too late there.
        late = [min(misfit(one, one), LATE_JAMMED) + TWIN for one in near]
        fits = [
            sum(1 << j for j in range(count) if i == j or misfit(near[i], near[j]) <= late[j]) for i in range(count)
        ]
        reach = list(fits)
        for middle in range(count):
            for i in range(count):
                if reach[i] >> middle & 1:
                    reach[i] |= reach[middle]
        left = set(range(count))
        while left:
            first = min(left)
            cycle = [j for j in sorted(left) if reach[first] >> j & 1 and reach[j] >> first & 1]
            left.difference_update(cycle)
            if len(cycle) > 1:
                yield [(near[i], [near[j] for j in cycle if fits[i] >> j & 1]) for i in cycle]


def _near(tries: Sequence[_Try]) -> Iterable[list[_Try]]:
    """Parts between which no ending can change places, as the earlier ones had all ended before the later ones began."""
    part: list[_Try] = []
    until = float("-inf")
    for one in sorted(tries, key=lambda one: one.launch.asked_at or 0.0):
        asked, ended = one.launch.asked_at, one.launch.ended_at
        if part and asked is not None and asked > until:
            yield part
            part, until = [], float("-inf")
        part.append(one)
        begun = asked if asked is not None else float("inf")
        until = max(until, (ended if ended is not None else begun + rules.SETTLE) + rules.CLOCKS)
    if part:
        yield part


def _twins(cycle: Cycle) -> bool:
    """Are these entries of one call, so that nothing that is said of them depends on which is which?"""
    return len({_label(one.dispatch) for one, _ in cycle}) == 1


def _label(one: Dispatch) -> tuple[Origin, float | None, str, Place | None]:
    return one.origin, one.asked_at, one.deployment, one.proof[0] if one.proof else None


def _tell(cycle: Cycle, found: dict[int, Counter[Outcome]]) -> None:
    """Note the requests whose outcome differs between the readings, with what all of these together came to."""
    left = [one.dispatch for one, endings in cycle if len(_outcomes(one, endings)) > 1]
    for one in left:
        found[id(one)] = Counter(each.outcome for each in left)


def _outcomes(one: _Try, endings: Sequence[_Try]) -> set[Outcome]:
    """What the request came to, in one reading or another."""
    others = [each for each in one.dispatch.launches if each.decides and each is not one.launch]
    if not others:
        return {each.dispatch.outcome for each in endings}
    return {decisive([replace(one.launch, outcome=each.launch.outcome), *others]).outcome for each in endings}


def _leave_open(one: Dispatch, others: Mapping[Outcome, int]) -> None:
    one.among = one.outcome
    one.outcome = Outcome.UNKNOWN
    told = [f"{count} {outcome.value}" for outcome, count in sorted(others.items())]
    one.reason = (
        f"{sum(others.values())} requests for this name were open in this room at once, and no line names a request: it is "
        f"not told which of them came to which ({', '.join(told)})"
    )
    one.missing = FETCH_LIST
