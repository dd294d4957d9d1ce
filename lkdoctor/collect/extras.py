"""Reads what a case holds besides logs (recorded API exchanges, tokens, measured facts, …), each by its reader."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lkdoctor.collect.config.pairs import Pairs
from lkdoctor.collect.fact_files import read_facts
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import BY_NAME, named
from lkdoctor.collect.log.source import LogInput, Opened, open_input
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.redact import mask

_BLOCK: Final = 256 * 1024
_LONGEST_LINE: Final = 64 << 20  # ListRooms of 100,000 rooms; what has no line ends at all must not fill the memory
_LARGEST_TEXT: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Extra:
    """A file that this version reads and that is no log."""

    given: LogInput
    kind: str  # the name of a row of `kinds.FILE_KINDS`


def read_extras(extras: list[Extra], gathered: Gathered, pairs: Pairs | None = None) -> None:
    """Read each of `extras` into `gathered`; one that cannot be read costs only itself. `pairs` are for signatures of tokens."""
    # Tokens last: what the others recorded says when the case was made.
    for one in sorted(extras, key=lambda extra: BY_NAME[extra.kind].whole):
        before = len(gathered.notes)
        trouble = _read(one, gathered, pairs)
        notes = [note for note in gathered.notes[before:] if note.name == one.given.name]
        if not notes:
            notes = [SourceNote(one.given.name, one.kind)]
            gathered.notes += notes
        notes[0].bytes = notes[0].bytes or one.given.size_on_disk
        notes[0].notes += trouble.notes
        notes[0].unusable = notes[0].unusable or trouble.unusable


@dataclass(slots=True)
class _Trouble:
    notes: list[str]
    unusable: str = ""


def _read(one: Extra, gathered: Gathered, pairs: Pairs | None) -> _Trouble:
    name, kind = one.given.name, BY_NAME[one.kind]
    try:
        opened = open_input(one.given)
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        return _Trouble([], f"cannot be opened: {mask(str(error))}")
    trouble = _Trouble(opened.notes)
    try:
        if kind.facts and not kind.reader:
            read_facts(lines_of(opened), name, gathered, kind)
        elif kind.whole:
            recorded = max((note.last_at for note in gathered.notes if note.last_at is not None), default=None)
            more = {} if pairs is None else {"pairs": pairs}
            named(kind.reader)(_text(opened), name, gathered, read_at=recorded, **more)
        else:
            named(kind.reader)(lines_of(opened), name, gathered)
    except Exception as error:  # noqa: BLE001 - a file of an unforeseen form must not cost the evidence beside it
        trouble.unusable = f"reading it failed with {type(error).__name__}: {mask(str(error))[:200]}"
    finally:
        opened.close()
    return trouble


def lines_of(opened: Opened) -> Iterator[bytes]:
    """The lines with their ends. One that is longer than any exchange is left out, with a note."""
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    rest = bytearray()
    dropped = 0
    while have := opened.readinto(view):
        start = 0
        while (end := buffer.find(b"\n", start, have)) >= 0:
            if dropped:
                opened.notes.append(f"a line of {dropped + len(rest) + end - start:,} bytes is too long; left out")
                dropped = 0
                rest.clear()
            else:
                yield bytes(rest + view[start : end + 1]) if rest else bytes(view[start : end + 1])
                rest.clear()
            start = end + 1
        rest += view[start:have]
        if len(rest) > _LONGEST_LINE:
            dropped += len(rest)
            rest.clear()
    if dropped:
        opened.notes.append(f"a line of {dropped + len(rest):,} bytes is too long; left out")
    elif rest:
        yield bytes(rest)


def _text(opened: Opened) -> str:
    buffer = bytearray(_LARGEST_TEXT)
    have = 0
    while have < _LARGEST_TEXT and (count := opened.readinto(memoryview(buffer)[have:])):
        have += count
    return bytes(buffer[:have]).decode("utf-8", "replace")
