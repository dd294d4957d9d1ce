"""Lines of a worker's log with a hit to events, in any form and wrapper; records of several lines are put together."""

from __future__ import annotations

from typing import Final, NamedTuple

from lkdoctor.collect.log.chain import Chain
from lkdoctor.collect.log.dialect import MORE, Lines, More, Seen
from lkdoctor.collect.log.forms import form_of
from lkdoctor.collect.log.wrappers import Form, Peeled, ansi, journald_json, peel
from lkdoctor.collect.worker_log.fields import fields_of
from lkdoctor.collect.worker_log.marking import JOB, Marking
from lkdoctor.collect.worker_log.messages import KINDS, TRACED, kind_of
from lkdoctor.collect.worker_log.records import NODE, Record, begins, parse, rest_of, unfinished
from lkdoctor.dispatch.worker_facts import DAYTIME, LOCAL, UTC, Said, WorkerEvent, WorkerFields

_MOST_LINES: Final = 250  # of one record: a traceback of the table's narrow column is long
_MOST_BYTES: Final = 128 * 1024
_HALF_DAY: Final = 43_200.0
_DAY: Final = 86_400.0
_NO_FIELDS: Final = WorkerFields()
_OWN_LOGGER: Final = "lkdoctor.worker"


class Head(NamedTuple):
    """Time and level of a record of no interest. `at` is 0 where the table leaves the time out: see `timed`."""

    at: float
    level: str
    clock: str
    sdk: str
    timed: bool


