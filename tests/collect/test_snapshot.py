"""A case holds no secret and nobody's name, reads like the original, and appears whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkdoctor.cli import pipeline
from lkdoctor.collect.snapshot.cleaning import Cleaner, clean_log
from lkdoctor.collect.snapshot.pseudonyms import Pseudonyms
from lkdoctor.redact import Redactor
from tests.cli.running import call
from tests.recorded import CASES, case

from . import wrap

SALT = b"a salt of the tests"
WRAPPED = ("name-near-miss", "identity-clash")
MOST = 1 << 20


class Source(io.BytesIO):
    """Bytes as a source."""


def cleaned(log: bytes, chunk: int = 1 << 16, *, speech: bool = False) -> bytes:
    """The log as a case holds it."""
    cleaner = Cleaner(Redactor(salt=SALT), Pseudonyms(SALT), speech)
    return b"".join(clean_log(Source(log), cleaner, chunk))


def told(path: Path) -> dict[str, Any]:
    """What a report says, without names of people, places and sources."""
    wish = pipeline.Wish((str(path),), quiet=True, jobs=1)
    report = pipeline.report(pipeline.collect(wish), wish)
    return {
        "verdict": report.verdict,
        "findings": sorted((one.code, one.severity, one.confidence, one.count) for one in report.findings),
        "symptoms": sorted((one.code, one.count) for one in report.symptoms),
        "questions": sorted(one.code for one in report.questions),
        "dispatches": sorted(
            (
                one.room,
                one.room_id,
                one.agent_name,
                one.dispatch_id or "",
                one.outcome,
                one.after or "",
                one.job_id or "",
            )
            for one in report.dispatches
        ),
        "workers": sorted((one.worker_id, one.agent_name or "", one.jobs) for one in report.workers),
    }


def written(folder: Path, target: Path, *options: str) -> dict[str, Any]:
    """The manifest of a case made of `folder`."""
    ran = call("snapshot", folder, "-o", target, *options)
    assert ran.exit_code == 0, ran.output
    assert str(target) in ran.stdout
    if target.is_dir():
        return dict(json.loads((target / "case.json").read_text("utf-8")))
    with zipfile.ZipFile(target) as archive:
        return dict(json.loads(archive.read("case.json")))


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_a_case_tells_what_the_original_told(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "case.zip"
    manifest = written(folder, target)
    assert told(target) == told(folder)
    kinds = {one["kind"] for one in manifest["files"]}
    assert kinds >= ({"server_log"} if list(folder.glob("server*.log")) else set())
    with zipfile.ZipFile(target) as archive:
        for one in manifest["files"]:
            data = archive.read(one["name"])
            assert (len(data), hashlib.sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
            assert b'"alice"' not in data


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("wrapper", wrap.WRAPPERS)
def test_whatever_stands_around_the_lines(wrapper: str, name: str, tmp_path: Path) -> None:
    log = wrap.WRAPPERS[wrapper]((case(name) / "server.log").read_bytes())
    (tmp_path / "server.log").write_bytes(log)
    clean = cleaned(log)
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "server.log").write_bytes(clean)
    assert told(tmp_path / "clean" / "server.log") == told(tmp_path / "server.log")
    assert not re.search(rb'participant\\*": ?\\*"alice', clean)
    assert cleaned(clean) == clean


TEXT = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", min_size=12, max_size=200)
JWTS = st.builds(lambda body, sign: f"eyJhbGciOiJIUzI1NiJ9.eyJ{body}.{sign}", TEXT, TEXT)
KEYS = TEXT.map(lambda value: f"k{value}k")
SECRETS = st.one_of(
    JWTS.map(lambda one: (one.split(".", 1)[1], f'"error": "invalid token: {one}, error: expired"')),
    KEYS.map(lambda one: (one, f'"turn_password": "{one}"')),
    KEYS.map(lambda one: (one, f'"metadata": {json.dumps(json.dumps({"phone": one}))}')),
    KEYS.map(lambda one: (one, f'"url": "https://b.s3.amazonaws.com/x?X-Amz-Signature={one}&y=1"')),
    KEYS.map(lambda one: (one, f'"url": "wss://h/rtc?access_token={one}&auto=1"')),
    KEYS.map(lambda one: (one, f'"redis": "redis://user:{one}@10.0.0.1:6379"')),
    KEYS.map(lambda one: (one, f'"header": "Authorization: Bearer {one}"')),
)
FILLING = st.integers(0, 40_000).map(lambda size: f'"filling": "{"x" * size}"')


def record(*fields: str) -> bytes:
    """One server line with these fields."""
    return f"2026-01-01T00:00:00.000Z\tINFO\tlivekit\trtc/room.go:1\tsomething\t{{{', '.join(fields)}}}\n".encode()


@settings(max_examples=60)
@given(
    st.lists(st.tuples(SECRETS, FILLING), min_size=1, max_size=4),
    st.sampled_from(["bare", "docker json-file", "cri", "journald json", "compose", "fluent bit", "crlf"]),
    st.integers(1, 70_000),
)
def test_no_secret_survives_wherever_a_chunk_or_a_part_ends(
    planted: list[tuple[tuple[str, str], str]], wrapper: str, chunk: int
) -> None:
    log = (case("name-near-miss") / "server.log").read_bytes()
    log += b"".join(record(filling, field) for (_, field), filling in planted)
    clean = cleaned(wrap.WRAPPERS[wrapper](log), max(chunk, 256))
    assert clean.count(b"something") == len(planted)
    for (secret, _), _ in planted:
        assert secret.encode() not in clean
        for part in re.split(r"[.&]", secret):
            assert part.encode() not in clean or len(part) < 12


@settings(max_examples=25)
@given(SECRETS, st.integers(MOST - 300, MOST + 300), st.integers(4096, 1 << 18))
def test_a_line_that_never_ends_gives_nothing_away(planted: tuple[str, str], size: int, chunk: int) -> None:
    secret, field = planted
    line = record(f'"filling": "{"x" * 30_000}"', f'"head": "{"y" * 33_000}"', f'"more": "{"z" * size}"', field)
    tail = record('"end": "here"')
    clean = cleaned(line + tail, chunk)
    assert secret.encode() not in clean
    assert clean.endswith(tail)


def test_memory_does_not_grow_with_the_log() -> None:
    class Endless:
        """Thirty-two MiB of one line again and again."""

        def __init__(self) -> None:
            self.left = 32 << 20
            self.block = record('"participant": "alice"', '"x": "' + "y" * 2000 + '"') * 100

        def readinto(self, buffer: memoryview, /) -> int:
            count = min(len(buffer), len(self.block), self.left)
            buffer[:count] = self.block[:count]
            self.left -= count
            return count

    tracemalloc.start()
    try:
        size = sum(map(len, clean_log(Endless(), Cleaner(Redactor(salt=SALT), Pseudonyms(SALT)))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 30 << 20
    assert peak < 12 << 20


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@settings(max_examples=300)
@given(NAMES, NAMES)
def test_a_pseudonym_breaks_no_record_and_is_the_same_everywhere(one: str, other: str) -> None:
    people = Pseudonyms(SALT)
    log = json.dumps({"participant": one, "x": "y", "participantInit": {"Identity": other}, "agentName": "driver"})
    listing = json.dumps({"participants": [{"identity": one}, {"identity": other}]}, ensure_ascii=False)
    nested = json.dumps({"log": json.dumps({"identity": "alice b"})})
    first, second = json.loads(people.text(log)), json.loads(people.text(listing))
    assert first["participant"] == second["participants"][0]["identity"]
    assert first["participantInit"]["Identity"] == second["participants"][1]["identity"]
    assert (first["participant"] == second["participants"][1]["identity"]) == (one == other)
    assert (first["agentName"], first["x"]) == ("driver", "y")
    assert json.loads(json.loads(people.text(nested))["log"])["identity"] == people.identity("alice b")
    for text in (log, listing, nested):
        assert people.text(people.text(text)) == people.text(text)


@pytest.mark.parametrize(
    "text",
    [
        '"identity": "agent-AJ_ewDXfk4LaqvQ"',
        '"agentName": "inbound-agent"',
        '"room": "support-call-7"',
        '"room": "room-1767225600123"',
        '"room": "call-1767225600"',
        '"participantID": "PA_k6m7pqRXhyiA"',
        "github.com/livekit/protocol@v1.2.3-0.20260101-abcdef/file.go",
        "2026-11-21T11:57:54.872+0100",
        '"_SYSTEMD_UNIT":"livekit@1.service"',
        '"name": "lkdoctor-canary-1234"',
    ],
)
def test_what_is_nobodys_is_kept(text: str) -> None:
    assert Pseudonyms(SALT).text(text) == text


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ('"participant": "alice"', "alice"),
        (r"{\"identity\":\"Alice Smith\"}", "Alice"),
        ("'participant_identity': 'bob'", "bob"),
        ("joined participant=bob after 3 s", "bob"),
        ('"room": "call-491701234567"', "491701234567"),
        ('"room": "call-+491701234567"', "491701234567"),
        ('"identity": "sip_+15105550100"', "5105550100"),
        ("ringing sip:+15105550100@trunk", "15105550100"),
        ("user alice.smith+x@mail.example.com said", "alice.smith"),
        ('"Grants": {"Identity": "a", "Name": "Alice"}', "Alice"),
    ],
)
def test_people_are_replaced(text: str, gone: str) -> None:
    done = Pseudonyms(SALT).text(text)
    assert gone not in done
    assert re.search(r"(?:person|phone|mail)-[0-9a-f]{8}", done)


@pytest.mark.parametrize(
    "line",
    [
        '{"message": "received user transcript", "user_transcript": "my card is 1234", "language": "en"}',
        '{"message": "x", "lk.pii.user_input": "my card is 1234", "language": "en"}',
        '{"message": "x", "lk.pii.chat_ctx": [{"content": ["my \\"card\\" is"]}, {"a": {"b": "card"}}], "language": "en"}',
        '{"message": "x", "lk.pii.function_tool.arguments": "{\\"number\\": \\"card\\"}", "language": "en"}',
    ],
)
def test_speech_in_a_workers_log_is_masked(line: str) -> None:
    clean = json.loads(cleaned(line.encode() + b"\n", speech=True))
    assert "card" not in json.dumps(clean)
    assert clean["language"] == "en"
    assert "<secret:" in json.dumps(clean)
    assert cleaned(cleaned(line.encode(), speech=True), speech=True) == cleaned(line.encode(), speech=True)


def test_speech_as_python_prints_it_and_speech_that_is_cut_off() -> None:
    text = b"{'transcript': 'it\\'s my card', 'x': 1}\n{\"lk.pii.text\": \"my card is\n"
    clean = cleaned(text, speech=True)
    assert b"card" not in clean
    assert b"'x': 1}" in clean


def test_names_that_a_worker_marks_are_those_of_the_servers_log() -> None:
    clean = json.loads(
        cleaned(b'{"lk.pii.participant_identity": "alice", "lk.pii.room_name": "support-call-7"}', speech=True)
    )
    assert clean == {
        "lk.pii.participant_identity": Pseudonyms(SALT).identity("alice"),
        "lk.pii.room_name": "support-call-7",
    }
    assert b"card" in cleaned(b'{"text": "card"}')  # in a server's log these fields mean something else


def test_a_case_is_never_written_over_something_else(tmp_path: Path) -> None:
    folder = case("name-near-miss")
    target = tmp_path / "case.zip"
    target.write_bytes(b"mine")
    ran = call("snapshot", folder, "-o", target)
    assert (ran.exit_code, target.read_bytes()) == (2, b"mine")
    assert "exists already" in ran.output
    ran = call("snapshot", folder, "-o", target, "--force")
    assert (ran.exit_code, target.read_bytes()) == (2, b"mine")
    target.unlink()
    written(folder, target)
    assert call("snapshot", folder, "-o", target).exit_code == 2
    written(folder, target, "--force")
    as_folder = tmp_path / "case"
    written(folder, as_folder)
    assert told(as_folder) == told(folder)
    (as_folder / "case.json").unlink()
    assert call("snapshot", folder, "-o", as_folder, "--force").exit_code == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["case", "case.zip"]


def test_a_case_is_not_written_into_the_evidence(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes((case("name-near-miss") / "server.log").read_bytes())
    for target in (log, tmp_path / "case.zip", tmp_path / "case"):
        ran = call("snapshot", log if target == log else tmp_path, "-o", target)
        assert ran.exit_code == 2
        assert "evidence" in ran.output or "exists already" in ran.output
    assert [one.name for one in tmp_path.iterdir()] == ["server.log"]


def test_what_a_case_takes_of_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "server.log").write_bytes((case("identity-clash") / "server.log").read_bytes())
    (folder / "worker-a.log").write_text('{"message": "x", "name": "livekit.agents", "participant": "alice"}\n')
    (folder / ".env").write_text(
        "LIVEKIT_URL=wss://u:PLANTED-in-url@h\nLIVEKIT_API_KEY=APIkey\nexport LIVEKIT_API_SECRET='PLANTED-secret'\n"
        "OPENAI_API_KEY=sk-PLANTED\nDATABASE=PLANTED\n# PLANTED\n"
    )
    (folder / "livekit.yaml").write_text("keys:\n  APIkey: PLANTED-in-yaml\n")
    (folder / "server.log.1").write_bytes((case("name-near-miss") / "server.log").read_bytes())
    target = tmp_path / "case"
    manifest = written(folder, target)
    files = {one["name"]: one for one in manifest["files"]}
    assert set(files) == {"server.log", "server.log.1", "worker-a.log", "config.jsonl"}
    assert not manifest.get("left_out")
    assert "PLANTED" not in "".join(one.read_text("utf-8") for one in target.iterdir())
    settings = [json.loads(line) for line in (target / "config.jsonl").read_text().splitlines()]
    shown = {one["key"]: one["value"] for one in settings}
    assert shown["env.LIVEKIT_URL"] == "wss://h"
    assert shown["env.LIVEKIT_API_SECRET"].startswith("<secret:")
    assert not {one for one in shown if "OPENAI" in one or "DATABASE" in one}
    identity = re.compile(r'"participant": "(person-[0-9a-f]{8})"')
    in_worker = identity.findall((target / "worker-a.log").read_text())
    assert in_worker[0] in identity.findall((target / "server.log").read_text())
