"""The handbook: one page for each code, made from the catalogue and the docstring of its check."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lkdoctor.doctor.codes import CODES, FAMILIES
from lkdoctor.doctor.engine import NEEDS
from lkdoctor.doctor.finding import Code
from lkdoctor.doctor.registry import Check

SOURCES = {
    "server_log": "server log",
    "worker_log": "worker log",
    "api": "server API",
    "worker_http": "worker HTTP",
    "docker": "docker",
    "host": "host",
    "config": "tokens and files",
    "probe": "probe",
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
    by_code = {one.code.id: one for one in checks}
    extra = [one.code for one in checks if one.code.prefix != "LKD"]
    return [page(code, by_code.get(code.id)) for code in (*CODES, *extra)]


def page(code: Code, check: Check | None) -> Page:
    """The page of one code; without a check it holds what the catalogue says."""
    summary, _, body = (check.handbook if check else "").partition("\n")
    return Page(
        code,
        FAMILIES.get(code.number // 100, "other people's checks") if code.prefix == "LKD" else f"{code.prefix} checks",
        summary.strip() or code.title,
        body.strip(),
        needs(check) if check else (),
        tuple(one for one in CODES if one.number in code.explains),
        tuple(one for one in CODES if code.prefix == "LKD" and code.number in one.explains),
    )


def needs(check: Check) -> tuple[str, ...]:
    """The kinds of evidence that a check cannot do without, in words."""
    kinds = {NEEDS[kind] for kind in check.wants if kind in NEEDS}
    return tuple(sorted(SOURCES.get(one, one) for one in kinds))


def sections(body: str) -> Iterable[tuple[str, str]]:
    """The `## …` sections of a page as (title, text); text before the first one has an empty title."""
    parts = re.split(r"(?m)^## +(.+)$", body)
    if parts[0].strip():
        yield "", parts[0].strip()
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        yield title.strip(), text.strip()
