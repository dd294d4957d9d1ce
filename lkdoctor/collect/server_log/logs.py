"""`ServerLogs`: livekit-server's logs as events; and what these logs have of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from ahocorasick_rs import BytesAhoCorasick

from lkdoctor.collect.log.chain import Chain
from lkdoctor.collect.log.dialect import Dialect
from lkdoctor.collect.log.logs import Logs
from lkdoctor.collect.log.reader import CHUNK_BYTES, StreamReader
from lkdoctor.collect.log.source import LogInput
from lkdoctor.collect.server_log.lines import LineReader, unwrapped
from lkdoctor.collect.server_log.messages import AUTOMATON
from lkdoctor.collect.server_log.note import notes_of
from lkdoctor.collect.server_log.records import read_head
from lkdoctor.dispatch.facts import Event
from lkdoctor.dispatch.model import SourceNote

_decode = msgspec.msgpack.Decoder(list[Event]).decode


class ServerDialect(Dialect[Event]):
    """livekit-server's console and JSON records."""

    kind = "server_log"

    @property
    def automaton(self) -> BytesAhoCorasick:
        return AUTOMATON

    def lines(self, chain: Chain, stream: str) -> LineReader:
        return LineReader(chain, stream)

    def notes(self, reader: StreamReader[Event]) -> tuple[list[SourceNote], list[Event]]:
        return notes_of(reader)

    def reads(self, payload: bytes) -> bool:
        return read_head(payload) is not None

    def unwrapped(self, data: bytes) -> str:
        return unwrapped(data)

    def decode(self, data: bytes) -> list[Event]:
        return _decode(data)


class ServerLogs(Logs[Event]):
    """The server logs of one run; the arguments are those of `Logs`."""

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
        super().__init__(
            ServerDialect(), paths, since=since, until=until, jobs=jobs, progress=progress, chunk_bytes=chunk_bytes
        )
