"""The handbook: one page for each code, made from the catalogue and the docstring of its check."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lkdoctor.doctor.codes import CODES, FAMILIES
from lkdoctor.doctor.engine import sources_of
from lkdoctor.doctor.finding import Code
from lkdoctor.doctor.registry import Check

SOURCES = {
    "server_log": "server log",
    "worker_log": "worker log",
    "api": "server API",
    "connection": "connection",
    "worker_http": "worker HTTP",
    "docker": "docker",
    "host": "host",
    "token": "token",
    "config": "configuration files",
    "probe": "probe",
    "load": "measured load",
    "talk": "watched room",
    "intentions": "lkdoctor.toml",
    "conversations": "batch of conversations",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One code's page. `summary` is its first line, `body` the sections below it (empty without a check)."""

    code: Code
    family: str
    summary: str
    body: str
    needs: tuple[str, ...]
    explains: tuple[Code, ...]
    explained_by: tuple[Code, ...]

    @property
    def checked(self) -> bool:
        """True when a check of this code is installed."""
        return bool(self.body)


def pages(checks: Sequence[Check]) -> list[Page]:
    """A page for every code of the catalogue and of the installed checks, in order."""
    by_code: dict[str, list[Check]] = {}
    for one in checks:
        by_code.setdefault(one.code.id, []).append(one)
    extra = dict.fromkeys(one.code for one in checks if one.code.prefix != "LKD")
    return [page(code, by_code.get(code.id, ())) for code in (*CODES, *extra)]


def page(code: Code, checks: Sequence[Check]) -> Page:
    """The page of one code; without a check it holds what the catalogue says.

    Of several functions the one with the most sections writes it; each other's docstring is a section of its own, under
    the evidence that it looks at.
    """
    ordered = sorted(checks, key=lambda one: (-one.handbook.count("\n## "), one.module))
    summary, _, body = (ordered[0].handbook if ordered else "").partition("\n")
    for other in ordered[1:]:
        body = f"{body.rstrip()}\n\n## Seen in: {', '.join(needs([other]))}\n\n{other.handbook}"
    return Page(
        code,
        FAMILIES.get(code.number // 100, "other people's checks") if code.prefix == "LKD" else f"{code.prefix} checks",
        summary.strip() or code.title,
        body.strip(),
        needs(checks),
        tuple(one for one in CODES if one.number in code.explains),
        tuple(one for one in CODES if code.prefix == "LKD" and code.number in one.explains),
    )


def needs(checks: Iterable[Check]) -> tuple[str, ...]:
    """The kinds of evidence that these checks look at, in words."""
    found: set[str] = set()
    for check in checks:
        kinds = [set(need) for kind in check.wants if (need := sources_of(kind))]
        # What asks for Rooms, which two sources give, and for Workers, which one gives, needs that one.
        found |= set.intersection(*kinds) if kinds and set.intersection(*kinds) else set().union(*kinds)
    return tuple(sorted(SOURCES.get(one, one) for one in found))


def sections(body: str) -> Iterable[tuple[str, str]]:
    """The `## …` sections of a page as (title, text); text before the first one has an empty title."""
    parts = re.split(r"(?m)^## +(.+)$", body)
    if parts[0].strip():
        yield "", parts[0].strip()
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        yield title.strip(), text.strip()
