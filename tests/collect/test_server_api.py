"""`api.jsonl`: every spelling of an exchange reads alike, what is no exchange is counted, what is private stays out."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lkdoctor.collect.case import CaseInputs, read_other
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api.exchanges import BadExchangeError, parse_line, read_exchanges
from lkdoctor.dispatch.listings import Called, DispatchesListed, ParticipantsListed, RoomsListed
from lkdoctor.dispatch.model import SourceNote
from tests.collect.reading import FIXTURES

RECORDED = [
    line for path in sorted(FIXTURES.glob("*/api.jsonl")) for line in path.read_bytes().splitlines(keepends=True)
]
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJkZXZrZXkifQ.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ"


def read(*lines: bytes) -> tuple[Gathered, SourceNote]:
    gathered = Gathered()
    return gathered, read_exchanges(lines, "api.jsonl", gathered)


def line(call: str, response: Any, request: Any = None, *, at: Any = 1795262300.5, status: int = 200) -> bytes:
    one = {"at": at, "call": call, "request": request or {}, "status": status, "response": response}
    return json.dumps(one).encode() + b"\n"


def rooms(*names: str, at: float, **fields: Any) -> bytes:
    return line(
        "RoomService/ListRooms", {"rooms": [{"sid": f"RM_{one}", "name": one, **fields} for one in names]}, at=at
    )


def told(gathered: Gathered) -> list[Any]:
    return [(one.at, one.data, one.complete, one.repeats) for one in gathered.snapshots]


def respelt(value: Any, key: str = "") -> Any:
    """As protojson writes it by default (camelCase, 64-bit numbers as text), with enums as numbers, as Go's JSON does."""
    enums = {"JT_ROOM": 0, "JS_RUNNING": 1, "JS_SUCCESS": 2, "AGENT": 4, "ACTIVE": 2, "MICROPHONE": 2}
    if isinstance(value, dict):
        names = {one: one if key == "attributes" else re.sub("_([a-z])", lambda m: m[1].upper(), one) for one in value}
        return {names[one]: respelt(item, one) for one, item in value.items()}
    if isinstance(value, list):
        return [respelt(one, key) for one in value]
    if isinstance(value, int) and key.endswith(("_at", "_ms", "_time")):
        return str(value)
    return enums.get(value, value) if key in ("type", "status", "kind", "state", "source") else value


def test_other_spellings_read_alike() -> None:
    assert len(RECORDED) > 1000
    for raw in RECORDED:
        one = json.loads(raw)
        other = {**one, "request": respelt(one["request"]), "response": respelt(one["response"])}
        assert parse_line(json.dumps(other).encode()) == parse_line(raw)
        other["call"] = f"/twirp/livekit.{one['call']}"
        assert parse_line(json.dumps(other).encode()) == parse_line(raw)


def test_what_is_written_reads_back() -> None:
    for raw in RECORDED:
        assert parse_line(parse_line(raw).line()) == parse_line(raw)


def test_places_and_words() -> None:
    path = FIXTURES / "busy-afternoon" / "api.jsonl"
    whole = path.read_bytes()
    gathered, note = read(*whole.splitlines(keepends=True))
    assert note.lines == whole.count(b"\n")
    assert note.bytes == len(whole)
    for one in gathered.snapshots:
        quote = gathered.quotes[one.place]
        assert quote.offset is not None
        assert whole[: quote.offset].count(b"\n") + 1 == quote.line
        assert json.loads(whole[quote.offset :].split(b"\n", 1)[0])["at"] == one.at
    words = [one.text for one in gathered.quotes.values()]
    assert any(
        re.search(r'ListDispatch .+: AD_\w+ ".+", job AJ_\w+ JS_RUNNING at AW_\w+ as \S+ since \d', one)
        for one in words
    )
    unserved = (FIXTURES / "name-not-served" / "api.jsonl").read_bytes().splitlines(keepends=True)
    words = [one.text for one in read(*unserved)[0].quotes.values()]
    assert any(re.search(r'ListDispatch .+: AD_\w+ ".+", no job', one) for one in words)


