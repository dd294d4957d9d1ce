"""Which installed packages bring checks, in which version, and what of them was not loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from lkdoctor.doctor.loader import BUILT_IN, Entry, Loaded, installed


@dataclass(frozen=True, slots=True)
class Package:
    """One entry point: `package` and `version` are those of the distribution, empty when it is not known."""

    package: str
    version: str
    entry_point: str
    module: str
    codes: tuple[str, ...]
    refused: tuple[str, ...]  # what was not loaded, and why

    @property
    def built_in(self) -> bool:
        """True for lkdoctor's own checks."""
        return self.module == BUILT_IN

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def packages(loaded: Loaded, entries: Iterable[Entry] | None = None) -> list[Package]:
    """What is installed, the built-in package first; `entries` replaces the installed ones in tests."""
    return [_package(one, loaded) for one in installed(entries)]


def _package(entry: Entry, loaded: Loaded) -> Package:
    dist = getattr(entry, "dist", None)
    module = entry.value.partition(":")[0]
    codes = {one.code.id: None for one in loaded.checks if f"{one.module}.".startswith(f"{module}.")}
    mine = [
        one.values
        for one in loaded.findings
        if (one.values.get("entry_point"), one.values.get("value")) == (entry.name, entry.value)
    ]
    return Package(
        getattr(dist, "name", "") or "",
        getattr(dist, "version", "") or "",
        entry.name,
        module,
        tuple(codes),
        tuple(f"{one['module']}: {one['error']}" for one in mine),
    )
