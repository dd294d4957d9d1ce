"""What other programs put around a server line (docker, compose, kubectl, CRI, journald, syslog), and taking it off.

A wrapper is a function from a line to a `Peeled`, or None when the line is not of its kind. Wrappers nest; a `Form` is
the list of those around the lines of a stream, outermost first. Shapes as listed by the tools' own output.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec


class Peeled(NamedTuple):
    """What was inside. `service` names the process when the wrapper says so; `more` when the line goes on in the next."""

    payload: bytes
    service: str = ""
    more: bool = False
    part_of: str = ""  # the pipe a part belongs to: parts of stdout and stderr can stand between each other
    lost: str = ""  # why the payload is gone, when the wrapper itself dropped it


Wrapper = Callable[[bytes], "Peeled | None"]
Form = tuple[Wrapper, ...]

_STAMP = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?"
_ANSI: Final = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CRI: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) (stdout|stderr) ([PF])(?:\S*) ")
_TIMED: Final = re.compile(_STAMP + rb" (?:\| )?")
_COMPOSE: Final = re.compile(rb"([A-Za-z0-9][\w.-]*) +\| ?")
_KUBECTL: Final = re.compile(rb"\[pod/([^/\]\s]+)/([^\]\s]+)\] ")
_STERN: Final = re.compile(
    rb"(?:[\w.-]+ \S+ )?([a-z0-9][\w.-]*) ([a-z0-9][\w.-]*) (?=\d{4}-\d\d-\d\d[T ]|\{\"|could not |  |\[\d\d:\d\d:)"
)
_JOURNAL: Final = re.compile(
    rb"(?:<\d{1,3}>)?"
    rb"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?"  # short, short-precise, RFC 3164
    rb"|[A-Z][a-z]{2} " + _STAMP + rb"(?: [A-Z][A-Za-z0-9+-]*)?"  # short-full
    rb"|"
    + _STAMP  # short-iso, short-iso-precise
    + rb"|\d+\.\d+|\[ *\d+\.\d+\])"  # short-unix, short-monotonic
    rb" (\S+) ([^\s\[\]:{]+)(?:\[\d+\])?: "
)
_SYSLOG5424: Final = re.compile(
    rb"<\d{1,3}>1 \S+ (\S+) (\S+) \S+ \S+ (?:-|(?:\[(?:[^\]\"\\]|\"(?:[^\"\\]|\\.)*\"|\\.)*\])+)(?: (?:\xef\xbb\xbf)?|$)"
)


class _Envelope(msgspec.Struct):
    log: Any = None
    stream: Any = ""
    line: Any = None
    message: Any = None
    MESSAGE: Any = msgspec.UNSET
    PAYLOAD: Any = msgspec.field(name="textPayload", default=None)
    REALTIME: Any = msgspec.field(name="__REALTIME_TIMESTAMP", default=None)
    HOSTNAME: Any = msgspec.field(name="_HOSTNAME", default="")
    UNIT: Any = msgspec.field(name="_SYSTEMD_UNIT", default="")
    IDENT: Any = msgspec.field(name="SYSLOG_IDENTIFIER", default="")
    msg: Any = None


_DECODE: Final = msgspec.json.Decoder(_Envelope).decode


def _envelope(line: bytes) -> _Envelope | None:
    if line[:1] != b"{":
        return None
    try:
        return _DECODE(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def docker_json(line: bytes) -> Peeled | None:
    """docker's json-file driver: parts of 16 KiB, the last one ends in a newline."""
    if line[:8] != b'{"log":"':
        return None
    got = _envelope(line)
    if got is None or not isinstance(got.log, str):
        return None
    text: str = got.log
    whole = text.endswith("\n")
    return Peeled(text.rstrip("\r\n").encode(), "", not whole, str(got.stream))


def json_envelope(line: bytes) -> Peeled | None:
    """A JSON object with the line in one key (Loki, Fluent Bit, Google Cloud)."""
    got = _envelope(line)
    if got is None or got.msg is not None:
        return None
    for text in (got.log, got.line, got.PAYLOAD, got.message):
        if isinstance(text, str):
            return Peeled(text.rstrip("\r\n").encode())
    return None


