"""Whatever stands around the lines, and however they are cut into chunks, a log says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from lkdoctor.dispatch.facts import What

from . import wrap
from .reading import CASES, read, recorded, said


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """What each case says as it was recorded."""
    folder = tmp_path_factory.mktemp("plain")
    found = {}
    for case in CASES:
        path = folder / f"{case}.log"
        path.write_bytes(recorded(case))
        found[case] = said(read(path)[0])
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("wrapper", wrap.WRAPPERS)
def test_a_wrapper_changes_nothing(case: str, wrapper: str, plain: dict[str, list[object]], tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(wrap.WRAPPERS[wrapper](recorded(case)))
    events, logs = read(path)
    assert said(events) == plain[case]
    assert not logs.notes[0].unusable
    assert not logs.notes[0].skipped


@pytest.mark.parametrize("chunk", [1, 7, 61, 1021, 4096, 65537])
@pytest.mark.parametrize(
    "wrapper",
    ["bare", "docker json-file", "cri", "compose mixed", "journald short", "bom"],
)
@pytest.mark.parametrize("case", ["healthy-call-1-11-0", "draining", "config-refused-1-8-4"])
def test_chunks_change_nothing(case: str, wrapper: str, chunk: int, tmp_path: Path) -> None:
    log = recorded(case)
    if chunk < 61:
        log = b"".join(line + b"\n" for line in wrap.lines_of(log)[:25])
    path = tmp_path / "some.log"
    path.write_bytes(wrap.WRAPPERS[wrapper](log))
    whole, whole_logs = read(path)
    parts, part_logs = read(path, chunk_bytes=chunk)
    assert parts == whole
    assert part_logs.notes == whole_logs.notes


def test_every_proof_is_the_record_itself(tmp_path: Path) -> None:
    log = recorded("busy-afternoon")
    for wrapper in ("bare", "docker json-file", "journald short", "compose -t"):
        path = tmp_path / "some.log"
        path.write_bytes(wrap.WRAPPERS[wrapper](log))
        events, logs = read(path)
        proofs = logs.resolve(event.place for event in events)
        lines = path.read_bytes().split(b"\n")
        for event in events:
            proof = proofs[event.place]
            assert proof.line is not None
            assert sum(len(line) + 1 for line in lines[: proof.line - 1]) == proof.offset == event.place.offset
            assert "livekit" in proof.text
            assert proof.text[:4] in ("2026", '{"le')
            assert "\t" not in proof.text
            assert len(proof.text) < 640


def test_services_of_a_mixed_log_are_streams_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "compose.log"
    path.write_bytes(wrap.mixed_compose(recorded("draining")))
    events, _ = read(path)
    assert {event.stream for event in events} == {f"{path}:livekit-1"}


def test_journald_says_when_it_dropped_a_message(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_bytes(b'{"_HOSTNAME":"a","MESSAGE":null,"__REALTIME_TIMESTAMP":"1767225600123456"}\n' * 3)
    _, logs = read(path)
    assert logs.notes[0].skipped == {"journald left out the message (over 4096 bytes; export with --all)": 3}


def test_metadata_in_clear_text_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "old.log"
    path.write_bytes(recorded("healthy-call-1-8-4").replace(b'"agentName":', b'"metadata":"the secret","agentName":'))
    events, logs = read(path)
    assert any(event.what is What.SESSION_STARTED for event in events)
    proofs = logs.resolve(event.place for event in events)
    assert "the secret" not in repr(events) + repr(proofs)


def test_servers_that_share_a_log_are_put_in_time_order(tmp_path: Path) -> None:
    one, other = recorded("busy-afternoon"), recorded("draining")
    moved = other.replace(other[:13], one[:13])  # the same hour, so that they overlap
    path = tmp_path / "compose.log"
    blocks = [(b"livekit-a-1 | ", one), (b"livekit-b-1 | ", moved)]
    path.write_bytes(b"".join(name + line + b"\n" for name, log in blocks for line in wrap.lines_of(log)))
    events, logs = read(path)
    assert {event.stream for event in events} == {f"{path}:livekit-a-1", f"{path}:livekit-b-1"}
    times = [event.at for event in events if event.at is not None]
    assert times == sorted(times)
    for name, log in (("livekit-a-1", one), ("livekit-b-1", moved)):
        (tmp_path / name).write_bytes(log)
        alone = [item for item in said(read(tmp_path / name)[0]) if item[0] is not What.ANY_LINE]
        mine = [event for event in events if event.stream.endswith(name) and event.what is not What.ANY_LINE]
        assert said(mine) == alone
    assert not logs.notes[0].notes
