"""Fingerprints stay the same where only what is made anew has changed, and different problems keep different ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkdoctor.doctor import fingerprint
from lkdoctor.doctor.codes import NAME_NEAR_MISS, NO_HEADROOM
from lkdoctor.doctor.finding import Finding, Severity, Subject, SubjectKind
from lkdoctor.doctor.fingerprint import normal, pattern, published
from tests.checks.test_grid import diagnose
from tests.recorded import CASES, case, report_of


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (("call-1234", "call-7", "call-99999999"), "call-*"),
        (("room_3f2b8a4e-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "room_00000000-0000-4000-8000-000000000000"), "room_*"),
        (("room_9f1c2d3e", "room_00ab12", "room_1700000000000"), "room_*"),
        (("+49301234567", "+15551234567"), "+*"),
        (("call-2026-11-21T10:00:00", "call-2025-01-01T23:59:59"), "call-*-*-*:*:*"),
        (("playground-aB3d-x9Yz", "playground-k2Lm-p4nO"), "playground-*-*"),
        (("agent-AJ_abcdefgh1234", "agent-AJ_ZZZZyyyy0000"), "agent-*"),
        (("table12", "table7"), "table*"),
        (("lobby",), "lobby"),
        (("frontDesk",), "frontDesk"),
        (("e2e-test",), "e2e-test"),
        (("api-v2",), "api-v2"),
        (("deadbeef-cafe",), "deadbeef-cafe"),  # letters only may be words
        (("",), ""),
    ],
)
def test_forms_of_room_names(names: tuple[str, ...], form: str) -> None:
    assert {pattern(name) for name in names} == {form}


def finding(room: str = "", agent: str | None = None, kind: SubjectKind = "dispatch", own: str = "") -> Finding:
    return Finding(NO_HEADROOM, Subject(kind, room, agent, own), "It is so.", Severity.ERROR)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (finding("call-1", "front-desk"), finding("call-2", "front-desk")),
        (finding(kind="worker", own="AW_abcdefgh1234"), finding(kind="worker", own="AW_zzzzzzzz9999")),
        (finding(kind="server", own="ND_abcdefgh1234"), finding(kind="server", own="ND_zzzzzzzz9999")),
        (finding(kind="file", own="/home/a/logs/server.log"), finding(kind="file", own="build/server.log")),
        (finding(kind="agent", own="agent-AJ_abcdefgh1234"), finding(kind="agent", own="agent-AJ_zzzzzzzz9999")),
    ],
)
def test_what_is_made_anew_changes_nothing(one: Finding, other: Finding) -> None:
    assert one.fingerprint == other.fingerprint or one.subject != other.subject
    assert fingerprint.of(one) == fingerprint.of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (finding("call-1", "front-desk"), finding("call-1", "back-office")),
        (finding("call-1", "agent-1"), finding("call-1", "agent-2")),  # names of agents are configured
        (finding("call-1", ""), finding("call-1", None)),
        (finding("call-1"), finding("conference-1")),
        (finding("call-1", kind="dispatch"), finding("call-1", kind="room")),
        (finding(kind="server", own="ws://a:7880"), finding(kind="server", own="ws://a:7881")),
        (finding(kind="container", own="worker-1"), finding(kind="container", own="worker-2")),
        (finding(kind="env", own="LIVEKIT_URL"), finding(kind="env", own="LIVEKIT_API_KEY")),
    ],
)
def test_what_is_configured_tells_problems_apart(one: Finding, other: Finding) -> None:
    assert fingerprint.of(one) != fingerprint.of(other)


def test_two_rooms_of_one_form_stay_two_findings() -> None:
    rooms = [finding(f"call-{number}", "front-desk") for number in (3, 1, 2)]
    marks = published(rooms)
    base = fingerprint.of(rooms[0])
    assert sorted(marks.values()) == [base, f"{base}-2", f"{base}-3"]
    assert marks[rooms[1].fingerprint] == base  # in the order of their names, not of their coming
    assert published(reversed(rooms)) == marks
    assert {fingerprint.base(mark) for mark in marks.values()} == {base}


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=8)), max_size=12))
def test_published_fingerprints_are_unique_and_know_their_base(names: list[tuple[str, str]]) -> None:
    findings = [finding(room, agent) for room, agent in names]
    marks = published(findings)
    assert len(set(marks.values())) == len({one.fingerprint for one in findings})
    assert all(re.fullmatch(r"[0-9a-f]{16}(-\d+)?", mark) for mark in marks.values())
    assert all(fingerprint.base(marks[one.fingerprint]) == fingerprint.of(one) for one in findings)


@given(st.text(max_size=40))
def test_a_form_is_its_own_form(name: str) -> None:
    assert pattern(pattern(name)) == pattern(name)
    assert normal(Subject("room", pattern(name))) == normal(Subject("room", name))


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_no_recorded_case_collapses(folder: Path) -> None:
    """Within every recorded report each finding has a fingerprint of its own, and none of them needed a number: findings
    that come to one normal form would be different problems that a baseline cannot tell apart."""
    report = report_of(folder)
    marks = [one.fingerprint for one in (*report.findings, *report.symptoms)]
    assert len(marks) == len(set(marks))
    assert [one for one in marks if "-" in one] == []


def _another(match: re.Match[str]) -> str:
    """Another id of the same form."""
    return f"{match[1]}_{match[2].swapcase()}"


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_renamed_rooms_and_new_ids_keep_every_fingerprint(folder: Path, tmp_path: Path) -> None:
    """The same story another day: every id and every number in a room's name is another one; the prints are the same."""
    logs = sorted(path for path in folder.glob("server*.log"))
    if not logs:
        return
    collected, before = diagnose(logs)
    rooms = {one.name for one in collected.stories.rooms} | {one.room for one in collected.stories.dispatches}
    numbered = sorted((name for name in rooms if pattern(name) != name), key=len, reverse=True)
    again = []
    for path in logs:
        text = path.read_text("utf-8", "surrogateescape")
        text = re.sub(r"(?<![0-9A-Za-z])(R[ML]|A[WJD]|PA|ND|TR)_([0-9A-Za-z]{8,})", _another, text)
        for name in numbered:
            text = text.replace(f'"{name}"', f'"{re.sub("[0-9]+", lambda one: str(int(one[0]) + 4000), name)}"')
        again.append(tmp_path / path.name)
        again[-1].write_text(text, "utf-8", "surrogateescape")
    after = diagnose(again)[1]

    def prints(findings: tuple[Finding, ...]) -> list[str]:
        return sorted(fingerprint.base(mark) for mark in published(findings).values())

    assert prints(after.findings) == prints(before.findings)


def test_two_runs_of_one_scenario_on_two_servers_have_one_print() -> None:
    """The same fault, played on several versions of the server with other ids and times."""
    prints = {
        one.fingerprint
        for name in ("no-headroom-1-8-4", "no-headroom-1-9-12", "no-headroom-1-11-0", "no-headroom-1-13-5")
        for one in report_of(case(name)).findings
        if one.code == "LKD303"
    }
    assert len(prints) == 1


def test_the_code_is_part_of_it() -> None:
    one = finding("call-1", "a")
    assert fingerprint.of(one) != fingerprint.of(Finding(NAME_NEAR_MISS, one.subject, "x", Severity.ERROR))
