"""Regular expressions that users write: what is wrong with one, and the fixed words that every match of it has.

A log is searched for fixed words, all of them at once; an expression is tried only where one of its words stands. So an
expression without any would have to be tried on every line, and is refused. So is one that can take for ever.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

LONGEST: Final = 600  # characters of a line that an expression is tried on
SHORTEST: Final = 3  # letters of a fixed word
_RARE: Final = 5  # letters
_MOST_REPEATS: Final = (
    2  # that have no end and may go on over what follows: each multiplies the time by the line's length
)
_PLAIN: Final = frozenset(map(chr, range(0x21, 0x7F))) - frozenset("\"\\'")  # the same in JSON and in plain text
_CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "CATEGORY_WORD": lambda letter: letter.isalnum() or letter == "_",
    "CATEGORY_NOT_WORD": lambda letter: not (letter.isalnum() or letter == "_"),
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_NOT_DIGIT": lambda letter: not letter.isdigit(),
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": lambda letter: not letter.isspace(),
}
_parser: Final[Any] = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")


def trouble(regex: str) -> str:
    """Why lkdoctor cannot use this expression, with what to do; empty when it can."""
    try:
        tree = _parser.parse(regex)
        re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    if tree.state.flags & re.IGNORECASE:
        return "ignores case, which is too slow for a log: write the letters as they stand in the line"
    if _nested(tree, inside=False):
        return "repeats a repetition, `(a+)+` or `(a|b)*`, which can take for ever on one line: write it without"
    if _wide(tree) > _MOST_REPEATS:
        return (
            f"has more than {_MOST_REPEATS} `.*` or the like, which is too slow for a log: keep the words, drop what may be "
            "anything"
        )
    if re.compile(regex).search("") is not None:
        return "matches an empty line: give it the words that the line always has"
    if not words(regex):
        return (
            f"has no fixed word of {SHORTEST} letters or more, so that it would have to be tried on every line of a log: add "
            "words that the line always has"
        )
    return ""


def words(regex: str) -> frozenset[str]:
    """Words of which each match has at least one, without blanks and quotes; empty when there are none.

    They are short where they can be: a line that a terminal broke is broken at its blanks.
    """
    found = _required(_parser.parse(regex))
    return found or frozenset()


def _required(tree: Iterable[Any]) -> frozenset[str] | None:
    """The best set of words for a sequence."""
    sets: list[frozenset[str]] = []
    run: list[str] = []

    def close() -> None:
        word = "".join(run)
        if len(word) >= SHORTEST:
            sets.append(frozenset({word}))
        run.clear()

    for kind, value in tree:
        name = str(kind)
        letter = chr(value) if name == "LITERAL" else ""
        if letter in _PLAIN and letter:
            run.append(letter)
            continue
        close()
        inner = _inner(name, value)
        if inner is not None:
            sets.append(inner)
    close()
    # The earliest that is rare enough: where a terminal broke the line, the first part has it.
    rare = next((one for one in sets if min(map(len, one)) >= _RARE), None)
    return rare or max(sets, key=lambda one: (min(map(len, one)), -len(one)), default=None)


def _inner(name: str, value: Any) -> frozenset[str] | None:
    if name == "SUBPATTERN":
        return _required(value[-1])
    if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        return _required(value[2]) if value[0] >= 1 else None
    if name == "ATOMIC_GROUP":
        return _required(value)
    if name == "BRANCH":
        parts = [_required(one) for one in value[1]]
        return frozenset().union(*(one for one in parts if one)) if all(parts) else None
    return None


def _children(name: str, value: Any) -> Sequence[Any]:
    if name == "SUBPATTERN":
        return [value[-1]]
    if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        return [value[2]]
    if name in {"ASSERT", "ASSERT_NOT"}:
        return [value[1]]
    if name == "BRANCH":
        return list(value[1])
    if name == "GROUPREF_EXISTS":
        return [one for one in value[1:] if one is not None]
    return [value] if name == "ATOMIC_GROUP" else []


def _open_ended(name: str, value: Any) -> bool:
    return name in {"MAX_REPEAT", "MIN_REPEAT"} and int(value[1]) > LONGEST // 10


def _nested(tree: Iterable[Any], *, inside: bool) -> bool:
    """Is there a repetition, or a choice, within one that has no end?"""
    for kind, value in tree:
        name = str(kind)
        ending = _open_ended(name, value)
        if inside and (ending or name in {"BRANCH", "GROUPREF"}):
            return True
        if any(_nested(one, inside=inside or ending) for one in _children(name, value)):
            return True
    return False


def _wide(tree: Iterable[Any]) -> int:
    """How many repetitions have no end and may go on over what stands behind them, so that each try is tried anew."""
    items = _flat(tree)
    found = 0
    for index, (name, value) in enumerate(items):
        if name == "BRANCH":
            found += max(_wide(one) for one in value[1])
        elif _open_ended(name, value) and index + 1 < len(items):  # the last one takes what is left
            after, letter = items[index + 1]
            found += after != "LITERAL" or _takes(value[2], chr(letter))
    return found


def _flat(tree: Iterable[Any]) -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for kind, value in tree:
        if str(kind) in {"SUBPATTERN", "ATOMIC_GROUP"}:
            items += _flat(value[-1] if str(kind) == "SUBPATTERN" else value)
        else:
            items.append((str(kind), value))
    return items


def _takes(body: Sequence[Any], letter: str) -> bool:
    """Can this body of a repetition go on with the letter? What is not a single letter or class counts as such."""
    if len(body) != 1:
        return True
    (kind, value) = body[0]
    name = str(kind)
    if name == "LITERAL":
        return chr(value) == letter
    if name != "IN":
        return True
    members = [(str(one), what) for one, what in value]
    hit = any(
        (one == "LITERAL" and chr(what) == letter)
        or (one == "RANGE" and what[0] <= ord(letter) <= what[1])
        or (one == "CATEGORY" and _CLASSES[str(what)](letter))
        for one, what in members
    )
    return hit != any(one == "NEGATE" for one, _ in members)
