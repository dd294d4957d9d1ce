"""Changes one value of a text, or adds one variable to a service, and leaves every other byte as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lkdoctor.collect.config.nodes import YamlError, parse
from lkdoctor.dispatch.settings import Setting
from lkdoctor.wording import quoted

_BREAK: Final = re.compile(r"\r\n|\n|\r|\x85|\u2028|\u2029")
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*$")


@dataclass(frozen=True, slots=True)
class Edit:
    """A piece of a file's text (without its byte-order mark) that is replaced; `start` counts characters."""

    file: str
    start: int
    before: str
    after: str
    line: int

    def applied(self, text: str) -> str:
        """The text with it."""
        assert text.startswith(self.before, self.start)
        return text[: self.start] + self.after + text[self.start + len(self.before) :]


def change_value(text: str, at: Setting, value: str) -> Edit | None:
    """Write another value at the setting's place; None when the place does not hold the plain old value."""
    start = _place(text, at.line, at.column)
    if start is None or not at.value:
        return None
    for quote in ("", '"', "'"):
        if text.startswith(f"{quote}{at.value}{quote}", start):
            if quote == "'":
                new = value.replace("'", "''")
            else:
                new = value if _PLAIN.match(value) else quoted(value)[1:-1] if quote else quoted(value)
            end = start + len(quote) + len(at.value)
            if not quote and not re.match(r"[\s'\",}\]]|$", text[end : end + 1] or "\n"):
                return None
            return Edit(at.file, start + len(quote), at.value, new, at.line)
    return None


def add_variable(text: str, file: str, service: str, name: str, value: str) -> Edit | None:
    """Add a variable to the service's own `environment`, or make one; None where that cannot be done line by line."""
    try:
        node = parse(text, file).get("services", service)
    except YamlError:
        return None
    if node is None or not node.map or "environment" not in node.keys:
        return None if node is None else _new_block(text, file, node.line, node.column, name, value)
    environment = node.map["environment"]
    key_line, _ = node.keys["environment"]
    newline = _newline(text)
    if environment.line <= key_line or not environment.value:
        return None  # an alias, a flow map, or empty: by hand
    if isinstance(environment.value, list):
        first = environment.value[0]
        start = _place(text, first.line, 1)
        indent = _indent(text, start)
        line = f"{indent}- {name}={value}{newline}"
    else:
        start = _place(text, environment.line, 1)
        indent = _indent(text, start)
        line = f"{indent}{name}: {value if _PLAIN.match(value) else quoted(value)}{newline}"
    return None if start is None else Edit(file, start, "", line, environment.line)


def _new_block(text: str, file: str, line: int, column: int, name: str, value: str) -> Edit | None:
    start = _place(text, line, 1)
    if start is None or _indent(text, start) != " " * (column - 1):
        return None  # a flow map, or one that begins behind a `-`
    newline = _newline(text)
    indent = " " * (column - 1)
    told = value if _PLAIN.match(value) else quoted(value)
    return Edit(file, start, "", f"{indent}environment:{newline}{indent}  {name}: {told}{newline}", line)


def _newline(text: str) -> str:
    found = _BREAK.search(text)
    return found[0] if found is not None and found[0] in {"\r\n", "\n", "\r"} else "\n"


def _place(text: str, line: int, column: int) -> int | None:
    start = 0
    for _ in range(line - 1):
        found = _BREAK.search(text, start)
        if found is None:
            return None
        start = found.end()
    return start + column - 1 if start + column - 1 <= len(text) else None


def _indent(text: str, start: int | None) -> str:
    found = re.compile(r"[ ]*").match(text, start or 0)
    return found[0] if found is not None else ""
