"""One bare server record (console or JSON) to its parts; what is no such record gives None.

Console (all versions): `<stamp> <LEVEL> <logger> <caller> <message> {fields}`, parted by tabs, or by runs of blanks where
journald's short formats wrote them. JSON: `{"level":"info","ts":1767225600.12,"logger":…,"caller":…,"msg":…, fields}`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from lkdoctor import redact
from lkdoctor.collect.log.stamps import console_stamp
from lkdoctor.collect.server_log.messages import AUTOMATON, KEPT_CALLS, KINDS
from lkdoctor.collect.server_log.salvage import lenient_fields, whole_members
from lkdoctor.dispatch.facts import Fields, What

LEVELS: Final[dict[bytes, str]] = {
    name.encode(): name.lower() for name in ("DEBUG", "INFO", "WARN", "ERROR", "DPANIC", "PANIC", "FATAL")
} | {name.encode(): name for name in ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")}

NO_FIELDS: Final = Fields()
_DECODE: Final = msgspec.json.Decoder(Fields).decode

CUT_OFF: Final = "record cut off or mixed with another"

_DEEPEST: Final = 4096  # a message stands at the head of its record

#: Long records whose head alone is worth reading when their tail is lost: what stands last in the others decides them.
_HEAD_IS_ENOUGH: Final = frozenset((What.SESSION_STARTED, What.PARTICIPANT_ACTIVE, What.TRACK_PUBLISHED))


class Head(NamedTuple):
    """What every record begins with. `at` is Unix seconds; `message` is cut at its end."""

    at: float
    level: str
    logger: str
    message: str


class Hit(NamedTuple):
    """A record that lkdoctor reads."""

    what: What
    at: float | None
    level: str
    fields: Fields


def read_hit(line: bytes, literal: int, start: int, end: int) -> Hit | str | None:
    """The record in `line` whose message begins with `LITERALS[literal]`, found at `line[start:end]`.

    Returns a `Hit`; a str when it is such a record but not used (why, for counting; empty when it is merely of no
    interest); None when the literal is only text inside of something else.
    """
    what = KINDS[literal]
    if what is What.ANY_LINE:
        return None  # journald's envelope
    if what is What.API_CALL:
        stop = start + 4
        while line[stop : stop + 1].isalnum() or line[stop : stop + 1] == b".":
            stop += 1
        if line[start + 4 : stop] not in KEPT_CALLS and (
            b'"status": "200"' in line or b'"status":"200"' in line or b'"status":200' in line
        ):
            return ""
        end = stop
    if line[:1] == b"{":
        head = _json_head(line, start, end)
        body = line
    else:
        head = _console_head(line, start)
        body = line[end:].strip()
        if body[:1] != b"{":
            if body:
                return None  # a longer message that only begins like ours
            body = b""
        elif line[end : end + 1] not in (b"\t", b" "):
            return None
    if head is None:
        return None
    at, level = head
    return _with_fields(what, at, level, body)


def _console_head(line: bytes, start: int) -> tuple[float, str] | None:
    parts = line[:start].split()
    if len(parts) != 4 or line[start - 1 : start] not in (b"\t", b" "):
        return None
    level = LEVELS.get(parts[1])
    at = console_stamp(parts[0])
    return None if level is None or at is None else (at, level)


def _json_head(line: bytes, start: int, end: int) -> tuple[float, str] | None:
    if line[end : end + 1] != b'"' or not line[:start].endswith((b'"msg":"', b'"msg": "')):
        return None
    if line[:10] == b'{"level":"':
        stop = line.find(b'"', 10, 24)
        level = LEVELS.get(line[10:stop])
        if level is not None and line[stop : stop + 7] == b'","ts":':
            comma = line.find(b",", stop + 7, stop + 40)
            try:
                return float(line[stop + 7 : comma]), level
            except ValueError:
                pass
    head = _any_json_head(line)
    return None if head is None else (head.at, head.level)


def _with_fields(what: What, at: float, level: str, body: bytes) -> Hit | str | None:
    if not body:
        fields = NO_FIELDS
    else:
        try:
            fields = _DECODE(body)
        except msgspec.ValidationError:
            fields = lenient_fields(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            repaired = whole_members(body) if what in _HEAD_IS_ENOUGH else b""
            if not repaired:
                return CUT_OFF
            fields = lenient_fields(repaired)
    if what is What.REQUEST_FAILED:
        if fields.jobID:
            what = What.TERMINATE_FAILED
    elif what is What.WORKER_REGISTERED and not fields.workerID and not fields.jobType:
        return ""  # v1.6.0 to v1.7.2 say it a second time at debug level, with a raw request
    elif isinstance(fields.request, str):
        fields = replace(fields, request=None)  # up to v1.7.0: protobuf text, which holds metadata in clear text
    if b"eyJ" in body and (b"eyJ" in fields.error.encode() or "eyJ" in fields.path or "eyJ" in fields.reason):
        fields = replace(
            fields,
            error=redact.mask(fields.error),
            path=redact.mask(fields.path),
            reason=redact.mask(fields.reason),
        )
    return Hit(what, at, level, fields)


def read_head(line: bytes) -> Head | None:
    """Time, level, logger and message of any server record, or None. Not for the hot path."""
    line = line.strip()
    if line[:1] == b"{":
        return _any_json_head(line)
    parts = line[:2048].split(None, 4)
    if len(parts) < 5:
        return None
    level = LEVELS.get(parts[1])
    at = console_stamp(parts[0])
    if level is None or at is None or b":" not in parts[3]:
        return None
    rest = line[line.index(parts[3]) + len(parts[3]) :].lstrip()
    message = rest.split(b"\t", 1)[0].split(b"  ", 1)[0]
    return Head(
        at,
        level,
        parts[2].decode("utf-8", "replace"),
        message.decode("utf-8", "replace"),
    )


class _JsonHead(msgspec.Struct):
    level: Any = None
    ts: Any = None
    logger: Any = ""
    msg: Any = None
    caller: Any = None


_DECODE_HEAD: Final = msgspec.json.Decoder(_JsonHead).decode


def _any_json_head(line: bytes) -> Head | None:
    try:
        raw = _DECODE_HEAD(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        repaired = whole_members(line[:4096])
        if not repaired:
            return None
        try:
            raw = _DECODE_HEAD(repaired)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
    level = LEVELS.get(raw.level.encode()) if isinstance(raw.level, str) else None
    at = console_stamp(raw.ts.encode()) if isinstance(raw.ts, str) else raw.ts
    if level is None or not isinstance(at, (int, float)) or isinstance(at, bool) or not isinstance(raw.msg, str):
        return None
    if not 0 < at < 7e9:
        return None
    return Head(float(at), level, raw.logger if isinstance(raw.logger, str) else "", raw.msg)


def find_hit(line: bytes) -> tuple[int, int, int] | None:
    """The first literal in `line` that can be its message, as (literal, start, end); None when there is none.

    For payloads taken out of a wrapper, where positions in the file do not help.
    """
    for literal, start, end in AUTOMATON.find_matches_as_indexes(line[:_DEEPEST]):
        if KINDS[literal] is not What.ANY_LINE:
            return literal, start, end
    return None
