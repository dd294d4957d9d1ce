"""Reads what a worker's program says of itself: agent name (or the variable it comes from), job type, load, threshold.

Python is read by its own grammar and never run; Node's options are found by their form. What a program computes is not
known. Keywords are those of livekit-agents 0.12 to 1.8 and @livekit/agents 1.9.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_PYTHON_CALLS: Final = frozenset({"WorkerOptions", "ServerOptions", "AgentServer", "rtc_session"})
_PYTHON_KEYS: Final = {
    "agent_name": "agent_name",
    "load_fnc": "load",
    "load_threshold": "load_threshold",
    "port": "port",
    "type": "type",
    "worker_type": "type",
    "ws_url": "url",
}
_PYTHON_OWN: Final = frozenset({"agent_name", "load_fnc", "load_threshold", "ws_url"})  # no other object has these
_LATER: Final = "set later by the program"
_NODE_HEAD: Final = re.compile(r"new\s+(?:\w+\.)?(?:ServerOptions|WorkerOptions)\s*\(\s*\{")
_NODE_KEYS: Final = {
    "agentName": "agent_name",
    "loadFunc": "load",
    "loadThreshold": "load_threshold",
    "port": "port",
    "serverType": "type",
    "workerType": "type",
    "wsURL": "url",
}
_NODE_LATER: Final = re.compile(r"(?<!this)\.(agentName|loadFunc|loadThreshold|wsURL)\s*=(?![=>])")
_TYPES: Final = {"ROOM": "JT_ROOM", "PUBLISHER": "JT_PUBLISHER", "PARTICIPANT": "JT_PARTICIPANT"}
_NODE_ENV: Final = re.compile(
    r"process\.env(?:\.(?P<name>\w+)|\[\s*['\"](?P<quoted>\w+)['\"]\s*\])\s*(?P<or>\|\||\?\?)?\s*"
    r"(?:['\"`](?P<default>[^'\"`$]*)['\"`])?\s*!?$"
)


@dataclass(frozen=True, slots=True)
class Said:
    """One option of the program. `variable`: the environment variable that it is read from, `value` then its default."""

    key: str  # agent_name, load, load_threshold, port, type, url
    value: str | None  # None: not known
    line: int
    column: int
    variable: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A file that starts a worker."""

    sdk: str  # python, node
    said: tuple[Said, ...]
    line: int

    def get(self, key: str) -> Said | None:
        """What it says of one option; None when it says nothing."""
        return next((one for one in reversed(self.said) if one.key == key), None)


def read_program(text: str, name: str) -> Program | None:
    """What the program says; None when it starts no worker."""
    if name.endswith(".py"):
        return _python(text)
    return _node(text) if name.endswith((".js", ".ts", ".mjs", ".cjs", ".mts", ".cts")) else None


def _python(text: str) -> Program | None:
    if not any(call in text for call in _PYTHON_CALLS):
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    constants = _constants(tree)
    said: list[Said] = []
    first = 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _called(node.func) not in _PYTHON_CALLS:
            if isinstance(node, ast.Attribute) and node.attr == "rtc_session":
                first = first or node.lineno
            continue
        first = first or node.lineno
        for keyword in node.keywords:
            if keyword.arg is None:  # **options: anything may be in there
                said.append(Said("agent_name", None, node.lineno, node.col_offset + 1, why="**options"))
            elif keyword.arg in _PYTHON_KEYS:
                said.append(_python_value(_PYTHON_KEYS[keyword.arg], keyword.value, constants))
    return Program("python", _with_later(said, _set_later(tree)), first) if first else None


def _with_later(said: Iterable[Said], later: Iterable[Said]) -> tuple[Said, ...]:
    """What is set later hides what was said when the object was made, and the variable that it came from."""
    found = list(later)
    hidden = {one.key for one in found}
    return (*(one for one in said if one.key not in hidden), *found)


