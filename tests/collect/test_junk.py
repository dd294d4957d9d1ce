"""Damaged, foreign and hand-made input: never a crash, never silence."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lkdoctor.dispatch.facts import What

from . import wrap
from .damage import damage
from .reading import read, recorded, said

LOG = recorded("declined")
LINES = wrap.lines_of(LOG)


def _write(folder: Path, data: bytes) -> Path:
    path = folder / "some.log"
    path.write_bytes(data)
    return path


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A recorded log, wrapped and then damaged."""
    wrapper = draw(
        st.sampled_from(("bare", "bare", "docker json-file", "cri", "journald json", "compose mixed", "crlf"))
    )
    data = bytearray(wrap.WRAPPERS[wrapper](LOG))
    return damage(draw, data)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=damaged(), chunk=st.sampled_from((97, 1009, 8192)))
def test_damage_never_crashes_and_chunks_do_not_matter(data: bytes, chunk: int, tmp_path: Path) -> None:
    path = _write(tmp_path, data)
    events, logs = read(path)
    parts, part_logs = read(path, chunk_bytes=chunk)
    assert parts == events
    assert part_logs.notes == logs.notes
    assert events or logs.notes[0].unusable
    proofs = logs.resolve(event.place for event in events)
    assert all(proofs[event.place].text for event in events)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    # What a server says that could not read its configuration is no foreign text, and hypothesis finds it in the source.
    data=(st.binary(max_size=3000) | st.text(max_size=1000).map(str.encode)).filter(
        lambda data: b"could not parse config: " not in data
    )
)
def test_foreign_bytes_are_called_unusable(data: bytes, tmp_path: Path) -> None:
    events, logs = read(_write(tmp_path, data))
    assert not events
    assert logs.notes[0].unusable


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 10 << 20])
@pytest.mark.parametrize("chunk", [50_000, 1 << 20, 16 << 20])
def test_a_very_long_line_is_survived(size: int, chunk: int, tmp_path: Path) -> None:
    long = b"x" * size
    events, _ = read(_write(tmp_path, LOG))
    got, logs = read(
        _write(tmp_path, LOG[: len(LINES[0]) + 1] + long + b"\n" + LOG[len(LINES[0]) + 1 :]), chunk_bytes=chunk
    )
    assert said(got) == said(events)
    assert logs.notes[0].lines == len(LINES) + 1


@pytest.mark.parametrize("chunk", [50_000, 16 << 20])
def test_of_a_very_long_record_the_head_is_read(chunk: int, tmp_path: Path) -> None:
    index = next(index for index, line in enumerate(LINES) if b"starting RTC session" in line)
    line = LINES[index]
    cut = line.index(b'"PublisherOffer"')
    long = line[:cut] + b'"Padding": "' + b"x" * (3 << 20) + b'", ' + line[cut:]
    events, _ = read(_write(tmp_path, LOG))
    got, logs = read(_write(tmp_path, b"\n".join([*LINES[:index], long, *LINES[index + 1 :], b""])), chunk_bytes=chunk)
    assert said(got) == said(events)
    assert logs.notes[0].skipped == {"line longer than 1 MiB (only its head was read)": 1}


def test_mixed_halves_are_counted(tmp_path: Path) -> None:
    index = next(index for index, line in enumerate(LINES) if b"failed to send job request" in line)
    halves = LINES[index][:150] + LINES[0] + b"\n" + LINES[index][150:]
    _, logs = read(_write(tmp_path, b"\n".join([*LINES[:index], halves, *LINES[index + 1 :], b""])))
    assert logs.notes[0].skipped == {"record cut off or mixed with another": 1}


def test_a_last_line_that_breaks_off_is_counted(tmp_path: Path) -> None:
    index = max(index for index, line in enumerate(LINES) if b"failed to send job request" in line)
    events, logs = read(_write(tmp_path, b"\n".join([*LINES[:index], LINES[index][:-20]])))
    assert logs.notes[0].skipped == {"record cut off or mixed with another": 1}
    assert len(events) > 3


def test_a_message_inside_of_other_text_is_no_event(tmp_path: Path) -> None:
    line = json.dumps({"message": LINES[-1].decode(), "level": "INFO", "name": "livekit.agents"}).encode()
    said_by_a_worker = (
        b'{"level":"info","ts":1767225600.1,"logger":"app","caller":"a/b.go:1","msg":"x","text":"job ended"}'
    )
    events, _ = read(_write(tmp_path, LOG))
    got, _ = read(_write(tmp_path, LOG + b"INFO: closing room\n" + line[:60] + b"\n"))
    assert said(got) == said(events)
    got, _ = read(_write(tmp_path, said_by_a_worker + b"\n"))
    assert {event.what for event in got} == {What.ANY_LINE}


