"""Taking evidence away may make an outcome unknown or pending, never another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from lkdoctor.collect.case import CaseInputs
from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.facts import Event
from lkdoctor.dispatch.model import After, Outcome, Stories
from lkdoctor.dispatch.stories import join

FIXTURES = Path(__file__).parents[2] / "fixtures"
CASES = sorted(one.parent.name for one in FIXTURES.glob("*/scenario.toml"))

# A tail cut shows the world as it was earlier: an agent that has left since was still there, a launch that a later
# publish raised was still waited for.
EARLIER = {Outcome.WAITING}
# A worker for persons is asked once for each of them: what came of the dispatch may change with the next person.
PERSONAL = {"JT_PARTICIPANT", "JT_PUBLISHER"}
WEAKER = {Outcome.UNKNOWN, Outcome.PENDING}


@cache
def events_of(case: str) -> tuple[Event, ...]:
    return tuple(ServerLogs(CaseInputs.find([FIXTURES / case]).server_logs, jobs=1).events())


def outcomes(stories: Stories) -> dict[tuple[str, str], set[Outcome]]:
    found: dict[tuple[str, str], set[Outcome]] = defaultdict(set)
    for one in stories.dispatches:
        # what one of several alike requests came to stays true when less is known of the others
        found[one.room, one.agent_name] |= {one.outcome, one.came_to}
        found["", one.agent_name] |= {one.outcome, one.came_to}  # a line that lost its room may be any room's
    return found


def contradictions(whole: Stories, cut: Stories, allowed: set[Outcome]) -> list[str]:
    known = outcomes(whole)
    return [
        f"{one.room or '(no room)'} {one.agent_name!r}: {one.outcome.value}, with all evidence "
        f"{sorted(word.value for word in known[one.room, one.agent_name])}"
        for one in cut.dispatches
        if one.outcome not in allowed
        and one.outcome not in known[one.room, one.agent_name]
        and not (allowed >= EARLIER and one.deciding is not None and one.deciding.job_type in PERSONAL)
    ]


def steps(count: int) -> Iterable[int]:
    """Every place to cut in a short case, about 60 in a long one."""
    return range(1, count, max(1, count // 60))


@pytest.mark.parametrize("case", CASES)
def test_a_log_without_its_head(case: str) -> None:
    events = events_of(case)
    whole = join(events)
    for cut in steps(len(events)):
        assert not contradictions(whole, join(events[cut:]), WEAKER), f"without its first {cut} events"


@pytest.mark.parametrize("case", CASES)
def test_a_log_without_its_tail(case: str) -> None:
    events = events_of(case)
    whole = join(events)
    for cut in steps(len(events)):
        assert not contradictions(whole, join(events[:cut]), WEAKER | EARLIER), f"only its first {cut} events"


@pytest.mark.parametrize("case", CASES)
def test_a_log_without_its_info_lines(case: str) -> None:
    events = events_of(case)
    kept = [one for one in events if one.level not in ("info", "debug")]
    assert not contradictions(join(events), join(kept), WEAKER)


@pytest.mark.parametrize("case", [one for one in CASES if len(list((FIXTURES / one).glob("server*.log*"))) > 1])
def test_one_node_of_several_missing(case: str) -> None:
    events = events_of(case)
    whole = join(events)
    for stream in {one.stream for one in events}:
        rest = [one for one in events if one.stream != stream]
        assert not contradictions(whole, join(rest), WEAKER), f"without {stream}"


@pytest.mark.parametrize("case", CASES)
def test_the_end_of_the_agent_is_never_invented(case: str) -> None:
    events = events_of(case)
    whole = {(one.room, one.agent_name, one.after) for one in join(events).dispatches}
    for cut in steps(len(events)):
        for one in join(events[cut:]).dispatches:
            if one.after is After.NEVER_JOINED:
                assert (one.room, one.agent_name, one.after) in whole, f"without its first {cut} events"
