"""Keeps the records with a hit of an input that can be read only once (a pipe), for printing them afterwards."""

from __future__ import annotations

import bisect
import tempfile
import weakref
from array import array
from typing import Final, NamedTuple

KEPT_BYTES: Final = 4096  # of a join this holds the agents that it asked for, which stand before its byte 1,700


class Kept(NamedTuple):
    """The head of a record, and the number of its line (None when lines were not counted)."""

    data: bytes
    line: int | None


class Spool:
    """A private temporary file without a name, and 24 bytes of memory a record. Only hits are kept, never the log."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="lkdoctor-")  # noqa: SIM115 - lives as long as the spool
        weakref.finalize(self, self._file.close)
        self._offsets = array("Q")
        self._ends = array("Q")
        self._lines = array("Q")

    def keep(self, offset: int, line: int | None, data: bytes) -> None:
        """Take the record at `offset`; offsets come in rising order."""
        self._file.write(data[:KEPT_BYTES])
        self._offsets.append(offset)
        self._ends.append((self._ends[-1] if self._ends else 0) + min(len(data), KEPT_BYTES))
        self._lines.append(line or 0)

    def find(self, offset: int) -> Kept | None:
        """The record kept for this offset."""
        index = bisect.bisect_left(self._offsets, offset)
        if index == len(self._offsets) or self._offsets[index] != offset:
            return None
        start = self._ends[index - 1] if index else 0
        self._file.seek(start)
        data = self._file.read(self._ends[index] - start)
        self._file.seek(0, 2)
        return Kept(data, self._lines[index] or None)
