"""Which of the application's own markers a line of a worker's log has: those that the user declared, and lkdoctor's worker's.

A marker is tried only on lines with one of its fixed words, which are looked for together with the SDKs' messages.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lkdoctor.patterns import LONGEST, words

#: What `lkdoctor worker` logs: `[START] AJ_… customer: …`.
OWN: Final = re.compile(r"\[(START|ROLE|OK|SAID|HEARD|LOST|WRONG|END|FAIL)\] AJ_\w+ ")
_OWN_WORD: Final = b"] AJ_"
_SLOW: Final = 0.25  # s on one line; the marker is given up then
JOB: Final = re.compile(r"\bAJ_[A-Za-z0-9]{6,}")


class Marker(NamedTuple):
    """A marker as it was declared: its name and a regular expression that `patterns.trouble` finds nothing wrong with."""

    name: str
    regex: str


@dataclass(slots=True)
class Marking:
    """The markers of one run."""

    markers: tuple[Marker, ...] = ()
    slow: list[str] = field(default_factory=list)  # names of those that were given up
    _compiled: list[tuple[str, re.Pattern[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._compiled = [(one.name, re.compile(one.regex)) for one in self.markers]

    def literals(self) -> list[bytes]:
        """The fixed words of all of them."""
        found = {word.encode() for one in self.markers for word in words(one.regex)}
        return [_OWN_WORD, *sorted(found - {_OWN_WORD}, key=lambda word: (-len(word), word))]

    def of(self, texts: Iterable[str]) -> tuple[str, ...]:
        """The names of the markers that stand in one of these texts (a record's message, the line), each cut to 600 characters."""
        found: dict[str, None] = {}
        for text in texts:
            short = text[:LONGEST]
            own = OWN.search(short)
            if own is not None:
                found[f"[{own[1]}]"] = None
            for name, pattern in self._compiled:
                if name not in found and self._searched(name, pattern, short):
                    found[name] = None
        return tuple(found)

    def _searched(self, name: str, pattern: re.Pattern[str], text: str) -> bool:
        began = time.perf_counter()
        hit = pattern.search(text) is not None
        if time.perf_counter() - began > _SLOW:
            self._compiled = [one for one in self._compiled if one[0] != name]
            self.slow.append(name)
        return hit
