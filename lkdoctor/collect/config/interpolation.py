"""Compose's interpolation: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?error}`, `${NAME:+other}`, nested, `$$`.

What depends on a variable that is set nowhere in view is not known: the shell that starts Compose may set it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEEPEST: Final = 20
LONGEST: Final = 128 << 10  # bytes; Linux starts no process with a longer variable

Lookup = Callable[[str], "str | None"]  # the variable's value, None when it is not set


@dataclass(frozen=True, slots=True)
class Made:
    """A text with its variables put in. `missing` are those that are set nowhere; then `text` is not known."""

    text: str
    missing: tuple[str, ...] = ()
    wrong: str = ""  # why Compose would refuse it

    @property
    def known(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing and not self.wrong


def interpolate(text: str, lookup: Lookup, depth: int = 0) -> Made:
    """Put the variables in."""
    if "$" not in text:
        return Made(text)
    out: list[str] = []
    missing: list[str] = []
    at = size = 0
    while (found := text.find("$", at)) >= 0:
        out.append(text[at:found])
        at = found + 1
        if text.startswith("$", at):
            out.append("$")
            at += 1
        elif text.startswith("{", at):
            end = _closing(text, at)
            if end < 0 or depth > _DEEPEST:
                return Made(text, wrong="`${` without its `}`")
            made = _braced(text[at + 1 : end], lookup, depth)
            if made.wrong:
                return made
            out.append(made.text)
            missing += made.missing
            at = end + 1
        elif name := _NAME.match(text, at):
            value = lookup(name[0])
            if value is None:
                missing.append(name[0])
            out.append(value or "")
            at = name.end()
        else:
            return Made(text, wrong="a `$` that begins no variable; a plain one is written `$$`")
        size += len(out[-1])
        if size > LONGEST:  # values that are made of values can double with each line
            return Made(text, wrong="its value is longer than 128 KiB, with which no process starts")
    out.append(text[at:])
    return Made("".join(out), tuple(dict.fromkeys(missing)))


def _closing(text: str, at: int) -> int:
    """The place of the `}` that closes the `{` at `at`; -1 when there is none."""
    level = 0
    while at < len(text):
        if text.startswith("$$", at):
            at += 2
            continue
        if text[at] == "{" and text[at - 1] == "$":
            level += 1
        elif text[at] == "}":
            level -= 1
            if level == 0:
                return at
        at += 1
    return -1


def _braced(inner: str, lookup: Lookup, depth: int) -> Made:
    name = _NAME.match(inner)
    if name is None:
        return Made("", wrong=f"`${{{inner[:20]}}}` names no variable")
    value = lookup(name[0])
    rest = inner[name.end() :]
    if not rest:
        return Made(value or "", () if value is not None else (name[0],))
    operator = rest[:2] if rest[:2] in {":-", ":?", ":+"} else rest[:1]
    word = rest[len(operator) :]
    if operator not in {":-", ":?", ":+", "-", "?", "+"}:
        return Made("", wrong=f"`${{{inner[:20]}}}` is no form that Compose knows")
    there = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("-"):
        return Made(value or "") if there else interpolate(word, lookup, depth + 1)
    if operator.endswith("+"):
        if there:
            return interpolate(word, lookup, depth + 1)
        return Made("", () if value is not None else (name[0],))
    # Compose refuses to start without it, so whoever starts it sets it.
    return Made(value or "") if there else Made("", (name[0],))
