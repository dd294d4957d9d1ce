"""Progress on stderr: of a long read on a terminal, and of what is waited for."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

_PATIENCE = 0.7  # seconds before the first word: short runs stay silent
_PAUSE = 0.2
_LINE_PAUSE = 5.0  # where each word stays: in a file, in a CI's log


class Progress:
    """Called with the bytes read so far; used as a context, so that its line is wiped at the end."""

    def __init__(self, total: int, stream: TextIO, *, quiet: bool = False) -> None:
        """`total` bytes are expected (0: not known)."""
        self._total = total
        self._stream = stream
        self._active = not quiet and stream.isatty()
        self._next = time.monotonic() + _PATIENCE
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def __call__(self, done: int, total: int | None) -> None:
        """Show that `done` bytes of `total` are read, at most a few times a second."""
        if not self._active or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PAUSE
        total = total or self._total
        share = f" of {total / 1e6:,.0f} MB ({min(99, 100 * done // total)} %)" if total and done <= total else " MB"
        self._stream.write(f"\r\x1b[Kreading: {done / 1e6:,.0f}{share}")
        self._stream.flush()
        self._shown = True


class Waiting:
    """What is waited for, by who waits: one line that is kept current on a terminal, else a line every few seconds."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._terminal = stream.isatty()
        self._pause = _PAUSE if self._terminal else _LINE_PAUSE
        self._next = time.monotonic() + (_PATIENCE if self._terminal else _LINE_PAUSE)
        self._words: dict[str, str] = {}
        self._shown = False

    def say(self, who: str, words: str) -> None:
        """What `who` does now, in words; empty: nothing any more."""
        if words:
            self._words[who] = words
        else:
            self._words.pop(who, None)

    def show(self) -> None:
        """Write it when it is time to; called often."""
        if self._quiet or not self._words or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._pause
        from lkdoctor.redact import mask
        from lkdoctor.report.screen import clean

        line = clean(mask("; ".join(self._words.values())))
        if self._terminal:
            columns = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{line[:columns]}")
        else:
            self._stream.write(f"lkdoctor: {line}\n")
        self._stream.flush()
        self._shown = True

    def wipe(self) -> None:
        """Take the line away again."""
        if self._shown and self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
