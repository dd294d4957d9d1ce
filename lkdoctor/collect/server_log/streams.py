"""One stream from its inputs to batches of events and, at its end, the notes on its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from lkdoctor.collect.server_log.chain import Chain
from lkdoctor.collect.server_log.note import notes_of
from lkdoctor.collect.server_log.reader import StreamReader
from lkdoctor.collect.server_log.source import LogInput
from lkdoctor.collect.server_log.spool import Spool
from lkdoctor.dispatch.facts import Event
from lkdoctor.dispatch.model import SourceNote


class Stream(NamedTuple):
    """What is read as one run: a file, or the files of a rotated set, oldest first."""

    name: str
    inputs: tuple[LogInput, ...]

    @property
    def size_on_disk(self) -> int:
        """Bytes to read, as far as known."""
        return sum(one.size_on_disk for one in self.inputs)

    @property
    def rereadable(self) -> bool:
        """True when its records can be looked up again for printing."""
        return all(one.rereadable for one in self.inputs)


def read_stream(
    stream: Stream,
    chunk_bytes: int,
    progress: Callable[[int], None] | None,
    spool: Spool | None = None,
) -> Iterator[list[Event] | list[SourceNote]]:
    """Batches of events in time order; the last item is the list of notes."""
    chain = Chain(stream.inputs)
    reader = StreamReader(chain, stream.name, chunk_bytes=chunk_bytes, progress=progress, spool=spool)
    try:
        yield from reader.batches()
        notes, events = notes_of(reader)
        if events:
            yield events
        yield notes
    finally:
        chain.close()
