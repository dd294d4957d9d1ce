"""Finds, reads and checks `lkdoctor.toml`: what is wrong in it is told with its line, and with what was probably meant."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from lkdoctor.config.lines import KeyPath, lines_of
from lkdoctor.config.tables import FILE, Config, Table
from lkdoctor.patterns import trouble

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LARGEST: Final = 1 << 20  # bytes
_PATH: Final = re.compile(r"^(?P<what>.*) - at `\$(?P<path>[^`]*)`$", re.DOTALL)
_STEP: Final = re.compile(r"\.([\w-]+)|\[(\d+)\]")

_KINDS: Final = {  # msgspec's names of types, in words
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "date": "a date such as 2027-01-31",
}


class ConfigError(Exception):
    """The file cannot be used: which line of which file, why, and what to do. The message stands for itself."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read: `name` as it was given; empty when there is none."""

    config: Config = field(default_factory=Config)
    name: str = ""
    path: Path | None = None
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def line(self, *path: str | int) -> int | None:
        """The line of a table or a key: `line("agents", 0, "name")`; that of what it stands in when it is not there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def find(paths: tuple[str, ...], named: str | None = None) -> Path | None:
    """The file that `--config` named, else `lkdoctor.toml` in the first folder of `paths` that has one, else in the
    current folder; None when there is none.

    Raises:
        ConfigError: the named file does not exist, or is a folder without one.
    """
    if named is not None:
        path = Path(named)
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; `lkdoctor init` writes one")
        return path
    folders = [Path(one) for one in paths if one != "-" and os.path.isdir(one)]
    return next((one / FILE for one in (*folders, Path()) if (one / FILE).is_file()), None)


def load(paths: tuple[str, ...], named: str | None = None) -> ConfigFile:
    """Find and read the file; an empty one when there is none.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    path = find(paths, named)
    if path is None:
        return ConfigFile()
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse(data, str(path), path)


def parse(data: bytes, name: str, path: Path | None = None) -> ConfigFile:
    """The file's content, checked.

    Raises:
        ConfigError: all that is wrong in it, one sentence a line of the message.
    """
    if len(data) > _LARGEST:
        raise ConfigError(f"{name}: larger than 1 MiB, so it is no {FILE}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name} line {line}: not UTF-8 text; save it as UTF-8") from None
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        where = f" line {found[1]} column {found[2]}" if found else f" line {len(text.splitlines())}"
        words = re.sub(r" \(at [^)]*\)$", "", str(error)) or "nested too deeply"
        raise ConfigError(f"{name}{where}: not valid TOML: {words}") from None
    lines = lines_of(text)
    found_file = ConfigFile(Config(), name, path, lines)
    wrong = [(found_file.line(*at), words) for at, words in _unknown(Config, content, ())]
    config = Config()
    if not wrong:
        try:
            config = msgspec.convert(content, Config, builtin_types=(dt.date,))
        except msgspec.ValidationError as error:
            at, words = _told(str(error))
            wrong = [(found_file.line(*at), words)]
        else:
            wrong = [(found_file.line(*at), words) for at, words in _senseless(config)]
    if wrong:
        wrong.sort(key=lambda one: one[0] or 0)
        raise ConfigError("\n".join(f"{name}{f' line {line}' if line else ''}: {words}" for line, words in wrong))
    return ConfigFile(config, name, path, lines)


