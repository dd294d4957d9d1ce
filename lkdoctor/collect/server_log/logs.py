"""`ServerLogs`: several inputs as one run of events in time order, a note on each, and the proof lines afterwards."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lkdoctor.collect.server_log.note import notes_of
from lkdoctor.collect.server_log.proof import Proof, resolve
from lkdoctor.collect.server_log.reader import CHUNK_BYTES, StreamReader
from lkdoctor.collect.server_log.chain import Chain
from lkdoctor.collect.server_log.rotation import streams_of
from lkdoctor.collect.server_log.source import LogInput
from lkdoctor.dispatch.facts import Event, Place
from lkdoctor.dispatch.model import SourceNote


class ServerLogs:
    """The server logs of one run.

    `paths` are files, `-` (stdin) or `LogInput`s; files of one rotated set are read oldest first, as one stream. `since`
    and `until` are Unix seconds: events outside are left out, as if the log had been cut there. `progress` is called with
    the bytes read so far and their total (None when not known). `jobs` is the most processes to use.
    """

    def __init__(
        self,
        paths: Sequence[str | Path | LogInput],
        *,
        since: float | None = None,
        until: float | None = None,
        jobs: int | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.inputs = [_input(one) for one in paths]
        self.notes: list[SourceNote] = []
        self._since = since
        self._until = until
        self._jobs = jobs
        self._progress = progress
        self._chunk_bytes = chunk_bytes
        self._streams = streams_of(self.inputs)
        self._done = 0

    def events(self) -> Iterator[Event]:
        """All events once, each stream in time order within 2 s, the streams merged. Fills `notes` when exhausted."""
        self.notes = []
        runs = [self._run(name, inputs) for name, inputs in self._streams]
        merged = runs[0] if len(runs) == 1 else heapq.merge(*runs, key=_time)
        since, until = self._since, self._until
        if since is None and until is None:
            yield from merged
        else:
            low = float("-inf") if since is None else since
            high = float("inf") if until is None else until
            yield from (event for event in merged if event.at is None or low <= event.at <= high)
        order = {one.name: index for index, one in enumerate(self.inputs)}
        self.notes.sort(key=lambda note: order[note.name])

    def _run(self, name: str, inputs: tuple[LogInput, ...]) -> Iterator[Event]:
        reader = StreamReader(Chain(inputs), name, chunk_bytes=self._chunk_bytes, progress=self._count)
        for batch in reader.batches():
            yield from batch
        notes, events = notes_of(reader)
        self.notes.extend(notes)
        yield from events

    def _count(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, None)

    def resolve(self, places: Iterable[Place]) -> dict[Place, Proof]:
        """The records that stand at `places`, read again from their inputs."""
        return resolve(self.inputs, places)


def _input(one: str | Path | LogInput) -> LogInput:
    if isinstance(one, LogInput):
        return one
    return LogInput("-") if str(one) == "-" else LogInput(str(one), Path(one))


def _time(event: Event) -> float:
    return float("-inf") if event.at is None else event.at
