"""`Logs`: several inputs as one run of events in time order, a note on each, and the proof lines afterwards."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Generic

from lkdoctor.collect.log.dialect import Dated, Dialect, E
from lkdoctor.collect.log.proof import Proof, keep, resolve
from lkdoctor.collect.log.reader import CHUNK_BYTES
from lkdoctor.collect.log.rotation import streams_of
from lkdoctor.collect.log.source import LogInput
from lkdoctor.collect.log.spool import Spool
from lkdoctor.collect.log.streams import Stream, read_stream
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import SourceNote

#: Below this, starting processes costs more than it saves.
PARALLEL_FROM: Final = 64 << 20


class Logs(Generic[E]):
    """The logs of one kind of one run.

    `paths` are files, `-` (stdin) or `LogInput`s; files of one rotated set are read oldest first, as one stream. `since`
    and `until` are Unix seconds: events outside are left out, as if the log had been cut there. `progress` is called with
    the bytes read so far and their total (None when not known). `jobs` is the most processes to use (None: one for each
    core); what is read is the same whatever it is.
    """

    def __init__(
        self,
        dialect: Dialect[E],
        paths: Sequence[str | Path | LogInput],
        *,
        since: float | None = None,
        until: float | None = None,
        jobs: int | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._dialect = dialect
        self.inputs = [_input(one) for one in paths]
        self.notes: list[SourceNote] = []
        self._low = float("-inf") if since is None else since
        self._high = float("inf") if until is None else until
        self._jobs = (os.cpu_count() or 1) if jobs is None else jobs
        self._progress = progress
        self._chunk_bytes = chunk_bytes
        self._streams = [Stream(name, inputs) for name, inputs in streams_of(self.inputs)]
        self._spools: dict[str, Spool] = {}
        self._done = 0

    def events(self) -> Iterator[E]:
        """All events once, each stream in time order within 2 s, the streams merged. Fills `notes` when exhausted.

        Raises:
            RuntimeError: a process that helped reading was killed.
        """
        self.notes = []
        self._done = 0
        far = [one for one in self._streams if one.rereadable]
        if self._jobs > 1 and len(far) > 1 and sum(one.work for one in far) >= PARALLEL_FROM:
            from lkdoctor.collect.log.parallel import Readers  # noqa: PLC0415 - most runs need no processes

            with Readers(self._dialect, far, self._jobs, self._chunk_bytes, self._count) as readers:
                yield from self._merged(
                    [readers.stream(far.index(one)) if one.rereadable else self._here(one) for one in self._streams]
                )
        else:
            yield from self._merged([self._here(one) for one in self._streams])
        order = {one.name: index for index, one in enumerate(self.inputs)}
        self.notes.sort(key=lambda note: order[note.name])

    def _merged(self, streams: Sequence[Iterator[list[E] | list[SourceNote]]]) -> Iterator[E]:
        runs = [self._flat(one) for one in streams]
        merged = runs[0] if len(runs) == 1 else heapq.merge(*runs, key=_time)
        if self._low == float("-inf") and self._high == float("inf"):
            return merged
        return (event for event in merged if event.at is None or self._low <= event.at <= self._high)

    def _flat(self, batches: Iterator[list[E] | list[SourceNote]]) -> Iterator[E]:
        for batch in batches:
            for item in batch:
                if isinstance(item, SourceNote):
                    self.notes.append(item)
                else:
                    yield item

    def _here(self, stream: Stream) -> Iterator[list[E] | list[SourceNote]]:
        spool = None
        if not stream.rereadable:
            spool = self._spools[stream.name] = Spool()
        return read_stream(self._dialect, stream, self._chunk_bytes, self._count, spool)

    def _count(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, None)

    def prepare(self, places: Iterable[Place]) -> None:
        """Make `resolve` quick for `places` in many small parts: what can only be read forward is read once more, now."""
        keep(self.inputs, places, self._spools)

    def resolve(self, places: Iterable[Place]) -> dict[Place, Proof]:
        """The records that stand at `places`, read again from their inputs (of a pipe: from what was kept of it)."""
        return resolve(self.inputs, places, self._spools, self._dialect.unwrapped)


def _input(one: str | Path | LogInput) -> LogInput:
    if isinstance(one, LogInput):
        return one
    return LogInput("-") if str(one) == "-" else LogInput(str(one), Path(one))


def _time(event: Dated) -> float:
    return float("-inf") if event.at is None else event.at
