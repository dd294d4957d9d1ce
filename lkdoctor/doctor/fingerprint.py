"""What a finding is known by from run to run: its code and its subject, without what changes by itself.

Within one run findings are told apart by `Finding.fingerprint`, which knows the very room. What is published, and what a
baseline remembers, is a hash of the subject's normal form, so that `call-1234` today is `call-5678` tomorrow:

- Rooms, identities and names of files: UUIDs, ids of LiveKit (`RM_…`, `AJ_…`), numbers, and random words (letters and
  digits in turns, long hexadecimal words) become `*`: `call-1234` is `call-*`, `room_9f1c2d3e` is `room_*`.
- A file is known by its name, not by its folder, which differs from machine to machine.
- Agent names, codes, addresses and variables are configured: nothing in them is left out.

Two findings of one report may come to one normal form (two rooms `call-1` and `call-2`). They stay two findings: the second
one's fingerprint ends in `-2`, and so on in the order of their subjects. A baseline compares what stands before that, as
the number of such rooms in a log says how much traffic there was, not how many faults.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from lkdoctor.doctor.finding import Finding, Subject

_UUID: Final = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_LIVEKIT: Final = r"(?:RM|AW|AJ|AD|PA|ND|TR|EG|IN)_[0-9A-Za-z]{8,}"
_IDS: Final = re.compile(rf"(?<![0-9A-Za-z])(?:{_UUID}|{_LIVEKIT})(?![0-9A-Za-z])")
_WORD: Final = re.compile(r"[0-9A-Za-z]+")
_TURNS: Final = re.compile(r"(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])")
_LONG: Final = 4  # letters and digits in turns below it are a name: `e2e`, `k8s`
_HEX: Final = re.compile(r"(?=.*[0-9])[0-9a-f]{6,}|(?=.*[0-9])[0-9A-F]{6,}")
_NUMBERED: Final = re.compile(r"([A-Za-z]{2,})[0-9]+")  # a version (`v2`) is a name
# Kinds whose id is a file, or a name that is made anew for each call; other ids are configured.
_FILES: Final = frozenset({"file", "worker", "token", "server"})
_MADE: Final = frozenset({"room", "dispatch", "agent"})


def of(finding: Finding) -> str:
    """16 hex digits; the same for the same code and normal form."""
    return hashlib.sha256(f"{finding.code.id}\0{normal(finding.subject)}".encode("utf-8", "surrogatepass")).hexdigest()[
        :16
    ]


def published(findings: Iterable[Finding]) -> dict[str, str]:
    """The published fingerprint of each finding of one report, by its own one: unique, `-2` and so on where it must be."""
    groups: dict[str, dict[str, str]] = {}
    for one in findings:
        groups.setdefault(of(one), {}).setdefault(one.fingerprint, one.subject.stable())
    return {
        own: base if number == 1 else f"{base}-{number}"
        for base, group in groups.items()
        for number, own in enumerate(sorted(group, key=lambda mark: (group[mark], mark)), 1)
    }


def base(fingerprint: str) -> str:
    """The part of a published fingerprint that a baseline compares."""
    return fingerprint.partition("-")[0]


def normal(subject: Subject) -> str:
    """The subject's normal form; see the head of this file."""
    name = "" if subject.agent_name is None else f"name={subject.agent_name}"
    return "\0".join((subject.kind, pattern(subject.room), name, _id(subject)))


def pattern(name: str) -> str:
    """`name` with `*` for everything in it that is made anew for each room."""
    return _WORD.sub(_word, _IDS.sub("*", name))


def _word(match: re.Match[str]) -> str:
    word = match[0]
    if word.isdigit() or _HEX.fullmatch(word):
        return "*"
    if numbered := _NUMBERED.fullmatch(word):
        return f"{numbered[1]}*"
    return "*" if len(word) >= _LONG and len(_TURNS.findall(word)) > 1 else word


def _id(subject: Subject) -> str:
    if not subject.id or _IDS.fullmatch(subject.id):
        return ""
    if subject.kind in _FILES and "://" not in subject.id:
        return pattern(subject.id.rstrip("/").rpartition("/")[2])
    return pattern(subject.id) if subject.kind in _MADE else _IDS.sub("*", subject.id)
