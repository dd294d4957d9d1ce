"""Finds the line of every table and key of a TOML text, which the standard library's reader does not keep."""

from __future__ import annotations

import sys
from typing import Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KeyPath = tuple[str | int, ...]

_LONGEST_VALUE: Final = 500  # lines


def lines_of(text: str) -> dict[KeyPath, int]:
    """Key path (tables of an array by their number) to line, counted from 1. `text` must be valid TOML.

    Keys within an inline table or an array stand at the line where the value begins.
    """
    found: dict[KeyPath, int] = {}
    arrays: dict[KeyPath, int] = {}  # array of tables -> number of its last table
    table: KeyPath = ()
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number].strip()
        here = number + 1
        number += 1
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            names = _path_of(_read(line) or {})
            if line.startswith("[["):
                key = _in_last(names, arrays, whole=False)
                arrays[key] = arrays.get(key, -1) + 1
                table = (*key, arrays[key])
            else:
                table = _in_last(names, arrays, whole=True)
            _note(found, table, here)
            continue
        value = _read(line)
        while value is None and number < len(lines) and number - here < _LONGEST_VALUE:
            line += "\n" + lines[number]
            number += 1
            value = _read(line)
        for path in _paths(value or {}):
            _note(found, (*table, *path), here)
    return found


def _read(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _note(found: dict[KeyPath, int], path: KeyPath, line: int) -> None:
    for end in range(1, len(path) + 1):
        found.setdefault(path[:end], line)


def _path_of(content: Any) -> KeyPath:
    """The names of a heading that was read alone: `[[a.b]]` is `{"a": {"b": [{}]}}`."""
    path: list[str] = []
    while isinstance(content, dict) and content:
        name, content = next(iter(content.items()))
        path.append(name)
    return tuple(path)


def _in_last(names: KeyPath, arrays: dict[KeyPath, int], *, whole: bool) -> KeyPath:
    """The names as a path: below an array of tables they stand in its last table."""
    path: KeyPath = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if path in arrays and (whole or position < len(names) - 1):
            path = (*path, arrays[path])
    return path


def _paths(content: Any) -> list[KeyPath]:
    if isinstance(content, dict):
        return [(name, *rest) for name, value in content.items() for rest in ((), *_paths(value))]
    if isinstance(content, list):
        return [(number, *rest) for number, value in enumerate(content) for rest in ((), *_paths(value))]
    return []
