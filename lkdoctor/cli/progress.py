"""Progress of a long read, on stderr when it is a terminal."""

from __future__ import annotations

import time
from typing import TextIO

_PATIENCE = 0.7  # seconds before the first word: short runs stay silent
_PAUSE = 0.2


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
