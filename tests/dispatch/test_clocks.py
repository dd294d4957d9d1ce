"""Nodes whose clocks disagree, within what they can still serve, tell the same story."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.facts import Event
from lkdoctor.dispatch.model import Outcome
from lkdoctor.dispatch.stories import join

FIXTURES = Path(__file__).parents[2] / "fixtures"
CASES = ("two-nodes", "two-nodes-declined", "two-nodes-answer-timeout", "two-nodes-no-headroom", "two-nodes-dispatched")


def events_of(case: str) -> list[Event]:
    return list(ServerLogs(sorted((FIXTURES / case).glob("server-*.log"))).events())


def ahead(events: list[Event], stream: str, seconds: float) -> list[Event]:
    """The events as they would be read if the clock of one node were ahead."""
    moved = [
        replace(one, at=one.at + seconds) if one.stream == stream and one.at is not None else one for one in events
    ]
    return sorted(moved, key=lambda one: one.at or 0.0)


def told(events: list[Event]) -> Counter[tuple[str, Outcome]]:
    return Counter((one.agent_name, one.outcome) for one in join(events).dispatches if one.agent_name)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seconds", [-2.0, -0.5, 0.5, 2.0])
def test_a_clock_that_is_ahead_changes_no_outcome(case: str, seconds: float) -> None:
    events = events_of(case)
    for stream in {one.stream for one in events}:
        assert told(ahead(events, stream, seconds)) == told(events), f"{stream} ahead by {seconds} s"
