"""One or several inputs read one after the other as one run of bytes, and the way back from an offset to its input."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Final

from lkdoctor.collect.log.source import LogInput, Opened, open_input
from lkdoctor.dispatch.facts import Place

_BOM: Final = b"\xef\xbb\xbf"


class Chain:
    """The inputs of one stream (a rotated set, oldest first, or a single file).

    A rotation can cut a line in two, so bytes are simply joined. Only where a compressed file broke off is a newline put
    in between: its last line has lost its rest.
    """

    def __init__(self, inputs: Sequence[LogInput]) -> None:
        self.inputs = tuple(inputs)
        self.opened: list[Opened | None] = []
        self.errors: dict[str, str] = {}
        self.starts: list[int] = []  # offset in the run at which each input begins
        self.sizes: list[int] = []  # bytes of each input, as far as read
        self._offset = 0
        self._current: Opened | None = None
        self._glue = False

    @property
    def known_size(self) -> int | None:
        """Bytes of all inputs, when every one of them is a plain file."""
        total = 0
        for one in self.inputs:
            if one.path is None or one.packed or not one.path.is_file():
                return None
            total += one.path.stat().st_size
        return total

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` with the next bytes; 0 at the end of the last input."""
        while True:
            if self._current is None:
                if not self._open_next():
                    return 0
                if self._glue:
                    self._glue = False
                    buffer[:1] = b"\n"
                    self._offset += 1
                    self.starts[-1] += 1
                    return 1
                continue
            count = self._current.readinto(buffer)
            if count:
                self._offset += count
                self.sizes[-1] += count
                return count
            self._glue = any("ends in the middle" in note or "damaged" in note for note in self._current.notes)
            self._current.close()
            self._current = None

    def _open_next(self) -> bool:
        while len(self.opened) < len(self.inputs):
            given = self.inputs[len(self.opened)]
            self.starts.append(self._offset)
            self.sizes.append(0)
            try:
                opened = open_input(given)
            except (
                OSError,
                KeyError,
                ValueError,
                RuntimeError,
                NotImplementedError,
            ) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                self.errors[given.name] = f"cannot be read: {reason}"
                self.opened.append(None)
                continue
            self.opened.append(opened)
            self._current = opened
            return True
        return False

    def place(self, offset: int) -> Place:
        """The input and the offset inside of it of a byte of the run."""
        if len(self.starts) == 1:
            return Place(self.inputs[0].name, offset - self.starts[0])
        index = max(0, bisect.bisect_right(self.starts, offset) - 1)
        return Place(self.inputs[index].name, offset - self.starts[index])

    def close(self) -> None:
        """Close what is still open."""
        if self._current is not None:
            self._current.close()
            self._current = None