def _unknown(kind: Any, value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every key that no table has, with the one that was probably meant."""
    table = _table_in(kind)
    if table is None:
        return
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from _unknown(table, one, (*at, number))
        return
    hints = get_type_hints(table)
    for key, one in value.items() if isinstance(value, dict) else ():
        if key in hints:
            yield from _unknown(hints[key], one, (*at, key))
            continue
        where = f"[{at[0]}]" if len(at) == 1 else f"[[{at[0]}]]" if at else "the file"
        near = difflib.get_close_matches(key, hints, 1, 0.6)
        advice = f"did you mean `{near[0]}`?" if near else f"it knows {', '.join(f'`{name}`' for name in hints)}"
        yield (*at, key), f"unknown key `{key}` in {where}; {advice}"


def _table_in(kind: Any) -> type[Table] | None:
    """The table that a field holds, alone or as a list of them."""
    if isinstance(kind, type) and issubclass(kind, Table):
        return kind
    if get_origin(kind) in {tuple, Annotated, Union, types.UnionType}:
        return next((found for one in get_args(kind) if (found := _table_in(one)) is not None), None)
    return None


def _told(message: str) -> tuple[KeyPath, str]:
    """msgspec's sentence as a place and words of our own."""
    found = _PATH.match(message)
    what, rest = (found["what"], found["path"]) if found else (message, "")
    at: KeyPath = tuple(int(number) if number else name for name, number in _STEP.findall(rest))
    missing = re.search(r"missing required field `(\w+)`", what)
    if missing:
        return at, f"[[{at[0]}]] needs a `{missing[1]}`" if at else f"`{missing[1]}` is missing"
    key = next((one for one in reversed(at) if isinstance(one, str)), "")
    wrong = re.search(r"Invalid enum value '(.*)'", what)
    if wrong:
        choices = _choices(at)
        near = difflib.get_close_matches(wrong[1], choices, 1, 0.5)
        meant = f"; did you mean `{near[0]}`?" if near else ""
        return at, f"`{key}` cannot be `{wrong[1]}`; it is one of {', '.join(f'`{one}`' for one in choices)}{meant}"
    what = re.sub(r"`([\w| ]+)`", lambda kinds: _plain(kinds[1]), what)
    return at, f"`{key}`: {what[:1].lower()}{what[1:]}"


def _plain(kinds: str) -> str:
    """`bool | null` as `true or false`: TOML has no null."""
    return " or ".join(_KINDS.get(one, f"`{one}`") for one in kinds.split(" | ") if one != "null")


def _choices(at: KeyPath) -> list[str]:
    """The words that the field at this place may be."""
    kind: Any = Config
    for step in at:
        if isinstance(step, str):
            table = _table_in(kind)
            kind = get_type_hints(table)[step] if table is not None else kind
    return [one for one in dict.fromkeys(_literals(kind)) if one]


def _literals(kind: Any) -> Iterator[str]:
    if get_origin(kind) is Literal:
        yield from (one for one in get_args(kind) if isinstance(one, str))
    for one in get_args(kind):
        if get_origin(one) is not None:
            yield from _literals(one)


def _senseless(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """What the types allow and makes no sense."""
    seen: dict[tuple[str, str, str], int] = {}
    for number, agent in enumerate(config.agents):
        at: KeyPath = ("agents", number)
        key = (agent.name, agent.type, agent.deployment)
        if key in seen:
            yield at, f'the agent "{agent.name}" stands here twice with one type and deployment; keep one of them'
        seen.setdefault(key, number)
        if agent.workers is not None and agent.workers < 0:
            yield (*at, "workers"), "`workers` cannot be negative"
        if agent.name and "automatic" in agent.ways:
            yield (
                (*at, "dispatched_by"),
                (
                    f'"{agent.name}" has a name, and only an agent without one is dispatched automatically; '
                    "take `automatic` out, or the name"
                ),
            )
        if not agent.name and set(agent.ways) - {"automatic", "api"}:
            yield (
                (*at, "dispatched_by"),
                "an agent without a name is dispatched by `automatic` (or by `api` with an empty name)",
            )
    names = {one.name for one in config.agents}
    for number, room in enumerate(config.rooms):
        at = ("rooms", number)
        if bool(room.name) == bool(room.pattern):
            yield at, "[[rooms]] needs either `name` (a fixed name) or `pattern` (`call-*`)"
        if room.pattern and "*" not in room.pattern:
            yield (*at, "pattern"), f'`pattern` "{room.pattern}" has no `*`; a fixed name is a `name`'
        if not room.people and room.made_by == "join":
            yield at, "a room that no person joins is made by `create-room` or `dispatch`; say which with `made_by`"
        for name in dict.fromkeys(room.expected):
            if name not in names:
                near = difflib.get_close_matches(name, names, 1, 0.6)
                meant = f'; did you mean "{near[0]}"?' if near else f'; add [[agents]] with name = "{name}"'
                yield at, f'"{name}" is no agent of this file{meant}'
    named: set[str] = set()
    for number, marker in enumerate(config.markers):
        if marker.name in named:
            yield ("markers", number, "name"), f'there are two markers "{marker.name}"; give each a name of its own'
        named.add(marker.name)
        if words := trouble(marker.regex):
            yield ("markers", number, "regex"), f"`regex` {words}"
