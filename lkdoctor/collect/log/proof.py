"""Reads the records at given places again, for printing: the line's number and its text, unwrapped and on one line."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from lkdoctor import redact
from lkdoctor.collect.log.source import LogInput, Opened, open_input
from lkdoctor.collect.log.spool import Spool
from lkdoctor.dispatch.facts import Place

_TEXT: Final = 600
_READ: Final = 32 * 1024  # a record's head, or one part of 16 KiB with all that JSON puts around it
_CHUNK: Final = 1 << 20
#: Above this the lines of a plain file are not counted: counting costs as much as reading the log did.
_COUNT_BELOW: Final = 256 << 20


class Proof(NamedTuple):
    """A record as evidence. `line` counts from 1, None in sources too big to count; `text` is masked, 600 characters."""

    source: str
    offset: int
    line: int | None
    text: str


def resolve(
    inputs: Sequence[LogInput], places: Iterable[Place], spools: Mapping[str, Spool], unwrapped: Callable[[bytes], str]
) -> dict[Place, Proof]:
    """The records at `places`, `unwrapped`, one forward pass for each input. A place that cannot be read again is left out."""
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
            for proof in _read(given.name, opened, offsets, unwrapped):
                found[Place(proof.source, proof.offset)] = proof
        finally:
            opened.close()
    return found


def keep(inputs: Sequence[LogInput], places: Iterable[Place], spools: dict[str, Spool]) -> None:
    """Spool the records at `places`, one forward pass for each input; `resolve` then finds these, and only these, in it.

    Big plain files are left as they are: in those any place is found at once.
    """
    wanted: dict[str, array[int]] = {}
    for place in places:
        if place.offset is not None and place.source not in spools:
            wanted.setdefault(place.source, array("Q")).append(place.offset)
    for given in inputs:
        if given.name in spools or given.name not in wanted or not given.rereadable:
            continue
        try:
            opened = open_input(given)
        except (OSError, KeyError, ValueError):
            continue
        try:
            if not _sought(opened):
                spools[given.name] = spool = Spool()
                for offset, line, data in _records(opened, sorted(set(wanted[given.name]))):
                    spool.keep(offset, line, data)
        finally:
            opened.close()


def _sought(opened: Opened) -> bool:
    return isinstance(opened.raw, io.FileIO) and (opened.size or 0) >= _COUNT_BELOW


def _read(source: str, opened: Opened, offsets: Sequence[int], unwrapped: Callable[[bytes], str]) -> Iterable[Proof]:
    if isinstance(opened.raw, io.FileIO) and _sought(opened):
        for offset in offsets:
            opened.raw.seek(offset)
            data = opened.raw.read(_READ)
            if data:
                yield Proof(source, offset, None, shorten(unwrapped(data)))
        return
    for offset, line, data in _records(opened, offsets):
        yield Proof(source, offset, line, shorten(unwrapped(data)))


def _records(opened: Opened, offsets: Sequence[int]) -> Iterable[tuple[int, int, bytes]]:
    """Offset, line and beginning of each record, read forward."""
    held = bytearray()
    base = 0  # offset of held[0]
    line = 1  # number of the line that held[0] stands in
    block = memoryview(bytearray(_CHUNK))
    ended = False
    for offset in offsets:
        while not ended and base + len(held) < offset + _READ:
            if base + len(held) < offset:
                line += held.count(b"\n")
                base += len(held)
                held.clear()
            got = opened.readinto(block)
            ended = not got
            held += block[:got]
        skip = offset - base
        if skip >= len(held):
            return
        line += held.count(b"\n", 0, skip)
        del held[:skip]
        base = offset
        yield offset, line, bytes(held[:_READ])


def shorten(text: str) -> str:
    """One line of at most about 600 characters, masked; of a join the agents that it asked for are kept."""
    offer = text.find('"PublisherOffer":')  # nine tenths of a join
    if offer >= 0:
        text = text[:offer] + "…"
    text = " ".join(text.split())
    if len(text) <= _TEXT:
        return redact.mask(text)
    # Cut first, for looking for secrets is what costs most here; but between two members only, so that no secret is cut.
    asked = text.find('"CreateRoom"')
    if asked > _TEXT // 2:
        head, rest = _whole_members(text, _TEXT // 2), _whole_members(text[asked:], _TEXT // 2)
        if head and rest:
            return redact.mask(f"{head} … {rest.removesuffix(', …')} …")
    head = _whole_members(text, _TEXT)
    return redact.mask(f"{head} …") if head else redact.mask(text)[:_TEXT] + " …"


def _whole_members(text: str, most: int) -> str:
    """The beginning of `text` up to a border between two JSON members, about `most` characters; empty if there is none.

    A quote, a comma and a quote never stand next to each other inside of a JSON text: there the quotes are escaped.
    """
    if len(text) <= most:
        return text
    border = max(text.rfind('", "', 0, most), text.rfind('","', 0, most))
    return text[: border + 1] if border > most // 3 else ""
