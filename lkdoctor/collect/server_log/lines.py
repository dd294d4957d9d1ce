"""Lines with a hit to events: bare ones fast; wrapped ones through the form in use, which adapts to what it meets."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from lkdoctor.collect.server_log.chain import Chain
from lkdoctor.collect.server_log.records import Head, Hit, find_hit, read_head, read_hit
from lkdoctor.collect.server_log.sniff import form_of
from lkdoctor.collect.server_log.wrappers import Form, Peeled, journald_json, peel
from lkdoctor.dispatch.facts import Event, Fields, Place, What

_CONFIG: Final = b"could not parse config: "
_CONFIG_LINES: Final = 20
MAX_JOINED: Final = 1 << 20


class _More:
    """Says that the record goes on in the lines behind."""


class Span:
    """First and last time seen in one input, and the server version that it names."""

    __slots__ = ("first", "last", "version")

    def __init__(self) -> None:
        self.first: float | None = None
        self.last: float | None = None
        self.version: str | None = None


class LineReader:
    """The parser of one stream."""

    MORE: Final = _More()

    def __init__(self, chain: Chain, stream: str) -> None:
        self.form: Form = ()
        self.skipped: dict[str, int] = {}
        self.spans: dict[str, Span] = {one.name: Span() for one in chain.inputs}
        self.info_seen = False
        self.last_at = float("-inf")  # time of the newest event, for sampling
        self.records = 0  # records of interest
        self.loggers: set[str] = set()  # of the records that were sampled
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

    def read(self, line: bytes, literal: int, start: int, end: int, offset: int) -> Event | _More | None:
        """The event in `line`, whose bytes `start:end` are a literal; MORE when the record goes on in the next lines."""
        service = ""
        if self.form:
            peeled = peel(line, self.form)
            hit = None if peeled is None or peeled.more else find_hit(peeled.payload)
            got = None
            if peeled is not None and hit is not None:
                service = peeled.service
                got = read_hit(peeled.payload, *hit)
        else:
            got = read_hit(line, literal, start, end)
        if isinstance(got, Hit):
            return self.event(got, offset, service)
        if got is not None:
            if got:
                self.count(got)
            return None
        return self._otherwise(line, offset)

    def _otherwise(self, line: bytes, offset: int) -> Event | _More | None:
        """The event in a line that is not of the form in use, or not of one line, or no record at all."""
        peeled = self.inside(line)
        if peeled is None:
            return None
        if peeled.lost:
            self.count(peeled.lost)
            return None
        if peeled.more or peeled.payload.startswith(_CONFIG):
            return self.MORE
        return self._payload(peeled.payload, peeled.service, offset)

    def inside(self, line: bytes) -> Peeled | None:
        """What is inside of the wrappers of `line`, by the form in use or else by one that fits; None: no server record."""
        line = line.strip(b"\r\0")
        if line[:3] == b"\xef\xbb\xbf":
            line = line[3:]
        if self.form:
            peeled = peel(line, self.form)
            if peeled is not None and (peeled.lost or _is_record(peeled.payload)):
                return peeled
        found = form_of(line, _is_record)
        if found is not None:
            self.form, peeled = found
            return peeled
        lost = journald_json(line)
        return lost if lost is not None and lost.lost else None

    def gather(
        self,
        buffer: bytearray,
        line: bytes,
        first: int,
        stop: int,
        limit: int,
        final: bool,
        base: int,
    ) -> Event | _More | None:
        """Put together the record that begins with `line` at `first` and goes on behind `stop`.

        Returns MORE when `limit` comes before its end, unless `final`: then the record is taken as it is.
        """
        peeled = self.inside(line)
        if peeled is None:
            return None
        pieces = [peeled.payload]
        config = not peeled.more
        position = stop + 1
        while True:
            if position >= limit:
                if not final:
                    return self.MORE
                break
            if position - first > MAX_JOINED or len(pieces) > (_CONFIG_LINES if config else MAX_JOINED):
                break
            end = buffer.find(b"\n", position, limit)
            if end < 0:
                end = limit
            raw = bytes(buffer[position:end]).rstrip(b"\r")
            position = end + 1
            part = peel(raw, self.form)
            if config:
                if part is None or part.payload[:1] not in (b" ", b"\t"):
                    break
                pieces.append(b" " + part.payload.strip())
            elif part is not None and part.part_of == peeled.part_of and part.service == peeled.service:
                pieces.append(part.payload)
                if not part.more:
                    break
        payload = b"".join(pieces)
        if config:
            text = payload.decode("utf-8", "replace").strip()
            return self.event(
                Hit(What.CONFIG_REFUSED, None, "error", Fields(error=text)),
                base + first,
                peeled.service,
            )
        return self._payload(payload, peeled.service, base + first)

    def _payload(self, payload: bytes, service: str, offset: int) -> Event | None:
        hit = find_hit(payload)
        if hit is None:
            return None
        got = read_hit(payload, *hit)
        if isinstance(got, Hit):
            return self.event(got, offset, service)
        if got:
            self.count(got)
        return None

    def head(self, line: bytes) -> tuple[Head, str] | None:
        """Time and level of any server record, and the service it comes from."""
        if not self.form:
            head = read_head(line)
            if head is not None:
                return head, ""
        peeled = self.inside(line)
        if peeled is None or peeled.lost:
            return None
        head = read_head(peeled.payload)
        return None if head is None else (head, peeled.service)

    def any_line(self, head: Head, service: str, offset: int) -> Event:
        """The event of a record of no interest: its time and level count."""
        self.loggers.add(head.logger)
        self.records -= 1
        return self.event(Hit(What.ANY_LINE, head.at, head.level, _NO_FIELDS), offset, service)

    def event(self, hit: Hit, offset: int, service: str) -> Event:
        """The event of a hit, noted in the spans."""
        what, at, level, fields = hit
        place: Place = self._chain.place(offset)
        span = self.spans[place.source]
        if at is not None:
            if span.first is None or at < span.first:
                span.first = at
            if span.last is None or at > span.last:
                span.last = at
            self.last_at = at
        if what is What.SERVER_STARTED and fields.version:
            span.version = fields.version
        if level in ("info", "debug"):
            self.info_seen = True
        self.records += 1
        stream = self._streams.get(service)
        if stream is None:
            stream = self._streams[service] = f"{self._stream}:{service}" if service else self._stream
        return Event(what, at, place, stream, level, fields)


_NO_FIELDS: Final = Fields()


def _is_record(payload: bytes) -> bool:
    return payload.startswith(_CONFIG) or read_head(payload) is not None


def unwrapped(data: bytes) -> str:
    """The record that `data` begins with, without its wrappers: what a proof shows. Parts are not joined."""
    line, _, rest = data.partition(b"\n")
    line = line.strip(b"\r\0")
    found = form_of(line, _is_record)
    if found is None:
        return line.decode("utf-8", "replace")
    form, peeled = found
    text = peeled.payload
    if text.startswith(_CONFIG):
        for raw in rest.split(b"\n")[:_CONFIG_LINES]:
            part = peel(raw.rstrip(b"\r"), form)
            if part is None or part.payload[:1] not in (b" ", b"\t"):
                break
            text += b" " + part.payload.strip()
    return text.decode("utf-8", "replace")
