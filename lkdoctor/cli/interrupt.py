"""Ctrl-C and SIGTERM: the first asks to stop, so that what was learned is still told; the second one kills."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, TypeVar

from lkdoctor.collect.server_log import StopReading

_Event = TypeVar("_Event")
# After Ctrl-C, for what a pipe had brought until then; other inputs are not read on for long.
DRAIN_SECONDS: Final = 2.0
# A cancelled job of a CI gets SIGTERM; a probe that died of it would leave its room behind.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Turns the first Ctrl-C into a request to stop, so that what was read is still told; the second one kills."""

    def __init__(self) -> None:
        self.asked = False
        self._reading = False
        self._drains_until = float("-inf")  # by the clock of time.monotonic
        self._before: dict[signal.Signals, Any] = {}
        self._stop: Callable[[], object] | None = None

    def __enter__(self) -> Interrupt:
        with suppress(ValueError):  # not the main thread (a caller's own program): its signals stay its own
            for one in SIGNALS:
                self._before[one] = signal.signal(one, self._handle)
        self.asked = any(outer.asked for outer in self._outer())
        return self

    def __exit__(self, *_: object) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)
        for outer in self._outer():
            outer.asked = outer.asked or self.asked

    def _outer(self) -> list[Interrupt]:
        """The one within which this one was entered: it knows of a Ctrl-C before this one, and must learn of later ones."""
        owners = (getattr(before, "__self__", None) for before in self._before.values())
        return [one for one in owners if isinstance(one, Interrupt)]

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if self._stop is not None:  # something else is waited for; what is read after it gets as long as a pipe does
            self._drains_until = time.monotonic() + DRAIN_SECONDS
            self._stop()
            return
        # A read that waits for more goes on after a handler that returns. Joining is never broken off: its state is told.
        if self._reading:
            self._drains_until = time.monotonic() + DRAIN_SECONDS
            raise StopReading

    @contextmanager
    def calling(self, stop: Callable[[], object]) -> Iterator[None]:
        """Within this the first Ctrl-C calls `stop`, in the main thread; one that came before calls it at once."""
        self._stop = stop
        if self.asked:
            stop()
        try:
            yield
        finally:
            self._stop = None

    def watch(self, events: Iterable[_Event]) -> Iterator[_Event]:
        """`events` until Ctrl-C; a pipe that was waited for ends there, and what it had brought is still given out."""
        iterator = iter(events)
        try:
            while not self._over():
                self._reading = True
                try:
                    event = next(iterator)
                except StopIteration:
                    return
                finally:
                    self._reading = False
                yield event
        except StopReading:
            return

    def stop(self) -> None:
        """Called while bytes are read: between two events there may be gigabytes."""
        if self._over():
            raise StopReading

    def _over(self) -> bool:
        return self.asked and time.monotonic() >= self._drains_until
