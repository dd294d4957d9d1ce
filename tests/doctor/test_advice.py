"""What fixes and handbook pages print as commands can be typed: `lkdoctor …` parses, `lk …` has options that `lk` knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest

from lkdoctor.cli import COMMANDS, group
from lkdoctor.doctor import handbook, loader
from lkdoctor.report.json_v1 import Fix
from tests.recorded import CASES, report_of

# What `lk` 2.18.3 takes, by its source; of its options those that are of use here.
LK = {
    ("dispatch", "create"): {"--room", "--agent-name", "--deployment", "--metadata"},
    ("dispatch", "list"): set[str](),
    ("room", "create"): {"--empty-timeout", "--agents-file"},
    ("room", "participants", "list"): set[str](),
    ("room", "participants", "get"): {"--room"},
}
QUOTED = re.compile(r"`((?:lkdoctor|lk) [^`]+)`")


def prose(fix: Fix) -> Iterator[str]:
    """The sentences of a fix."""
    for sentences in (fix.steps, fix.caveats, fix.verify, fix.undo):
        yield from sentences


def typed(fix: Fix) -> Iterator[str]:
    """The lines of a fix that are to be typed as they stand."""
    for line in (*fix.commands, *fix.verify):
        if line.startswith(("lkdoctor ", "lk ")):
            yield line


def command_of(line: str) -> tuple[click.Command, list[str]]:
    """The command of lkdoctor that a line calls, and what follows its name."""
    words = shlex.split(line)[1:]
    assert words[0] in COMMANDS, line
    found: click.Command = group
    while isinstance(found, click.Group) and words:
        inner = found.get_command(click.Context(found), words[0])
        if inner is None:
            break
        found, words = inner, words[1:]
    return found, words


def parses(line: str) -> None:
    found, words = command_of(line)
    found.make_context(str(found.name), words)


def knows(line: str) -> None:
    """A line in prose may leave values out; what it names is there."""
    found, words = command_of(line)
    options = {
        one for each in found.params if isinstance(each, click.Option) for one in (*each.opts, *each.secondary_opts)
    }
    assert {one.partition("=")[0] for one in words if one.startswith("--")} <= options, line


def lk_takes(line: str) -> None:
    words = shlex.split(line)[1:]
    name = next((one for one in sorted(LK, key=len, reverse=True) if tuple(words[: len(one)]) == one), None)
    assert name is not None, line
    assert {one for one in words if one.startswith("-")} <= LK[name], line


def judge(lines: Iterable[str], *, whole: bool) -> None:
    for line in lines:
        if line.startswith("lk "):
            lk_takes(line)
        else:
            (parses if whole else knows)(line)


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_what_fixes_print_can_be_typed(folder: Path) -> None:
    report = report_of(folder)
    fixes = [fix for one in (*report.findings, *report.symptoms) for fix in one.fixes]
    judge((line for fix in fixes for line in typed(fix)), whole=True)
    judge((line for fix in fixes for sentence in prose(fix) for line in QUOTED.findall(sentence)), whole=False)


def test_what_the_handbook_names_is_there() -> None:
    lines = [line for page in handbook.pages(loader.load().checks) for line in QUOTED.findall(page.body)]
    assert len(lines) > 20
    judge(lines, whole=False)


@pytest.mark.parametrize(
    "line", ["lkdoctor check --docekr", "lkdoctor chekc server.log", "lk room participants list --kind agent"]
)
def test_what_is_not_there_would_be_seen(line: str) -> None:
    with pytest.raises(AssertionError):
        judge([line], whole=False)