def test_values_of_unexpected_types_do_not_lose_the_record(tmp_path: Path) -> None:
    index = next(index for index, line in enumerate(LINES) if b"worker registered" in line)
    odd = LINES[index].replace(b'"namespace": ""', b'"namespace": {"a": [1]}, "retry": "maybe", "retry": 3')
    events, _ = read(_write(tmp_path, LOG))
    got, _ = read(_write(tmp_path, b"\n".join([*LINES[:index], odd, *LINES[index + 1 :], b""])))
    assert said(got) == said(events)


def test_late_lines_are_sorted_within_two_seconds_only(tmp_path: Path) -> None:
    plain, _ = read(_write(tmp_path, LOG))
    shuffled = list(LINES)
    for start in range(0, len(shuffled) - 2, 3):  # neighbours stand less than the window apart
        if LINES[start][:19] == LINES[start + 2][:19]:
            shuffled[start : start + 3] = random.Random(start).sample(shuffled[start : start + 3], 3)
    assert shuffled != LINES
    events, logs = read(_write(tmp_path, b"\n".join([*shuffled, b""])))
    # The first and the last record of the file are others now; what happened is not.
    happened = [repr(one) for one in said(event for event in plain if event.what is not What.ANY_LINE)]
    got = [repr(one) for one in said(event for event in events if event.what is not What.ANY_LINE)]
    assert sorted(got) == sorted(happened)
    assert [event.at for event in events] == sorted(event.at or 0 for event in events)
    assert not logs.notes[0].notes


def test_a_clock_that_steps_back_keeps_the_order_and_is_told(tmp_path: Path) -> None:
    earlier = LOG.replace(LINES[0][:13], b"2026-01-01T00")
    events, logs = read(_write(tmp_path, LOG + earlier))
    offsets = [event.place.offset for event in events if event.what is What.SERVER_STARTED]
    assert offsets == sorted(offset for offset in offsets if offset is not None)
    assert len(offsets) == 2
    assert any("clock steps back" in note for note in logs.notes[0].notes)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "2>&1"),
        (b"\n \n", "an empty file"),
        (wrap.WORKER_LINES[0], "livekit-agents, JSON"),
        (b"2026-01-01 00:00:00,123 - INFO livekit.agents - registered worker {}", "livekit-agents, dev"),
        (b'{"level":30,"time":1767225600123,"pid":7,"hostname":"a","msg":"registered worker"}', "@livekit/agents"),
        (b'10.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /rtc HTTP/1.1" 101 5 "-" "-"', "access log"),
        (b'{"a": 1}', "JSON of something else"),
        (b"\x7fELF" + bytes(300), "a binary file"),
        (b"hello", "some other text"),
        (b"closing room 4 of the hotel", "some other text"),
    ],
)
def test_what_is_no_server_log_is_called_by_its_name(data: bytes, words: str, tmp_path: Path) -> None:
    events, logs = read(_write(tmp_path, data))
    assert not events
    assert words in logs.notes[0].unusable


def test_logs_of_the_other_servers_are_told_apart(tmp_path: Path) -> None:
    line = LINES[0].split(b"\t")
    data = b"\t".join([line[0], b"INFO", b"egress", b"server/server.go:9", b"service ready"]) + b"\n"
    _, logs = read(_write(tmp_path, data))
    assert "livekit-egress" in logs.notes[0].unusable


PASTED = """\
worker registered      jobType: "JT_ROOM"       agentName: "livekit-ganglia-agent"
not dispatching agent   jobType: "JT_PARTICIPANT" agentName: "livekit-ganglia-agent"
WARN failed to send job request
    no servers available (received 1 responses)   jobType=JT_ROOM agentName=inbound
"""


def test_pasted_lines_are_read_as_words_without_order(tmp_path: Path) -> None:
    events, logs = read(_write(tmp_path, PASTED.encode()))
    assert [(event.what, event.at, event.level, event.retyped) for event in events] == [
        (What.WORKER_REGISTERED, None, "info", True),
        (What.NOT_DISPATCHING, None, "info", True),
        (What.REQUEST_FAILED, None, "warn", True),
    ]
    fields = [event.fields for event in events]
    assert [one.jobType for one in fields] == ["JT_ROOM", "JT_PARTICIPANT", "JT_ROOM"]
    assert [one.agentName for one in fields] == ["livekit-ganglia-agent", "livekit-ganglia-agent", "inbound"]
    assert fields[2].error == "no servers available (received 1 responses)"
    assert not logs.notes[0].unusable
    assert [proof.line for proof in logs.resolve(event.place for event in events).values()] == [1, 2, 3]


def test_tokens_do_not_get_into_events(tmp_path: Path) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    line = LINES[0][:24] + (
        b"\tWARN\tlivekit\tservice/auth.go:98\terror handling request\t"
        b'{"status": 401, "method": "GET", "path": "/rtc", "error": "invalid token: %s, error: x"}\n' % token.encode()
    )
    events, logs = read(_write(tmp_path, LOG + line))
    refused = [event for event in events if event.what is What.REQUEST_REFUSED]
    assert refused[0].fields.error.startswith("invalid token: ")
    assert token[30:] not in repr(events) + repr(logs.resolve(event.place for event in events))