def test_what_is_private_stays_out() -> None:
    person = {
        "sid": "PA_1",
        "identity": "sip_1",
        "name": "Marie Curie",
        "kind": "SIP",
        "metadata": "planted-metadata",
        "attributes": {"sip.phoneNumber": "+15550100", "lk.agent.state": "listening"},
    }
    job = {"id": "AJ_1", "participant": person, "metadata": "planted-metadata", "state": {"error": f"refused {JWT}"}}
    dispatch = {"id": "AD_1", "metadata": "planted-metadata", "state": {"jobs": [job]}}
    lines = [
        rooms("a", at=1795262300.0, turn_password="planted-password", metadata="planted-metadata"),
        line("RoomService/ListParticipants", {"participants": [person]}, {"room": "a"}),
        line("AgentDispatchService/ListDispatch", {"agent_dispatches": [dispatch]}, {"room": "a"}),
        line("AgentDispatchService/CreateDispatch", dispatch, {"room": "a", "metadata": "planted-metadata"}),
        line("RoomService/ListRooms", {"body": f"invalid token: {JWT}, error: x"}, status=401),
    ]
    gathered, note = read(*lines)
    assert len(gathered.snapshots) == 4
    listed = gathered.snapshots[1].data
    assert isinstance(listed, ParticipantsListed)
    assert listed.participants[0].attributes == {"lk.agent.state": "listening"}
    written = b"".join(parse_line(one).line() for one in lines).decode()
    for text in (str(gathered), str(note), written):
        for secret in ("planted", "Marie", "5550100", JWT, JWT.split(".")[1]):
            assert secret not in text


def test_a_gap_is_counted_in_the_servers_words() -> None:
    gone = {"code": "unavailable", "msg": "twirp error unknown: no response from servers"}
    one = line("AgentDispatchService/ListDispatch", gone, {"room": "a"}, status=503)
    silent = line("RoomService/ListRooms", {"body": "nothing came within 5 s"}, status=0)
    gathered, note = read(one, one, silent)
    assert not gathered.snapshots
    assert note.skipped == {
        "ListDispatch answered 503: twirp error unknown: no response from servers": 2,
        "ListRooms no answer: nothing came within 5 s": 1,
    }


def test_a_refused_call_is_a_fact() -> None:
    refused = {"code": "unauthenticated", "msg": "permissions denied"}
    gathered, note = read(
        line("AgentDispatchService/CreateDispatch", refused, {"room": "a", "agent_name": "x"}, status=401)
    )
    (one,) = gathered.snapshots
    assert one.data == Called("AgentDispatchService/CreateDispatch", "a", "x", status=401, error="permissions denied")
    assert not note.skipped


@pytest.mark.parametrize(
    ("call", "request_", "response"),
    [
        ("RoomService/ListRooms", {"names": ["a"]}, {"rooms": []}),
        ("AgentDispatchService/ListDispatch", {"room": "a", "dispatch_id": "AD_1"}, {"agent_dispatches": []}),
        ("RoomService/GetParticipant", {"room": "a", "identity": "b"}, {"sid": "PA_1", "identity": "b", "kind": 4}),
    ],
)
def test_a_chosen_subset_proves_no_absence(call: str, request_: Any, response: Any) -> None:
    gathered, _ = read(line(call, response, request_))
    (one,) = gathered.snapshots
    assert not one.complete


def test_junk_is_counted_and_the_first_is_named() -> None:
    good = rooms("a", at=1795262300.0)
    bare = b'{"rooms": [{"name": "a"}]}\n'
    untimed = b'{"call": "RoomService/ListRooms", "response": {}}\n'
    odd = b'{"at": 1795262300, "call": "RoomService/ListRooms", "response": {"rooms": [7]}}\n'
    other = b'{"level": 30, "msg": "hello"}\n'
    gathered, note = read(
        b"\xef\xbb\xbf" + good, b"\n", b"hello\n", bare, untimed, odd, other, b"[1]\n", b"\xff\xfe\n", good[:60]
    )
    assert len(gathered.snapshots) == 1
    assert note.skipped == {
        "not JSON": 2,
        "an answer without its call and time": 1,
        "an exchange without its time": 1,
        "RoomService/ListRooms in a form that this version does not know": 1,
        "JSON, but no exchange": 2,
        "cut in the middle": 1,
    }
    assert note.notes == ["line 3 is the first that was not read: not JSON"]
    assert not note.unusable


@pytest.mark.parametrize(
    ("lines", "words"), [((), "an empty file"), ((b"\n",), "no exchange"), ((b"x\n",), "no exchange")]
)
def test_nothing_usable_is_said(lines: tuple[bytes, ...], words: str) -> None:
    gathered, note = read(*lines)
    assert note.unusable.startswith(words)
    assert not gathered.snapshots


def test_a_cut_file_tells_what_stands_before_the_cut() -> None:
    whole = b"".join(rooms("a", f"b{number}", at=1795262300.0 + number) for number in range(4))
    full = told(read(*whole.splitlines(keepends=True))[0])
    for cut in range(0, len(whole), 7):
        gathered, note = read(*whole[:cut].splitlines(keepends=True))
        assert told(gathered) == full[: len(gathered.snapshots)]
        assert len(gathered.snapshots) + sum(note.skipped.values()) == len(whole[:cut].splitlines())


