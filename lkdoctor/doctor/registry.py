"""`@check`: the one door through which a check enters, ours and other people's alike."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lkdoctor.doctor.finding import Code, Finding, Inconclusive

CheckFunction = Callable[..., Iterator[Finding | Inconclusive]]


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check: its code, its function, and the evidence types it asks for, read from its signature."""

    code: Code
    function: CheckFunction
    wants: tuple[type, ...]
    module: str

    @property
    def handbook(self) -> str:
        """The check's page: the function's docstring."""
        return inspect.cleandoc(self.function.__doc__ or "")

    @property
    def package(self) -> str:
        """The package that brings it."""
        return self.module.partition(".")[0]


def check(code: Code) -> Callable[[CheckFunction], CheckFunction]:
    """Mark a function as the check for `code`; the loader finds it by the mark.

    The function is pure. Its parameters are evidence types of `doctor.evidence`; it yields `Finding` and
    `Inconclusive`. Its docstring is the handbook page.
    """

    def mark(function: CheckFunction) -> CheckFunction:
        marks: tuple[Code, ...] = getattr(function, "__lkdoctor_codes__", ())
        setattr(function, "__lkdoctor_codes__", (*marks, code))  # noqa: B010 - a plain attribute on a function
        return function

    return mark


def describe(code: Code, function: CheckFunction) -> Check:
    """Read what the function wants from its signature.

    Raises:
        TypeError: a parameter has no annotation.
    """
    hints = typing.get_type_hints(function)
    wants = []
    for name in inspect.signature(function).parameters:
        if name not in hints:
            raise TypeError(f"check {code.id}: parameter {name!r} has no type")
        wants.append(hints[name])
    return Check(code, function, tuple(wants), function.__module__)
