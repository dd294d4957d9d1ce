"""Recorded listings and recorded logs of the same moments: together they say more than each alone, and nothing else."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from lkdoctor.collect.case import CaseInputs
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api.exchanges import read_exchanges
from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.facts import Event
from lkdoctor.dispatch.listings import Snapshot
from lkdoctor.dispatch.model import After, Dispatch, Outcome, Stories
from lkdoctor.dispatch.stories import join

FIXTURES = Path(__file__).parents[2] / "fixtures"
CASES = sorted(one.parent.name for one in FIXTURES.glob("*/api.jsonl"))

OPEN = {Outcome.UNKNOWN, Outcome.PENDING}
# For whom a name's jobs are made shows in a job elsewhere: without its listing, only that there is none here.
FREE = OPEN | {Outcome.WAITING}
# What an API can show where a log knows the reason.
REFUSED = {
    Outcome.NAME_NOT_SERVED,
    Outcome.NO_RESPONSE,
    Outcome.NO_HEADROOM,
    Outcome.DECLINED,
    Outcome.ANSWER_TIMEOUT,
    Outcome.WORKER_CLOSED,
    Outcome.WAITING,
}


@cache
def events_of(case: str) -> tuple[Event, ...]:
    return tuple(ServerLogs(CaseInputs.find([FIXTURES / case]).server_logs, jobs=1).events())


@cache
def snapshots_of(case: str) -> tuple[Snapshot, ...]:
    gathered = Gathered()
    with (FIXTURES / case / "api.jsonl").open("rb") as lines:
        read_exchanges(lines, "api.jsonl", gathered)
    return tuple(gathered.snapshots)


def by_subject(stories: Stories) -> dict[tuple[str, str], list[Dispatch]]:
    found: dict[tuple[str, str], list[Dispatch]] = defaultdict(list)
    for one in stories.dispatches:
        found[one.room, one.agent_name].append(one)
    return found


def agrees(outcome: Outcome, others: set[Outcome]) -> bool:
    """May the API alone say this where log and API together say one of those?"""
    if outcome in others or outcome is Outcome.PENDING:
        return True
    # The list lags 5 s behind, and a job that a worker answered at the last moment is never in it.
    return outcome is Outcome.NOT_ASSIGNED and bool(others & (REFUSED | OPEN | {Outcome.ASSIGNED}))


@pytest.mark.parametrize("case", CASES)
def test_the_api_never_contradicts_the_log(case: str) -> None:
    log = by_subject(join(events_of(case)))
    both = by_subject(join(events_of(case), snapshots=snapshots_of(case)))
    for subject, told in log.items():
        before = [one.outcome for one in told]
        after = [one.outcome for one in both[subject]]
        assert len(after) >= len(before), subject
        for outcome in set(before) - OPEN:
            assert after.count(outcome) >= before.count(outcome), f"{subject}: {before} became {after}"
        decided = [one for one in told if one.outcome not in OPEN]
        surer = [one for one in both[subject] if one.outcome not in OPEN]
        assert len(surer) >= len(decided)
        assert min((one.certainty for one in decided), default=3) <= max((one.certainty for one in surer), default=3)


@pytest.mark.parametrize("case", [case for case in CASES if list((FIXTURES / case).glob("server*"))])
def test_the_api_alone_never_says_what_both_deny(case: str) -> None:
    both = by_subject(join(events_of(case), snapshots=snapshots_of(case)))
    for subject, told in by_subject(join((), snapshots=snapshots_of(case))).items():
        # Of a worker for persons the API shows the one that was served, the log also the one that was refused.
        known = {launch.outcome for one in both[subject] for launch in one.launches}
        known |= {one.outcome for one in both[subject]}
        for one in told:
            assert agrees(one.outcome, known), f"{subject}: the API says {one.outcome}, with the log {known}"
            if one.after is After.NEVER_JOINED:
                assert any(other.after in (After.NEVER_JOINED, None) for other in both[subject]), subject


@pytest.mark.parametrize("case", CASES)
def test_fewer_samples_never_say_something_else(case: str) -> None:
    whole = by_subject(join((), snapshots=snapshots_of(case)))
    dice = random.Random(case)
    for _ in range(8):
        some = [one for one in snapshots_of(case) if dice.random() < 0.6]
        for subject, told in by_subject(join((), snapshots=some)).items():
            # A dispatch whose job was left out with its listing: only a listing 8 s after the making counts it as lost.
            lost = {Outcome.NOT_ASSIGNED, Outcome.PENDING} if len(some) < len(snapshots_of(case)) else set()
            known = {one.outcome for one in whole[subject]}
            assert {one.outcome for one in told} <= known | {Outcome.PENDING} | (lost if known & FREE else set()), (
                subject
            )
