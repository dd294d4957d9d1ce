"""Reads what a Dockerfile gives to its last (or named) stage: `ENV`, `CMD`, `ENTRYPOINT`, each with its line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.collect.config.env_files import Variable
from lkdoctor.collect.config.interpolation import interpolate

_FROM: Final = re.compile(r"(?:--platform=\S+\s+)?(?P<image>\S+)(?:\s+as\s+(?P<name>\S+))?\s*$", re.IGNORECASE)
_PAIR: Final = re.compile(r"""([\w.-]+)=("(?:[^"\\]|\\.)*"|'[^']*'|(?:[^\s\\]|\\.)*)""")


@dataclass(slots=True)
class Stage:
    """One `FROM` and what follows it."""

    image: str
    name: str = ""
    env: dict[str, Variable] = field(default_factory=dict)
    args: dict[str, str | None] = field(default_factory=dict)
    command: list[str] | None = None  # None: the parent's
    entrypoint: list[str] | None = None
    command_line: int = 0
    parent: Stage | None = None

    def all_env(self) -> dict[str, Variable]:
        """Its variables over those of the stages it is built from."""
        return {**(self.parent.all_env() if self.parent else {}), **self.env}

    def start(self) -> tuple[list[str], list[str], int]:
        """Entrypoint, command, and the line of the later one. An entrypoint of its own drops the command of its parent."""
        entrypoint, command, line = self.parent.start() if self.parent else ([], [], 0)
        if self.entrypoint is not None:
            entrypoint, command = self.entrypoint, []
        return entrypoint, command if self.command is None else self.command, self.command_line or line


def read_dockerfile(
    text: str, file: str, target: str = "", build_args: Mapping[str, str | None] | None = None
) -> Stage | None:
    """The stage that becomes the image; None when the file has none of that name.

    What depends on an `ARG` without a value is not known; one that `build_args` give as None has a value that is not known.
    """
    stages: list[Stage] = []
    before: dict[str, str | None] = {}
    given = build_args or {}
    for line, instruction, rest in _instructions(text):
        if instruction == "FROM":
            found = _FROM.match(rest)
            if found is None:
                continue
            parent = next((one for one in stages if one.name and one.name.lower() == found["image"].lower()), None)
            stages.append(Stage(found["image"], found["name"] or "", parent=parent))
        elif instruction == "ARG":
            name, has, value = rest.partition("=")
            name = name.strip()
            default = _unquoted(value.strip()) if has else before.get(name)
            (stages[-1].args if stages else before)[name] = given.get(name, default)
        elif stages and instruction == "ENV":
            _env(stages[-1], rest, file, line)
        elif stages and instruction in {"CMD", "ENTRYPOINT"}:
            words = _words(rest)
            stages[-1].command_line = line
            if instruction == "CMD":
                stages[-1].command = words
            else:
                stages[-1].entrypoint = words
    if target:
        return next((one for one in stages if one.name.lower() == target.lower()), None)
    return stages[-1] if stages else None


def _instructions(text: str) -> list[tuple[int, str, str]]:
    """Line, instruction in capitals, and the rest, with continued lines joined."""
    found: list[tuple[int, str, str]] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        start = number + 1
        whole = lines[number].strip()
        number += 1
        if not whole or whole.startswith("#"):
            continue
        while whole.endswith("\\") and number < len(lines):
            following = lines[number].strip()
            number += 1
            whole = whole[:-1] + ("" if following.startswith("#") else " " + following)
            if following.startswith("#"):
                whole += "\\"
        head, _, rest = whole.rstrip("\\").partition(" ")
        found.append((start, head.upper(), rest.strip()))
    return found


def _env(stage: Stage, rest: str, file: str, line: int) -> None:
    pairs = _PAIR.findall(rest)
    if not re.match(r"[\w.-]+=", rest):  # the old form: ENV NAME value
        name, _, value = rest.partition(" ")
        pairs = [(name, value.strip())]

    def lookup(name: str) -> str | None:
        known = stage.all_env().get(name)
        if known is not None:
            return None if known.missing else known.value
        return stage.args.get(name)

    for name, value in pairs:
        plain = _unquoted(value)
        made = interpolate(plain, lookup) if not value.startswith("'") else None
        if made is None or made.wrong:
            stage.env[name] = Variable(name, plain, file, line)
        else:
            stage.env[name] = Variable(name, made.text, file, line, 1, made.missing)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return re.sub(r"\\(.)", r"\1", value)


def _words(rest: str) -> list[str]:
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except ValueError:
            return []
        return [one for one in words if isinstance(one, str)] if isinstance(words, list) else []
    try:
        return shlex.split(rest)
    except ValueError:
        return rest.split()
