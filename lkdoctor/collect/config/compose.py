"""Resolves Compose files as `docker compose config` does, without running it: override files, include, extends, variables.

The result keeps the place of every value. What the files do not settle (a variable that only the shell sets) stays open,
with the variable's name. Checked against Compose's own resolver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lkdoctor.collect.config.env_files import Variable, lookup_in, read_variables
from lkdoctor.collect.config.files import Files, beside, join
from lkdoctor.collect.config.forms import wrong_forms
from lkdoctor.collect.config.interpolation import Lookup, interpolate
from lkdoctor.collect.config.nodes import Node, YamlError, parse

DEFAULTS: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES: Final = ("compose.override.yaml", "compose.override.yml")
_REPLACED: Final = frozenset({"command", "entrypoint", "test"})
_AS_MAP: Final = frozenset({"environment", "labels", "args", "extra_hosts", "sysctls", "annotations", "depends_on"})
UNREADABLE: Final = (
    "is referred to and cannot be read",
    "is not valid YAML",
    "is refused by Compose",
)  # how notes on lost files begin
_DEEPEST: Final = 20
_MOST_FILES: Final = 50


@dataclass(slots=True)
class Resolved:
    """The services of a project, each with its place in the first file that has it, and what went wrong on the way."""

    services: dict[str, Node] = field(default_factory=dict)
    places: dict[str, tuple[str, int, int]] = field(
        default_factory=dict
    )  # service -> file, line and column of its name
    notes: list[tuple[str, int, str]] = field(default_factory=list)  # file, line, sentence
    folders: dict[str, str] = field(default_factory=dict)  # file -> folder that its relative paths start at
    missing: dict[int, tuple[str, ...]] = field(default_factory=dict)  # id of a node -> variables that it lacks
    included: int = 0
    kept: list[Node] = field(default_factory=list)  # so that ids stay those of living nodes

    def open_of(self, node: Node) -> tuple[str, ...]:
        """The variables that a value depends on and that are set nowhere in view."""
        return self.missing.get(id(node), ())


def override_of(name: str) -> tuple[str, ...]:
    """The files that Compose reads after a default file, without being told."""
    base = name.rpartition("/")[2]
    if base.startswith("docker-"):
        return tuple(beside(name, f"docker-{one}") for one in reversed(_OVERRIDES))
    return tuple(beside(name, one) for one in _OVERRIDES)


def resolve(names: Sequence[str], files: Files, environ: Mapping[str, str]) -> Resolved:
    """Read `names` as `docker compose -f A -f B` would, with the `.env` beside the first one."""
    resolved = Resolved()
    folder = names[0].rpartition("/")[0]
    variables = _dotenv(join(folder, ".env") if folder else ".env", files, environ)
    _Loader(files, resolved, lookup_in(environ, variables)).load(names, folder, 0)
    return resolved


def _dotenv(name: str, files: Files, environ: Mapping[str, str]) -> dict[str, Variable]:
    text = files.read(name)
    return {} if text is None else read_variables(text, name, lookup_in(environ))


class _Loader:
    """One environment's files: those of the project, or those of one `include`."""

    def __init__(self, files: Files, resolved: Resolved, lookup: Lookup) -> None:
        self._files = files
        self._resolved = resolved
        self._lookup = lookup
        self._documents: dict[str, Node] = {}
        # A small file can name a tree so often by aliases that walking it never ends: each node is done once.
        self._done: dict[tuple[int, bool], Node] = {}
        self._joined: dict[tuple[int, int, str], Node] = {}

    def load(self, names: Sequence[str], folder: str, depth: int) -> None:
        merged: dict[str, Node] = {}
        for name in names:
            document = self._document(name, folder)
            for node, told in wrong_forms(document):
                self._note(node.file, node.line, f"{UNREADABLE[2]}: {told}")
            for one in (document.get("include") or Node(name, 0, 0, [])).items:
                self._include(one, name, depth)
            block = document.get("services") or Node(name, 0, 0, {})
            for service, node in block.map.items():
                self._resolved.places.setdefault(service, (name, *block.keys.get(service, (node.line, node.column))))
                base = self._extended(service, node, name, depth)
                merged[service] = base if service not in merged else self._merge(merged[service], base)
        for service, node in merged.items():
            known = self._resolved.services.get(service)
            self._resolved.services[service] = node if known is None else self._merge(known, node)

    def _note(self, file: str, line: int, words: str) -> None:
        if (file, line, words) not in self._resolved.notes:
            self._resolved.notes.append((file, line, words))

    def _document(self, name: str, folder: str) -> Node:
        if name in self._documents:
            return self._documents[name]
        empty = Node(name, 1, 1, {})
        self._resolved.folders.setdefault(name, folder)
        text = self._files.read(name)
        if text is None:
            self._note(name, 0, UNREADABLE[0])
            return empty
        if len(self._resolved.folders) > _MOST_FILES:
            self._note(name, 0, f"more than {_MOST_FILES} Compose files; the rest is not read")
            return empty
        try:
            raw = parse(text, name)
        except YamlError as error:
            self._note(name, error.line, f"{UNREADABLE[1]}: {error}")
            return empty
        self._documents[name] = self._with_variables(raw, top=True)
        return self._documents[name]

    def _with_variables(self, node: Node, *, top: bool = False, as_map: bool = False) -> Node:
        """The tree with its variables put in, and lists of `NAME=value` as maps."""
        given = node
        known = self._done.get((id(given), as_map))
        if known is not None:
            return known
        node = _as_map(node) if as_map else node
        if isinstance(node.value, str):
            made = interpolate(node.value, self._lookup)
            if made.wrong:
                self._note(node.file, node.line, f"this line cannot be used: {made.wrong}")
            out = replace(node, value=made.text) if made.text != node.value or made.missing else node
            if made.missing or made.wrong:
                out = replace(out) if out is node else out
                self._resolved.missing[id(out)] = made.missing or ("?",)
        elif isinstance(node.value, list):
            out = replace(node, value=[self._with_variables(one) for one in node.value])
        elif isinstance(node.value, dict):
            entries = {
                name: self._with_variables(value, as_map=name in _AS_MAP)
                for name, value in node.value.items()
                if not (top and name.startswith("x-"))
            }
            out = replace(node, value=entries)
        else:
            out = node
        self._resolved.kept += [given, out]
        self._done[id(given), as_map] = out
        return out

    def _include(self, node: Node, file: str, depth: int) -> None:
        self._resolved.included += 1
        if depth > _DEEPEST or self._resolved.included > _MOST_FILES:
            self._note(file, node.line, "includes are nested too deeply, or too many; the rest is not read")
            return
        paths = [node] if node.text is not None else (node.get("path") or Node(file, 0, 0, [])).items
        names = [beside(file, one.text) for one in paths if one.text and not self._resolved.open_of(one)]
        if len(names) < len(paths) or not names:
            self._note(file, node.line, "an include whose path is not known is left out")
            return
        chosen = node.get("project_directory")
        folder = beside(file, chosen.text) if chosen is not None and chosen.text else names[0].rpartition("/")[0]
        given = [beside(file, one.text) for one in (node.get("env_file") or Node(file, 0, 0, [])).items if one.text]
        own: dict[str, Variable] = {}
        for name in given or [join(folder, ".env") if folder else ".env"]:
            text = self._files.read(name)
            own |= {} if text is None else read_variables(text, name, self._lookup)
        outer, inner = self._lookup, lookup_in(own)

        def lookup(name: str) -> str | None:
            value = outer(name)  # the including project's environment wins
            return inner(name) if value is None else value

        _Loader(self._files, self._resolved, lookup).load(names, folder, depth + 1)

    def _extended(
        self, service: str, node: Node, file: str, depth: int, trail: tuple[tuple[str, str], ...] = ()
    ) -> Node:
        """The service with what it extends put under it."""
        wish = node.get("extends")
        if wish is None:
            return node
        other = wish.text or (wish.get("service") or wish).text or ""
        named = wish.get("file")
        source = beside(file, named.text) if named is not None and named.text else file
        if not other or (source, other) in trail or len(trail) > _DEEPEST or self._resolved.open_of(wish):
            self._note(file, wish.line, f"service {service} extends what is not known, or itself")
            return node
        folder = self._resolved.folders.get(file, "") if source == file else source.rpartition("/")[0]
        base = self._document(source, folder).get("services", other)
        if base is None:
            self._note(file, wish.line, f"service {service} extends {other}, which {source} does not have")
            return node
        base = self._extended(other, base, source, depth, (*trail, (file, service)))
        own = replace(node, value={key: one for key, one in node.map.items() if key != "extends"})
        return self._merge(base, own)

    def _merge(self, base: Node, over: Node, name: str = "") -> Node:
        """`over` on top of `base`, by Compose's rules for one key."""
        known = self._joined.get((id(base), id(over), name))
        if known is None:
            known = self._joined[id(base), id(over), name] = self._joined_anew(base, over, name)
            self._resolved.kept += [base, over]
        return known

    def _joined_anew(self, base: Node, over: Node, name: str) -> Node:
        if over.tag == "!reset":
            return replace(over, value=None)
        if over.tag == "!override" or name in _REPLACED:
            return over
        if isinstance(base.value, dict) and isinstance(over.value, dict):
            both = dict(base.value)
            for key, value in over.value.items():
                both[key] = self._merge(both[key], value, key) if key in both else value
            made = replace(base, value=both, keys={**base.keys, **over.keys})
        elif isinstance(base.value, list) and isinstance(over.value, list):
            made = replace(over, value=[*base.value, *over.value])
        elif name == "env_file" and base.value is not None and over.value is not None:
            made = replace(over, value=[*base.items, *over.items])
        else:
            return over
        self._resolved.kept.append(made)
        return made


def _as_map(node: Node) -> Node:
    """A list of `NAME=value` as a map; each value keeps the place behind its `=`."""
    if not isinstance(node.value, list):
        return node
    entries: dict[str, Node] = {}
    keys: dict[str, tuple[int, int]] = {}
    for one in node.value:
        if one.text is None:
            continue
        name, given, value = one.text.partition("=")
        name = re.sub(r"\s+$", "", name)
        column = one.column + (len(name) + 1 if given else 0) + (1 if one.quoted else 0)
        entries[name] = replace(one, value=value if given else None, column=column)
        keys[name] = (one.line, one.column)
    return replace(node, value=entries, keys=keys)
