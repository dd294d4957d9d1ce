"""Lines with a hit to events: bare ones fast; wrapped ones through the form in use, which adapts to what it meets."""

from __future__ import annotations

from typing import Final

from lkdoctor.collect.log.chain import Chain
from lkdoctor.collect.log.dialect import MAX_JOINED, MORE, Lines, More, Seen
from lkdoctor.collect.log.forms import form_of
from lkdoctor.collect.log.wrappers import Form, Peeled, journald_json, peel
from lkdoctor.collect.server_log.pasted import LONGEST, goes_on, joined
from lkdoctor.collect.server_log.records import CUT_OFF, NO_FIELDS, Head, Hit, find_hit, read_head, read_hit
from lkdoctor.dispatch.facts import Event, Fields, Place, What

_CONFIG: Final = b"could not parse config: "
_CONFIG_LINES: Final = 20


class LineReader(Lines[Event]):
    """The parser of one server's stream."""

    info_words = (b"INFO", b"DEBUG", b'"info', b'"debug', b'info\\"', b'debug\\"')

    def __init__(self, chain: Chain, stream: str) -> None:
        super().__init__(chain, stream)
        self.loggers: set[str] = set()  # of the records that were sampled

    def read(self, line: bytes, literal: int, start: int, end: int, offset: int) -> Event | More | None:
        """The event in `line`, whose bytes `start:end` are a literal; MORE when the record goes on in the next lines."""
        service = ""
        record, hit = line, (literal, start, end)
        if self.form:
            peeled = peel(line, self.form)
            found = None if peeled is None or peeled.more else find_hit(peeled.payload)
            if peeled is None or found is None:
                return self._otherwise(line, offset)
            service, record, hit = peeled.service, peeled.payload, found
        got = read_hit(record, *hit)
        bare = got is not None and not record[hit[2] :].strip()  # without fields, or with these on the next line
        if got == CUT_OFF or bare or (isinstance(got, Hit) and got.fields is NO_FIELDS):
            return MORE
        if isinstance(got, Hit):
            return self.event(got, offset, service)
        if got is not None:
            if got:
                self.count(got)
            return None
        return self._otherwise(line, offset)

    def _otherwise(self, line: bytes, offset: int) -> Event | More | None:
        """The event in a line that is not of the form in use, or not of one line, or no record at all."""
        peeled = self.inside(line)
        if peeled is None:
            return None
        if peeled.lost:
            self.count(peeled.lost)
            return None
        if peeled.more or peeled.payload.startswith(_CONFIG):
            return MORE
        return self._payload(peeled.payload, peeled.service, offset)

    def inside(self, line: bytes) -> Peeled | None:
        """What is inside of the wrappers of `line`, by the form in use or else by one that fits; None: no server record."""
        line = line.strip(b"\r\0")
        if line[:3] == b"\xef\xbb\xbf":
            line = line[3:]
        if self.form:
            peeled = peel(line, self.form)
            if peeled is not None and (peeled.lost or is_record(peeled.payload)):
                return peeled
        found = form_of(line, is_record)
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
    ) -> Event | More | None:
        """Put together the record that begins with `line` at `first` and goes on behind `stop`.

        Returns MORE when `limit` comes before its end, unless `final`: then the record is taken as it is.
        """
        peeled = self.inside(line)
        if peeled is None:
            return None
        if peeled.more:
            whole = self.parts(buffer, peeled, first, stop, limit, final)
            return MORE if whole is None else self._payload(whole, peeled.service, base + first)
        if not peeled.payload.startswith(_CONFIG):
            return self._pasted(buffer, peeled, first, stop, limit, final, base)
        pieces = [peeled.payload]
        position = stop + 1
        while True:
            if position >= limit:
                if not final:
                    return MORE
                break
            if position - first > MAX_JOINED or len(pieces) > _CONFIG_LINES:
                break
            end = buffer.find(b"\n", position, limit)
            if end < 0:
                end = limit
            part = peel(bytes(buffer[position:end]).rstrip(b"\r"), self.form)
            position = end + 1
            if part is None or part.payload[:1] not in (b" ", b"\t"):
                break
            pieces.append(b" " + part.payload.strip())
        text = b"".join(pieces).decode("utf-8", "replace").strip()
        hit = Hit(What.CONFIG_REFUSED, None, "error", Fields(error=text))
        return self.event(hit, base + first, peeled.service)

    def _pasted(
        self, buffer: bytearray, peeled: Peeled, first: int, stop: int, limit: int, final: bool, base: int
    ) -> Event | More | None:
        """The event of a record that a terminal or a web page has broken over several lines, as `gather`."""
        rest: list[bytes] = []
        position = stop + 1
        while goes_on(peeled.payload, rest):
            if position >= limit:
                if not final:
                    return MORE
                break
            end = buffer.find(b"\n", position, limit)
            if end < 0:
                if not final:
                    return MORE
                end = limit
            part = _part(bytes(buffer[position : min(end, position + LONGEST)]), self.form, peeled.service)
            if part is None:
                break
            rest.append(part)
            position = end + 1
        return self._payload(joined(peeled.payload, rest), peeled.service, base + first)

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

    def any_line(self, head: Seen, service: str, offset: int) -> Event:
        """The event of a record of no interest: its time and level count."""
        if isinstance(head, Head):
            self.loggers.add(head.logger)
        self.records -= 1
        return self.event(Hit(What.ANY_LINE, head.at, head.level, NO_FIELDS), offset, service)

    def event(self, hit: Hit, offset: int, service: str) -> Event:
        """The event of a hit, noted in the spans."""
        what, at, level, fields = hit
        place: Place = self._chain.place(offset)
        span = self.spans[place.source]
        if at is not None:
            span.widen(at)
            self.last_at = at
        if what is What.SERVER_STARTED and fields.version:
            span.version = fields.version
        if level in ("info", "debug"):
            self.info_seen = True
        self.records += 1
        return Event(what, at, place, self.stream_of(service), level, fields)


def is_record(payload: bytes) -> bool:
    """Is this, out of its wrappers, a server record, or the start of a complaint about the configuration?"""
    return payload.startswith(_CONFIG) or read_head(payload) is not None


def _part(line: bytes, form: Form, service: str) -> bytes | None:
    """What `line` adds to the record of `service` above it; None where it is a record itself, or another service's.

    A terminal breaks `livekit-1  | …` with the prefix on the first line alone; who quotes it may have put it before each.
    """
    peeled = peel(line.rstrip(b"\r"), form) if form else None
    if peeled is not None:
        if peeled.service != service:
            return None
        line = peeled.payload
    return None if is_record(line.strip()) else line


def unwrapped(data: bytes) -> str:
    """The record that `data` begins with, without its wrappers: what a proof shows. Parts are not joined."""
    line, _, rest = data.partition(b"\n")
    line = line.strip(b"\r\0")
    found = form_of(line, is_record)
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
    else:
        more: list[bytes] = []
        for raw in rest.split(b"\n"):
            part_of = _part(raw, form, peeled.service) if goes_on(text, more) else None
            if part_of is None:
                break
            more.append(part_of)
        text = joined(text, more)
    return text.decode("utf-8", "replace")
