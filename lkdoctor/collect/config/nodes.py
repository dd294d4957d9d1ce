"""Reads YAML as a tree whose every value knows its line and column; anchors, aliases and merge keys are followed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

_DEEPEST: Final = 100
_MOST_NODES: Final = 200_000


class YamlError(Exception):
    """Text that is no YAML; the message says where and why."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Node:
    """A value: a scalar's text, a list or a map. `line` and `column` count from 1 and are those of the value itself."""

    file: str
    line: int
    column: int
    value: str | list[Node] | dict[str, Node] | None  # None: null
    tag: str = ""  # `!reset`, `!override`
    quoted: bool = False
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)  # of a map: where each key stands

    @property
    def text(self) -> str | None:
        """The scalar's text; None for null, a list or a map."""
        return self.value if isinstance(self.value, str) else None

    @property
    def items(self) -> list[Node]:
        """The elements of a list; a scalar is a list of one, as Compose reads many keys."""
        if isinstance(self.value, list):
            return self.value
        return [] if self.value is None or isinstance(self.value, dict) else [self]

    @property
    def map(self) -> dict[str, Node]:
        """The entries of a map; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def get(self, *path: str) -> Node | None:
        """The value below, None when there is none."""
        found: Node | None = self
        for name in path:
            found = None if found is None else found.map.get(name)
        return found


def parse(text: str, file: str) -> Node:
    """The document as a tree; an empty one is an empty map.

    Raises:
        YamlError: it is no YAML, or built to exhaust whoever reads it.
    """
    import yaml  # noqa: PLC0415 - only when there is a file

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        problem = " ".join(str(error.problem or error.context or "not valid YAML").split())
        raise YamlError(problem, 0 if mark is None else mark.line + 1) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise YamlError(" ".join(str(error).split())[:200] or "nested too deeply") from None
    if root is None:
        return Node(file, 1, 1, {})
    return _Tree(file).node(root, 0)


class _Tree:
    """One document; a node that several aliases name is converted once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._done: dict[int, Node] = {}
        self._open: set[int] = set()
        self._merged = 0

    def node(self, raw: Any, depth: int) -> Node:
        known = self._done.get(id(raw))
        if known is not None:
            return known
        mark = raw.start_mark
        if depth > _DEEPEST or id(raw) in self._open or len(self._done) > _MOST_NODES:
            raise YamlError("nested too deeply, or an anchor that holds itself", mark.line + 1)
        self._open.add(id(raw))
        line, column = mark.line + 1, mark.column + 1
        tag = raw.tag if raw.tag.startswith("!") else ""
        if isinstance(raw.value, str):
            made = Node(self._file, line, column, self._scalar(raw), tag, raw.style in {"'", '"', "|", ">"})
        elif raw.id == "sequence":
            made = Node(self._file, line, column, [self.node(one, depth + 1) for one in raw.value], tag)
        else:
            made = self._mapping(raw, depth, line, column, tag)
        self._open.discard(id(raw))
        self._done[id(raw)] = made
        return made

    def _mapping(self, raw: Any, depth: int, line: int, column: int, tag: str) -> Node:
        own: dict[str, Node] = {}
        keys: dict[str, tuple[int, int]] = {}
        merged: list[Node] = []
        for key, value in raw.value:
            if key.value == "<<" and not key.style:
                found = self.node(value, depth + 1)
                merged += found.items or [found]
                continue
            name = key.value if isinstance(key.value, str) else str(key.value)
            own[name] = self.node(value, depth + 1)
            keys[name] = (key.start_mark.line + 1, key.start_mark.column + 1)
        self._merged += sum(len(other.map) for other in merged)
        if self._merged > _MOST_NODES:
            raise YamlError("merges too much", line)
        for other in merged:  # what stands here beats what is merged, and the first merged map the next
            for name, value in other.map.items():
                if name not in own:
                    own[name] = value
                    keys[name] = other.keys.get(name, (value.line, value.column))
        return Node(self._file, line, column, own, tag, keys=keys)

    @staticmethod
    def _scalar(raw: Any) -> str | None:
        """The text as it stands; null is None. Compose turns numbers and booleans into text as they were written."""
        text: str = raw.value
        return None if not raw.style and text in {"", "~", "null", "Null", "NULL"} else text


def boolean(node: Node | None) -> bool | None:
    """True or false where it says so."""
    text = None if node is None else (node.text or "").lower()
    return {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}.get(text or "")


def number(text: str | None) -> float | None:
    """The number, None when it is none."""
    return float(text) if text and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) else None
