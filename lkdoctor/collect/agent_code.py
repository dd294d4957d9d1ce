"""Reads an agent's Python program for what cannot work as it looks; it is parsed, never run.

The names are those of livekit-agents 1.2 to 1.8: an `Agent` has four hooks, and a job's `wait_for_participant` takes people
only unless it is told a kind. A program that is no Python, or uses no livekit-agents, tells nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from lkdoctor.collect.gathered import Gathered
from lkdoctor.dispatch.agent_code import CodeTrap, Trap
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.redact import mask

HOOKS: Final = frozenset({"on_enter", "on_exit", "on_user_turn_completed", "on_user_turn_exceeded"})
_AGENTS: Final = frozenset({"Agent", "AgentTask"})
# What makes a file's name one job's own: its id, its process, the moment.
_UNIQUE: Final = ("id", "pid", "uuid", "time", "date", "now", "identity", "token_hex", "mkstemp", "tempfile", "stamp")
# Calls that look an attribute up by a text, and which argument that is; or that list all attributes of an object.
_LOOKUPS: Final = {
    "getattr": 1,
    "methodcaller": 0,
    "attrgetter": 0,
    "__getattribute__": 0,
    "getmembers": 0,
    "dir": 0,
}
_LONGEST: Final = 160


def read_code(text: str, name: str, gathered: Gathered, *, read_at: float | None = None) -> None:  # noqa: ARG001
    """Add what the program `name` has of traps to `gathered`, and a note on it."""
    note = SourceNote(name, "agent_code", lines=text.count("\n") + 1, bytes=len(text.encode()))
    gathered.notes.append(note)
    if "livekit" not in text:
        note.unusable = "a program that uses no livekit package; nothing in it is looked at"
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        note.unusable = f"no Python that this lkdoctor can parse: {mask(str(error))[:120]}"
        return
    lines = text.splitlines()
    hears = any(isinstance(one, ast.Attribute) and one.attr == "PARTICIPANT_KIND_AGENT" for one in ast.walk(tree))
    for trap, line, what, owner in (*_dead_hooks(tree), *_waits(tree), *_overwritten(tree)):
        shown = mask(lines[line - 1].strip()[:_LONGEST]) if line <= len(lines) else ""
        place = Place(name, path=f"{line}")
        found = CodeTrap(
            place=place,
            trap=trap,
            file=name,
            line=line,
            name=what,
            owner=owner,
            text=shown,
            hears_agents=hears,
        )
        gathered.quote(place, shown, line)
        gathered.add(found)


Found = tuple[Trap, int, str, str]


def _dead_hooks(tree: ast.Module) -> Iterator[Found]:
    classes = {one.name: one for one in ast.walk(tree) if isinstance(one, ast.ClassDef)}
    used = _names_used(tree)
    if _calls_by_computed_names(tree):
        return  # `getattr(agent, "on_" + name)()` may call every one of them
    for one in classes.values():
        if not _is_agent(one, classes, frozenset()):
            continue
        for method in one.body:
            if not isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) or not method.name.startswith("on_"):
                continue
            # A decorator may register it, and whatever else names it may call it.
            if method.name not in HOOKS and not method.decorator_list and method.name not in used:
                yield "dead-hook", method.lineno, method.name, one.name


def _is_agent(one: ast.ClassDef, classes: dict[str, ast.ClassDef], seen: frozenset[str]) -> bool:
    """Is it an Agent, by all its bases? Another base (a mixin) may call what the SDK does not."""
    if not one.bases or one.name in seen:
        return False
    for base in one.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base  # Agent[State]
        name = plain.attr if isinstance(plain, ast.Attribute) else plain.id if isinstance(plain, ast.Name) else ""
        inner = classes.get(name)
        if inner is not None and inner is not one:
            if not _is_agent(inner, classes, seen | {one.name}):
                return False
        elif name not in _AGENTS:
            return False
    return True


def _names_used(tree: ast.Module) -> frozenset[str]:
    """Everything that could call or name a method: attributes that are read, and texts (getattr, event names)."""
    found = {one.attr for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
    found |= {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return frozenset(found)


def _calls_by_computed_names(tree: ast.Module) -> bool:
    """Does the program look attributes up by names that it makes, or list what an object has?"""
    for one in ast.walk(tree):
        if not isinstance(one, ast.Call):
            continue
        name = one.func.attr if isinstance(one.func, ast.Attribute) else getattr(one.func, "id", "")
        at = _LOOKUPS.get(name)
        if at is not None and not all(isinstance(each, ast.Constant) for each in one.args[at : at + 1]):
            return True
    return False


def _waits(tree: ast.Module) -> Iterator[Found]:
    for owner, one in _calls(tree):
        function = one.func
        if not isinstance(function, ast.Attribute) or function.attr != "wait_for_participant":
            continue
        # `utils.wait_for_participant(room)` takes every kind; the job's own method has no positional arguments.
        of_module = isinstance(function.value, ast.Name) and function.value.id in {"utils", "agents"}
        if not one.args and not of_module and not any(word.arg in ("kind", None) for word in one.keywords):
            yield "waits-for-person", one.lineno, "wait_for_participant", owner


def _overwritten(tree: ast.Module) -> Iterator[Found]:
    assigned = {
        target.id: one.value
        for one in ast.walk(tree)
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name)
    }
    for owner, one in _calls(tree):
        name = one.func.attr if isinstance(one.func, ast.Attribute) else getattr(one.func, "id", "")
        words = {word.arg: word.value for word in one.keywords}
        if name == "FileHandler":
            path = one.args[0] if one.args else words.get("filename")
            mode = one.args[1] if len(one.args) > 1 else words.get("mode")
        elif name == "basicConfig":
            path, mode = words.get("filename"), words.get("filemode")
        else:
            continue
        writes = isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value.startswith("w")
        if path is not None and writes and not _own_file(path, assigned):
            yield "log-overwritten", one.lineno, ast.unparse(path)[:80], owner


def _own_file(path: ast.expr, assigned: dict[str, ast.expr], depth: int = 3) -> bool:
    """Does the name hold something of the one job or process? A name that is handed in from elsewhere may."""
    if isinstance(path, ast.Name):
        value = assigned.get(path.id)
        return value is None or depth == 0 or _own_file(value, assigned, depth - 1)
    words = [
        one.attr if isinstance(one, ast.Attribute) else one.id if isinstance(one, ast.Name) else ""
        for one in ast.walk(path)
    ]
    if any(unique in word.lower().split("_") or unique in word.lower() for word in words if word for unique in _UNIQUE):
        return True
    inner = [one for one in ast.walk(path) if isinstance(one, ast.Name) and one.id in assigned and one is not path]
    return depth > 0 and any(_own_file(assigned[one.id], assigned, depth - 1) for one in inner)


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the function or class that it stands in."""
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        owner, node = waiting.pop()
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue  # no job's process runs it
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            owner = node.name
        if isinstance(node, ast.Call):
            yield owner, node
        waiting += [(owner, child) for child in ast.iter_child_nodes(node)]
