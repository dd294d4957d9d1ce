"""Compressed, rotated, piped, zipped and split logs say what the plain file says."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from lkdoctor.collect.case import CaseInputs
from lkdoctor.collect.log import logs, proof
from lkdoctor.collect.log.parallel import Readers
from lkdoctor.collect.log.streams import Stream
from lkdoctor.collect.server_log import LogInput, ServerLogs
from lkdoctor.collect.server_log.logs import ServerDialect

from . import wrap
from .reading import CASES, FIXTURES, read, recorded, said

CASE = "busy-afternoon"


def _gzip_in_two(log: bytes) -> bytes:
    half = len(log) // 2
    return gzip.compress(log[:half]) + gzip.compress(log[half:]) + b"\0" * 512


def _zstd_in_blocks(log: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    parts = []
    for start in range(0, len(log), 20_000):
        parts += [
            packer.compress(log[start : start + 20_000]),
            packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK),
        ]
    return b"".join([*parts, packer.flush()])


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "a.log.gz": gzip.compress,
    "two-members.gz": _gzip_in_two,
    "named-like-text.log": gzip.compress,
    "a.zst": zstandard.compress,
    "two-frames.zst": lambda log: zstandard.compress(log[:5000]) + zstandard.compress(log[5000:]),
    "utf16.log": lambda log: log.decode().encode("utf-16"),
    "utf16be.log": lambda log: log.decode().encode("utf-16-be"),
    "utf16.log.gz": lambda log: gzip.compress(log.decode().encode("utf-16")),
}


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("chunk", [4096, 1 << 20])
def test_packing_changes_nothing(name: str, chunk: int, tmp_path: Path) -> None:
    log = recorded(CASE)
    plain, packed = tmp_path / "plain.log", tmp_path / name
    plain.write_bytes(log)
    packed.write_bytes(PACKED[name](log))
    want, plain_logs = read(plain)
    events, packed_logs = read(packed, chunk_bytes=chunk)
    assert said(events) == said(want)
    assert [event.place.offset for event in events] == [event.place.offset for event in want]
    texts = [one.text for one in plain_logs.resolve(event.place for event in want).values()]
    assert [one.text for one in packed_logs.resolve(event.place for event in events).values()] == texts


@pytest.mark.parametrize("pack", [gzip.compress, _zstd_in_blocks])
def test_a_truncated_archive_gives_what_it_holds_and_says_so(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.log", tmp_path / "cut.log.gz"
    whole.write_bytes(recorded(CASE))
    packed = pack(recorded(CASE))
    cut.write_bytes(packed[: len(packed) * 2 // 3])
    events, cut_logs = read(cut)
    everything = said(read(whole)[0])
    assert 10 < len(events) < len(everything)
    assert said(events)[:-2] == everything[: len(events) - 2]
    assert any("ends in the middle" in note for note in cut_logs.notes[0].notes)


@pytest.mark.parametrize("wrapper", ["bare", "docker json-file"])
@pytest.mark.parametrize(
    "names",
    [
        ("server.log.2.gz", "server.log.1", "server.log"),
        ("server.log.10", "server.log.9", "server.log"),
        ("server.log-20260101.gz", "server.log-20260102", "server.log"),
        (
            "server-2026-01-01T00-00-00.000.log.gz",
            "server-2026-01-02T00-00-00.000.log",
            "server.log",
        ),
        ("0.log.20260101-120000.gz", "0.log.20260102-120000", "0.log"),
    ],
)
def test_a_rotated_set_is_one_stream(names: tuple[str, ...], wrapper: str, tmp_path: Path) -> None:
    log = wrap.WRAPPERS[wrapper](recorded(CASE))
    whole = tmp_path / "whole.txt"
    whole.write_bytes(log)
    want = said(read(whole)[0])
    for cut in (0, 10_000, 20_001, 33_333):  # within records and within joined parts
        pieces = (log[:cut], log[cut : cut + 30_000], log[cut + 30_000 :])
        paths = [tmp_path / name for name in names]
        for path, piece in zip(paths, pieces, strict=True):
            path.write_bytes(gzip.compress(piece) if path.suffix == ".gz" else piece)
        events, set_logs = read(paths[2], paths[0], paths[1])
        assert said(events) == want
        assert {event.stream for event in events} == {str(paths[2])}
        assert [note.name for note in set_logs.notes] == [
            str(paths[2]),
            str(paths[0]),
            str(paths[1]),
        ]
        for place, found in set_logs.resolve(event.place for event in events).items():
            source = Path(place.source)
            data = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
            assert found.line == data.count(b"\n", 0, found.offset) + 1


def test_other_numbers_in_names_are_no_rotation(tmp_path: Path) -> None:
    for name in ("server-1.log", "server-2.log"):
        (tmp_path / name).write_bytes(recorded("declined"))
    events, _ = read(tmp_path / "server-1.log", tmp_path / "server-2.log")
    assert len({event.stream for event in events}) == 2


def test_standard_input_and_its_proofs() -> None:
    program = (
        "from lkdoctor.collect.server_log import ServerLogs\n"
        "logs = ServerLogs(['-'], chunk_bytes=5000)\n"
        "events = list(logs.events())\n"
        "proofs = logs.resolve(event.place for event in events if event.what < 90)\n"
        "print(len(events))\n"
        "for proof in proofs.values(): print(proof.offset, proof.line, proof.text[:200].encode())\n"
    )
    path = FIXTURES / CASE / "server.log"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=path.read_bytes(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    events, from_file = read(path)
    proofs = from_file.resolve(event.place for event in events if event.what < 90)
    lines = [f"{one.offset} {one.line} {one.text[:200].encode()!r}" for one in proofs.values()]
    assert done.stdout.decode().splitlines() == [str(len(events)), *lines]


def test_proofs_of_a_big_file_are_looked_up_without_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(recorded(CASE))
    events, reading = read(path)
    counted = reading.resolve(event.place for event in events)
    monkeypatch.setattr(proof, "_COUNT_BELOW", 0)
    found = reading.resolve(event.place for event in events)
    assert found == {place: one._replace(line=None) for place, one in counted.items()}


@pytest.mark.parametrize("name", ["server.log", "a.log.gz", "a.zst"])
def test_prepared_proofs_are_the_same_one_by_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[name](recorded(CASE)) if name in PACKED else recorded(CASE))
    events, reading = read(path)
    at_once = reading.resolve(event.place for event in events)
    reading.prepare(event.place for event in reversed(events))
    path.unlink()  # nothing is read again
    assert {event.place: reading.resolve([event.place])[event.place] for event in events} == at_once


def test_no_cut_shows_a_part_of_a_secret() -> None:
    secret = "part," * 300
    for before in range(0, 900, 3):
        for members in (
            f'"a": "{"y" * before}", "metadata": "{secret}"',
            f'"a":"{"y" * before}","metadata":"{secret}"',
        ):
            text = f'2026 INFO x y message {{{members}, "CreateRoom": {{"metadata": "{secret}"}}, "b": "{"z" * 900}"}}'
            shown = proof.shorten(text)
            assert "part," not in shown
            assert len(shown) < 640


def test_several_processes_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PARALLEL_FROM", 0)
    paths = []
    for number, case in enumerate(CASES):
        path = tmp_path / f"{number}-{case}.log"
        path.write_bytes(recorded(case))
        paths.append(path)
    alone, alone_logs = read(*paths, jobs=1)
    seen: list[int] = []
    together, together_logs = read(*paths, jobs=2, progress=lambda done, _: seen.append(done))
    assert together == alone
    assert together_logs.notes == alone_logs.notes
    assert len({event.stream for event in alone}) == len(CASES)


def test_a_reading_process_that_dies_is_named(tmp_path: Path) -> None:
    streams = []
    for name in ("a.log", "b.log"):
        path = tmp_path / name
        path.write_bytes(recorded(CASE) * 200)
        streams.append(Stream(str(path), (LogInput(str(path), path),)))
    with Readers(ServerDialect(), streams, 2, 65536, lambda _: None) as readers:
        for process in readers.processes:
            process.kill()
        with pytest.raises(RuntimeError, match=r"b\.log died"):
            list(readers.stream(1))


def test_since_and_until_cut_the_log(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(recorded(CASE))
    events, _ = read(path)
    times = sorted(event.at for event in events if event.at is not None)
    low, high = times[len(times) // 4], times[len(times) // 2]
    cut, _ = read(path, since=low, until=high)
    assert cut == [event for event in events if event.at is not None and low <= event.at <= high]
    assert 0 < len(cut) < len(events)


def test_a_case_as_folder_and_as_zip_is_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    for name in ("server.log", "server.log.1"):
        (folder / name).write_bytes(recorded("declined"))
    (folder / "worker-a.log").write_bytes(wrap.WORKER_LINES[0] + b"\n")
    (folder / "api.jsonl").write_text('{"at": 1, "call": "RoomService/ListRooms", "status": 200}\n')
    (folder / "notes.md").write_text("nothing")
    archive = tmp_path / "case.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in folder.iterdir():
            packed.write(path, f"case/{path.name}")
        packed.writestr("../../evil.log", recorded("declined"))
    from_folder, from_zip = CaseInputs.find([folder]), CaseInputs.find([archive])
    assert not from_folder.errors + from_zip.errors
    assert [one.name for one in from_folder.server_logs] == [
        str(folder / "server.log"),
        str(folder / "server.log.1"),
    ]
    for found in (from_folder, from_zip):
        assert [Path(one.name).name for one in found.worker_logs] == ["worker-a.log"]
        assert [(Path(one.given.name).name, one.kind) for one in found.extras] == [("api.jsonl", "api")]
    one, other = ServerLogs(from_folder.server_logs), ServerLogs(from_zip.server_logs)
    events = list(one.events())
    assert said(other.events()) == said(events)
    texts = [one.text for one in one.resolve(event.place for event in events).values()]
    assert len(texts) > 5
    assert not (tmp_path / "evil.log").exists()


def test_a_zip_bomb_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lkdoctor.collect.log import source

    monkeypatch.setattr(source, "_BOMB_BYTES", 1 << 20)
    archive = tmp_path / "bomb.zip"
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("server.log", recorded("declined") + b"\n" * (64 << 20))
    archive.write_bytes(inner.getvalue())
    found = CaseInputs.find([archive])
    reading = ServerLogs(found.server_logs)
    assert len(list(reading.events())) > 5
    assert reading.notes[0].bytes < 40 << 20
    assert any("times its size" in note for note in reading.notes[0].notes)


def test_what_cannot_be_read_is_named_with_advice(tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x05\x06" + b"\0" * 18)
    found = CaseInputs.find(["no-such.log", tmp_path], logs=[tmp_path])
    assert [error.split(":")[0] for error in found.errors] == [
        str(tmp_path),
        "no-such.log",
    ]
    assert "check the path" in found.errors[1]


def test_a_file_that_vanishes_leaves_a_note(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(recorded("declined"))
    reading = ServerLogs([path, tmp_path / "other.log"])
    assert len(list(reading.events())) > 5
    assert reading.notes[1].unusable == "cannot be read: No such file or directory"
