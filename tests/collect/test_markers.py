"""The application's own lines are found in every form, wrapper and chunk size, and told apart by job."""

from __future__ import annotations

from pathlib import Path

import pytest

from lkdoctor.collect.worker_log import Marker, WorkerLogs
from lkdoctor.dispatch.model import Stories
from lkdoctor.dispatch.worker_facts import Said, WorkerEvent
from lkdoctor.dispatch.worker_side import attach

from . import wrap

FIXTURES = Path(__file__).parents[2] / "fixtures"
CASE = FIXTURES / "markers-of-two-agents"
MARKERS = (
    Marker("starting", r"^=== .* WORKER STARTING ==="),
    Marker("session", r"✓ (\w+) agent session started in room support-call-7, waiting for its partner"),
    Marker("said", r"^\[SAID\] hello"),
    Marker("registered", r"registered worker"),
)


def read(path: Path, markers: tuple[Marker, ...] = MARKERS, chunk_bytes: int = 1 << 20) -> list[WorkerEvent]:
    logs = WorkerLogs([path], jobs=1, markers=markers, chunk_bytes=chunk_bytes)
    return list(logs.events())


def marked(events: list[WorkerEvent]) -> list[tuple[Said, tuple[str, ...], str]]:
    return [(one.what, one.marks, one.fields.job_id) for one in events if one.marks]


@pytest.mark.parametrize("log", ["worker-dispatcher.log", "worker-driver.log"])
def test_markers_beside_the_sdk_and_in_it(log: str) -> None:
    found = marked(read(CASE / log))
    jobs = {job for _, _, job in found if job}
    assert len(jobs) == 1
    (job,) = jobs
    assert found == [
        (Said.REGISTERED, ("registered",), ""),
        (Said.MARKED, ("starting",), ""),  # printed: it names no job
        (Said.MARKED, ("session",), job),
        (Said.MARKED, ("said",), job),
    ]


@pytest.mark.parametrize("log", ["worker-dispatcher.log", "worker-driver.log"])
@pytest.mark.parametrize("wrapper", ["bare", "docker json-file", "journald json", "compose", "journald short"])
@pytest.mark.parametrize("chunk", [13, 4099, 1 << 20])
def test_wrappers_and_chunks_change_nothing(log: str, wrapper: str, chunk: int, tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(wrap.WRAPPERS[wrapper]((CASE / log).read_bytes()))
    assert marked(read(path, chunk_bytes=chunk)) == marked(read(CASE / log))


@pytest.mark.parametrize("log", ["worker-dispatcher.log", "worker-driver.log"])
def test_what_the_sdk_says_stays_the_same(log: str) -> None:
    plain = [one for one in read(CASE / log, ()) if one.what is not Said.ANY_LINE]
    declared = [one for one in read(CASE / log) if one.what not in (Said.MARKED, Said.ANY_LINE)]
    assert [(one.what, one.at, one.fields) for one in declared] == [(one.what, one.at, one.fields) for one in plain]


def test_a_line_without_a_job_is_the_only_open_jobs(tmp_path: Path) -> None:
    lines = (CASE / "worker-dispatcher.log").read_bytes().splitlines(keepends=True)
    asked = next(line for line in lines if b"received job request" in line)
    printed = next(line for line in lines if line.startswith(b"==="))
    other = asked.replace(b'"job_id": "AJ_', b'"job_id": "AJ_other')
    for name, more, own, loose in (("one.log", [asked, printed], 1, 0), ("two.log", [asked, other, printed], 0, 1)):
        path = tmp_path / name
        path.write_bytes(b"".join([*lines[:7], *more]))
        stories = Stories()
        attach(stories, WorkerLogs([path], jobs=1, markers=MARKERS).events())
        (run,) = stories.worker_runs
        assert sum("starting" in job.marks for job in run.jobs) == own
        assert ("starting" in run.marks) == bool(loose)


def test_the_reference_workers_own_markers_need_no_declaration(tmp_path: Path) -> None:
    line = (
        b'{"message": "[SAID] AJ_8EfP2g8Rx5aq driver: hello", "level": "INFO", "name": "lkdoctor.worker", "marker": "SAID", '
        b'"job_id": "AJ_8EfP2g8Rx5aq", "room": "support-call-7", "timestamp": "2026-11-21T18:31:40.000000+00:00"}\n'
    )
    path = tmp_path / "worker.log"
    path.write_bytes(b"".join((CASE / "worker-dispatcher.log").read_bytes().splitlines(keepends=True)[:7]) + line)
    assert marked(read(path, ())) == [(Said.MARKED, ("[SAID]",), "AJ_8EfP2g8Rx5aq")]
