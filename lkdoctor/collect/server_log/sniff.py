"""Which wrappers are around the lines of a source, and, when it is no server log, what it looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from lkdoctor.collect.log.forms import usual_form
from lkdoctor.collect.log.wrappers import Form
from lkdoctor.collect.server_log.records import read_head

OTHER_TEXT: Final = "some other text"


def sniff(lines: Iterable[bytes]) -> Form | None:
    """The form that most of `lines` have, or None when none of them holds a server record."""
    return usual_form(lines, read_head)


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
