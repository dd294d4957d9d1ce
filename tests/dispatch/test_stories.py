"""Details of stories that the grid does not look at, on recorded logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.facts import What
from lkdoctor.dispatch.lobby import seconds_of
from lkdoctor.dispatch.model import Outcome, Stories
from lkdoctor.dispatch.stories import join

FIXTURES = Path(__file__).parents[2] / "fixtures"


def story_of(case: str) -> Stories:
    return join(ServerLogs([FIXTURES / case / "server.log"]).events())


def test_a_dispatch_gets_the_room_id_that_later_lines_name() -> None:
    dispatches = story_of("two-names-one-room").dispatches
    assert dispatches
    assert all(one.room_id.startswith("RM_") for one in dispatches)


def test_the_agent_that_no_list_shows_is_found_in_the_room_that_truth_names() -> None:
    ghosts = [
        one.room
        for one in story_of("answered-too-late").dispatches
        if one.deciding is not None and one.deciding.ghost and one.outcome is Outcome.ASSIGNED
    ]
    truth = (FIXTURES / "answered-too-late" / "truth.json").read_text("utf-8")
    rooms = json.loads(truth)["rooms"]
    really = [
        room
        for room, state in rooms.items()
        if state["participants"] and not any(one["jobs"] for one in state["dispatches"])
    ]
    assert ghosts == really != []


def test_healthy_closed_rooms_become_counts_above_the_limit() -> None:
    events = list(ServerLogs([FIXTURES / "room-ends-normally" / "server.log"]).events())
    last = events[-1]
    later = replace(last, what=What.ANY_LINE, at=(last.at or 0.0) + 60)  # a room is left when the log has gone on
    whole = join([*events, later])
    folded = join([*events, later], keep=0)
    assert folded.folded == {"assigned": 1}
    assert len(folded.dispatches) + sum(folded.folded.values()) == len(whole.dispatches)
    assert folded.workers.keys() == whole.workers.keys()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15.234567ms", 0.015234567), ("1m3s", 63.0), ("462.594µs", 0.000462594), ("2h", 7200.0), (0.25, 0.25), ("", 0.0)],
)
def test_durations_of_both_formats(text: str | float, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)
