"""One worker record, out of its wrappers, to its parts; what is no such record gives None.

Python `start` prints JSON; `dev` prints coloured lines (0.12 to 1.2, and from 1.6 on) or, 1.3.1 to 1.5.17, the rows of a
table, broken at 80 columns. Node prints pino's JSON or, in dev mode, its pretty form with a field a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from lkdoctor.dispatch.worker_facts import DAYTIME, LOCAL, UTC

PYTHON: Final = "python"
NODE: Final = "node"

_LEVELS: Final = {
    name: name.lower() for name in ("TRACE", "DEBUG", "DEV", "INFO", "WARN", "ERROR", "CRITICAL", "FATAL")
} | {"WARNING": "warn"}
_NUMBERS: Final = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_COLOURED: Final = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) - (?:\x1b\[[\d;]*m)?([A-Z]{3,8}) *(?:\x1b\[0m)? (\S+) - (.*)", re.DOTALL
)
_TABLE: Final = re.compile(r" {4}(\d\d:\d\d:\d\d\.\d{3}| {12}) ([A-Z]{3,8})(?: *\u2026)? +(\S+) +(.*)", re.DOTALL)
_PRETTY: Final = re.compile(r"\[(\d\d:\d\d:\d\d\.\d{3})\] ([A-Z]{4,5}) \((\d+)\)(?: [^\s:]+)?: (.*)", re.DOTALL)
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d):([0-5]\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?$")
_INDENTED: Final = 20  # the table's message and fields stand right of this column
_FIELD: Final = re.compile(r' {4}"?([\w.-]+)"?: (.*)')
_STARTS: Final = frozenset(bytes((one,)) for one in b"0123456789 [\x1b")
_BEGINNINGS: Final = _STARTS | {b"{", b"\r"}
_GREY: Final = "\x1b[90m"
#: In front of a line that may begin a record. Of a program's output between two records most lines are none.
_MAYBE: Final = re.compile(rb"\n(?=[\d\[{\r\x1b]| {4}(?:\x1b|\d\d:\d\d:| {13}[A-Z]| {12} \x1b))")
_REMEMBERED: Final = 8  # lines; a record is asked for several times in a row: what it is, what it says, where it ends


class Record(NamedTuple):
    """A record's parts. `at` is None where the table leaves the time out; `whole` False: more lines may belong to it."""

    at: float | None
    clock: str
    level: str
    logger: str
    message: str
    extras: dict[str, Any]
    sdk: str
    whole: bool = True
    trace: str = ""  # a traceback that stands beside the message

    @property
    def of_sdk(self) -> bool:
        """True when the SDK itself may have written it, not the user's program."""
        return self.sdk == NODE or self.logger.startswith("livekit")


def parse(lines: Sequence[bytes]) -> Record | None:
    """The record that `lines` are; only its first line says what it is. Raises nothing."""
    if not lines:
        return None
    first = lines[0].strip(b"\r\0 \t") if lines[0][:1] == b"{" else lines[0].rstrip(b"\r\0")
    if first[:1] == b"{":
        return _json(first)
    found = _first_line(first)
    if found is None:
        return None
    match, make = found
    if make is _coloured:
        return _coloured(match, "\n".join([match.string, *_texts(lines[1:])]))
    return make(match, [_ANSI.sub("", one) if "\x1b" in one else one for one in _texts(lines[1:])])


def begins(line: bytes) -> bool:
    """Does a record begin with this line, whatever it says?"""
    start = line[:1]
    if start not in _BEGINNINGS:
        return False
    if start == b"{":
        return parse([line]) is not None
    return _first_line(line.rstrip(b"\r\0")) is not None


