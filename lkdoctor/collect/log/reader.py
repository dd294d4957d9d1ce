"""Reads one stream in one pass: chunks into a reused buffer, one automaton over them, records only around its hits.

Every decision depends on the bytes alone, never on where a chunk ends, so that any chunk size gives the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic

from lkdoctor.collect.log.chain import Chain
from lkdoctor.collect.log.dialect import MORE, Dialect, E, More
from lkdoctor.collect.log.order import Order
from lkdoctor.collect.log.sampler import Sampler
from lkdoctor.collect.log.source import StopReading
from lkdoctor.collect.log.spool import KEPT_BYTES, Spool

CHUNK_BYTES: Final = 1 << 20
MAX_RECORD: Final = 1 << 20  # a longer line keeps its head only
HEAD_BYTES: Final = 64 * 1024
COUNT_LINES_BELOW: Final = 256 << 20  # counting lines costs as much as finding the hits
TAIL_BYTES: Final = 64 * 1024


class StreamReader(Generic[E]):
    """One stream's events, and what was learnt of its bytes. `chain` is read once, to its end."""

    def __init__(
        self,
        dialect: Dialect[E],
        chain: Chain,
        stream: str,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        progress: Callable[[int], None] | None = None,
        spool: Spool | None = None,
    ) -> None:
        self.chain = chain
        self.lines: int | None = 0
        self.bytes = 0
        self.head = b""  # the first bytes, for saying what a file looks like
        self.order: Order[E] = Order()
        self.parser = dialect.lines(chain, stream)
        self._automaton = dialect.automaton
        self._search_back = dialect.search_back
        self._sampler = Sampler(self.parser)
        self._chunk = max(1, chunk_bytes)
        self._progress = progress
        self._spool = spool
        self._lines_done = 0  # for the spool: lines in front of `_counted`, which is a place in the buffer
        self._counted = 0
        self._buffer = bytearray(self._chunk + 2 * MAX_RECORD + HEAD_BYTES)
        self._view = memoryview(self._buffer)
        self._base = 0  # offset in the run of the buffer's first byte
        self._tail = b""
        size = chain.known_size
        if size is not None and size >= COUNT_LINES_BELOW:
            self.lines = None

    def batches(self, only: str = "") -> Iterator[list[E]]:
        """Events in time order (within the window), in lists as they become certain; of the stream `only` if given."""
        out: list[E] = []
        for found in self._raw():
            for event in found:
                if not only or event.stream == only:
                    self.order.add(event, out)
            if out:
                yield out
                out = []
        self.order.flush(out)
        if out:
            yield out

    def _raw(self) -> Iterator[list[E]]:
        """Events in file order, one list a chunk."""
        view, buffer = self._view, self._buffer
        held = 0  # bytes at the front of the buffer
        searched = 0  # of those, bytes known to hold no newline
        complete = 0  # end of the last whole line in the buffer
        skipping = False
        while True:
            try:
                count = self.chain.readinto(view[held : held + self._chunk])
            except StopReading:  # while waiting for a pipe: this was all
                count = 0
            end = held + count
            if count:
                self.bytes += count
                self._note_bytes(held, end)
            if skipping:
                newline = buffer.find(b"\n", 0, end)
                if count and newline < 0:
                    self._base += end
                    held = 0
                    continue
                skipping = False
                cut = newline + 1 if newline >= 0 else end
                self._lines_done += 1
                self._counted = 0
                view[: end - cut] = view[cut:end]
                self._base += cut
                end -= cut
                searched = complete = 0
            if not count:
                if end:
                    yield self._scan(end, True)[0]
                break
            newline = buffer.rfind(b"\n", searched, end)
            if newline >= 0:
                complete = newline + 1
            searched = end
            endless = end - complete > MAX_RECORD  # the last line, not ended yet
            used = 0
            if complete and (newline >= 0 or endless):
                events, used = self._scan(complete, endless)
                if events:
                    yield events
            if used:
                if self._spool is not None:
                    self._lines_done += buffer.count(b"\n", self._counted, used)
                    self._counted = 0
                view[: end - used] = view[used:end]
                self._base += used
                end -= used
                searched -= used
                complete -= used
            if endless:  # what stood before it has been used up
                yield self._scan(HEAD_BYTES, True, overlong=True)[0]
                self._base += end
                end = searched = complete = 0
                skipping = True
            held = end
        yield self._sampler.last(self._tail, self.bytes)

    def _note_bytes(self, start: int, end: int) -> None:
        if len(self.head) < TAIL_BYTES:
            self.head += bytes(self._view[start : min(end, start + TAIL_BYTES - len(self.head))])
        if self.lines is not None:
            if self.bytes > COUNT_LINES_BELOW:
                self.lines = None
            else:
                self.lines += self._buffer.count(b"\n", start, end)
        if end - start >= TAIL_BYTES:
            self._tail = bytes(self._view[end - TAIL_BYTES : end])
        else:
            self._tail = (self._tail + bytes(self._view[start:end]))[-TAIL_BYTES:]
        if self._progress is not None:
            self._progress(end - start)

    def _keep(self, event: E, first: int, stop: int) -> None:
        if self._spool is not None and event.place.offset is not None:
            line = None
            if self.lines is not None:
                self._lines_done += self._buffer.count(b"\n", self._counted, first)
                self._counted = first
                line = self._lines_done + 1
            data = bytes(self._buffer[first : min(stop, first + KEPT_BYTES)])
            self._spool.keep(event.place.offset, line, data)

    def _scan(self, limit: int, final: bool, overlong: bool = False) -> tuple[list[E], int]:
        """Read the hits in the first `limit` bytes, which are whole lines; `final` when nothing follows them.

        Returns the events and the number of bytes done with: less than `limit` when a record goes on behind it.
        """
        buffer, base, parser, sampler = (
            self._buffer,
            self._base,
            self.parser,
            self._sampler,
        )
        events: list[E] = []
        sampler.look(buffer, limit, base)
        floor = 0
        for literal, start, end in self._automaton.find_matches_as_indexes(self._view[:limit]):
            if start < floor:
                continue
            low = max(floor, start - self._search_back)
            newline = buffer.rfind(b"\n", low, start)
            if newline >= 0:
                first = newline + 1
            elif low == floor:
                first = floor
            else:
                continue
            stop = buffer.find(b"\n", end, limit)
            if stop < 0:
                stop = limit
            if sampler.next_at < base + first:
                sampler.before(buffer, first, limit, base, events)
            cut = overlong or stop - first > MAX_RECORD
            line = bytes(buffer[first : first + HEAD_BYTES if cut else stop])
            if end - first > len(line):
                continue
            got = parser.read(line, literal, start - first, end - first, base + first)
            longer = got is MORE
            if longer:
                got = parser.gather(buffer, line, first, stop, limit, final or cut, base)
                if got is MORE:
                    limit = first
                    break
            if got is not None and not isinstance(got, More):
                events.append(got)
                floor = stop + 1
                if self._spool is not None:
                    self._keep(got, first, limit if longer else stop)
                if cut:
                    parser.count("line longer than 1 MiB (only its head was read)")
        if sampler.next_at < base + limit:
            sampler.before(buffer, limit, limit, base, events)
        return events, limit
