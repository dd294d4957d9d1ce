"""Writes finished documents: one on stdout, others to files; everything else that is said goes to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, cast

import click

from lkdoctor.redact import mask

if TYPE_CHECKING:
    from lkdoctor.report.json_v1 import Report
    from lkdoctor.report.screen import Screen


class _StdoutError(click.ClickException):
    exit_code = 2


def hint(text: str) -> None:
    """One line on stderr."""
    from lkdoctor.report.screen import clean

    for line in text.splitlines():
        print(f"lkdoctor: {clean(mask(line))}", file=sys.stderr)


def document(report: Report, form: str, *, quiet: bool, verbose: bool, color: str, to_file: bool) -> Iterator[bytes]:
    """The report in this format, as bytes, piece by piece."""
    if form == "json":
        from lkdoctor.report import json_v1

        yield from json_v1.pieces(report)
        return
    from lkdoctor.report import text

    on = screen(color, to_file=to_file)
    yield text.write(report, on, quiet=quiet, verbose=verbose).encode("utf-8", "backslashreplace")


def screen(color: str, *, to_file: bool = False) -> Screen:
    """The screen behind stdout, or a file's; `color` is the option's value."""
    from lkdoctor.report import screen as screens

    choice = cast("Literal['auto', 'always', 'never']", "never" if to_file and color == "auto" else color)
    width = screens.PIPE_WIDTH if to_file else screens.width_of(sys.stdout)
    return screens.Screen(width, screens.wants_color(choice, sys.stdout))


def lines(text: list[str]) -> bytes:
    """Lines as bytes for `to_stdout`."""
    return ("\n".join(text) + "\n").encode("utf-8", "backslashreplace")


def write_all(
    report: Report,
    form: str,
    outputs: tuple[tuple[str, str], ...],
    *,
    quiet: bool = False,
    verbose: bool = False,
    color: str = "auto",
) -> bool:
    """Write every document; True when a file could not be written (said on stderr, the others are written)."""
    failed = False
    for other, path in outputs:
        content = document(report, other, quiet=quiet, verbose=verbose, color=color, to_file=True)
        try:
            with open(path, "wb") as file:
                file.writelines(content)
        except OSError as error:
            hint(f"-o {other}={path}: {error.strerror or error}; the report was not written there")
            failed = True
    # JSON is UTF-8 whatever the locale is; the escapes of another encoding would make it invalid.
    content = document(report, form, quiet=quiet, verbose=verbose, color=color, to_file=False)
    to_stdout(content, as_it_is=form == "json")
    return failed


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
