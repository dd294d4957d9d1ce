"""Colour, width and tables."""

from __future__ import annotations

import io

import pytest

from lkdoctor.report.screen import ColorChoice, Screen, columns, wants_color


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "environ", "terminal", "expected"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "0"}, False, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_the_one_decision_about_color(
    choice: ColorChoice, environ: dict[str, str], terminal: bool, expected: bool
) -> None:
    assert wants_color(choice, Terminal() if terminal else io.StringIO(), environ) is expected


ROWS = [["support-call-7", "inbound-agent", "name-not-served", "", "AW_Mbss6xLXqXz6"]]
HEADS = ["room", "agent", "outcome", "after", "worker"]


def test_a_column_that_says_nothing_goes() -> None:
    assert "after" not in Screen(100).table(HEADS, ROWS)[0]


def test_spare_columns_go_first_then_cells_fold() -> None:
    narrow = Screen(60).table(HEADS, ROWS, spare=["worker"])
    assert "worker" not in narrow[0]
    assert "outcome" in narrow[0]
    tight = Screen(40).table(HEADS, ROWS, spare=["worker"])
    assert all(len(line) <= 40 for line in tight)
    assert "support" in "".join(tight)


def test_wide_letters_are_wrapped_and_aligned_by_columns() -> None:
    words = "会议室 に 参加 する エージェント がいません " * 5
    for line in Screen(40).wrap(words, "  - "):
        assert columns(line) <= 40
    assert "".join("".join(Screen(40).wrap(words)).split()) == "".join(words.split())
    lines = Screen(100).table(["room", "outcome"], [["会议室", "assigned"], ["room-1", "declined"]])
    assert columns(lines[2][: lines[2].index("assigned")]) == columns(lines[3][: lines[3].index("declined")])


def test_cells_are_painted_whole_only() -> None:
    lines = Screen(100, color=True).table(["a", "b"], [["assigned", "assigned-too"]], styles={"assigned": "ok"})
    assert "\x1b[32massigned\x1b[0m" in lines[2]
    assert "\x1b[32massigned\x1b[0m-too" not in lines[2]


def test_wide_letters_take_two_columns() -> None:
    assert (columns("abc"), columns("東京"), columns("e\u0301")) == (3, 4, 1)
