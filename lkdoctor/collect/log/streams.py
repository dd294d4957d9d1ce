"""One stream from its inputs to batches of events and, at its end, the notes on its inputs."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from lkdoctor.collect.log.chain import Chain
from lkdoctor.collect.log.dialect import Dialect, E
from lkdoctor.collect.log.forms import usual_form
from lkdoctor.collect.log.reader import StreamReader
from lkdoctor.collect.log.source import LogInput
from lkdoctor.collect.log.spool import Spool
from lkdoctor.collect.log.wrappers import NAMING
from lkdoctor.dispatch.model import SourceNote

_UNPACKS_TO: Final = 10  # times its size, for a log; and unpacking is slower than reading


class Stream(NamedTuple):
    """What is read as one run: a file, or the files of a rotated set, oldest first."""

    name: str
    inputs: tuple[LogInput, ...]

    @property
    def work(self) -> int:
        """About how many plain bytes there are to read, as far as known."""
        return sum(one.size_on_disk * (_UNPACKS_TO if one.packed else 1) for one in self.inputs)

    @property
    def rereadable(self) -> bool:
        """True when its records can be looked up again for printing."""
        return all(one.rereadable for one in self.inputs)


def read_stream(
    dialect: Dialect[E],
    stream: Stream,
    chunk_bytes: int,
    progress: Callable[[int], None] | None,
    spool: Spool | None = None,
) -> Iterator[list[E] | list[SourceNote]]:
    """Batches of events in time order; the last item is the list of notes.

    A log that several servers write to (docker compose, a syslog host) keeps each one's order but often has none between
    them: such a file is read once to learn who writes to it, and then once for each of them, merged by time.
    """
    services = (
        _services(dialect, stream, chunk_bytes, progress)
        if stream.rereadable and _names_services(dialect, stream)
        else set()
    )
    chain = Chain(stream.inputs)
    told = _silent(progress) if services else progress
    reader = StreamReader(dialect, chain, stream.name, chunk_bytes=chunk_bytes, progress=told, spool=spool)
    try:
        if len(services) > 1:
            first, *others = sorted(services)
            runs = [_only(first, reader)]
            for service in others:
                other = StreamReader(
                    dialect, Chain(stream.inputs), stream.name, chunk_bytes=chunk_bytes, progress=_silent(progress)
                )
                runs.append(_only(service, other))
            merged = heapq.merge(*runs, key=lambda event: float("-inf") if event.at is None else event.at)
            while batch := list(itertools.islice(merged, 512)):
                yield batch
        else:
            yield from reader.batches()
        notes, events = dialect.notes(reader)
        if events:
            if spool is not None:
                _keep(reader.head, events, spool)
            yield events
        yield notes
    finally:
        chain.close()


def _keep(head: bytes, events: list[E], spool: Spool) -> None:
    for event in events:
        offset = event.place.offset or 0
        spool.keep(offset, head.count(b"\n", 0, offset) + 1, head[offset:].partition(b"\n")[0])


def _names_services(dialect: Dialect[E], stream: Stream) -> bool:
    """True when the first lines have a wrapper that tells the processes apart."""
    chain = Chain(stream.inputs)
    buffer = bytearray(64 * 1024)
    count = chain.readinto(memoryview(buffer))
    chain.close()
    form = usual_form(bytes(buffer[:count]).split(b"\n"), dialect.reads)
    return form is not None and any(wrapper in NAMING for wrapper in form)


def _services(
    dialect: Dialect[E], stream: Stream, chunk_bytes: int, progress: Callable[[int], None] | None
) -> set[str]:
    found: set[str] = set()
    reader = StreamReader(dialect, Chain(stream.inputs), stream.name, chunk_bytes=chunk_bytes, progress=progress)
    for batch in reader.batches():
        found.update(event.stream for event in batch)
    return found


def _only(service: str, reader: StreamReader[E]) -> Iterator[E]:
    """The events of one service, in an order of its own: the others' times do not count."""
    for batch in reader.batches(service):
        yield from batch


def _silent(progress: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """Progress that adds nothing (the bytes were counted before) but may still stop the run."""
    return None if progress is None else lambda _: progress(0)
