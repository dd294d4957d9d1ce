"""Reads `.env` and `env_file` files as Compose does, each value with its line and column."""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lkdoctor.collect.config.files import Files, join
from lkdoctor.collect.config.interpolation import Lookup, Made, interpolate

_COLON: Final = re.compile(r"(?:export\s+)?([\w.-]+):\s+(.*)")
_ASSIGNED: Final = re.compile(r"\s*(?:export\s+)?[\w.-]+\s*[=:]\s*")

_TEMPLATES: Final = (".example", ".sample", ".template", ".dist", "-example", "-sample")


@dataclass(frozen=True, slots=True)
class Variable:
    """One value. `value` None: the name stands there without one, so it comes from the environment of whoever starts it."""

    name: str
    value: str | None
    file: str
    line: int
    column: int = 1
    missing: tuple[str, ...] = ()


def read_variables(text: str, file: str, outside: Lookup, *, raw: bool = False) -> dict[str, Variable]:
    """The file's variables, the last of each name; `outside` is what `${NAME}` may refer to besides the file itself.

    `raw` is Compose's `format: raw`: everything behind the first `=` is the value, quotes and `$` included.
    """
    return _raw(text, file) if raw else _dotenv(text, file, outside)


def _raw(text: str, file: str) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, given, value = line.partition("=")
            name = name.strip()
            found[name] = Variable(name, value if given else None, file, number, len(line) - len(value) + 1)
    return found


def _dotenv(text: str, file: str, outside: Lookup) -> dict[str, Variable]:
    from dotenv.parser import parse_stream  # noqa: PLC0415 - only when there is a file

    found: dict[str, Variable] = {}

    def lookup(name: str) -> str | None:
        value = outside(name)
        return value if value is not None or name not in found else found[name].value

    for binding in parse_stream(io.StringIO(text)):
        whole = binding.original.string
        start = whole[: len(whole) - len(whole.lstrip())]
        line = binding.original.line + start.count("\n")
        body = whole.lstrip()
        if binding.error and (colon := _COLON.match(body)):  # `NAME: value`, which Compose takes as well
            made = interpolate(colon[2].strip(), lookup)
            found[colon[1]] = Variable(colon[1], made.text, file, line, colon.start(2) + 1, made.missing)
            continue
        if binding.error or binding.key is None:
            continue
        assigned = _ASSIGNED.match(body)
        column = 1 + (assigned.end() if assigned else 0) + len(start.rpartition("\n")[2])
        if binding.value is None:
            found[binding.key] = Variable(binding.key, None, file, line, column)
            continue
        literal = assigned is not None and body[assigned.end() :].startswith("'")
        put = Made(binding.value) if literal else interpolate(binding.value, lookup)
        text_of = binding.value if put.wrong else put.text
        found[binding.key] = Variable(binding.key, text_of, file, line, column, put.missing)
    return found


def lookup_in(*tables: Mapping[str, Variable] | Mapping[str, str]) -> Lookup:
    """Looks a name up in several tables, the first that has it wins; what is not known there is not set."""

    def lookup(name: str) -> str | None:
        for table in tables:
            found = table.get(name)
            if isinstance(found, str):
                return found
            if found is not None and found.value is not None and not found.missing:
                return found.value
        return None

    return lookup


def template_of(file: str, files: Files) -> tuple[str, tuple[str, int, int]] | None:
    """What says of a file that is absent that each machine makes its own: a template beside it, or `.gitignore`.

    Returns the template's name (empty: there is none to copy) and the place; None when nothing says so.
    """
    folder, _, plain = file.rpartition("/")
    stems = dict.fromkeys((plain, plain.removesuffix(".local")))
    for template in (join(folder, f"{stem}{end}") for stem in stems for end in _TEMPLATES):
        if files.exists(template):
            return template, (template, 1, 1)
    ignoring = join(folder, ".gitignore")
    for number, line in enumerate((files.read(ignoring) or "").splitlines(), 1):
        if line[:1] not in {"", "#", "!"} and fnmatch.fnmatch(plain, line.strip().strip("/").removeprefix("**/")):
            return "", (ignoring, number, 1)
    return None