def rest_of(buffer: bytearray, stop: int, limit: int) -> tuple[list[bytes], bool]:
    """The lines behind the one that ends at `stop` up to where the next record begins; was that before `limit`?"""
    at = stop
    while at < limit and (found := _MAYBE.search(buffer, at, limit)) is not None:
        at = found.end()
        end = buffer.find(b"\n", at, limit)
        if begins(bytes(buffer[at : limit if end < 0 else end]).rstrip(b"\r")):
            return _lines(buffer, stop + 1, at), True
    return _lines(buffer, stop + 1, limit), False


def _lines(buffer: bytearray, start: int, end: int) -> list[bytes]:
    text = bytes(buffer[start:end])
    return [one.rstrip(b"\r") for one in text.removesuffix(b"\n").split(b"\n")] if text else []


def unfinished(line: bytes) -> bool | None:
    """Is this the first line of a record in a form that does not say where it ends? None: of one that is not the SDK's."""
    if line[:1] == b"{":
        return False
    found = _first_line(line.rstrip(b"\r\0"))
    if found is None or found[1] is _coloured:
        return False
    return True if found[1] is _pretty or found[0][3].startswith("livekit") else None


@lru_cache(maxsize=_REMEMBERED)
def _first_line(line: bytes) -> tuple[re.Match[str], Callable[[re.Match[str], Any], Record | None]] | None:
    """What the first line of a record in one of the text forms matches, and what makes a record of it."""
    line = line.lstrip(b"\r")
    start = line[:1]
    if start not in _STARTS:
        return None
    text = line.decode("utf-8", "replace")
    if start.isdigit():
        match = _COLOURED.match(text)
        return (match, _coloured) if match and match[2] in _LEVELS and stamp(match[1]) else None
    plain = _ANSI.sub("", text) if b"\x1b" in line else text
    if start == b" ":
        match = _TABLE.match(plain)
        return (match, _table) if match and _shortened(match[2]) else None
    if start == b"[":
        match = _PRETTY.match(plain)
        return (match, _pretty) if match and match[2] in _LEVELS else None
    match = _COLOURED.match(plain)  # colour in front of the time
    return (match, _coloured) if match and match[2] in _LEVELS and stamp(match[1]) else None


@lru_cache(maxsize=64)
def _shortened(word: str) -> str | None:
    """The level that the table cut to six columns; None when it is none."""
    return next((level for name, level in _LEVELS.items() if name.startswith(word)), None)


def _texts(lines: Sequence[bytes]) -> list[str]:
    return [one.rstrip(b"\r").decode("utf-8", "replace") for one in lines]


@lru_cache(maxsize=_REMEMBERED)
def _json(line: bytes) -> Record | None:
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:  # Python writes infinite numbers as bare words
            raw = json.loads(line)
        except (ValueError, RecursionError):
            return None
    if not isinstance(raw, dict):
        return None
    level = raw.get("level")
    if isinstance(level, str) and isinstance(raw.get("message"), str) and isinstance(raw.get("timestamp"), str):
        at = stamp(raw["timestamp"])
        name = raw.get("name")
        if at is None or level not in _LEVELS:
            return None
        trace = raw.get("exc_info")
        return Record(
            at[0], at[1], _LEVELS[level], name if isinstance(name, str) else "", raw["message"], raw, PYTHON,
            trace=trace if isinstance(trace, str) else "",
        )  # fmt: skip
    time = raw.get("time")
    if level in _NUMBERS and isinstance(time, (int, float)) and not isinstance(time, bool) and 0 < time < 7e12:
        message = raw.get("msg", "")
        if isinstance(message, str) and "pid" in raw:
            name = raw.get("name")
            logger = name if isinstance(name, str) else ""
            return Record(time / 1000, UTC, _NUMBERS[level], logger, message, raw, NODE)
    return None


def stamp(text: str) -> tuple[float, str] | None:
    """Unix seconds of an ISO time, and the clock that they are in: UTC, or LOCAL when it names no zone."""
    match = _STAMP.match(text)
    if match is None:
        return None
    minute, second, fraction, zone = match.groups()
    base = _minute(minute, zone)
    if base is None:
        return None
    at = base + int(second)
    return (at + float(f"0.{fraction}") if fraction else at), LOCAL if zone is None else UTC


