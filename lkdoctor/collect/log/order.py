"""Events into time order, within a bounded window; beyond it the file's own order is kept and counted."""

from __future__ import annotations

from typing import Final, Generic

from lkdoctor.collect.log.dialect import E

WINDOW_SECONDS: Final = 2.0
WINDOW_EVENTS: Final = 10_000
_BATCH: Final = 512


class Order(Generic[E]):
    """Sorts what arrives within 2 s of log time. All decisions rest on the sequence of events alone, never on chunks.

    A step back by more than the window (a clock was set, or two logs were joined end to end) starts a new window:
    sorting across it would mix two lives of a process.
    """

    def __init__(self) -> None:
        self.steps_back = 0
        self.largest_step = 0.0
        self._held: list[tuple[float, int, E]] = []
        self._count = 0
        self._next_flush = _BATCH
        self._latest = float("-inf")

    def add(self, event: E, out: list[E]) -> None:
        """Take one event; append to `out` those whose order is now certain."""
        at = event.at
        if at is None:
            at = self._latest  # a line without time belongs where it stands
        elif at > self._latest:
            self._latest = at
        elif at < self._latest - WINDOW_SECONDS:
            self.steps_back += 1
            self.largest_step = max(self.largest_step, self._latest - at)
            self.flush(out)
            self._latest = at
        self._count += 1
        self._held.append((at, self._count, event))
        if len(self._held) >= self._next_flush:
            self._release(out)

    def flush(self, out: list[E]) -> None:
        """Give out everything that is held."""
        self._held.sort(key=_key)
        out.extend(item[2] for item in self._held)
        self._held.clear()

    def _release(self, out: list[E]) -> None:
        held = self._held
        held.sort(key=_key)
        limit = self._latest - WINDOW_SECONDS
        ready = 0
        while ready < len(held) and held[ready][0] < limit:
            ready += 1
        if len(held) - ready > WINDOW_EVENTS:
            ready = len(held) - WINDOW_EVENTS // 2
        out.extend(item[2] for item in held[:ready])
        del held[:ready]
        self._next_flush = len(held) + _BATCH


def _key(item: tuple[float, int, object]) -> tuple[float, int]:
    return item[0], item[1]
