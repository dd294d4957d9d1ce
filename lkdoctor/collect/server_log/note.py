"""What is said about each input after it was read: how much, which times, what was skipped, or why it was of no use."""

from __future__ import annotations

from lkdoctor.collect.log.notes import input_notes
from lkdoctor.collect.log.reader import StreamReader
from lkdoctor.collect.server_log.excerpt import excerpt_events
from lkdoctor.collect.server_log.lines import LineReader
from lkdoctor.collect.server_log.sniff import OTHER_TEXT, looks_like
from lkdoctor.dispatch.facts import Event
from lkdoctor.dispatch.model import SourceNote

_EXCERPT_BYTES = 64 * 1024
_OTHER_LOGGERS = {
    "egress": "livekit-egress's log",
    "sip": "livekit-sip's log",
    "ingress": "livekit-ingress's log",
}


def notes_of(reader: StreamReader[Event]) -> tuple[list[SourceNote], list[Event]]:
    """One note for each input of a reader that has come to its end.

    An input without any regular record is tried as lines that were pasted or retyped by hand: their events come second.
    """
    parser = reader.parser
    assert isinstance(parser, LineReader)
    notes = input_notes(reader, "server_log")
    events: list[Event] = []
    note = notes[-1]
    if reader.order.steps_back:
        note.notes.append(
            f"the clock steps back {reader.order.steps_back} time(s), by up to {reader.order.largest_step:.1f} s; "
            "the order of the file was kept there"
        )
    if not parser.spans_seen() and not note.unusable:
        looks = looks_like(reader.head)
        if not parser.records and len(notes) == 1 and reader.bytes <= _EXCERPT_BYTES and looks == OTHER_TEXT:
            events = excerpt_events(reader.head, note.name)
        if events:
            note.notes.append("an excerpt without times: its words count, its order and completeness do not")
        elif not reader.bytes:
            note.unusable = "empty (livekit-server writes its log to stderr: redirect that too, with 2>&1)"
        elif not parser.records:
            note.unusable = f"no livekit-server log; it looks like {looks}"
    elif not parser.records:
        others = {_OTHER_LOGGERS[name.split(".")[0]] for name in parser.loggers if name.split(".")[0] in _OTHER_LOGGERS}
        if others:
            note.unusable = f"no livekit-server log; it looks like {', '.join(sorted(others))}"
    return notes, events
