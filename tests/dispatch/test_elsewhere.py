"""A log of another server beside what the API lists: told where room ids prove it, and never of a server's own older log."""

from __future__ import annotations

import pytest

from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.facts import Event, Place
from lkdoctor.dispatch.listings import RoomInfo, RoomsListed, Snapshot
from lkdoctor.dispatch.stories import join
from tests.recorded import case

LOG = "listed-worker-died-log"  # about 45 s of one room, made at its start
WORDS = "not all of, that server's log"


def events_of(name: str) -> list[Event]:
    folder = case(name)
    return list(ServerLogs(sorted(folder.glob("server*.log")), jobs=1).events())


def listed(at: float, *rooms: tuple[str, str, float]) -> Snapshot:
    infos = tuple(RoomInfo(sid=sid, name=name, creation_time_ms=int(made * 1000)) for name, sid, made in rooms)
    return Snapshot(at, RoomsListed(infos), Place("ws://127.0.0.1:7880", None, "ListRooms"), True)


def reasons(name: str, *, room: str, sid: str, made: float, asked: float) -> str:
    """What is said of `name`'s log beside a listing of one room; `made` and `asked` are shares of the log's time."""
    events = events_of(name)
    times = [one.at for one in events if one.at is not None]
    first, last = min(times), max(times)
    moment = first + made * (last - first)
    found = join(events, snapshots=[listed(first + asked * (last - first), (room, sid, moment))])
    return "; ".join(found.coverage.reasons)


def test_a_room_made_meanwhile_of_which_no_line_tells() -> None:
    told = reasons(LOG, room="night-call", sid="RM_other", made=0.5, asked=1.0)
    assert WORDS in told
    assert "RM_other" in told


def test_a_room_that_is_open_by_the_log_and_not_listed() -> None:
    told = reasons(LOG, room="night-call", sid="RM_other", made=-10.0, asked=0.5)
    assert WORDS in told
    assert "support-call-7" in told


@pytest.mark.parametrize(
    ("made", "asked", "why"),
    [
        (1.01, 1.02, "made when the log had ended: an older log of the same server may lack it"),
        (0.99, 1.02, "made in the log's last moments: its lines may not have been written"),
        (-0.5, 1.02, "made before the log began: its lines stand in an earlier log"),
    ],
)
def test_what_an_own_log_may_lack_is_not_held_against_it(made: float, asked: float, why: str) -> None:
    assert WORDS not in reasons(LOG, room="night-call", sid="RM_other", made=made, asked=asked), why


def test_one_node_of_several_does_not_know_every_room() -> None:
    assert WORDS not in reasons("two-nodes", room="night-call", sid="RM_other", made=0.5, asked=1.0)


@pytest.mark.parametrize("name", ["listed-worker-died-log", "listed-goodbye-log", "asked-thrice-at-once-listed"])
def test_the_servers_own_log_is_its_own(name: str) -> None:
    from lkdoctor.cli import pipeline

    collected = pipeline.collect(pipeline.Wish((str(case(name)),), quiet=True, jobs=1))
    assert WORDS not in "; ".join(collected.stories.coverage.reasons)
