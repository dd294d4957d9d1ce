"""The text for people: verdict first, nothing wider than the screen, nothing that could harm the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from lkdoctor.report.json_v1 import Report
from lkdoctor.report.screen import Screen
from lkdoctor.report.text import write
from tests.recorded import CASES, case, report_of

GOLDEN = Path(__file__).parent / "golden"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def text_of(folder: Path, width: int = 100, **options: bool) -> str:
    return write(report_of(folder), Screen(width), **options)


@pytest.mark.parametrize("width", [40, 60, 100])
@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_nothing_is_wider_than_the_screen(folder: Path, width: int, verbose: bool) -> None:
    for line in text_of(folder, width, verbose=verbose).splitlines():
        # A command stays whole, so that it can be copied; the list of checks is one line a check.
        if not line.lstrip().startswith(("$ ", "passed ", "failed ", "skipped ", "inconclusive ")):
            assert len(line) <= width, line


@pytest.mark.parametrize(
    ("name", "full", "quiet"),
    [
        (
            "listed-agent-left",
            "No fault found in 1 dispatch; what this evidence cannot tell stands below.",
            "No fault found in 1 dispatch; without -q it says what it cannot tell.",
        ),
        (
            "listed-pending",
            "No fault found in 1 dispatch; 1 is too young to judge.",
            "No fault found in 1 dispatch; 1 is too young to judge.",
        ),
    ],
)
def test_doubts_stand_in_the_verdict(name: str, full: str, quiet: str) -> None:
    assert text_of(case(name)).splitlines()[0] == full
    assert text_of(case(name), quiet=True).splitlines()[0] == quiet


def test_what_is_not_shown_is_not_said_to_stand_below() -> None:
    assert "What to fetch stands below." in " ".join(text_of(case("listed-partner-not-assigned")).split())
    assert "Without -q it says what to fetch." in text_of(case("listed-partner-not-assigned"), quiet=True)


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_the_verdict_comes_first(folder: Path) -> None:
    report = report_of(folder)
    first = text_of(folder).splitlines()[0]
    begins = {"problems": ("Fault found: ", f"{len(report.findings)} fault", "2 faults", "3 faults", "4 faults")}
    healthy = ("No fault found", "Nothing could be looked at")
    assert first.startswith({**begins, "healthy": healthy, "inconclusive": ("Cannot tell:",)}[report.verdict])


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_every_finding_and_open_question_is_in_the_text(folder: Path) -> None:
    report = report_of(folder)
    text = text_of(folder)
    codes = {one.code for one in (*report.findings, *report.symptoms)} | {one.code for one in report.questions}
    for code in codes:
        assert code in text


@pytest.mark.parametrize("folder", CASES[:20], ids=lambda one: one.name)
def test_color_changes_nothing_but_color(folder: Path) -> None:
    report = report_of(folder)
    plain, colored = write(report, Screen(90)), write(report, Screen(90, color=True))
    assert "\x1b" not in plain
    assert "\x1b[" in colored
    assert ESCAPE.sub("", colored) == plain


def test_quiet_is_a_line_for_the_verdict_and_one_for_each_finding() -> None:
    report = report_of(case("no-headroom-1-13-5"))
    lines = text_of(case("no-headroom-1-13-5"), quiet=True).splitlines()
    assert len(lines) == 1 + len(report.findings)
    assert lines[1].startswith("error LKD303 no-headroom: ")


def test_a_fix_that_several_findings_share_is_told_once() -> None:
    report = report_of(case("no-headroom-1-13-5"))
    first = report.findings[0]
    second = msgspec.structs.replace(
        first, fixes=[msgspec.structs.replace(one, commands=["lk room list"]) for one in first.fixes]
    )
    text = write(msgspec.structs.replace(report, findings=[first, second]), Screen(100))
    for fix in first.fixes:
        assert text.count(f"1. {fix.steps[0][:40]}") == 1
        for caveat in fix.caveats:
            assert text.count(f"note: {caveat[:40]}") == 1
    assert text.count("(as above, under LKD303)") == len(first.fixes)
    assert text.count("$ lk room list") == len(first.fixes)


def test_verbose_shows_all_proof_and_the_checks() -> None:
    folder = case("no-headroom-many-rooms")
    plain, verbose = text_of(folder), text_of(folder, verbose=True)
    assert "more lines with -v" in plain
    assert "more lines with -v" not in verbose
    assert "\nChecks\n" in verbose
    assert "passed       LKD301 name-not-served" in verbose


def test_infos_stand_first_when_nothing_worse_is_found() -> None:
    text = text_of(case("scale-out"))
    assert "Worth knowing" in text
    assert text.index("Worth knowing") < text.index("Dispatches (")
    faulty = text_of(case("name-near-miss"))
    assert faulty.index("Worth knowing") > faulty.index("Dispatches (")


def test_a_row_for_the_unnamed_agent_hides_only_where_nobody_misses_it() -> None:
    beside, alone = text_of(case("implicit-beside-explicit")), text_of(case("implicit-dispatch-only"))
    assert "(unnamed)" not in beside
    assert "  … and 1 for the unnamed agent, beside a named one" in beside
    assert "(unnamed)" in text_of(case("implicit-beside-explicit"), verbose=True)
    assert "(unnamed)" in alone


def test_a_finding_is_no_question_beside_it() -> None:
    """The dispatch without a job is told once, with what to do; where nothing is found it stays a question."""
    why = "the API does not say why"
    told = " ".join(text_of(case("listed-not-assigned")).split())
    assert "Cannot be told" not in told
    assert told.count(why) == 2, "in the verdict and in the finding"
    report = report_of(case("listed-not-assigned"))
    guess = msgspec.structs.replace(report.findings[0], confidence="low")
    for doubtful in ([], [guess]):
        text = write(msgspec.structs.replace(report, findings=doubtful, verdict="inconclusive"), Screen(100))
        assert "Cannot be told" in text


def test_what_was_interrupted_is_told_once() -> None:
    report = report_of(case("listed-healthy-call"))
    gap = "the server's API was interrupted"
    sources = [
        msgspec.structs.replace(one, notes=[f"{gap}; what was learned until then is used"]) for one in report.sources
    ]
    text = write(msgspec.structs.replace(report, gaps=[f"{gap}."], sources=sources), Screen(100))
    assert text.count(gap) == 1


def test_a_time_that_is_not_known_is_no_other_day() -> None:
    report = report_of(case("name-near-miss"))
    known = report.dispatches[0]
    unknown = msgspec.structs.replace(known, asked_at=None)
    text = write(msgspec.structs.replace(report, dispatches=[known, unknown]), Screen(100))
    assert known.asked_at is not None
    table = text[text.index("\nDispatches (") :]
    assert known.asked_at[11:19] in table
    assert known.asked_at[:10] not in table


def spoiled(report: Report, word: str) -> Report:
    """The report with `word` put where evidence is quoted."""
    dispatch = msgspec.structs.replace(report.dispatches[0], room=word)
    finding = report.findings[0]
    proof = msgspec.structs.replace(finding.proof[0], text=word)
    finding = msgspec.structs.replace(finding, message=word, proof=[proof])
    return msgspec.structs.replace(report, dispatches=[dispatch], findings=[finding])


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\rb", "a\\x0db"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2028b", "a\\u2028b"),
        ("a\x9bb", "a\\x9bb"),
        ("a\ud800b", "a\\ud800b"),
        ("a\tb", "a  b"),
        ("grüße 東京", "grüße 東京"),
    ],
)
@pytest.mark.parametrize("color", [False, True])
def test_evidence_cannot_move_the_cursor(word: str, shown: str, color: bool) -> None:
    report = spoiled(report_of(case("name-near-miss")), word)
    text = write(report, Screen(100, color))
    assert word not in text or word == shown
    assert shown in ESCAPE.sub("", text)
    ESCAPE.sub("", text).encode("utf-8")


@pytest.mark.parametrize("name", ["name-near-miss", "two-names-one-room"])
@pytest.mark.parametrize("width", [60, 100])
def test_golden(name: str, width: int) -> None:
    """Regenerate with `python -m tests.report.test_text`."""
    assert golden_text(name, width) == (GOLDEN / f"{name}-{width}.txt").read_text("utf-8")


def golden_text(name: str, width: int) -> str:
    """The text of a recorded log that stands beside its golden files, so that a new recording does not change them."""
    from lkdoctor.cli import pipeline
    from lkdoctor.collect.server_log import LogInput

    wish = pipeline.Wish(inputs=(LogInput("server.log", GOLDEN / f"{name}.log"),), quiet=True)
    return write(pipeline.report(pipeline.collect(wish), wish), Screen(width))


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in ("name-near-miss", "two-names-one-room"):
        for columns in (60, 100):
            (GOLDEN / f"{each}-{columns}.txt").write_text(golden_text(each, columns), "utf-8")