class WorkerLines(Lines[WorkerEvent]):
    """The parser of one worker's stream."""

    info_words = (b"INFO", b"DEBUG", b'"level":30', b'"level":20', b'\\"level\\":30', b'\\"level\\":20')

    def __init__(self, chain: Chain, stream: str, marking: Marking | None = None) -> None:
        super().__init__(chain, stream)
        self.marking = marking or Marking()
        self.clock = ""  # that of the first record; Node mixes records of another clock in (`lk-rtc`)
        self.sdks: dict[str, str] = {}  # sdk -> the last version that it named
        self._day = 0  # midnights seen, where only the time of day is printed
        self._before: float | None = None

    def inside(self, line: bytes) -> Peeled | None:
        """What is inside of the wrappers of `line`, by the form in use or else by one that fits; None: no record."""
        line = line.strip(b"\0").rstrip(b"\r")
        if line[:3] == b"\xef\xbb\xbf":
            line = line[3:]
        if not self.form and begins(line):
            return Peeled(line)
        if self.form:
            peeled = peel(line, self.form)
            if peeled is not None and (peeled.lost or peeled.more or begins(peeled.payload)):
                return peeled
        found = coloured_form_of(line)
        if found is not None:
            self.form, peeled = found
            return peeled
        lost = journald_json(line)
        return lost if lost is not None and lost.lost else None

    def read(self, line: bytes, literal: int, start: int, end: int, offset: int) -> WorkerEvent | More | None:  # noqa: ARG002
        if literal < len(KINDS) and KINDS[literal] is Said.PORT_TAKEN:
            return self._bare(line, start, offset)
        # journald hides words in lists of bytes: a marker may be in any of them.
        marked = literal >= len(KINDS) or (KINDS[literal] is Said.ANY_LINE and bool(self.marking.markers))
        peeled = self.inside(line)
        if peeled is None:
            return self._marked_line(line, offset) if marked else None
        if peeled.lost:
            self.count(peeled.lost)
            return None
        if peeled.more:
            return MORE
        goes_on = unfinished(peeled.payload)
        if goes_on is not False:
            return MORE if goes_on or marked else None
        record = parse([peeled.payload])
        if record is None:
            return None
        what = kind_of(record.message) if record.of_sdk else None
        if not record.whole or (what in TRACED and peeled.payload[:1] != b"{"):
            return MORE
        return self._told(what, record, [peeled.payload], offset, peeled.service)

    def _told(
        self, what: Said | None, record: Record, payloads: list[bytes], offset: int, service: str
    ) -> WorkerEvent | None:
        """The event of a record of the SDK's, of one with a marker, or of both at once."""
        marks: tuple[str, ...] = ()
        if self.marking.markers or record.logger == _OWN_LOGGER:
            marks = self.marking.of((record.message, payloads[0].decode("utf-8", "replace")))
        if what is None and not marks:
            return None
        return self.event(Said.MARKED if what is None else what, record, offset, service, marks)

    def _marked_line(self, line: bytes, offset: int) -> WorkerEvent | None:
        """What the program printed by itself, without a record around it: it has no time, and a job only if it names one."""
        peeled = (peel(line, self.form) if self.form else None) or Peeled(line)
        text = (ansi(peeled.payload) or peeled).payload.decode("utf-8", "replace").strip()
        marks = self.marking.of((text,))
        if not marks:
            return None
        job = JOB.search(text)
        fields = WorkerFields(job_id=job[0]) if job is not None else _NO_FIELDS
        self.records += 1
        stream = self.stream_of(peeled.service)
        return WorkerEvent(Said.MARKED, None, "", self._chain.place(offset), stream, "", "", fields, marks)

    def gather(
        self, buffer: bytearray, line: bytes, first: int, stop: int, limit: int, final: bool, base: int
    ) -> WorkerEvent | More | None:
        peeled = self.inside(line)
        if peeled is None:
            return None
        if peeled.more:
            joined = self.parts(buffer, peeled, first, stop, limit, final)
            if joined is None:
                return MORE
            payloads = [joined]
        elif not self.form:
            end = min(limit, first + _MOST_BYTES)
            rest, found = rest_of(buffer, stop, end)
            if not found and end == limit and not final and len(rest) < _MOST_LINES - 1:
                return MORE
            payloads = [peeled.payload, *rest[: _MOST_LINES - 1]]
        else:
            payloads = [peeled.payload]
            prefix = line[: line.find(peeled.payload)] if peeled.payload in line else b""
            position = stop + 1
            while len(payloads) < _MOST_LINES and position - first < _MOST_BYTES:
                if position >= limit:
                    if not final:
                        return MORE
                    break
                end = buffer.find(b"\n", position, limit)
                if end < 0:
                    end = limit
                raw = bytes(buffer[position:end]).rstrip(b"\r")
                position = end + 1
                part = peel(raw, self.form)
                if part is None and prefix and raw.startswith(prefix):
                    part = Peeled(raw[len(prefix) :], peeled.service)  # a line that begins like no record
                if part is None or part.service != peeled.service:
                    continue  # of another process, between the lines of this one
                if begins(part.payload):
                    break
                payloads.append(part.payload)
        record = parse(payloads)
        if record is None:
            return None
        what = kind_of(record.message) if record.of_sdk else None
        return self._told(what, record, payloads, base + first, peeled.service)

    def _bare(self, line: bytes, start: int, offset: int) -> WorkerEvent | None:
        """Node's last words when its port is taken: `Error: listen EADDRINUSE: address already in use 127.0.0.1:8081`."""
        if line[max(0, start - 7) : start] != b"Error: ":
            return None
        words = line[start - 7 :].decode("utf-8", "replace").split('"')[0].split("\\n")[0].strip()
        place = self._chain.place(offset)
        self.records += 1
        peeled = peel(line, self.form) if self.form else None
        service = peeled.service if peeled is not None else ""
        fields = WorkerFields(error=words[:300])
        return WorkerEvent(Said.PORT_TAKEN, None, "", place, self.stream_of(service), "error", NODE, fields)

    def head(self, line: bytes) -> tuple[Seen, str] | None:
        peeled = self.inside(line)
        if peeled is None or peeled.lost:
            return None
        record = parse([peeled.payload])
        if record is None:
            return None
        timed = record.at is not None
        return Head(record.at or 0.0, record.level, record.clock, record.sdk, timed), peeled.service

    def any_line(self, head: Seen, service: str, offset: int) -> WorkerEvent:
        assert isinstance(head, Head)
        self.records -= 1
        at = head.at if head.timed else None
        return self._made(Said.ANY_LINE, at, head.clock, head.level, head.sdk, _NO_FIELDS, offset, service)

    def event(self, what: Said, record: Record, offset: int, service: str, marks: tuple[str, ...] = ()) -> WorkerEvent:
        """The event of a record, noted in the spans."""
        fields = fields_of(what, record)
        if record.of_sdk and (fields.version or record.sdk not in self.sdks):
            self.sdks[record.sdk] = fields.version or self.sdks.get(record.sdk, "")
        return self._made(what, record.at, record.clock, record.level, record.sdk, fields, offset, service, marks)

    def _made(
        self,
        what: Said,
        at: float | None,
        clock: str,
        level: str,
        sdk: str,
        fields: WorkerFields,
        offset: int,
        service: str,
        marks: tuple[str, ...] = (),
    ) -> WorkerEvent:
        place = self._chain.place(offset)
        self.clock = self.clock or clock
        if clock != self.clock:
            at = None  # among times of another kind it says nothing of the order
        if at is not None:
            if clock == DAYTIME:
                if self._before is not None and at < self._before - _HALF_DAY:
                    self._day += 1
                elif self._before is not None and at > self._before + _HALF_DAY and self._day:
                    self._day -= 1  # a late record of the day before
                self._before = at
                at += self._day * _DAY
            elif clock == UTC:
                self.spans[place.source].widen(at)
            self.last_at = at
        if level in ("info", "debug", "dev", "trace"):
            self.info_seen = True
        self.records += 1
        return WorkerEvent(what, at, clock, place, self.stream_of(service), level, sdk, fields, marks)