@lru_cache(maxsize=1024)
def _minute(text: str, zone: str | None) -> float | None:
    """Unix seconds of `2026-01-01T00:00` in `zone`, None being UTC; a log has few of them at a time."""
    year, month, day, hour, minute = text[:4], text[5:7], text[8:10], text[11:13], text[14:]
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None
    if zone is None or zone == "Z":
        return moment.timestamp()
    offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    return moment.timestamp() + (offset if zone[0] == "-" else -offset)


def _daytime(text: str) -> float:
    return int(text[:2]) * 3600 + int(text[3:5]) * 60 + float(text[6:])


def _coloured(match: re.Match[str], text: str) -> Record | None:
    at, level = stamp(match[1]), _LEVELS.get(match[2])
    if at is None or level is None:
        return None
    body = text[match.start(4) :]
    grey = body.find(_GREY)
    if grey >= 0:
        message, rest = body[:grey], body[grey + len(_GREY) :]
        end = rest.find("\x1b[0m")
        extras, whole, trace = rest[:end] if end >= 0 else rest, end >= 0, rest[end + 4 :] if end >= 0 else ""
        return Record(
            at[0], at[1], level, match[3], _ANSI.sub("", message).rstrip(), _object(extras), PYTHON, whole,
            _ANSI.sub("", trace).strip("\n"),
        )  # fmt: skip
    body = _ANSI.sub("", body)
    message, found, rest = _split(body)
    return Record(at[0], at[1], level, match[3], message.rstrip(), found, PYTHON, True, rest.strip("\n"))


def _split(text: str) -> tuple[str, dict[str, Any], str]:
    """The message, the fields behind it, and what comes after them, where no colour marks the border."""
    start = -1
    for _ in range(20):
        start = text.find(" {", start + 1)
        if start < 0:
            break
        try:
            found, end = json.JSONDecoder().raw_decode(text, start + 1)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and text[end : end + 1] in ("", "\n", " "):
            return text[:start], found, text[end:]
    return text, {}, ""


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _table(match: re.Match[str], more: list[str]) -> Record | None:
    level = _shortened(match[2])
    if level is None:
        return None
    message, extras, rest = _split(match[4].rstrip())
    parts, trailing = [message], [rest] if rest else []
    held = ""
    for line in more:
        if held and not extras:
            held += line
            extras = _object(held)
        elif extras or len(line) - len(line.lstrip()) < _INDENTED:
            trailing.append(line)
        elif line.lstrip().startswith("{"):
            held = line.lstrip()
            extras = _object(held.rstrip())
        else:
            parts.append(line.strip())
    at = None if match[1].isspace() else _daytime(match[1])
    whole = " ".join(part for part in parts if part)
    return Record(at, DAYTIME, level, match[3], whole, extras, PYTHON, False, "\n".join(trailing))


def _pretty(match: re.Match[str], more: list[str]) -> Record | None:
    level = _LEVELS.get(match[2])
    if level is None:
        return None
    extras: dict[str, Any] = {"pid": int(match[3])}
    name = ""
    for line in more:
        field = _FIELD.match(line)
        if field and line[4] != " ":
            name, value = field[1], field[2]
            extras[name] = value if value == "{" else _value(value)
        elif name and isinstance(extras.get(name), str) and extras[name].startswith("{"):
            extras[name] += "\n" + line
    for name, value in extras.items():
        if isinstance(value, str) and value.startswith("{\n"):
            extras[name] = _object(value) or value  # `job` of older versions
    return Record(_daytime(match[1]), DAYTIME, level, "", match[4].rstrip(), extras, NODE, False)


def _value(text: str) -> Any:
    if text[:1] == '"' and text[-1:] == '"' and "\\" not in text:
        return text[1:-1]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
