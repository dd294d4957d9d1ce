"""A worker's log says the same in every wrapper and every chunk size, for every SDK version and mode that was recorded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lkdoctor.collect.case import CaseInputs
from lkdoctor.collect.worker_log import WorkerLogs, is_worker_log
from lkdoctor.collect.worker_log.records import NODE, PYTHON, begins, parse, stamp
from lkdoctor.dispatch.worker_facts import DAYTIME, LOCAL, UTC, Said, WorkerEvent

from . import wrap
from .damage import damage

FIXTURES = Path(__file__).parents[2] / "fixtures"
#: Form -> case, clock, SDK and version. Every one of them holds a job that crashes.
FORMS = {
    "python 0.12 start": ("worker-crash-0-12-21-start", UTC, PYTHON, "0.12.21"),
    "python 0.12 dev": ("worker-crash-0-12-21-dev", LOCAL, PYTHON, "0.12.21"),
    "python 1.2 start": ("worker-crash-1-2-18-start", UTC, PYTHON, "1.2.18"),
    "python 1.2 dev": ("worker-crash-1-2-18-dev", LOCAL, PYTHON, "1.2.18"),
    "python 1.3 start": ("worker-crash-1-3-12-start", UTC, PYTHON, "1.3.12"),
    "python 1.3 table": ("worker-crash-1-3-12-dev", DAYTIME, PYTHON, "1.3.12"),
    "python 1.5 start": ("worker-crash-1-5-17-start", UTC, PYTHON, "1.5.17"),
    "python 1.5 table": ("worker-crash-1-5-17-dev", DAYTIME, PYTHON, "1.5.17"),
    "python 1.8 start": ("worker-job-crashed", UTC, PYTHON, "1.8.9"),
    "python 1.8 dev": ("worker-job-crashed-dev", LOCAL, PYTHON, "1.8.9"),
    "node 1.9 start": ("worker-job-crashed-node", UTC, NODE, "1.9.0"),
    "node 1.9 dev": ("worker-job-crashed-node-dev", DAYTIME, NODE, "1.9.0"),
}
#: Not for these logs: they change what stands inside of a line of the server's.
WRAPPERS = [one for one in wrap.WRAPPERS if one not in ("colour", "blanks for tabs", "compose mixed")]


def recorded(case: str) -> bytes:
    return (FIXTURES / case / "worker-inbound.log").read_bytes()


def said(events: Iterable[WorkerEvent]) -> list[Any]:
    """What events of interest say, without where they stand."""
    return [(one.what, one.at, one.clock, one.sdk, one.fields) for one in events if one.what is not Said.ANY_LINE]


def read(path: Path, **options: Any) -> tuple[list[WorkerEvent], WorkerLogs]:
    logs = WorkerLogs([path], jobs=1, **options)
    return list(logs.events()), logs


@pytest.mark.parametrize("form", FORMS)
def test_each_form_tells_of_the_registration_the_request_and_the_crash(form: str, tmp_path: Path) -> None:
    case, clock, sdk, version = FORMS[form]
    events, logs = read(FIXTURES / case / "worker-inbound.log")
    by_kind = {one.what: one for one in events}
    assert {Said.STARTING, Said.REGISTERED, Said.ASKED, Said.CRASHED} <= set(by_kind)
    asked, crashed = by_kind[Said.ASKED], by_kind[Said.CRASHED]
    assert by_kind[Said.REGISTERED].fields.worker_id.startswith("AW_")
    assert by_kind[Said.STARTING].fields.version == version
    assert asked.fields.job_id.startswith("AJ_")
    assert crashed.fields.job_id == asked.fields.job_id
    assert "OPENAI_API_KEY" in crashed.fields.error
    assert {one.clock for one in events} == {clock}
    assert {one.sdk for one in events} == {sdk}
    assert logs.notes[0].kind == "worker_log"
    assert not logs.notes[0].unusable
    assert any(version in note for note in logs.notes[0].notes)
    assert (logs.notes[0].first_at is None) == (clock != UTC)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_changes_nothing(form: str, wrapper: str, tmp_path: Path) -> None:
    log = recorded(FORMS[form][0])
    plain, wrapped = tmp_path / "plain.log", tmp_path / "wrapped.log"
    plain.write_bytes(log)
    wrapped.write_bytes(wrap.WRAPPERS[wrapper](log))
    want, (got, logs) = said(read(plain)[0]), read(wrapped)
    assert said(got) == want
    assert not logs.notes[0].unusable
    assert not logs.notes[0].skipped
    assert is_worker_log(wrapped.read_bytes())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrapper", ["bare", "docker json-file", "journald json", "compose"])
@pytest.mark.parametrize("chunk", [1, 13, 257, 4099])
def test_chunks_change_nothing(form: str, wrapper: str, chunk: int, tmp_path: Path) -> None:
    log = recorded(FORMS[form][0])
    if chunk < 100:
        log = b"".join(line + b"\n" for line in wrap.lines_of(log)[-12:])
    path = tmp_path / "some.log"
    path.write_bytes(wrap.WRAPPERS[wrapper](log))
    whole, parts = read(path), read(path, chunk_bytes=chunk)
    assert parts[0] == whole[0]
    assert parts[1].notes == whole[1].notes


@pytest.mark.parametrize("form", FORMS)
def test_every_proof_is_the_record_itself(form: str, tmp_path: Path) -> None:
    for wrapper in ("bare", "docker json-file", "journald short", "compose -t"):
        path = tmp_path / "some.log"
        path.write_bytes(wrap.WRAPPERS[wrapper](recorded(FORMS[form][0])))
        events, logs = read(path)
        proofs = logs.resolve(one.place for one in events)
        lines = path.read_bytes().split(b"\n")
        words = {
            Said.ASKED: "received job request",
            Said.CRASHED: "OPENAI_API_KEY",
            Said.REGISTERED: "registered worker",
        }
        for event in events:
            proof = proofs[event.place]
            assert proof.line is not None
            assert sum(len(line) + 1 for line in lines[: proof.line - 1]) == proof.offset == event.place.offset
            assert words.get(event.what, "") in proof.text
            assert "\x1b" not in proof.text
            assert len(proof.text) < 640


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_packing_changes_nothing(pack: Any, tmp_path: Path) -> None:
    log = recorded("worker-job-crashed-dev")
    plain, packed = tmp_path / "plain.log", tmp_path / "packed"
    plain.write_bytes(log)
    packed.write_bytes(pack(log))
    assert said(read(packed)[0]) == said(read(plain)[0])


def test_a_rotated_set_is_one_run(tmp_path: Path) -> None:
    log = recorded("worker-reconnects")
    lines = wrap.lines_of(log)
    (tmp_path / "worker.log.1").write_bytes(b"\n".join(lines[:6]) + b"\n")
    (tmp_path / "worker.log").write_bytes(b"\n".join(lines[6:]) + b"\n")
    logs = WorkerLogs([tmp_path / "worker.log", tmp_path / "worker.log.1"], jobs=1)
    want, _ = read(FIXTURES / "worker-reconnects" / "worker-inbound.log")
    assert said(logs.events()) == said(want)


@pytest.mark.parametrize(
    ("case", "kinds"),
    [
        ("worker-refused", {Said.CONNECT_FAILED}),
        ("worker-refused-node", {Said.CONNECT_FAILED}),
        ("worker-gave-up", {Said.CONNECT_FAILED, Said.FAILED, Said.STOPPING}),
        ("worker-said-full", {Said.FULL}),
        ("worker-said-full-node", {Said.FULL}),
        ("worker-full-unasked", {Said.FULL, Said.AVAILABLE}),
        ("worker-draining-said", {Said.DRAINING}),
        ("worker-answers-late", {Said.ASSIGNMENT_TIMEOUT, Said.REQUEST_FAILED}),
        ("worker-gives-no-answer", {Said.NO_ANSWER}),
        ("worker-gives-no-answer-node", {Said.NO_ANSWER}),
        ("worker-prewarm-hangs", {Said.START_FAILED, Said.IDLE_TIMEOUT}),
        ("worker-prewarm-raises", {Said.START_FAILED, Said.NO_PROCESS, Said.SPAWN_FAILED}),
        ("worker-prewarm-raises-node", {Said.START_FAILED}),
        ("worker-prewarm-slow", {Said.PROCESS_READY}),
        ("worker-memory-kill", {Said.MEMORY_KILL, Said.EXIT_CODE}),
        ("worker-job-exits", {Said.EXIT_CODE}),
        ("worker-never-connects", {Said.NOT_CONNECTED}),
        ("worker-returns-node", {Said.NOT_CONNECTED}),
        ("worker-returns", {Said.RETURNED}),
        ("worker-two-sessions-one-room", {Said.LINKED, Said.SHARED_ROOM}),
        ("worker-port-in-use-node", {Said.PORT_TAKEN}),
        ("worker-room-deleted", {Said.EXITING, Said.LINKED}),
    ],
)
def test_the_kinds_of_each_case(case: str, kinds: set[Said]) -> None:
    events, _ = read(FIXTURES / case / "worker-inbound.log")
    assert kinds <= {one.what for one in events}


def test_numbers_and_places_are_read() -> None:
    full = next(one for one in read(FIXTURES / "worker-said-full" / "worker-inbound.log")[0] if one.what is Said.FULL)
    assert (full.fields.load, full.fields.threshold) == (0.9, 0.7)
    refused = [one for one in read(FIXTURES / "worker-refused-node" / "worker-inbound.log")[0] if one.fields.attempt]
    assert [one.fields.attempt for one in refused] == list(range(1, len(refused) + 1))
    assert {one.fields.attempts for one in refused} == {10}
    assert refused[0].fields.url == "ws://127.0.0.1:9"
    late = read(FIXTURES / "worker-job-crashed-later" / "worker-inbound.log")[0]
    crash = next(one for one in late if one.what is Said.CRASHED)
    assert crash.fields.where.endswith("troubled_agent.py:71 in entrypoint")


def test_midnight_goes_on_counting(tmp_path: Path) -> None:
    log = recorded("worker-crash-1-5-17-dev").replace(b"15:0", b"23:5").replace(b"    23:54:00", b"    00:00:00")
    path = tmp_path / "worker.log"
    path.write_bytes(log)
    events, _ = read(path)
    crashed = next(one for one in events if one.what is Said.CRASHED)
    asked = next(one for one in events if one.what is Said.REGISTERED)
    assert crashed.at is not None
    assert asked.at is not None
    assert 0 < crashed.at - asked.at < 600


def test_a_program_may_say_the_same_words(tmp_path: Path) -> None:
    """Only the SDK's own loggers count, and only a whole message."""
    path = tmp_path / "worker.log"
    record = {"message": "received job request", "level": "INFO", "name": "my.program", "job_id": "AJ_x"}
    record["timestamp"] = "2026-01-01T00:00:00+00:00"
    inside = {**record, "message": "I received job request AJ_y", "name": "livekit.agents"}
    text = "received job request AJ_z without a record\n"
    path.write_text(f"{json.dumps(record)}\n{json.dumps(inside)}\n{text}")
    assert said(read(path)[0]) == []


