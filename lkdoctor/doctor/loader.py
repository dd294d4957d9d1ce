"""Loads the checks of every installed package that offers some; a broken package costs only itself (LKD902)."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import traceback
import typing
from collections.abc import Iterable
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Protocol

from lkdoctor.doctor.codes import CODES, PLUGIN_NOT_LOADED
from lkdoctor.doctor.evidence import Evidence, fact_class
from lkdoctor.doctor.fence import FENCED, fenced, misformed, words_of
from lkdoctor.doctor.finding import Code, Finding, Fix, Subject
from lkdoctor.doctor.registry import Check, CheckFunction, describe

GROUP = "lkdoctor.checks"
BUILT_IN = "lkdoctor_checks"


class Entry(Protocol):
    """The part of `importlib.metadata.EntryPoint` that is used."""

    @property
    def name(self) -> str: ...

    @property
    def value(self) -> str: ...

    def load(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """The checks that may run, by code, and a finding for each package or check that may not."""

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...] = ()


class RefusedError(Exception):
    """A check breaks a rule of the registry; the message says which."""


def load(entries: Iterable[Entry] | None = None, *, plugins: bool = True) -> Loaded:
    """Load every check of the entry-point group; `entries` replaces the installed ones in tests.

    `plugins` False: only the built-in ones; the code of other packages is not even imported.
    """
    checks: dict[str, list[Check]] = {}
    names = {word: one.id for one in CODES for word in (one.name, *one.aliases)}
    findings: list[Finding] = []
    for entry in installed(entries):
        if not plugins and entry.value != BUILT_IN:
            continue
        try:
            with fenced(entry.value != BUILT_IN):
                package = entry.load()
            if not isinstance(package, ModuleType):
                raise RefusedError(f"{entry.value} is not a module")
            modules = _modules(package)
        except FENCED as error:  # whatever other people's code raises stays with it
            findings.append(_not_loaded(entry, entry.value, error))
            continue
        for module_name in modules:
            _load_module(module_name, entry, checks, names, findings)
    return Loaded(tuple(sorted((one for some in checks.values() for one in some), key=_order)), tuple(findings))


def installed(entries: Iterable[Entry] | None = None) -> list[Entry]:
    """The entry points of the group, each once, the built-in package first: so a clash is always the other package's."""
    if entries is None:
        entries = importlib.metadata.entry_points(group=GROUP)
    unique = {(one.name, one.value): one for one in entries}
    return sorted(unique.values(), key=lambda one: (one.value != BUILT_IN, one.name, one.value))


def _load_module(
    name: str, entry: Entry, checks: dict[str, list[Check]], names: dict[str, str], findings: list[Finding]
) -> None:
    """Admit the module's checks; each that is refused costs only itself."""
    try:
        with fenced(entry.value != BUILT_IN):
            functions = _marked(importlib.import_module(name))
    except FENCED as error:
        findings.append(_not_loaded(entry, name, error))
        return
    for function, code in functions:
        try:
            _admit(describe(code, function), entry, checks, names)
        except FENCED as error:
            findings.append(_not_loaded(entry, f"{name}.{getattr(function, '__name__', '?')}", error))


def _order(one: Check) -> tuple[bool, str, int]:
    return (one.code.prefix != "LKD", one.code.prefix, one.code.number)


def _modules(package: ModuleType) -> list[str]:
    inside = [one.name for one in pkgutil.walk_packages(getattr(package, "__path__", ()), package.__name__ + ".")]
    return [package.__name__, *sorted(inside)]


def _marked(module: ModuleType) -> list[tuple[CheckFunction, Code]]:
    # A function that was imported from elsewhere belongs to its own module.
    return [
        (value, code)
        for value in list(vars(module).values())
        if callable(value) and getattr(value, "__module__", "") == module.__name__
        for code in getattr(value, "__lkdoctor_codes__", ())
    ]


def _admit(found: Check, entry: Entry, checks: dict[str, list[Check]], names: dict[str, str]) -> None:
    code = found.code
    if code.prefix == "LKD" and entry.value != BUILT_IN:
        raise RefusedError(f"{found.function.__name__} uses {code.id}; the prefix LKD is lkdoctor's own")
    if wrong := misformed(code):
        raise RefusedError(f"{found.function.__name__}: {wrong}")
    others = checks.get(code.id, [])
    # One code may be seen in several kinds of evidence, a function for each; they must be of one package.
    if any(one.package != found.package or one.wants == found.wants for one in others):
        raise RefusedError(f"{code.id} is already checked by {others[0].module}")
    for word in (code.name, *code.aliases):
        if names.get(word, code.id) != code.id:
            raise RefusedError(f"the name {word} is already {names[word]}'s")
    known = {Evidence, *_evidence_types()}
    for kind in found.wants:
        if kind not in known and fact_class(kind) is None:
            raise RefusedError(f"{found.function.__name__} asks for {kind!r}, which is no evidence of this lkdoctor")
    checks.setdefault(code.id, []).append(found)
    names |= dict.fromkeys((code.name, *code.aliases), code.id)


def _evidence_types() -> list[object]:
    hints = typing.get_type_hints(Evidence)
    # What may be absent is `X | None`; a check that asks for X is not called then.
    return [kind for one in fields(Evidence) for kind in (typing.get_args(hints[one.name]) or (hints[one.name],))]


def _not_loaded(entry: Entry, where: str, error: BaseException) -> Finding:
    reason = words_of(error) or type(error).__name__
    return Finding(
        code=PLUGIN_NOT_LOADED,
        subject=Subject("check", id=where),
        message=f"The checks of {where} (entry point {entry.name}) were not loaded: {reason}.",
        severity=PLUGIN_NOT_LOADED.severity,
        values={
            "entry_point": entry.name,
            "value": entry.value,
            "module": where,
            "error": reason,
            "traceback": "".join(traceback.format_exception(error)),
        },
        fixes=(
            Fix(
                "Update or remove the package that brings these checks",
                steps=(f"Find the package that declares {entry.name} = {entry.value} in the group {GROUP}.",),
                verify=("lkdoctor plugins",),
            ),
        ),
    )
