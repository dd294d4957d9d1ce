"""What is said about each input of a log that was read, of whatever kind: how much, which times, what was skipped."""

from __future__ import annotations

from lkdoctor.collect.log.dialect import E
from lkdoctor.collect.log.reader import StreamReader
from lkdoctor.dispatch.model import SourceNote


def input_notes(reader: StreamReader[E], kind: str) -> list[SourceNote]:
    """One note of this kind for each input of a reader that has come to its end; what is of the whole stands in the last."""
    chain, parser = reader.chain, reader.parser
    notes = []
    for index, given in enumerate(chain.inputs):
        span = parser.spans[given.name]
        note = SourceNote(given.name, kind, bytes=chain.sizes[index], first_at=span.first, last_at=span.last)
        note.server_version = span.version
        opened = chain.opened[index]
        if opened is None:
            note.unusable = chain.errors[given.name]
        else:
            note.notes.extend(opened.notes)
        notes.append(note)
    if len(notes) == 1:
        notes[0].lines = reader.lines
    notes[-1].skipped = dict(parser.skipped)
    return notes
