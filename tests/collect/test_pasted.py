"""Records that a terminal, an editor or an issue tracker broke over several lines say what they said in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lkdoctor.collect.server_log.lines import unwrapped
from lkdoctor.dispatch.facts import What

from .reading import read, recorded, said

CONSOLE = ("answer-timeout", "name-near-miss", "draining", "declined", "busy-afternoon")
_WIDTH = 60


def _before_the_fields(line: bytes) -> list[bytes]:
    head, brace, fields = line.partition(b"\t{")
    return [head + b" ", b"{" + fields] if brace else [line]


def _between_fields(line: bytes) -> list[bytes]:
    """As an issue tracker's box breaks it: at a blank behind a colon or a comma, the rest moved in."""
    parts: list[bytes] = []
    start, quoted, escaped = 0, False, False
    for at in range(line.find(b"\t{") + 1 or len(line), len(line)):
        byte = line[at : at + 1]
        if quoted:
            quoted, escaped = byte != b'"' or escaped, byte == b"\\" and not escaped
        elif byte == b'"':
            quoted = True
        elif byte == b" " and at - start > _WIDTH:
            parts.append(line[start:at])
            start = at + 1
    return [*parts, line[start:]]


def _read_alike(whole: bytes, broken: bytes, folder: Path) -> None:
    (folder / "whole.log").write_bytes(whole)
    (folder / "broken.log").write_bytes(broken)
    expected, _ = read(folder / "whole.log")
    for chunk in (1 << 20, 61):
        found, logs = read(folder / "broken.log", chunk_bytes=chunk)
        # The first and the last record are known by their time alone where they are of no interest.
        assert [one for one in said(found) if one[0] is not What.ANY_LINE] == [
            one for one in said(expected) if one[0] is not What.ANY_LINE
        ]
        assert not logs.notes[0].skipped


@pytest.mark.parametrize("broken", [_before_the_fields, _between_fields])
@pytest.mark.parametrize("case", CONSOLE)
def test_a_broken_record_is_read_whole(case: str, broken: Callable[[bytes], list[bytes]], tmp_path: Path) -> None:
    log = recorded(case)
    pieces = [broken(line) for line in log.splitlines()]
    assert any(len(one) > 1 for one in pieces)
    _read_alike(log, b"".join(b"\n  ".join(one) + b"\n" for one in pieces), tmp_path)


@pytest.mark.parametrize("again", [b"", b"livekit-1  | "])
@pytest.mark.parametrize("broken", [_before_the_fields, _between_fields])
@pytest.mark.parametrize("case", CONSOLE)
def test_so_is_one_of_compose(case: str, broken: Callable[[bytes], list[bytes]], again: bytes, tmp_path: Path) -> None:
    """Its name stands before the first line of a record, or was put before each; other services speak in between."""
    other = b"worker-1   | nothing of the server\n"
    pieces = [broken(line) for line in recorded(case).splitlines()]
    whole = b"".join(b"livekit-1  | " + b" ".join(one) + b"\n" + other for one in pieces)
    text = b"".join(b"livekit-1  | " + (b"\n" + again).join(one) + b"\n" + other for one in pieces)
    _read_alike(whole, text, tmp_path)


@pytest.mark.parametrize("prefix", [b"", b"livekit-1  | "])
def test_the_proof_is_the_whole_record(prefix: bytes, tmp_path: Path) -> None:
    log = recorded("declined")
    path = tmp_path / "broken.log"
    path.write_bytes(b"".join(prefix + b"\n".join(_before_the_fields(line)) + b"\n" for line in log.splitlines()))
    events, _logs = read(path)
    refused = next(one for one in events if one.what is What.JOB_ENDED or one.what is What.ASSIGN_FAILED)
    text = unwrapped(path.read_bytes()[refused.place.offset or 0 :])
    assert "job" in text
    assert text.endswith("}")


def test_a_record_that_is_cut_off_takes_nothing_of_the_next(tmp_path: Path) -> None:
    lines = recorded("declined").splitlines()
    refused = next(number for number, line in enumerate(lines) if b"no worker available to handle job" in line)
    cut = [*lines[:refused], lines[refused][:-30], *lines[refused + 1 :]]
    path = tmp_path / "cut.log"
    path.write_bytes(b"\n".join(cut) + b"\n")
    events, logs = read(path)
    (tmp_path / "without.log").write_bytes(b"\n".join([*lines[:refused], *lines[refused + 1 :]]) + b"\n")
    without, _ = read(tmp_path / "without.log")
    assert said(events) == said(without)
    assert logs.notes[0].skipped == {"record cut off or mixed with another": 1}


def test_a_name_broken_in_the_middle_is_not_guessed(tmp_path: Path) -> None:
    lines = recorded("name-near-miss").splitlines()
    at = next(number for number, line in enumerate(lines) if b"Inbound Agent" in line and b"not dispatching" in line)
    lines[at] = lines[at].replace(b"Inbound Agent", b"Inbound\nAgent")
    path = tmp_path / "broken.log"
    path.write_bytes(b"\n".join(lines) + b"\n")
    events, logs = read(path)
    assert {one.fields.agentName for one in events} <= {None, "", "inbound-agent", "Inbound Agent"}
    assert logs.notes[0].skipped