def _set_later(tree: ast.Module) -> Iterator[Said]:
    """Options that are stored into their object once it is made (`opts.agent_name = …`): when and whether is not known."""
    made = {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if _called(node.value.func) in _PYTHON_CALLS
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            owner = ast.unparse(node.value)
            if node.attr in _PYTHON_KEYS and (owner in made or (node.attr in _PYTHON_OWN and owner != "self")):
                yield Said(_PYTHON_KEYS[node.attr], None, node.lineno, node.col_offset + 1, why=_LATER)
        elif isinstance(node, ast.Call) and _called(node.func) == "setattr" and len(node.args) > 1:
            key = _literal(node.args[1])
            if ast.unparse(node.args[0]) in made or key in _PYTHON_OWN:
                for each in _PYTHON_KEYS if key is None else {key} & set(_PYTHON_KEYS):
                    yield Said(_PYTHON_KEYS[each], None, node.lineno, node.col_offset + 1, why=_LATER)
        elif isinstance(node, ast.Call) and _called(node.func) == "replace":  # dataclasses.replace(opts, agent_name=…)
            for keyword in node.keywords:
                if keyword.arg in _PYTHON_OWN:
                    yield Said(_PYTHON_KEYS[keyword.arg], None, node.lineno, node.col_offset + 1, why=_LATER)


def _called(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the module gives one value to, at its top, once in the whole file."""
    stored = [one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
    found: dict[str, ast.expr] = {}
    for one in tree.body:
        target = one.targets[0] if isinstance(one, ast.Assign) and len(one.targets) == 1 else None
        if isinstance(one, ast.AnnAssign):
            target = one.target
        value = one.value if isinstance(one, (ast.Assign, ast.AnnAssign)) else None
        if isinstance(target, ast.Name) and value is not None and stored.count(target.id) == 1:
            found[target.id] = value
    return found


def _python_value(key: str, node: ast.expr, constants: dict[str, ast.expr]) -> Said:
    line, column = node.lineno, node.col_offset + 1
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
        line, column = node.lineno, node.col_offset + 1
    if key == "type":
        word = _TYPES.get(node.attr) if isinstance(node, ast.Attribute) else None
        return Said(key, word, line, column, why="" if word else ast.unparse(node)[:60])
    if key == "load":
        body = node.body if isinstance(node, ast.Lambda) else None
        constant = body.value if isinstance(body, ast.Constant) else None
        fixed = str(constant) if isinstance(constant, (int, float)) and not isinstance(constant, bool) else None
        return Said(key, fixed, line, column, why="" if fixed else "a function of the program")
    variable, node_or_none = _from_environment(node)
    if variable:
        default = _literal(node_or_none)
        known = node_or_none is None or default is not None
        return Said(
            key, default or ("" if known else None), line, column, variable, "" if known else "a computed default"
        )
    value = _literal(node)
    return Said(key, value, line, column, why="" if value is not None else "computed by the program")


def _literal(node: ast.expr | None) -> str | None:
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (str, int, float))
        and not isinstance(node.value, bool)
    ):
        return str(node.value)
    infinite = isinstance(node, ast.Attribute) and ast.unparse(node) in {"math.inf", "np.inf"}
    called = isinstance(node, ast.Call) and ast.unparse(node).replace('"', "'") == "float('inf')"
    return "inf" if infinite or called else None


def _from_environment(node: ast.expr) -> tuple[str, ast.expr | None]:
    """`os.environ["X"]`, `os.environ.get("X", d)`, `os.getenv("X", d)`, any of them `or d`: the variable, the default."""
    default: ast.expr | None = None
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) and len(node.values) == 2:
        node, default = node.values
    words = ast.unparse(
        node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Subscript) else node
    )
    if isinstance(node, ast.Call) and words in {"os.getenv", "os.environ.get", "getenv", "environ.get"} and node.args:
        name = _literal(node.args[0])
        given = node.args[1] if len(node.args) > 1 else next((one.value for one in node.keywords), None)
        return name or "", default if default is not None else given
    if isinstance(node, ast.Subscript) and words in {"os.environ", "environ"}:
        return _literal(node.slice) or "", default
    return "", None


def _node(text: str) -> Program | None:
    head = _NODE_HEAD.search(text)
    if head is None:
        return None
    body = _balanced(text, head.end() - 1)
    said = [_node_value(text, key, start, expression) for key, start, expression in _entries(text, head.end(), body)]
    later = [
        Said(
            _NODE_KEYS[one[1]],
            None,
            text.count("\n", 0, one.start()) + 1,
            one.start() - text.rfind("\n", 0, one.start()),
            why=_LATER,
        )
        for one in _NODE_LATER.finditer(text)
    ]
    made = [one for one in said if one is not None]
    return Program("node", _with_later(made, later), text.count("\n", 0, head.start()) + 1)


def _balanced(text: str, at: int) -> int:
    """The place of the bracket that closes the one at `at`; the end of the text when none does."""
    level = 0
    quote = ""
    place = at
    while place < len(text):
        letter = text[place]
        if quote:
            if letter == "\\":
                place += 1
            elif letter == quote:
                quote = ""
        elif letter in "'\"`":
            quote = letter
        elif text.startswith("//", place):
            place = text.find("\n", place)
            if place < 0:
                break
        elif letter in "([{":
            level += 1
        elif letter in ")]}":
            level -= 1
            if level == 0:
                return place
        place += 1
    return len(text)


def _entries(text: str, start: int, end: int) -> Iterator[tuple[str, int, str]]:
    """Key, place of the value, and the value's text, for each entry of the object literal between these places."""
    place = start
    while place < end:
        found = re.compile(r"[\s,]*(?://[^\n]*\n\s*)*(?:async\s+)?(\.\.\.)?['\"]?([\w$]+)['\"]?").match(
            text, place, end
        )
        if found is None:
            return
        place = found.end()
        stop = place
        while stop < end and text[stop] != ",":
            stop = _balanced(text, stop) + 1 if text[stop] in "([{" else _after_quote(text, stop, end)
        inner = text[place:stop]
        if found[1]:
            yield "...", found.start(2), found[2]
        elif inner.lstrip().startswith(":"):
            value = inner.lstrip()[1:]
            shift = len(inner) - len(inner.lstrip()) + 1
            yield found[2], place + shift + len(value) - len(value.lstrip()), value.strip()
        else:
            yield found[2], found.start(2), found[2] if not inner.strip() else inner.strip()
        place = stop + 1


def _after_quote(text: str, place: int, end: int) -> int:
    """The next place; behind the string that begins here."""
    quote = text[place]
    if quote not in "'\"`":
        return place + 1
    place += 1
    while place < end and text[place] != quote:
        place += 2 if text[place] == "\\" else 1
    return place + 1


def _node_value(text: str, key: str, start: int, expression: str) -> Said | None:
    line = text.count("\n", 0, start) + 1
    column = start - text.rfind("\n", 0, start)
    if key == "...":
        return Said("agent_name", None, line, column, why="...options")
    if key not in _NODE_KEYS:
        return None
    name = _NODE_KEYS[key]
    if re.fullmatch(r"[A-Za-z_$][\w$]*", expression):  # a constant of the module, given one value
        found = re.findall(rf"(?:const|let|var)\s+{re.escape(expression)}(?:\s*:\s*\w+)?\s*=\s*([^;\n]+)", text)
        again = re.findall(rf"(?<![\w.$]){re.escape(expression)}\s*=[^=]", text)
        if len(found) == 1 and len(again) <= 1 and f"const {expression}" in text:
            expression = found[0].strip()
    if name == "type":
        word = _TYPES.get(expression.rpartition("JT_")[2])
        return Said(name, word, line, column, why="" if word else expression[:60])
    if name == "load":
        fixed = re.fullmatch(
            r"(?:async\s*)?\(\s*\w*(?:\s*:\s*\w+)?\s*\)\s*(?::[^=]+)?=>\s*(-?\d+(?:\.\d+)?)", expression
        )
        return Said(name, fixed[1] if fixed else None, line, column, why="" if fixed else "a function of the program")
    environment = _NODE_ENV.match(expression)
    if environment:
        variable = environment["name"] or environment["quoted"]
        known = not environment["or"] or environment["default"] is not None
        default = environment["default"] or ""
        return Said(name, default if known else None, line, column, variable, "" if known else "a computed default")
    quoted = re.fullmatch(r"(['\"`])([^'\"`$\\]*)\1", expression)
    plain = quoted[2] if quoted else expression if re.fullmatch(r"-?\d+(\.\d+)?", expression) else None
    value = "inf" if expression in {"Infinity", "Number.POSITIVE_INFINITY"} else plain
    return Said(name, value, line, column, why="" if value is not None else "computed by the program")
