"""The sections of a live server: short when all is well, every step when one failed, origins but never values."""

from __future__ import annotations

from pathlib import Path

import pytest

from lkdoctor.dispatch.connection import Step
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import Stories
from lkdoctor.dispatch.probes import LiveServer
from lkdoctor.doctor.engine import Diagnosis
from lkdoctor.report import build, live, text
from lkdoctor.report.build import RunFacts
from lkdoctor.report.json_v1 import Report
from lkdoctor.report.screen import Screen
from tests.recorded import CASES, report_of

SCREEN = Screen(100)
HERE = Place("connection")
WELL = (
    Step("url", "ws://h:7880", 1e9, 0.0, True, HERE),
    Step("dns", "h", 1e9, 0.004, True, HERE),
    Step("tcp", "h:7880", 1e9, 0.001, True, HERE),
    Step("http", "/", 1e9, 0.002, True, HERE, 200),
    Step("twirp", "RoomService/ListRooms", 1e9, 0.003, True, HERE, 200),
    Step("twirp", "AgentDispatchService/ListDispatch", 1e9, 0.003, True, HERE, 404),
    Step("upgrade", "/agent", 1e9, 0.012, True, HERE, 101),
    Step("upgrade", "/rtc", 1e9, 0.003, True, HERE, 400, "", "identity cannot be empty"),
    Step("clock", "h:7880", 1e9, 0.0, True, HERE, values={"offset": 12.4, "error": 0.5}),
)
BROKEN = (
    *WELL[:2],
    Step("tcp", "h:7880", 1e9, 0.001, False, HERE, 0, "refused", "Connection refused"),
    Step("http", "/", 1e9, 0.0, False, HERE, 0, "not-tried", "the step tcp failed"),
)


def report(steps: tuple[Step, ...], server: LiveServer | None = None, **facts: object) -> Report:
    """A report of these steps alone."""
    stories = Stories(steps=list(steps), server=server)
    run = RunFacts(1e9, 1.0, mode="read-only", **facts)  # type: ignore[arg-type]
    return build.build(stories, Diagnosis((), (), (), ()), resolve=lambda _: {}, run=run)


def test_what_works_is_one_sentence() -> None:
    lines = live.connection(report(WELL).connection, SCREEN, verbose=False)
    assert "\n".join(lines) == (
        "Connection\n"
        "  DNS, TCP, HTTP, API (2 calls) and websocket (/agent, /rtc) work; slowest 12 ms; the server's clock\n"
        "  is 12.4 s ahead of this machine's. -v shows each step."
    )


def test_every_step_is_shown_when_one_failed() -> None:
    lines = live.connection(report(BROKEN).connection, SCREEN, verbose=False)
    assert "\n".join(lines) == (
        "Connection\n"
        "  step     what         result     took  answer\n"
        "  -------  -----------  ---------  ----  ---------------------------\n"
        "  address  ws://h:7880  ok         0 ms\n"
        "  DNS      h            ok         4 ms\n"
        "  TCP      h:7880       FAILED     1 ms  refused: Connection refused\n"
        "  HTTP     /            not tried  0 ms  the step tcp failed"
    )


def test_verbose_shows_every_step_and_what_was_expected() -> None:
    shown = "\n".join(live.connection(report(WELL).connection, SCREEN, verbose=True))
    assert "identity cannot be empty (as it should)" in shown
    assert "HTTP 404 (as it should)" in shown
    assert shown.count("\n") == len(WELL) + 2


def test_the_server_and_where_its_key_came_from() -> None:
    origins = {"url": "--url", "key": ".env line 2", "secret": ".env line 3"}
    known = LiveServer("ws://h:7880", "1.13.5", "Standard", "ND_x")
    shown = text.write(report(WELL, known, url="ws://h:7880", credentials=origins), SCREEN)
    assert "ws://h:7880: livekit-server 1.13.5, Standard edition, node ND_x" in shown
    assert "url from --url; key from .env line 2; secret from .env line 3" in shown
    assert "version not known" in text.write(report(WELL, url="ws://h:7880", credentials=origins), SCREEN)


def test_nothing_live_leaves_nothing() -> None:
    assert report(()).connection == []
    assert live.connection([], SCREEN, verbose=True) == []
    assert live.server(None, {}, SCREEN) == []
    assert "Connection" not in text.write(report(()), SCREEN)


def test_a_gap_is_no_health() -> None:
    gap = "the server's API took longer than 20 s."
    found = report(WELL, url="ws://h:7880", gaps=(gap,))
    assert found.verdict == "inconclusive"
    assert found.gaps == [gap]
    assert gap in text.write(found, SCREEN)
    assert report(WELL, url="ws://h:7880").verdict == "healthy"


@pytest.mark.parametrize(
    "folder", [one for one in CASES if (one / "connection.jsonl").is_file()], ids=lambda one: one.name
)
def test_every_recorded_walk_is_told(folder: Path) -> None:
    found = report_of(folder)
    assert found.connection
    shown = text.write(found, SCREEN)
    failed = any(not one.ok for one in found.connection)
    assert ("FAILED" in shown) == any(not one.ok and one.trouble != "not-tried" for one in found.connection)
    assert failed or "-v shows each step" in shown


def test_each_job_leads_to_the_container_of_its_worker() -> None:
    (folder,) = (one for one in CASES if one.name == "containers-two-projects")
    found = report_of(folder)
    placed = {one["name"]: one for one in found.containers}
    assert set(placed) == {"staging-agent-1", "production-agent-1"}
    for one in found.dispatches:
        assert [name for name, each in placed.items() if one.room in each["rooms"]] == [
            name for name, each in placed.items() if each["worker_id"] == one.worker_id
        ]
    assert sum(one["jobs"] for one in placed.values()) == len(found.dispatches) == 4
