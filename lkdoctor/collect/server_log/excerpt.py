"""Lines that people pasted or retyped (no times, columns, `key: "value"`) to events marked `retyped`."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec.structs import replace

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
_LEVEL: Final = re.compile(r"\b(?:DEBUG|INFO|WARN|ERROR|debug|info|warn|error)")
#: The server's own error texts, for lines that lost the key in front of them.
_ERROR: Final = re.compile(
    r"no servers available \(received \d+ responses?\)|no response from servers|no workers with sufficient capacity"
    r"|no workers available|worker not available|worker closed|request timed out|context deadline exceeded"
)
_NAMES: Final = {one.name: one.type for one in msgspec.structs.fields(Fields)}


def excerpt_events(head: bytes, source: str) -> list[Event]:
    """The events of a short text that holds no regular record; empty when it has none of the server's dispatch lines.

    Lines without a message of their own belong to the message before them: people break lines where they like.
    """
    found: list[tuple[What, str, int, str]] = []
    offset = 0
    for raw in head.splitlines(keepends=True):
        line = raw.decode("utf-8", "replace")
        message = _message(line)
        if message is not None:
            found.append((message[0], message[1], offset, message[2]))
        elif found and line.strip():
            what, level, place, text = found[-1]
            found[-1] = (what, level, place, f"{text} {line}")
        offset += len(raw)
    events = [_event(what, level, text, Place(source, place)) for what, level, place, text in found]
    # A room that closes or a job that ends is talked about in any text; a worker or a launch only by this server.
    return events if any(What.WORKER_REGISTERED <= one.what < What.SESSION_STARTED for one in events) else []


def _message(line: str) -> tuple[What, str, str] | None:
    """Kind, level and the text behind the message that stands in `line`, or None."""
    for text, what in _TEXTS:
        at = line.find(text)
        if at >= 0:
            level = _LEVEL.search(line[:at])
            return what, level[0].lower() if level else "info", line[at + len(text) :]
    return None


def _event(what: What, level: str, text: str, place: Place) -> Event:
    fields = _fields(text)
    if not fields.error:
        error = _ERROR.search(text)
        if error:
            fields = replace(fields, error=error[0])
    if what is What.REQUEST_FAILED and fields.jobID:
        what = What.TERMINATE_FAILED
    return Event(what, None, place, place.source, level, fields, retyped=True)


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
