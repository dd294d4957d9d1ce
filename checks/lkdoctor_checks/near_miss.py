"""Is there a registered name that only looks different from the one asked for?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lkdoctor.dispatch.model import Dispatch, Outcome
from lkdoctor.doctor.codes import NAME_NEAR_MISS
from lkdoctor.doctor.evidence import Dispatches, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

SHORTEST_TYPO = 5  # below, two edits make almost any name out of any other
MOST_EDITS = 2


@check(NAME_NEAR_MISS)
def name_near_miss(dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """The agent name asked for was never registered, but one that differs by spelling only was.

    ## What it means
    The server compares agent names byte by byte: `Inbound Agent`, `inbound-agent` and `inbound_agent` are three
    different agents. The worker is fine and waits; the dispatch asks for somebody else.

    ## How it is decided
    The dispatch ended because nobody served its name, no worker of exactly that name is in the log, and a worker is
    registered whose name becomes the same when case, blanks, hyphens, underscores and dots are taken away (sure), or
    differs by at most two letters in a name of five or more (likely). Exact comparison was seen on 1.8.4, 1.9.12,
    1.11.0 and 1.13.5.

    ## How to fix
    Use one spelling on both sides. Changing the dispatch or the token is quicker than restarting workers.

    ## When it is not a problem
    Names that differ in a digit only (`agent-1`, `agent-2`) or in a one-letter ending (`agent-a`, `agent-b`) are
    numbered on purpose: they are not reported, the missing one is LKD301. A slip of letters is only suggested (low
    confidence) when the other name has dispatches of its own.
    """
    missed = (one for one in dispatches.ended(Outcome.NAME_NOT_SERVED) if words.wanted(one))
    registered = [name for name in workers.names() if name]
    own = {one.agent_name for one in dispatches if one.explicit and one.came_to is not Outcome.NAME_NOT_SERVED}
    for name, group in words.by_name(missed).items():
        if name in registered:
            continue
        near = nearest(name, registered)
        if near is None:
            continue
        other, how = near
        confidence = words.sure(group)
        if how == "letters":
            confidence = min(confidence, Confidence.LOW if other in own else Confidence.MEDIUM)
        first, last = words.when(group)
        there = words.Attendance(workers.named(other))
        present = first is None or any(there.anybody(words.asked(one) or 0.0) for one in group)
        if not present:
            confidence = min(confidence, Confidence.MEDIUM)
        yield Finding(
            NAME_NEAR_MISS,
            Subject("agent", agent_name=name),
            f'The dispatch asks for "{name}", but the worker {"is registered" if present else "registers"} as "{other}" '
            f"({_difference(name, other, how)}); the server compares names exactly "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)})."
            + ("" if present else " That worker was not there at that moment either."),
            NAME_NEAR_MISS.severity,
            confidence,
            {"asked": name, "registered": other, "difference": how, "rooms": sorted({one.room for one in group})[:20]},
            words.proof_of(group, workers.named(other)),
            (one_spelling(name, other, present), words.ask_again(_renamed(group, other))),
            # A mere suggestion must not hide the symptom that is sure. That nobody asked for the registered name
            # (LKD310) is the other side of the same cause.
            folds=(*words.folds_of(group), Subject("agent", agent_name=other)) if confidence > Confidence.LOW else (),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def plain(name: str) -> str:
    """The name without case, blanks, hyphens, underscores and dots."""
    return re.sub(r"[\s\-_.]+", "", name).casefold()


def nearest(name: str, registered: list[str]) -> tuple[str, str] | None:
    """The registered name that was probably meant, and how it differs: `spelling` or `letters`."""
    for other in registered:
        if plain(other) == plain(name):
            return other, "spelling"
    if len(name) < SHORTEST_TYPO:
        return None
    close = sorted((edits(name, other), other) for other in registered if not numbered(name, other))
    return (close[0][1], "letters") if close and close[0][0] <= MOST_EDITS else None


def numbered(one: str, other: str) -> bool:
    """True for names that are told apart by a digit or by a one-letter last part: two agents of a series."""
    if re.sub(r"\d+", "0", one) == re.sub(r"\d+", "0", other):
        return True
    stem, tail = re.split(r"[\s\-_.]+", one), re.split(r"[\s\-_.]+", other)
    same_stem = len(stem) == len(tail) > 1 and stem[:-1] == tail[:-1]
    return same_stem and len(stem[-1]) == 1 and len(tail[-1]) == 1


def edits(one: str, other: str) -> int:
    """Letters to insert, delete, change or swap with a neighbour to make one name out of the other."""
    if abs(len(one) - len(other)) > MOST_EDITS:
        return MOST_EDITS + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for left, letter in enumerate(one, 1):
        before, row, last = row, [left], before
        for right, partner in enumerate(other, 1):
            cost = min(before[right] + 1, row[right - 1] + 1, before[right - 1] + (letter != partner))
            if last and right > 1 and letter == other[right - 2] and one[left - 2] == partner:
                cost = min(cost, last[right - 2] + 1)
            row.append(cost)
    return row[-1]


def _difference(name: str, other: str, how: str) -> str:
    """What differs, in words."""
    if how == "letters":
        return f"{words.counted(edits(name, other), 'letter')} apart"
    return "only case differs" if name.casefold() == other.casefold() else "blanks, hyphens or case differ"


def one_spelling(name: str, other: str, present: bool) -> Fix:
    """The same bytes on both sides."""
    return Fix(
        f'Ask for "{other}"',
        steps=(
            (
                f'Write "{other}" instead of "{name}" where the agent is asked for: token roomConfig, CreateRoom or '
                "CreateDispatch."
            ),
            f'Or register the worker as "{name}" and restart it.',
            *(() if present else ("Either way, start the worker before the dispatch: it was not registered then.",)),
        ),
        verify=(f'`assigned job to worker` with agentName "{other}" follows the next dispatch.',),
    )


def _renamed(group: list[Dispatch], other: str) -> list[Dispatch]:
    """The last dispatch under the registered name, for the command line of the fix."""
    last = group[-1]
    return [Dispatch(last.room, last.room_id, other, last.origin, last.asked_at)]
