"""Fields out of records that are not quite right: cut in the middle, or with a value of an unexpected type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from lkdoctor.dispatch.facts import Fields

_TYPES: Final = {one.name: one.type for one in msgspec.structs.fields(Fields)}


def lenient_fields(body: bytes) -> Fields:
    """The fields of a JSON object, those of an unexpected type left out.

    Raises nothing: a body that is no object gives empty fields.
    """
    try:
        raw: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Fields()
    if not isinstance(raw, dict):
        return Fields()
    good: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        if name in raw:
            try:
                good[name] = msgspec.convert(raw[name], kind)
            except msgspec.ValidationError:
                continue
    return Fields(**good)


def structure(body: bytes) -> Iterator[tuple[int, int]]:
    """Where in a piece of JSON which byte stands, of all that is not within a text; the quotes of a text are among them."""
    in_text = escaped = False
    for index, byte in enumerate(body):
        if escaped:
            escaped = False
        elif in_text and byte == 0x5C:
            escaped = True
        elif byte == 0x22:
            in_text = not in_text
            yield index, byte
        elif not in_text:
            yield index, byte


def whole_members(body: bytes) -> bytes:
    """A JSON object that breaks off, closed after its last whole member; empty when nothing of it is whole.

    A member counts as whole when a comma follows it: a number or a word that was cut may look like another one.
    """
    stack: list[int] = []
    cut, closers = 0, b""
    for index, byte in structure(body):
        if byte == 0x7B:
            stack.append(0x7D)
        elif byte == 0x5B:
            stack.append(0x5D)
        elif byte in (0x7D, 0x5D):
            if not stack or stack.pop() != byte:
                break
            if not stack:
                return b""  # it is whole: whatever is wrong with it is something else
        elif byte == 0x2C and stack:
            cut, closers = index, bytes(reversed(stack))
    return body[:cut] + closers if cut else b""
