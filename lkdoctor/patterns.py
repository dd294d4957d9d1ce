"""Regular expressions that users write: what is wrong with one, and the fixed words that every match of it has.

A log is searched for fixed words, all of them at once; an expression is tried only where one of its words stands. So an
expression without any would have to be tried on every line, and is refused. So is one that can take for ever.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, Final, TypeAlias

LONGEST: Final = 600  # characters of a line that an expression is tried on
SHORTEST: Final = 3  # letters of a fixed word
_RARE: Final = 5  # letters
_MOST_REPEATS: Final = 2  # that have no end and may go on over what follows
_MOST_WAYS: Final = (LONGEST + 1) ** _MOST_REPEATS  # in which one expression may be tried from one letter on
_DOUBLED: Final = _MOST_WAYS.bit_length()  # rounds after which even two ways have become too many
_LONG: Final = LONGEST // 10  # rounds
_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_LETTERS: Final = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})
_Node: TypeAlias = "tuple[str, Any]"  # of a parsed expression: what it is, and its parts
_ANYTHING: Final[_Node] = ("ANY", None)
_SAMPLE: Final = tuple(map(chr, (*range(0x250), 0x416, 0x4E2D, 0x2713, 0x1F600)))  # letters of each class
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
    try:
        ways = _ways(tree)
    except _NestedError:
        return "repeats a repetition, `(a+)+` or `(a|ab)*`, which can take for ever on one line: write it without"
    if ways > _MOST_WAYS:
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
    if name in _REPEATS:
        return _required(value[2]) if value[0] >= 1 else None
    if name == "ATOMIC_GROUP":
        return _required(value)
    if name == "BRANCH":
        parts = [_required(one) for one in value[1]]
        return frozenset().union(*(one for one in parts if one)) if all(parts) else None
    return None


class _NestedError(Exception):
    """A repetition of what can itself be read in several ways, which multiply with each round."""


def _ways(tree: Iterable[Any], follow: Sequence[_Node] = ()) -> int:
    """In how many ways this can be tried on a line from one letter on, before it fails; just above the most, it ends counting.

    `follow`: with what may begin what stands behind; without any, the last repetition takes what is left, and is never tried
    anew.

    Raises:
        _NestedError: they multiply with each round of a repetition.
    """
    items = _flat(tree)
    found, loose = 1, False
    for index, (name, value) in enumerate(items):
        after = _firsts(items[index + 1 :], follow)
        if name == "LITERAL":
            loose = False
        elif name in _REPEATS:
            here = _repeated(name, value, after)
            if here == 1 and loose and after and int(value[1]) > _LONG:
                here = LONGEST  # without a choice of its own, it is walked anew for each of the one before it
            loose = loose or here > 1
            found *= here
        elif name == "BRANCH":
            every = [_ways(one, after) for one in value[1]]
            begin = [_firsts(_flat(one), after) for one in value[1]]
            found *= max(every) if all(_apart(*two) for two in combinations(begin, 2)) else sum(every)
        elif name == "GROUPREF_EXISTS":
            found *= sum(_ways(one, after) for one in value[1:] if one is not None) + 1
        elif name in {"ASSERT", "ASSERT_NOT"}:
            found *= _ways(value[1])
        if found > _MOST_WAYS:
            return _MOST_WAYS + 1
    return found


def _repeated(name: str, value: Any, after: Sequence[_Node]) -> int:
    least, most, body = min(int(value[0]), LONGEST), min(int(value[1]), LONGEST), value[2]
    begin = _firsts(_flat(body), ())
    ways = _ways(body, (*begin, *after) if most > 1 else after)
    if ways == 1:
        # Where the next letter tells whether it goes on, there is no choice.
        return 1 if name == "POSSESSIVE_REPEAT" or _apart(begin, after) else most - least + 1
    found = _MOST_WAYS + 1 if most > _DOUBLED else sum(ways**one for one in range(least, most + 1))
    if most > 1 and found > _MOST_WAYS:
        raise _NestedError
    return found


def _firsts(items: Sequence[_Node], follow: Sequence[_Node]) -> list[_Node]:
    """The letters and classes with which this, or where it can be empty what follows, may begin."""
    found: list[_Node] = []
    for name, value in items:
        if name in _LETTERS:
            return [*found, (name, value)]
        if name in _REPEATS:
            found += _firsts(_flat(value[2]), ())
            if value[0] and not _empty(value[2]):
                return found
        elif name == "BRANCH":
            for one in value[1]:
                found += _firsts(_flat(one), ())
            if not any(_empty(one) for one in value[1]):
                return found
        elif name not in {"AT", "ASSERT", "ASSERT_NOT"}:
            return [*found, _ANYTHING]
    return [*found, *follow]


def _empty(tree: Iterable[Any]) -> bool:
    """May it match without a letter?"""
    return not any(
        name in _LETTERS
        or (name in _REPEATS and value[0] and not _empty(value[2]))
        or (name == "BRANCH" and not any(_empty(one) for one in value[1]))
        for name, value in _flat(tree)
    )


def _apart(some: Sequence[_Node], others: Sequence[_Node]) -> bool:
    """Is there no letter that one of each takes?"""
    named = {chr(value) for name, value in (*some, *others) if name == "LITERAL"}
    return not any(
        any(_takes(one, letter) for one in some) and any(_takes(one, letter) for one in others)
        for letter in (*_SAMPLE, *named)
    )


def _flat(tree: Iterable[Any]) -> list[_Node]:
    items: list[_Node] = []
    for kind, value in tree:
        if str(kind) in {"SUBPATTERN", "ATOMIC_GROUP"}:
            items += _flat(value[-1] if str(kind) == "SUBPATTERN" else value)
        else:
            items.append((str(kind), value))
    return items


def _takes(node: _Node, letter: str) -> bool:
    """Does this letter or class take the letter?"""
    name, value = node
    if name in {"LITERAL", "NOT_LITERAL"}:
        return (chr(value) == letter) == (name == "LITERAL")
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
