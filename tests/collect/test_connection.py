"""`connection.jsonl`: written and read without loss, junk is counted, and each recorded walk tells its fault and no other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lkdoctor.collect.connection import read_steps, told, write_steps
from lkdoctor.collect.gathered import Gathered
from lkdoctor.dispatch.connection import Step
from lkdoctor.dispatch.stories import join
from lkdoctor.doctor import engine
from lkdoctor.doctor.evidence import Evidence, Steps
from lkdoctor.doctor.finding import Confidence, Severity
from lkdoctor.doctor.loader import load
from lkdoctor.doctor.registry import Check
from lkdoctor.redact import mask

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
CASES = sorted(FIXTURES.glob("reach-*"))


def read(lines: list[bytes]) -> Gathered:
    gathered = Gathered()
    read_steps(lines, "connection.jsonl", gathered)
    return gathered


def lines_of(case: Path) -> list[bytes]:
    return (case / "connection.jsonl").read_bytes().splitlines(keepends=True)


CHECKS = load().checks
OF_STEPS = tuple(one for one in CHECKS if Steps in one.wants)


def diagnose(steps: list[Step], gathered: Gathered, checks: tuple[Check, ...] = OF_STEPS) -> engine.Diagnosis:
    stories = join([])
    stories.steps, stories.sources = steps, gathered.notes
    return engine.run(checks, Evidence.of(stories))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestRecorded:
    def test_exactly_these_faults(self, case: Path) -> None:
        expect: dict[str, Any] = tomllib.loads((case / "scenario.toml").read_text("utf-8"))["expect"]
        gathered = read(lines_of(case))
        found = diagnose(gathered.steps, gathered, CHECKS).findings
        told_of = [f"{one.code.id} {one.message}" for one in found]
        assert {one.code.id for one in found if one.severity >= Severity.WARNING} == set(expect["codes"]), told_of
        assert set(expect["infos"]) <= {one.code.id for one in found if one.severity is Severity.INFO}, told_of
        assert not {one.code.id for one in found} & set(expect["absent"]), told_of

    def test_every_fault_quotes_its_step(self, case: Path) -> None:
        gathered = read(lines_of(case))
        for one in diagnose(gathered.steps, gathered).findings:
            assert one.proof, one.message
            quotes = gathered.resolve(one.proof)
            assert set(quotes) == set(one.proof)
            assert all(quote.line and quote.text for quote in quotes.values())

    def test_without_its_proof_the_fault_is_gone(self, case: Path) -> None:
        """Taking the quoted steps away leaves no finding of that code."""
        gathered = read(lines_of(case))
        for one in diagnose(gathered.steps, gathered).findings:
            kept = [step for step in gathered.steps if step.place not in one.proof]
            codes = {left.fingerprint for left in diagnose(kept, gathered).findings}
            assert one.fingerprint not in codes, one.message

    def test_a_walk_that_was_cut_short_claims_nothing_new(self, case: Path) -> None:
        """However early Ctrl-C comes: what was learned until then raises nothing that the whole walk does not."""
        gathered = read(lines_of(case))
        whole = {one.code.id for one in diagnose(gathered.steps, gathered).findings}
        for end in range(len(gathered.steps)):
            part = {one.code.id for one in diagnose(gathered.steps[:end], gathered).findings}
            assert part <= whole, (end, part)

    def test_written_as_it_was_read(self, case: Path) -> None:
        gathered = read(lines_of(case))
        again = read(list(write_steps(gathered.steps)))
        assert again.steps == gathered.steps
        assert b"".join(write_steps(gathered.steps)) == b"".join(lines_of(case))

    def test_no_secret_in_it(self, case: Path) -> None:
        text = (case / "connection.jsonl").read_text("utf-8")
        assert mask(text) == text
        assert "secret-of-the-lab" not in text
        assert "eyJ" not in text


def test_a_step_in_words() -> None:
    step = read(lines_of(FIXTURES / "reach-key-unknown")).steps[4]
    assert told(step).startswith("twirp RoomService/ListRooms with roomList: 401 (key) invalid API key: APIoldserver (")


def test_what_is_no_step_is_counted() -> None:
    good = lines_of(FIXTURES / "reach-healthy-1-13-5")[0]
    gathered = read(
        [b"{", b"\n", good, b'{"name": "nonsense", "target": "", "at": 1, "ok": true}\n', b"\xff\n", b"[]\n"]
    )
    assert len(gathered.steps) == 1
    assert gathered.notes[0].skipped == {"no connection step": 4}
    assert gathered.notes[0].lines == 6
    assert gathered.notes[0].unusable == ""
    assert read([b"nothing\n"]).notes[0].unusable == "no connection step in it"
    assert read([]).notes[0].unusable


def test_a_secret_in_a_file_from_elsewhere_is_masked() -> None:
    line = {
        "name": "twirp",
        "target": "t",
        "at": 1.0,
        "ok": False,
        "error": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln",
    }
    gathered = read([json.dumps(line).encode()])
    assert "eyJ" not in gathered.steps[0].error
    assert "eyJ" not in "".join(quote.text for quote in gathered.quotes.values())


def test_a_refusal_in_unknown_words_is_a_question() -> None:
    """Which of key, secret and clock it is stays open; nothing is called healthy, nothing is guessed."""
    gathered = read(lines_of(FIXTURES / "reach-key-unknown"))
    steps = [
        msgspec.structs.replace(one, trouble="token", error="no way") if one.trouble == "key" else one
        for one in gathered.steps
    ]
    judged = diagnose(steps, gathered)
    assert judged.findings == ()
    assert [one.code.number for one in judged.questions] == [104]


def test_a_date_that_does_not_explain_the_refusal() -> None:
    """The server refuses the token for its time, and the measured clock is right: a proxy wrote the Date."""
    gathered = read(lines_of(FIXTURES / "reach-clock-ahead"))
    steps = [
        msgspec.structs.replace(one, values={**one.values, "offset": 0.1}) if one.name == "clock" else one
        for one in gathered.steps
    ]
    [found] = diagnose(steps, gathered).findings
    assert (found.code.number, found.confidence) == (106, Confidence.MEDIUM)
    assert "proxy" in found.message


def test_a_way_that_workers_do_not_go() -> None:
    """Where the environment names a proxy, a port that lkdoctor cannot reach may be open to workers."""
    gathered = read(lines_of(FIXTURES / "reach-nothing-listens"))
    note = "environment HTTPS_PROXY names a proxy: Python workers go through it, lkdoctor goes straight."
    steps = [
        msgspec.structs.replace(one, values={**one.values, "notes": [note]}) if one.name == "url" else one
        for one in gathered.steps
    ]
    [found] = diagnose(steps, gathered).findings
    assert (found.code.number, found.confidence) == (101, Confidence.MEDIUM)
    assert note in found.message


def test_a_proxys_404_does_not_tell_the_servers_age() -> None:
    gathered = read(lines_of(FIXTURES / "reach-no-dispatch-service"))
    page = read(lines_of(FIXTURES / "reach-agent-no-location"))
    words = next(one.error for one in page.steps if one.trouble == "no-route")
    steps = [msgspec.structs.replace(one, error=words) if one.trouble == "no-route" else one for one in gathered.steps]
    judged = diagnose(steps, gathered)
    assert judged.findings == ()
    assert [one.code.number for one in judged.questions] == [108]


def test_several_walks_in_one_report() -> None:
    """Two servers that were walked to are judged apart."""
    gathered = Gathered()
    for name in ("reach-healthy-1-13-5", "reach-key-unknown", "reach-nothing-listens"):
        read_steps(lines_of(FIXTURES / name), name, gathered)
    found = diagnose(gathered.steps, gathered).findings
    assert {one.code.number: one.proof[0].source for one in found} == {
        104: "reach-key-unknown",
        101: "reach-nothing-listens",
    }


@pytest.mark.parametrize("added", ["/rtc", "/agent", "/rtc/v1"])
def test_a_path_that_programs_add_is_taken_off(added: str) -> None:
    words = b"".join(lines_of(FIXTURES / "reach-wrong-path")).replace(b"/livekit", added.encode())
    gathered = read(words.splitlines(keepends=True))
    [found] = diagnose(gathered.steps, gathered).findings
    assert f"it ends in {added}, which programs add themselves" in found.message
    [fix] = found.fixes
    assert fix.title == f"Take {added} off the URL"
    assert fix.verify == ("lkdoctor check --url ws://127.0.0.1:55123",)