def test_secrets_are_masked_where_they_enter(tmp_path: Path) -> None:
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    path = tmp_path / "worker.log"
    path.write_bytes(recorded("worker-refused").replace(b"Cannot connect to host", f"token={jwt} refused".encode()))
    events, logs = read(path)
    texts = [one.text for one in logs.resolve(one.place for one in events).values()]
    assert jwt not in repr(events) + repr(texts) + repr(logs.notes)
    assert any("<secret:" in one.fields.error for one in events)


def test_what_is_no_worker_log_says_what_it_looks_like(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes((FIXTURES / "declined" / "server.log").read_bytes())
    assert "no line of an agent worker's SDK" in read(path)[1].notes[0].unusable
    path.write_bytes(b"")
    assert "empty" in read(path)[1].notes[0].unusable
    gone = WorkerLogs([tmp_path / "absent.log"], jobs=1)
    assert list(gone.events()) == []
    assert "cannot be read" in gone.notes[0].unusable


def test_a_log_of_both_is_read_as_both(tmp_path: Path) -> None:
    case = FIXTURES / "worker-job-crashed"
    server = b"".join(b"livekit-1  | " + line + b"\n" for line in wrap.lines_of((case / "server.log").read_bytes()))
    worker = b"".join(b"agent-1    | " + line + b"\n" for line in wrap.lines_of(recorded("worker-job-crashed")))
    path = tmp_path / "compose.log"
    path.write_bytes(server + worker)
    found = CaseInputs.find([path])
    assert [one.name for one in found.server_logs] == [str(path)]
    assert [one.path for one in found.worker_logs] == [path]
    assert found.worker_logs[0].name != str(path)
    events = list(WorkerLogs(found.worker_logs, jobs=1).events())
    assert said(events) == said(read(case / "worker-inbound.log")[0])
    assert {one.stream.rpartition(":")[2] for one in events} == {"agent-1"}


def test_several_processes_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lkdoctor.collect.log import logs as shared

    paths = []
    for number, form in enumerate(("python 1.8 start", "python 1.5 table", "node 1.9 dev")):
        path = tmp_path / f"worker-{number}.log"
        path.write_bytes(recorded(FORMS[form][0]) * 20)
        paths.append(path)
    alone = WorkerLogs(paths, jobs=1)
    want = sorted((one.place.source, one.place.offset) for one in alone.events())
    monkeypatch.setattr(shared, "PARALLEL_FROM", 0)
    together = WorkerLogs(paths, jobs=2)
    assert sorted((one.place.source, one.place.offset) for one in together.events()) == want
    assert together.notes == alone.notes


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("2026-01-01T00:00:00+00:00", (1767225600.0, UTC)),
        ("2026-01-01T01:00:00.250000+01:00", (1767225600.25, UTC)),
        ("2025-12-31T19:00:00Z", (1767207600.0, UTC)),
        ("2026-01-01 00:00:00,123", (1767225600.123, LOCAL)),
        ("2026-13-01 00:00:00,123", None),
        ("yesterday", None),
    ],
)
def test_stamps(text: str, want: tuple[float, str] | None) -> None:
    assert stamp(text) == want


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A recorded log, wrapped and then damaged."""
    form = draw(st.sampled_from(sorted(FORMS)))
    wrapper = draw(st.sampled_from(("bare", "bare", "docker json-file", "journald json", "compose", "crlf")))
    data = bytearray(wrap.WRAPPERS[wrapper](recorded(FORMS[form][0])))
    return damage(draw, data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=damaged(), chunk=st.sampled_from((97, 1009, 8192)))
def test_damage_never_crashes_and_chunks_do_not_matter(data: bytes, chunk: int, tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(data)
    events, logs = read(path)
    parts, part_logs = read(path, chunk_bytes=chunk)
    assert parts == events
    assert part_logs.notes == logs.notes
    logs.resolve(one.place for one in events)


@settings(max_examples=300, deadline=None)
@given(line=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_junk_is_no_record(line: bytes) -> None:
    begins(line)
    record = parse([line, line])
    assert record is None or record.clock in (UTC, LOCAL, DAYTIME)


@settings(max_examples=200, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=8,
    ),
    message=st.sampled_from(
        ["registered worker", "received job request", "failed to connect to livekit, retrying in 2s"]
    ),
    name=st.sampled_from(["id", "job_id", "room", "load", "server_info", "error", "job", "agent_name", "retry_count"]),
)
def test_fields_of_any_type_are_survived(value: Any, message: str, name: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "typed.log"
    record = {"message": message, "level": "INFO", "name": "livekit.agents", name: value}
    path.write_text(json.dumps({**record, "timestamp": "2026-01-01T00:00:00+00:00"}) + "\n")
    events, _ = read(path)
    assert len(said(events)) == 1
