"""How a number of things is said and a name is quoted, for reports, checks, collectors and written files alike."""

from __future__ import annotations

import json


def counted(number: int, one: str, many: str = "") -> str:
    """`1 dispatch`, `3 dispatches`, `2,000 rooms`; `many` where an s does not make the plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def quoted(value: str) -> str:
    """The value in double quotes, as YAML and TOML both read it: letters of any script as they are, what cannot be seen
    escaped. JSON's own escapes will not do, as they write one emoji as two halves, which TOML refuses."""
    return "".join(_escaped(letter) for letter in json.dumps(value, ensure_ascii=False))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
