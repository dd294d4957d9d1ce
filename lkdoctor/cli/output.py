"""Writes finished documents: one on stdout, others to files; everything else that is said goes to stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal, cast

import click

from lkdoctor.redact import mask

if TYPE_CHECKING:
    from lkdoctor.doctor.registry import Check
    from lkdoctor.report.json_v1 import Report
    from lkdoctor.report.screen import Screen


class _StdoutError(click.ClickException):
    exit_code = 2


def hint(text: str) -> None:
    """One line on stderr."""
    from lkdoctor.report.screen import clean

    for line in text.splitlines():
        print(f"lkdoctor: {clean(mask(line))}", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Look:
    """How documents look: text's options, and what the other formats take from elsewhere."""

    quiet: bool = False
    verbose: bool = False
    color: str = "auto"
    checks: tuple[Check, ...] = ()  # their handbook pages explain the codes in SARIF
    config: str = ""  # the lkdoctor.toml that is used, as a place for what has none


def document(report: Report, form: str, look: Look, *, to_file: bool) -> Iterator[bytes]:
    """The report in this format, as bytes; JSON piece by piece."""
    if form == "json":
        from lkdoctor.report import json_v1

        yield from json_v1.pieces(report)
    elif form == "text":
        from lkdoctor.report import text

        on = screen(look.color, to_file=to_file)
        yield text.write(report, on, quiet=look.quiet, verbose=look.verbose).encode("utf-8", "backslashreplace")
    elif form == "markdown":
        from lkdoctor.report import markdown

        yield markdown.write(report)
    else:
        yield _placed(report, form, look)


def _placed(report: Report, form: str, look: Look) -> bytes:
    """The formats that name files of the repository."""
    from lkdoctor.report.places import Repository

    repository = Repository()
    if form == "sarif":
        from lkdoctor.doctor import handbook
        from lkdoctor.report import sarif

        pages = {one.code.id: one for one in handbook.pages(look.checks)}
        return sarif.write(report, repository, pages, look.config)
    if form == "junit":
        from lkdoctor.report import junit

        return junit.write(report, repository)
    from lkdoctor.report import github

    return github.write(report, repository)


def screen(color: str, *, to_file: bool = False) -> Screen:
    """The screen behind stdout, or a file's; `color` is the option's value."""
    from lkdoctor.report import screen as screens

    choice = cast("Literal['auto', 'always', 'never']", "never" if to_file and color == "auto" else color)
    width = screens.PIPE_WIDTH if to_file else screens.width_of(sys.stdout)
    return screens.Screen(width, screens.wants_color(choice, sys.stdout))


def harmless(line: str) -> str:
    """A line without secrets, and without what could move the cursor."""
    from lkdoctor.report.screen import clean

    return clean(mask(line))


def lines(text: list[str]) -> bytes:
    """Lines as bytes for `to_stdout`."""
    return ("\n".join(text) + "\n").encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Written:
    """How the writing went: a file could not be written (said on stderr), or a writer failed."""

    unwritten: bool = False
    failed: bool = False


def write_all(
    report: Report,
    form: str,
    outputs: tuple[tuple[str, str], ...],
    look: Look,
) -> Written:
    """Write every document, whatever becomes of the others; where a writer fails, its format says that."""
    unwritten = failed = False

    def made(form: str, *, to_file: bool) -> Iterable[bytes]:
        nonlocal failed
        content = document(report, form, look, to_file=to_file)
        try:
            # JSON is made while it is written, as it may be larger than memory; its first piece shows most failures.
            return chain([next(content)], content)
        except Exception as error:  # noqa: BLE001 - a failure of lkdoctor's still gives one valid document
            from lkdoctor.report.build import Settings
            from lkdoctor.report.crashed import crashed

            failed = True
            instead = crashed(error, time.time(), Settings())
            hint(instead.errors[0])
            return document(instead, form, look, to_file=to_file)

    for other, path in outputs:
        content = made(other, to_file=True)
        try:
            with open(path, "wb") as file:
                file.writelines(content)
        except OSError as error:
            hint(f"-o {other}={path}: {error.strerror or error}; the report was not written there")
            unwritten = True
    if "github" in {form, *(other for other, _ in outputs)}:
        _summarise(report)
    # Only text adapts to the locale: the others are UTF-8, and the escapes of another encoding would make them invalid.
    to_stdout(made(form, to_file=False), as_it_is=form != "text")
    return Written(unwritten, failed)


def _summarise(report: Report) -> None:
    """Add the report to the summary of the step that GitHub Actions runs, when it runs one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    from lkdoctor.report import markdown

    try:
        with open(path, "ab") as file:
            file.write(markdown.summary(report))
    except OSError as error:
        hint(f"GITHUB_STEP_SUMMARY={path}: {error.strerror or error}; the summary was not written")


def to_stdout(content: bytes | Iterable[bytes], *, as_it_is: bool = False) -> None:
    """Write to stdout in its own encoding unless `as_it_is`; a reader that went away (`| head`) is no error.

    Raises:
        click.ClickException: stdout is closed, or its disk is full.
    """
    if sys.stdout is None:
        raise _cannot_write("it is closed")
    encoding = (sys.stdout.encoding or "utf-8").lower().replace("_", "-")
    same = encoding in {"utf-8", "utf8"} or as_it_is
    try:
        sys.stdout.flush()
        for piece in (content,) if isinstance(content, bytes) else content:
            sys.stdout.buffer.write(piece if same else piece.decode().encode(encoding, "backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _cannot_write(error.strerror or str(error)) from None


def _cannot_write(why: str) -> click.ClickException:
    return _StdoutError(f"stdout: {why}; the report was not written there")
