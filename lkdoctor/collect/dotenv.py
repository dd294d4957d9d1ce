"""Reads `.env` files as LiveKit's SDKs and starters do (python-dotenv's grammar), keeping the line of each value."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lkdoctor.collect.config.interpolation import LONGEST

#: The files of a folder that starters load, the more local one first.
FILES: Final = (".env.local", ".env")
_LONGEST: Final = 1 << 20


class DotenvError(Exception):
    """A `.env` file that cannot be used: the file, and what to do. The message stands for itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a file: its `line` counts from 1; `value` is without quotes, with `${NAME}` put in."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Dotenv:
    """One file: its last value for each name, the lines that are no `NAME=value`, and the names that stand twice."""

    path: Path
    entries: Mapping[str, Entry]
    broken: tuple[int, ...] = ()
    doubled: tuple[str, ...] = ()


def read_dotenv(path: Path, environ: Mapping[str, str]) -> Dotenv:
    """Read `path`; `environ` is what `${NAME}` may refer to besides the file itself.

    Raises:
        DotenvError: the file exists and cannot be read as text.
    """
    from dotenv.parser import parse_stream  # noqa: PLC0415 - only when there is a file
    from dotenv.variables import parse_variables  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST + 1)
    except OSError as error:
        raise DotenvError(f"{path}: {error.strerror or error}. Make it readable, or give --url and the key.") from error
    if len(raw) > _LONGEST:
        raise DotenvError(f"{path}: larger than 1 MiB, so it is no .env file. Name another with --env-file.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DotenvError(f"{path} line {line}: not UTF-8 text. Save the file as UTF-8.") from error
    entries: dict[str, Entry] = {}
    broken: list[int] = []
    doubled: list[str] = []
    known: dict[str, str | None] = dict(environ)
    for binding in parse_stream(io.StringIO(text)):
        # A binding begins with the blank lines before it.
        start = binding.original.string
        line = binding.original.line + start[: len(start) - len(start.lstrip())].count("\n")
        if binding.error:
            broken.append(line)
        if binding.error or binding.key is None or binding.value is None:
            continue
        value = ""
        for atom in parse_variables(binding.value):
            value += atom.resolve(known)
            if len(value) > LONGEST:  # values that are made of values can double with each line
                break
        if len(value) > LONGEST:
            broken.append(line)
            continue
        if binding.key in entries and entries[binding.key].value != value:
            doubled.append(binding.key)
        entries[binding.key] = Entry(binding.key, value, line)
        known[binding.key] = environ.get(binding.key, value)
    return Dotenv(path, entries, tuple(broken), tuple(dict.fromkeys(doubled)))
