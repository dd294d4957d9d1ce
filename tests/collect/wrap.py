"""Puts recorded server lines into what docker, compose, kubectl, CRI, journald and syslog make of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

PART = 16 * 1024
WORKER_LINES = (
    (
        b'{"message": "received job request", "level": "INFO", "name": "livekit.agents", "job_id": "AJ_x", '
        b'"timestamp": "2026-01-01T00:00:00.000000+00:00"}'
    ),
    (
        b'{"message": "worker registered", "level": "INFO", "name": "livekit.agents", '
        b'"timestamp": "2026-01-01T00:00:00.000000+00:00"}'
    ),
    b'  File "/app/agent.py", line 3, in closing room',
)


def lines_of(log: bytes) -> list[bytes]:
    """The lines of a log, without their ends."""
    lines = log.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def _each(make: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda log: b"".join(make(line) + b"\n" for line in lines_of(log))


def _parts(line: bytes) -> list[bytes]:
    """16 KiB pieces, cut between characters so that they stay valid text."""
    pieces = []
    while len(line) > PART:
        cut = PART
        while line[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(line[:cut])
        line = line[cut:]
    return [*pieces, line]


def docker_json(log: bytes) -> bytes:
    """docker's json-file."""
    out = []
    for line in lines_of(log):
        parts = _parts(line + b"\n")
        for part in parts:
            record = {
                "log": part.decode(),
                "stream": "stderr",
                "time": "2026-01-01T00:00:00.123456789Z",
            }
            out.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            if part is not parts[-1]:  # another pipe's line can come between
                other = {
                    "log": "a word on stdout\n",
                    "stream": "stdout",
                    "time": "2026-01-01T00:00:00.123456789Z",
                }
                out.append(json.dumps(other, separators=(",", ":")).encode() + b"\n")
    return b"".join(out)


def cri(log: bytes) -> bytes:
    """containerd's file."""
    out = []
    for line in lines_of(log):
        *partial, last = _parts(line)
        out += [b"2026-01-01T00:00:00.123456789+01:00 stderr P " + part + b"\n" for part in partial]
        out.append(b"2026-01-01T00:00:00.123456789+01:00 stderr F " + last + b"\n")
    return b"".join(out)


def mixed_compose(log: bytes) -> bytes:
    """docker compose logs of a server and a worker."""
    out = []
    for index, line in enumerate(lines_of(log)):
        out.append(b"livekit-1  | " + line + b"\n")
        if index % 2:
            out.append(b"agent-1    | " + WORKER_LINES[index % len(WORKER_LINES)] + b"\n")
    out.append(b"agent-1 exited with code 1\n")
    return b"".join(out)


def journald_json(log: bytes) -> bytes:
    """journalctl -o json --all: key order random, some messages as arrays of byte values."""
    out = []
    shuffle = random.Random(7).shuffle
    for index, line in enumerate(lines_of(log)):
        record = [
            ("__REALTIME_TIMESTAMP", "1767225600123456"),
            ("_HOSTNAME", "media1"),
            ("SYSLOG_IDENTIFIER", "livekit-server"),
            ("_PID", "77"),
            ("MESSAGE", list(line) if index % 3 == 0 else line.decode()),
        ]
        shuffle(record)
        out.append(json.dumps(dict(record), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return b"".join(out)


def colour(line: bytes) -> bytes:
    """A coloured level, as terminals show it."""
    return line.replace(b"\tINFO\t", b"\t\x1b[34mINFO\x1b[0m\t", 1)


def _journal(stamp: bytes, name: bytes = b"livekit-server[77]") -> Callable[[bytes], bytes]:
    return _each(lambda line: stamp + b" media1 " + name + b": " + line.replace(b"\t", b"        "))


def _json_line(key: str) -> Callable[[bytes], bytes]:
    def make(line: bytes) -> bytes:
        return json.dumps({"labels": {"app": "livekit"}, key: line.decode(), "timestamp": "2026"}).encode()

    return _each(make)


WRAPPERS: dict[str, Callable[[bytes], bytes]] = {
    "bare": lambda log: log,
    "crlf": _each(lambda line: line + b"\r"),
    "bom": lambda log: b"\xef\xbb\xbf" + log,
    "colour": _each(colour),
    "no last newline": lambda log: log.rstrip(b"\n"),
    "blanks for tabs": _each(lambda line: line.replace(b"\t", b"        ")),
    "nul run in front": lambda log: b"\0" * 3000 + log,
    "docker timestamps": _each(lambda line: b"2026-01-01T00:00:00.123456789Z " + line),
    "docker json-file": docker_json,
    "compose": _each(lambda line: b"livekit-1  | " + line),
    "compose v1": _each(lambda line: b"livekit_1  | " + line),
    "compose coloured": _each(lambda line: b"\x1b[36mlivekit-1  | \x1b[0m" + line),
    "compose -t": _each(lambda line: b"livekit-1  | 2026-01-01T00:00:00.123456789Z " + line),
    "compose mixed": mixed_compose,
    "kubectl --prefix": _each(lambda line: b"[pod/livekit-0/livekit] " + line),
    "kubectl --prefix --timestamps": _each(
        lambda line: b"[pod/livekit-0/server] 2026-01-01T00:00:00.123456789Z " + line
    ),
    "cri": cri,
    "stern": _each(lambda line: b"livekit-0 server " + line),
    "journald short": _journal(b"Jan  1 01:00:00"),
    "journald short-precise": _journal(b"Jan 01 01:00:00.123456"),
    "journald short-iso": _journal(b"2026-01-01T01:00:00+0100"),
    "journald short-iso 255": _journal(b"2026-01-01T01:00:00+01:00"),
    "journald short-iso-precise": _journal(b"2026-01-01T01:00:00.123456+0100"),
    "journald short-full": _journal(b"Thu 2026-01-01 01:00:00 CET"),
    "journald with-unit": _journal(b"Thu 2026-01-01 01:00:00 UTC", b"livekit.service[77]"),
    "journald short-unix": _journal(b"1767225600.123456"),
    "journald short-monotonic": _journal(b"[  600.123456]"),
    "journald json": journald_json,
    "journald around docker": _each(lambda line: b"Jan 01 01:00:00 media1 docker[9]: livekit-1  | " + line),
    "syslog 3164": _each(lambda line: b"<30>Jan  1 01:00:00 media1 livekit-server[77]: " + line),
    "syslog 5424": _each(lambda line: b'<30>1 2026-01-01T01:00:00.1Z media1 livekit 77 - [a@1 b="c\\"]"] ' + line),
    "syslog 5424 bom": _each(lambda line: b"<30>1 2026-01-01T01:00:00.1Z media1 livekit 77 - - \xef\xbb\xbf" + line),
    "logcli jsonl": _json_line("line"),
    "fluent bit": _json_line("log"),
    "google cloud": _json_line("textPayload"),
}
