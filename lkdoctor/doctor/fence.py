"""The fence around other people's checks: what they raise, print, take long for, change or yield stays with them.

It holds against mistakes, not against malice: a package that is installed runs with the rights of whoever runs lkdoctor.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any, Final

from lkdoctor.dispatch.facts import Place
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Inconclusive, Severity, Subject

SECONDS: Final = 30.0  # of wall time that a check, or the import of a package, may take
MOST: Final = 10_000  # findings of one check
DEEPEST: Final = 20  # values within values
LONGEST: Final = 10_000  # characters of one text
#: What a fence catches: also `sys.exit()`, which is no Exception. Ctrl-C goes through.
FENCED: Final = (Exception, SystemExit)

_PREFIX: Final = re.compile(r"[A-Z]{2,12}")
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


class TooSlowError(Exception):
    """Other people's code took longer than it may."""


class _TooSlow(BaseException):  # no Exception, so that an `except Exception` in that code lets it through
    """Raised inside of the code that takes too long."""


class _Aside(io.TextIOBase):
    """A stdout that goes to stderr, and that nobody can close."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def close(self) -> None:
        pass


@contextlib.contextmanager
def fenced(other: bool = True) -> Iterator[None]:
    """Within it stdout is stderr, as stdout holds the report only, and the time is limited; `other` False: neither.

    Raises:
        TooSlowError: the time is over (in the main thread, where alone a signal can say so).
    """
    if not other:
        yield
        return
    try:
        with contextlib.redirect_stdout(_Aside()), _limited(SECONDS):
            yield
    except _TooSlow:
        raise TooSlowError(f"it took longer than {SECONDS:g} s") from None


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, over)
    # Again and again, as the code may be where an exception cannot be raised (a destructor, a C library's callback).
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def misformed(code: object) -> str:
    """What is wrong with a code that a package brings, in words; empty when it is well formed."""
    if not isinstance(code, Code):
        return f"{_shown(code)} is no Code"
    return _misformed(code)


def _misformed(code: Any) -> str:  # what other people write has the types that they chose
    if not isinstance(code.prefix, str) or not _PREFIX.fullmatch(code.prefix):
        return f"the prefix {code.prefix!r} is not 2 to 12 capital letters"
    if not isinstance(code.number, int) or not 0 < code.number < 1000:
        return f"the number {code.number!r} is not between 1 and 999"
    for word in (code.name, *code.aliases):
        if not isinstance(word, str) or not _NAME.fullmatch(word):
            return f"the name {word!r} is not made of small letters, digits and hyphens"
    if not isinstance(code.severity, Severity):
        return f"the severity {code.severity!r} is no Severity"
    if not isinstance(code.title, str) or not code.title:
        return "it has no title"
    if not all(isinstance(number, int) for number in code.explains):
        return "what it explains are not numbers of codes"
    return ""


def own_copy(evidence: Any) -> Any:
    """The evidence for one other package: what its checks change in it, nobody else sees."""
    return copy.deepcopy(evidence)


def checked(items: Iterable[object], who: str) -> Iterator[object]:
    """What a check of another package yields, once it is what the report can hold.

    Raises:
        TypeError, ValueError: it is not, or there is too much of it.
    """
    for number, item in enumerate(items):
        if number >= MOST:
            raise ValueError(f"{who} yielded more than {MOST:,} findings; sum them up")
        if isinstance(item, Inconclusive):
            _inconclusive(item, who)
        elif isinstance(item, Finding):
            _finding(item, who)
        yield item


def words_of(error: BaseException) -> str:
    """The error in words, which are other people's code as well."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001
        text = ""
    return text[:LONGEST]


def _inconclusive(one: Any, who: str) -> None:
    _subject(one.subject, who)
    _texts(who, missing=one.missing, how=one.how)
    _tuple_of(one.proof, Place, f"{who}: proof")


def _finding(one: Any, who: str) -> None:
    if wrong := misformed(one.code):
        raise ValueError(f"{who}: {wrong}")
    _subject(one.subject, who)
    _texts(who, message=one.message)
    if not one.message.strip():
        raise ValueError(f"{who} yielded a finding without a message")
    if not isinstance(one.severity, Severity) or not isinstance(one.confidence, Confidence):
        raise TypeError(f"{who} yielded a finding whose severity or confidence is none")
    if not isinstance(one.values, Mapping):
        raise TypeError(f"{who} yielded values that are no mapping: {_shown(one.values)}")
    _value(one.values, who, DEEPEST)
    _tuple_of(one.proof, Place, f"{who}: proof")
    _tuple_of(one.folds, Subject, f"{who}: folds")
    _tuple_of(one.explains, str, f"{who}: explains")
    _tuple_of(one.fixes, Fix, f"{who}: fixes")
    for subject in one.folds:
        _subject(subject, who)
    for fix in one.fixes:
        _fix(fix, who)
    if type(one.count) is not int or one.count < 1:
        raise ValueError(f"{who} yielded a finding with a count of {_shown(one.count)}")
    for at in (one.first_at, one.last_at):
        # Beyond it no date can be written.
        if at is not None and not (isinstance(at, (int, float)) and math.isfinite(at) and 0 <= at < 2.5e11):
            raise ValueError(f"{who} yielded a time that is none: {_shown(at)}")


def _subject(one: object, who: str) -> None:
    if not isinstance(one, Subject):
        raise TypeError(f"{who} yielded {_shown(one)} as a subject, which is no Subject")
    _texts(who, kind=one.kind, room=one.room, agent_name=one.agent_name or "", id=one.id)


def _fix(one: Any, who: str) -> None:
    _texts(who, title=one.title)
    if one.safety not in {"safe", "unsafe", "manual"}:
        raise ValueError(f"{who} yielded a fix whose safety is {_shown(one.safety)}")
    for lines in (one.steps, one.commands, one.caveats, one.verify, one.undo):
        _tuple_of(lines, str, f"{who}: a fix")


def _texts(who: str, **texts: object) -> None:
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{who} yielded {_shown(text)} as {name}, which is no text")
        if len(text) > LONGEST:
            raise ValueError(f"{who} yielded {len(text):,} characters as {name}")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"{who} yielded {name} with half of a character in it")


def _tuple_of(items: object, kind: type, what: str) -> None:
    if not isinstance(items, tuple):
        raise TypeError(f"{what} is {_shown(items)}, not a tuple")
    for one in items:
        if not isinstance(one, kind):
            raise TypeError(f"{what} holds {_shown(one)}, which is no {kind.__name__}")


def _value(value: object, who: str, depth: int) -> None:
    """Values go into the JSON report: plain ones, and not too deep."""
    if not depth:
        raise ValueError(f"{who} yielded values that are nested more than {DEEPEST} deep")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _texts(who, key=key)
            _value(item, who, depth - 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            _value(item, who, depth - 1)
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"{who} yielded {_shown(value)} in its values, which JSON cannot hold")


def _shown(value: object) -> str:
    """The value for a message; its `repr` is other people's code, too."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"
