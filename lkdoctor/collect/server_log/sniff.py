"""Which wrappers are around the lines of a source, and, when it is no server log, what it looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from lkdoctor.collect.server_log.records import read_head
from lkdoctor.collect.server_log.wrappers import WRAPPERS, Form, Peeled, ansi

_DEPTH: Final = 4
OTHER_TEXT: Final = "some other text"


def form_of(line: bytes, reads: Callable[[bytes], object] = read_head) -> tuple[Form, Peeled] | None:
    """The wrappers around this one line, and its inside, when there is a server record in it; else None.

    `reads` says whether the inside is what is looked for (a truthy value).
    """
    return _unwrap(Peeled(line), (), reads)


def _unwrap(got: Peeled, form: Form, reads: Callable[[bytes], object]) -> tuple[Form, Peeled] | None:
    if reads(got.payload):
        return form, got
    if len(form) >= _DEPTH:
        return None
    for wrapper in WRAPPERS:
        if form and wrapper is form[-1]:
            continue
        inner = wrapper(got.payload)
        if inner is None or inner.lost:
            continue
        joined = Peeled(
            inner.payload,
            got.service or inner.service,
            got.more or inner.more,
            got.part_of or inner.part_of,
        )
        found = _unwrap(joined, (*form, wrapper), reads)
        if found is not None:
            return found
        if wrapper is ansi:
            return None  # without its colours it was tried with every other wrapper
    return None


def sniff(lines: Iterable[bytes]) -> Form | None:
    """The form that most of `lines` have, or None when none of them holds a server record."""
    votes: dict[Form, int] = {}
    for line in lines:
        found = form_of(line.rstrip(b"\r"))
        if found is not None:
            votes[found[0]] = votes.get(found[0], 0) + 1
            if votes[found[0]] >= 20:
                break
    return max(votes, key=lambda form: votes[form]) if votes else None


_LOOKS: Final[tuple[tuple[str, re.Pattern[bytes]], ...]] = (
    (
        "the log of a Python agent worker (livekit-agents, JSON)",
        re.compile(rb'"name": ?"(?:livekit\.agents|__main__)'),
    ),
    (
        "the log of a Python agent worker (livekit-agents, dev)",
        re.compile(rb"(?:DEBUG|INFO|WARNING|ERROR) +(?:\x1b\[\d*m)? *(?:- )?livekit\.agents"),
    ),
    (
        "the log of a Node agent worker (@livekit/agents)",
        re.compile(rb'\{"level":\d\d,"time":|(?:DEBUG|INFO|WARN|ERROR) \(\d+\): '),
    ),
    (
        "a web server's access log",
        re.compile(rb'^\S+ \S+ \S+ \[[^\]]+\] "[A-Z]+ [^"]*" \d{3} ', re.MULTILINE),
    ),
    ("livekit-egress's log", re.compile(rb'(?:\t|"logger": ?")egress\b')),
    ("livekit-sip's log", re.compile(rb'(?:\t|"logger": ?")sip\b')),
    ("livekit-ingress's log", re.compile(rb'(?:\t|"logger": ?")ingress\b')),
    (
        "Twirp exchanges with the server (api.jsonl)",
        re.compile(rb'"call": ?"[A-Za-z]+Service/'),
    ),
    (
        "redis's log",
        re.compile(rb"^\d+:[MCSX] \d\d [A-Z][a-z]{2} \d{4} ", re.MULTILINE),
    ),
)


def looks_like(head: bytes) -> str:
    """What the beginning of a file that is no server log looks like, in words."""
    if not head.strip():
        return "an empty file"
    if head[:4] == b"PK\x03\x04":
        return "a zip archive"
    sample = head[:65536]
    for name, pattern in _LOOKS:
        if pattern.search(sample):
            return name
    odd = sum(sample.count(bytes((byte,))) for byte in range(32) if byte not in (9, 10, 13, 27))
    if odd > len(sample) // 50:
        return "a binary file"
    if sample.lstrip()[:1] in (b"{", b"["):
        return "JSON of something else"
    return OTHER_TEXT
