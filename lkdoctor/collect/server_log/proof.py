"""Reads the records at given places again, for printing: the line's number and its text, unwrapped and on one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from lkdoctor import redact
from lkdoctor.collect.server_log.lines import unwrapped
from lkdoctor.collect.server_log.source import LogInput, Opened, open_input
from lkdoctor.collect.server_log.spool import Spool
from lkdoctor.dispatch.facts import Place

_TEXT: Final = 600
_READ: Final = 64 * 1024
_CHUNK: Final = 1 << 20
#: Above this the lines are not counted: counting costs as much as reading the log did.
_COUNT_BELOW: Final = 256 << 20


class Proof(NamedTuple):
    """A record as evidence. `line` counts from 1, None in sources too big to count; `text` is masked, 600 characters."""

    source: str
    offset: int
    line: int | None
    text: str


def resolve(inputs: Sequence[LogInput], places: Iterable[Place], spools: Mapping[str, Spool]) -> dict[Place, Proof]:
    """The records at `places`, one forward pass for each input. A place that cannot be read again is left out."""
    wanted: dict[str, set[int]] = {}
    for place in places:
        if place.offset is not None:
            wanted.setdefault(place.source, set()).add(place.offset)
    found: dict[Place, Proof] = {}
    for given in inputs:
        offsets = sorted(wanted.get(given.name, ()))
        if given.name in spools:
            for offset in offsets:
                kept = spools[given.name].find(offset)
                if kept is not None:
                    text = shorten(unwrapped(kept.data))
                    found[Place(given.name, offset)] = Proof(given.name, offset, kept.line, text)
            continue
        if not offsets or not given.rereadable:
            continue
        try:
            opened = open_input(given)
        except (OSError, KeyError, ValueError):
            continue
        try:
            for proof in _read(given.name, opened, offsets):
                found[Place(proof.source, proof.offset)] = proof
        finally:
            opened.close()
    return found


def _read(source: str, opened: Opened, offsets: Sequence[int]) -> Iterable[Proof]:
    count = opened.size is None or opened.size < _COUNT_BELOW
    data = bytearray()
    base = 0  # offset of data[0]
    lines = 1  # number of the line that data[0] stands in
    block = bytearray(_CHUNK)
    ended = False
    for offset in offsets:
        while not ended and base + len(data) < offset + _READ:
            if base + len(data) < offset:
                lines += data.count(b"\n") if count else 0
                base += len(data)
                data.clear()
            got = opened.readinto(memoryview(block))
            ended = not got
            data += memoryview(block)[:got]
        skip = offset - base
        if skip >= len(data):
            return
        lines += data.count(b"\n", 0, skip) if count else 0
        del data[:skip]
        base = offset
        yield Proof(
            source,
            offset,
            lines if count else None,
            shorten(unwrapped(bytes(data[:_READ]))),
        )


def shorten(text: str) -> str:
    """One line of at most about 600 characters, masked; of a join the agents that it asked for are kept."""
    # Masked as a whole before it is cut, for half a secret would not be recognised. Only a join's session description,
    # nine tenths of such a record and nobody's secret, is cut off first: searching it for secrets costs most of the time.
    offer = text.find('"PublisherOffer":')
    if offer >= 0:
        text = text[:offer] + "…"
    text = redact.mask(" ".join(text.split()))
    if len(text) <= _TEXT:
        return text
    asked = text.find('"CreateRoom"', _TEXT // 2)
    if asked >= 0:
        return f"{text[: _TEXT // 2]} … {text[asked : asked + _TEXT // 2]} …"
    return text[:_TEXT] + " …"
