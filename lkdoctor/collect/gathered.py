"""What every collector but the server log's fills: facts, a note on each source, and the words that prove each fact.

A collector appends as it learns, so whatever ends it (a time-out, Ctrl-C, a server that dies) what it had is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lkdoctor.collect.log.source import LogInput
from lkdoctor.dispatch.connection import Step
from lkdoctor.dispatch.facts import Fact, Place
from lkdoctor.dispatch.listings import Snapshot
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.probes import LiveServer, ProbeRun
from lkdoctor.dispatch.tokens import Token
from lkdoctor.redact import mask

LATEST: Final = 253402300799.0  # Unix seconds, the last one of the year 9999: no later time is one
_LONGEST = 600


class Quote(NamedTuple):
    """A fact as evidence, in words that a reader can hold against the source; masked, at most 600 characters."""

    source: str
    offset: int | None
    line: int | None
    text: str


class Gap(NamedTuple):
    """What was asked for and could not be learned, as a whole sentence; `kind` is that of the source that is missing."""

    kind: str
    text: str


@dataclass(slots=True)
class Gathered:
    """What was learned besides the server logs."""

    snapshots: list[Snapshot] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    probes: list[ProbeRun] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    server: LiveServer | None = None
    facts: dict[type[Fact], list[Fact]] = field(default_factory=dict)  # of all further kinds, by their class
    notes: list[SourceNote] = field(default_factory=list)
    quotes: dict[Place, Quote] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    logs: list[tuple[LogInput, str]] = field(default_factory=list)  # that were fetched, with their kind
    held: list[object] = field(default_factory=list)  # what must live as long as these can be read

    def add(self, fact: Fact) -> None:
        """Keep a fact of a further kind; its own words prove it, unless others were quoted for its place before."""
        self.facts.setdefault(type(fact), []).append(fact)
        if fact.place not in self.quotes:
            self.quote(fact.place, fact.told())

    def take(self, other: Gathered) -> None:
        """Add what a collector has gathered apart."""
        for facts in other.facts.values():
            for one in facts:
                self.add(one)
        self.notes += other.notes
        self.quotes |= other.quotes
        self.gaps += other.gaps
        self.logs += other.logs
        self.held += other.held

    def quote(self, place: Place, text: str, line: int | None = None) -> Place:
        """Remember how the fact at `place` reads; returns `place`."""
        text = mask(" ".join(text.split()))
        self.quotes[place] = Quote(
            place.source, place.offset, line, text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        )
        return place

    def count(self, kind: str) -> int:
        """How many facts sources of this kind have told."""
        known: dict[str, Sized] = {
            "connection": self.steps,
            "api": self.snapshots,
            "probe": self.probes,
            "token": self.tokens,
        }
        if kind in known:
            return len(known[kind])
        return sum(len(facts) for fact, facts in self.facts.items() if kind in fact.SOURCES)

    def resolve(self, places: Iterable[Place]) -> dict[Place, Quote]:
        """The words for those of `places` that stand in these sources."""
        return {place: self.quotes[place] for place in places if place in self.quotes}