def coloured_form_of(line: bytes) -> tuple[Form, Peeled] | None:
    """The wrappers around a record. The SDK's own colours are none of them: they mark where its message ends."""
    found = form_of(line, begins)
    if found is None or ansi not in found[0]:
        return found
    form = tuple(one for one in found[0] if one is not ansi)
    peeled = peel(line, form)
    return found if peeled is None or not begins(peeled.payload) else (form, peeled)


def unwrapped(data: bytes) -> str:
    """The record that `data` begins with, without its wrappers and colours: what a proof shows.

    Of a traceback only its end is shown, where the exception stands.
    """
    lines = data.split(b"\n", _MOST_LINES)[:_MOST_LINES]
    first = lines[0].strip(b"\0").rstrip(b"\r")
    found = coloured_form_of(first)
    if found is None:
        bare = ansi(first)
        return (first if bare is None else bare.payload).decode("utf-8", "replace")
    form = found[0]
    payloads = [found[1]]
    prefix = first[: first.find(payloads[0].payload)] if payloads[0].payload in first else b""
    record = parse([payloads[0].payload])
    if record is not None and (not record.whole or (kind_of(record.message) in TRACED and record.sdk != NODE)):
        for raw in lines[1:-1]:
            part = peel(raw.rstrip(b"\r"), form) if form else Peeled(raw.rstrip(b"\r"))
            if part is None and prefix and raw.startswith(prefix):
                part = Peeled(raw[len(prefix) :].rstrip(b"\r"), payloads[0].service)
            if part is None or part.service != payloads[0].service or payloads[0].payload[:1] == b"{":
                continue
            if begins(part.payload):
                break
            payloads.append(part)
    text = " ".join(
        (ansi(one.payload) or one).payload.decode("utf-8", "replace").strip() for one in payloads if one.payload
    )
    whole = parse([one.payload for one in payloads])
    what = None if whole is None else kind_of(whole.message)
    if whole is not None and what in TRACED and ("Traceback" in text or '"stack"' in text):
        fields = fields_of(what, whole)
        if fields.error:
            job = f" (job {fields.job_id})" if fields.job_id else ""
            head = whole.message.partition("Traceback")[0].strip()
            stamp = _stamp(text) if whole.clock == UTC else text[: 23 if whole.clock == LOCAL else 12].strip("[] ")
            return f"{stamp} {whole.level.upper()} {head}{job}: … {fields.error}{f' at {fields.where}' if fields.where else ''}"
    return text


def _stamp(text: str) -> str:
    """The time as the JSON record writes it."""
    at = text.rfind('"timestamp": "')
    if at >= 0:
        return text[at + 14 :].partition('"')[0]
    at = text.find('"time":')
    return text[at + 7 :].partition(",")[0] if at >= 0 else ""
