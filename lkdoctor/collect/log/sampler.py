"""Which time and which levels a stream covers: a few records of no interest, turned into `ANY_LINE` events.

The first and the last record, the first one at info or debug when no event has shown that level, and one wherever more
than 30 s of log time went by without an event, looked at once a MiB: at fixed offsets, so that chunks do not matter.
"""

from __future__ import annotations

from typing import Final, Generic

from lkdoctor.collect.log.dialect import E, Lines

_EVERY: Final = 1 << 20
_TRIES: Final = 256  # lines looked at for one that parses, at each of those offsets
_QUIET_SECONDS: Final = 30.0
_INFO_TRIES: Final = 2000
_LINE: Final = 64 * 1024


class Sampler(Generic[E]):
    """Looks at records of no interest, seldom."""

    def __init__(self, parser: Lines[E]) -> None:
        self.due = 0  # offset from which on a record is to be looked at
        self.next_at = 0  # no need to call `before` for anything that begins earlier
        self._parser = parser
        self._tries = 0
        self._first = True
        self._info_from = 0
        self._info_tries = 0
        self._info_at: int | None = None

    def look(self, buffer: bytearray, limit: int, base: int) -> None:
        """Find the next record at info or debug, as long as none was seen. Sets `due` to it."""
        parser = self._parser
        self._info_at = None
        self._plan()
        if parser.info_seen or self._info_tries >= _INFO_TRIES:
            return
        position = max(0, self._info_from - base)
        while self._info_tries < _INFO_TRIES:
            found = [at for needle in parser.info_words if (at := buffer.find(needle, position, limit)) >= 0]
            if not found:
                self._info_from = base + limit
                return
            first = buffer.rfind(b"\n", 0, min(found)) + 1
            stop = _line_end(buffer, first, limit)
            self._info_from = base + stop
            position = stop
            self._info_tries += 1
            got = parser.head(bytes(buffer[first : min(stop, first + _LINE)]))
            if got is not None and got[0].level in ("info", "debug"):
                self._info_at = base + first
                self._plan()
                return

    def before(self, buffer: bytearray, upto: int, limit: int, base: int, events: list[E]) -> None:
        """Look at the records that are due and begin before `upto`, in their order; add their events."""
        while True:
            info = self._info_at
            if info is not None and info < base + upto and info < self.due:
                self._info_at = None
                if not self._parser.info_seen:
                    self._take(buffer, info - base, limit, base, events)
            elif self.due < base + upto:
                self._sample(buffer, limit, base, events)
            else:
                break
        self._plan()

    def _sample(self, buffer: bytearray, limit: int, base: int, events: list[E]) -> None:
        first = max(0, self.due - base)
        if first and buffer[first - 1] != 10:
            self.due = base + _line_end(buffer, first, limit)
            return
        self._tries += 1
        stop = _line_end(buffer, first, limit)
        got = self._parser.head(bytes(buffer[first : min(stop, first + _LINE)]))
        if got is None:
            self.due = self._next(base + first) if self._tries >= _TRIES else base + stop
            return
        if self._first or abs(got[0].at - self._parser.last_at) > _QUIET_SECONDS:
            events.append(self._parser.any_line(got[0], got[1], base + first))
            self._first = False
        self.due = self._next(base + first)

    def _take(self, buffer: bytearray, first: int, limit: int, base: int, events: list[E]) -> None:
        stop = _line_end(buffer, first, limit)
        got = self._parser.head(bytes(buffer[first : min(stop, first + _LINE)]))
        if got is not None:
            events.append(self._parser.any_line(got[0], got[1], base + first))

    def _plan(self) -> None:
        self.next_at = self.due if self._info_at is None else min(self.due, self._info_at)

    def _next(self, offset: int) -> int:
        self._tries = 0
        return (offset // _EVERY + 1) * _EVERY

    def last(self, tail: bytes, total: int) -> list[E]:
        """The last record of each service in `tail`, the end of a run of `total` bytes."""
        found: dict[str, E] = {}
        end = len(tail)
        for _ in range(4 * _TRIES):
            first = tail.rfind(b"\n", 0, end) + 1
            if first == 0 and total > len(tail):
                break  # may be cut at its front
            got = self._parser.head(tail[first:end])
            if got is not None and got[1] not in found:
                found[got[1]] = self._parser.any_line(got[0], got[1], total - len(tail) + first)
                if self._parser.services <= found.keys():
                    break
            if first == 0:
                break
            end = first - 1
        return list(reversed(found.values()))


def _line_end(buffer: bytearray, first: int, limit: int) -> int:
    """Offset behind the newline of the line that begins at `first`."""
    newline = buffer.find(b"\n", first, limit)
    return limit if newline < 0 else newline + 1