def journald_json(line: bytes) -> Peeled | None:
    """`journalctl -o json`: MESSAGE is a string, an array of byte values, or null when it was too long."""
    if b'"__REALTIME_TIMESTAMP"' not in line:
        return None
    got = _envelope(line.lstrip(b"\x1e"))
    if got is None or got.MESSAGE is msgspec.UNSET:
        return None
    service = f"{got.HOSTNAME}/{got.UNIT or got.IDENT}" if got.HOSTNAME else str(got.UNIT or got.IDENT)
    message = got.MESSAGE
    if message is None:
        return Peeled(
            b"",
            service,
            lost="journald left out the message (over 4096 bytes; export with --all)",
        )
    if isinstance(message, str):
        return Peeled(message.encode(), service)
    if isinstance(message, list) and all(isinstance(one, int) and 0 <= one < 256 for one in message):
        return Peeled(bytes(message), service)
    return None


def ansi(line: bytes) -> Peeled | None:
    """Colour codes."""
    return Peeled(_ANSI.sub(b"", line)) if b"\x1b" in line else None


def cri(line: bytes) -> Peeled | None:
    """containerd's and CRI-O's files: `P` parts until an `F`."""
    match = _CRI.match(line)
    if match is None:
        return None
    return Peeled(line[match.end() :], "", match[2] == b"P", match[1].decode())


def timed(line: bytes) -> Peeled | None:
    """A time before the line: docker logs --timestamps, kubectl --timestamps, CloudWatch; with a bar, process managers."""
    match = _TIMED.match(line)
    return None if match is None else Peeled(line[match.end() :])


def compose(line: bytes) -> Peeled | None:
    """docker compose logs: `livekit-1  | `; with v1 `livekit_1  | `."""
    match = _COMPOSE.match(line)
    return None if match is None else Peeled(line[match.end() :], match[1].decode())


def kubectl(line: bytes) -> Peeled | None:
    """kubectl logs --prefix."""
    match = _KUBECTL.match(line)
    return None if match is None else Peeled(line[match.end() :], f"{match[1].decode()}/{match[2].decode()}")


def stern(line: bytes) -> Peeled | None:
    """stern: `<pod> <container> <line>`."""
    match = _STERN.match(line)
    return None if match is None else Peeled(line[match.end() :], f"{match[1].decode()}/{match[2].decode()}")


def journal(line: bytes) -> Peeled | None:
    """journald's short formats, and syslog files of the old kind."""
    match = _JOURNAL.match(line)
    if match is None:
        return None
    service = f"{match[1].decode(errors='replace')}/{match[2].decode(errors='replace')}"
    return Peeled(line[match.end() :], service)


def syslog5424(line: bytes) -> Peeled | None:
    """RFC 5424 syslog."""
    match = _SYSLOG5424.match(line)
    if match is None:
        return None
    service = f"{match[1].decode(errors='replace')}/{match[2].decode(errors='replace')}"
    return Peeled(line[match.end() :], service)


#: Tried in this order: the narrow shapes before the wide ones.
WRAPPERS: Final[Form] = (
    docker_json,
    journald_json,
    ansi,
    cri,
    kubectl,
    compose,
    syslog5424,
    journal,
    stern,
    timed,
    json_envelope,
)

#: Those that say which process a line comes from.
NAMING: Final[Form] = (journald_json, kubectl, compose, syslog5424, journal, stern)


def peel(line: bytes, form: Form) -> Peeled | None:
    """Take all wrappers of `form` off; None when the line does not have them all (colour may be missing)."""
    service = part_of = ""
    more = False
    for wrapper in form:
        got = wrapper(line)
        if got is None:
            if wrapper is ansi:
                continue
            return None
        if got.lost:
            return got
        line = got.payload
        service = service or got.service
        part_of = part_of or got.part_of
        more = more or got.more
    return Peeled(line, service, more, part_of)
