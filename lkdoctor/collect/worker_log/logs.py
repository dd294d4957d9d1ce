"""`WorkerLogs`: agent workers' logs as events; and what these logs have of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from ahocorasick_rs import BytesAhoCorasick

from lkdoctor.collect.log.chain import Chain
from lkdoctor.collect.log.dialect import Dialect
from lkdoctor.collect.log.forms import form_of
from lkdoctor.collect.log.logs import Logs
from lkdoctor.collect.log.notes import input_notes
from lkdoctor.collect.log.reader import CHUNK_BYTES, StreamReader
from lkdoctor.collect.log.source import LogInput
from lkdoctor.collect.server_log.sniff import looks_like
from lkdoctor.collect.worker_log.lines import WorkerLines, unwrapped
from lkdoctor.collect.worker_log.marking import Marker, Marking
from lkdoctor.collect.worker_log.messages import automaton, kind_of
from lkdoctor.collect.worker_log.records import NODE, begins, parse
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.versions import sdk_words
from lkdoctor.dispatch.worker_facts import DAYTIME, LOCAL, WorkerEvent

_decode = msgspec.msgpack.Decoder(list[WorkerEvent]).decode
_LOOKED_AT: Final = 400  # lines of a file's head


class WorkerDialect(Dialect[WorkerEvent]):
    """Records of livekit-agents and @livekit/agents."""

    def __init__(self, markers: tuple[Marker, ...] = ()) -> None:
        self.markers = markers
        self._automaton: BytesAhoCorasick | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"markers": self.markers, "_automaton": None}  # each process builds its own

    kind = "worker_log"
    search_back = 64 * 1024  # pino's message stands last, behind whole stacks

    @property
    def automaton(self) -> BytesAhoCorasick:
        if self._automaton is None:
            self._automaton = automaton(Marking(self.markers).literals())
        return self._automaton

    def lines(self, chain: Chain, stream: str) -> WorkerLines:
        return WorkerLines(chain, stream, Marking(self.markers))

    def notes(self, reader: StreamReader[WorkerEvent]) -> tuple[list[SourceNote], list[WorkerEvent]]:
        return notes_of(reader), []

    def reads(self, payload: bytes) -> bool:
        return begins(payload)

    def unwrapped(self, data: bytes) -> str:
        return unwrapped(data)

    def decode(self, data: bytes) -> list[WorkerEvent]:
        return _decode(data)


class WorkerLogs(Logs[WorkerEvent]):
    """The worker logs of one run; the arguments are those of `Logs`, and the application's own markers.

    There is no `since` and no `until`: the clock of a worker's log may not be the one that they are meant in.
    """

    def __init__(
        self,
        paths: Sequence[str | Path | LogInput],
        *,
        jobs: int | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        markers: tuple[Marker, ...] = (),
    ) -> None:
        super().__init__(WorkerDialect(markers), paths, jobs=jobs, progress=progress, chunk_bytes=chunk_bytes)


def is_worker_log(head: bytes, most: int = _LOOKED_AT) -> bool:
    """Do the first `most` lines hold records of an SDK, in any wrapper? A program's own JSON alone does not count."""
    for line in head.split(b"\n")[:most]:
        found = form_of(line.strip(b"\0\r"), _of_sdk)
        if found is not None:
            return True
    return False


def _of_sdk(payload: bytes) -> bool:
    record = parse([payload])
    if record is None:
        return False
    if record.sdk == NODE:
        return kind_of(record.message) is not None or record.logger == "lk-rtc"
    return record.of_sdk


def notes_of(reader: StreamReader[WorkerEvent]) -> list[SourceNote]:
    """One note for each input of a reader that has come to its end."""
    parser = reader.parser
    assert isinstance(parser, WorkerLines)
    notes = input_notes(reader, "worker_log")
    note = notes[-1]
    if note.unusable:
        return notes
    if not reader.bytes:
        note.unusable = "empty (in production Python workers write their log to stdout, up to 0.12 to stderr)"
    elif not parser.records and not parser.sdks and not is_worker_log(reader.head):
        note.unusable = f"no line of an agent worker's SDK in it; it looks like {looks_like(reader.head)}"
    named = [sdk_words(sdk, version) for sdk, version in sorted(parser.sdks.items()) if sdk]
    if named:
        note.notes.append(", ".join(named))
    if parser.clock == LOCAL:
        note.notes.append("its times name no zone")
    elif parser.clock == DAYTIME:
        note.notes.append("its times name neither day nor zone")
    note.notes += [f"the marker {name!r} took too long on a line and was given up" for name in parser.marking.slow]
    if reader.order.steps_back:
        note.notes.append(
            f"the clock steps back {reader.order.steps_back} time(s); the order of the file was kept there"
        )
    return notes
