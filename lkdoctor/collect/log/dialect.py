"""What a kind of log has of its own: the words that are looked for, its records, its notes. The rest is shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from lkdoctor.collect.log.wrappers import Form, Peeled, peel

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

    from lkdoctor.collect.log.chain import Chain
    from lkdoctor.collect.log.reader import StreamReader
    from lkdoctor.dispatch.facts import Place
    from lkdoctor.dispatch.model import SourceNote

MAX_JOINED: Final = 1 << 20


class Dated(Protocol):
    """What a record became: when it was written, where it stands, and which process wrote it."""

    @property
    def at(self) -> float | None: ...
    @property
    def place(self) -> Place: ...
    @property
    def stream(self) -> str: ...


E = TypeVar("E", bound=Dated)


class Seen(Protocol):
    """What every record begins with."""

    @property
    def at(self) -> float: ...
    @property
    def level(self) -> str: ...


class More:
    """Says that the record goes on in the lines behind."""


MORE: Final = More()


class Span:
    """First and last time seen in one input, and the version that it names."""

    __slots__ = ("first", "last", "version")

    def __init__(self) -> None:
        self.first: float | None = None
        self.last: float | None = None
        self.version: str | None = None

    def widen(self, at: float) -> None:
        """Take one more time in."""
        if self.first is None or at < self.first:
            self.first = at
        if self.last is None or at > self.last:
            self.last = at


class Lines(ABC, Generic[E]):
    """The parser of one stream: lines with a hit to events. Wrapped lines go through the form in use, which adapts."""

    info_words: tuple[bytes, ...] = ()  # one of them is in every record at info or debug

    def __init__(self, chain: Chain, stream: str) -> None:
        self.form: Form = ()
        self.skipped: dict[str, int] = {}
        self.spans: dict[str, Span] = {one.name: Span() for one in chain.inputs}
        self.info_seen = False
        self.last_at = float("-inf")  # time of the newest event, for sampling
        self.records = 0  # records of interest
        self._chain = chain
        self._stream = stream
        self._streams: dict[str, str] = {}  # by service

    def spans_seen(self) -> bool:
        """True when a record with a time was seen."""
        return any(span.first is not None for span in self.spans.values())

    @property
    def services(self) -> AbstractSet[str]:
        """The services that events came from; the empty one when the wrapper does not tell."""
        return self._streams.keys()

    def count(self, reason: str) -> None:
        """Count a record that could not be used."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def stream_of(self, service: str) -> str:
        """The one process that a line of `service` comes from."""
        stream = self._streams.get(service)
        if stream is None:
            stream = self._streams[service] = f"{self._stream}:{service}" if service else self._stream
        return stream

    @abstractmethod
    def read(self, line: bytes, literal: int, start: int, end: int, offset: int) -> E | More | None:
        """The event in `line`, whose bytes `start:end` are a literal; MORE when the record goes on in the next lines."""

    @abstractmethod
    def gather(
        self, buffer: bytearray, line: bytes, first: int, stop: int, limit: int, final: bool, base: int
    ) -> E | More | None:
        """Put together the record that begins with `line` at `first` and goes on behind `stop`.

        Returns MORE when `limit` comes before its end, unless `final`: then the record is taken as it is.
        """

    @abstractmethod
    def head(self, line: bytes) -> tuple[Seen, str] | None:
        """Time and level of any record, and the service it comes from."""

    @abstractmethod
    def any_line(self, head: Seen, service: str, offset: int) -> E:
        """The event of a record of no interest: its time and level count."""

    def parts(
        self, buffer: bytearray, first_part: Peeled, first: int, stop: int, limit: int, final: bool
    ) -> bytes | None:
        """The payload of a record that a wrapper has cut in parts; None when its rest is still to come."""
        pieces = [first_part.payload]
        position = stop + 1
        while True:
            if position >= limit:
                if not final:
                    return None
                break
            if position - first > MAX_JOINED:
                break
            end = buffer.find(b"\n", position, limit)
            if end < 0:
                end = limit
            part = peel(bytes(buffer[position:end]).rstrip(b"\r"), self.form)
            position = end + 1
            if part is not None and part.part_of == first_part.part_of and part.service == first_part.service:
                pieces.append(part.payload)
                if not part.more:
                    break
        return b"".join(pieces)


class Dialect(ABC, Generic[E]):
    """One kind of log. Without state of its own, so that a process that helps reading can be given it."""

    kind: str  # of its source notes
    search_back: int = 4096  # bytes of a record in front of its message; a match further in is text in something else

    @property
    @abstractmethod
    def automaton(self) -> BytesAhoCorasick:
        """Finds the messages that are read."""

    @abstractmethod
    def lines(self, chain: Chain, stream: str) -> Lines[E]:
        """A parser for one stream."""

    @abstractmethod
    def notes(self, reader: StreamReader[E]) -> tuple[list[SourceNote], list[E]]:
        """One note for each input of a reader that has come to its end, and events that only the whole text gives."""

    @abstractmethod
    def reads(self, payload: bytes) -> bool:
        """Is this, out of its wrappers, the beginning of a record?"""

    @abstractmethod
    def unwrapped(self, data: bytes) -> str:
        """The record that `data` begins with, without its wrappers: what a proof shows."""

    @abstractmethod
    def decode(self, data: bytes) -> list[E]:
        """Events as another process packed them (msgpack)."""