@given(st.sampled_from(RECORDED[:200]), st.integers(0, 400), st.binary(max_size=6))
def test_damage_never_raises(raw: bytes, where: int, put: bytes) -> None:
    damaged = raw[:where] + put + raw[where + len(put) :]
    gathered, note = read(damaged)
    assert note.lines
    assert len(gathered.snapshots) + sum(note.skipped.values()) <= note.lines
    with contextlib.suppress(BadExchangeError):
        one = parse_line(damaged)
        assert parse_line(one.line()).call == one.call


def test_runs_of_equal_listings_are_kept_once_with_their_ends() -> None:
    lines = [rooms("a", at=100.0 + number) for number in range(5)]
    lines += [rooms("b", "a", at=105.0), rooms("a", "b", at=106.0), rooms("a", at=107.0)]
    gathered, _ = read(*lines)
    seen = [
        (one.at, one.repeats, [room.name for room in one.data.rooms])
        for one in gathered.snapshots
        if isinstance(one.data, RoomsListed)
    ]
    # A server lists in a random order, which is no change.
    assert seen == [
        (100.0, 0, ["a"]),
        (104.0, 3, ["a"]),
        (105.0, 0, ["a", "b"]),
        (106.0, 0, ["a", "b"]),
        (107.0, 0, ["a"]),
    ]
    assert sum(1 + one.repeats for one in gathered.snapshots) == len(lines)


def test_rooms_have_runs_of_their_own() -> None:
    def listed(room: str, at: float) -> bytes:
        return line("AgentDispatchService/ListDispatch", {}, {"room": room}, at=at)

    gathered, _ = read(listed("a", 1.0), listed("b", 2.0), listed("a", 3.0), listed("b", 4.0), listed("a", 5.0))
    seen = [
        (one.at, one.data.room, one.repeats) for one in gathered.snapshots if isinstance(one.data, DispatchesListed)
    ]
    assert seen == [(1.0, "a", 0), (2.0, "b", 0), (5.0, "a", 1), (4.0, "b", 0)]


def test_packed_and_zipped_exchanges_are_read(tmp_path: Path) -> None:
    whole = (FIXTURES / "busy-afternoon" / "api.jsonl").read_bytes()
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "api.jsonl").write_bytes(whole)
    (folder / "api-2.jsonl.gz").write_bytes(gzip.compress(whole))
    (folder / "api-3.jsonl.zst").write_bytes(zstandard.compress(whole))
    archive = tmp_path / "case.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in folder.iterdir():
            packed.write(path, f"case/{path.name}")
    alone = told(read(*whole.splitlines(keepends=True))[0])
    for given_ in (folder, archive):
        inputs = CaseInputs.find([given_])
        gathered = Gathered()
        read_other(inputs, gathered)
        assert told(gathered) == alone * 3
        assert {note.kind for note in gathered.notes} == {"api"}
        assert not any("not read" in words for note in (*gathered.notes, *inputs.others) for words in note.notes)


def test_a_forced_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "saved.txt"
    path.write_bytes(rooms("a", at=1795262300.0))
    inputs = CaseInputs.find([], apis=[path])
    gathered = Gathered()
    read_other(inputs, gathered)
    assert len(gathered.snapshots) == 1
    assert CaseInputs.find([], apis=[tmp_path / "missing.jsonl"]).errors


def test_a_reader_that_fails_costs_only_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lkdoctor.collect.server_api import exchanges

    real = exchanges.read_exchanges

    def failing(lines: Any, source: str, gathered: Gathered) -> SourceNote:
        if "bad" in source:
            raise RuntimeError(f"unforeseen {JWT}")
        return real(lines, source, gathered)

    monkeypatch.setattr(exchanges, "read_exchanges", failing)
    for name in ("api-bad.jsonl", "api-good.jsonl"):
        (tmp_path / name).write_bytes(rooms("a", at=1795262300.0))
    gathered = Gathered()
    read_other(CaseInputs.find([tmp_path]), gathered)
    assert len(gathered.snapshots) == 1
    bad, good = sorted(gathered.notes, key=lambda note: note.name)
    assert bad.unusable.startswith("reading it failed with RuntimeError")
    assert JWT not in bad.unusable
    assert not good.unusable


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lkdoctor.collect import extras

    monkeypatch.setattr(extras, "_LONGEST_LINE", 1 << 20)
    good = rooms("a", at=1795262300.0)
    (tmp_path / "api.jsonl").write_bytes(good + b"x" * (3 << 20) + b"\n" + rooms("b", at=1795262301.0))
    gathered = Gathered()
    read_other(CaseInputs.find([tmp_path]), gathered)
    assert [one.at for one in gathered.snapshots] == [1795262300.0, 1795262301.0]
    (note,) = gathered.notes
    assert any("3,145,728 bytes is too long" in words for words in note.notes)
