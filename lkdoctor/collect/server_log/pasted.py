"""Records that were broken over several lines on their way: by a terminal's width, an editor, an issue tracker.

People paste logs so. The server itself writes one record a line, fields and all: a line that ends within its fields, or
before them, goes on in the next line, unless that is a record itself. A break within a text stays lost: whether a blank
stood there is not known, and a name with or without it is another name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from lkdoctor.collect.server_log.salvage import structure

MOST_LINES: Final = 60
LONGEST: Final = 16 * 1024


def goes_on(record: bytes, rest: Sequence[bytes]) -> bool:
    """Does a record that began with the line `record`, and has the lines `rest` by now, miss its end?"""
    if len(rest) >= MOST_LINES or sum(map(len, rest)) > LONGEST:
        return False
    if b"{" not in record:
        if not rest:
            return True  # its fields may stand in the next line
        if rest[0].strip()[:2] != b'{"':
            return False
    return _open(joined(record, rest))


def joined(record: bytes, rest: Sequence[bytes]) -> bytes:
    """The record in one line. What follows one without fields is taken for them only where it is an object."""
    if not rest or (b"{" not in record and rest[0].strip()[:2] != b'{"'):
        return record.rstrip()
    return b" ".join((record.rstrip(), *(one.strip() for one in rest)))


def _open(text: bytes) -> bool:
    """Is a brace of `text` still open, and no text within quotes?"""
    seen = Counter(byte for _, byte in structure(text[text.find(b"{") :]))
    return seen[0x7B] > seen[0x7D] and seen[0x22] % 2 == 0
