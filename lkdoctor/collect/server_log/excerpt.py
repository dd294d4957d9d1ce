"""Lines that people pasted or retyped (no times, columns, `key: "value"`) to events marked `retyped`."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from lkdoctor import redact
from lkdoctor.collect.server_log.messages import MESSAGES
from lkdoctor.dispatch.facts import Event, Fields, Place, What

#: Heads of messages as people shorten them.
_SHORT: Final = {
    "not dispatching agent job": What.NOT_DISPATCHING,
    "not dispatching agent": What.NOT_DISPATCHING,
}
_TEXTS: Final = sorted(
    ((text, what) for text, what in {**MESSAGES, **_SHORT}.items() if what is not What.API_CALL),
    key=lambda item: -len(item[0]),
)
_PAIR: Final = re.compile(r'"?\b([A-Za-z][A-Za-z0-9]*)"? ?[:=] ?(?:"((?:[^"\\]|\\.)*)"|([^\s",{}\[\]]+))')
_NAMES: Final = {one.name: one.type for one in msgspec.structs.fields(Fields)}


def excerpt_events(head: bytes, source: str) -> list[Event]:
    """The events of a short text that holds no regular record; empty when it has none of the server's words."""
    events = []
    offset = 0
    for raw in head.splitlines(keepends=True):
        event = _event(raw.decode("utf-8", "replace"), Place(source, offset))
        if event is not None:
            events.append(event)
        offset += len(raw)
    return events


def _event(line: str, place: Place) -> Event | None:
    for text, what in _TEXTS:
        at = line.find(text)
        if at < 0:
            continue
        if re.search(r"\b(?:WARN(?:ING)?|warn)\b", line[:at]):
            level = "warn"
        elif re.search(r"\b(?:ERROR|error)\b", line[:at]):
            level = "error"
        else:
            level = "info"
        fields = _fields(line[at + len(text) :])
        if what is What.REQUEST_FAILED and fields.jobID:
            what = What.TERMINATE_FAILED
        return Event(what, None, place, place.source, level, fields, retyped=True)
    return None


def _fields(text: str) -> Fields:
    found: dict[str, Any] = {}
    for name, quoted, bare in _PAIR.findall(text):
        if name in _NAMES and name not in found:
            try:
                found[name] = msgspec.convert(quoted or bare, _NAMES[name], strict=False)
            except msgspec.ValidationError:
                continue
    if "error" in found:
        found["error"] = redact.mask(found["error"])
    return Fields(**found)
