"""What a token says, decoded by its collector: claims without secrets, and what only the collector can know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from lkdoctor.dispatch.facts import Place


@dataclass(slots=True)
class Token:
    """One token. `claims` are masked (metadata); the signature itself is never kept."""

    name: str  # how the user named it: the file, `--token`, stdin
    place: Place
    length: int
    malformed: str = ""  # why it is no JWT, in words; then nothing else is known
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    signature: Literal["right", "wrong", "unknown", "other-key"] = "unknown"
    read_at: float | None = None  # Unix seconds, what its times are held against
    signed: bool = True  # False: the signature's part is empty
    padded: bool = False  # a part ends in `=`
    checked_with: str = ""  # the API key whose secret the signature was held against
    checked_in: str = ""  # the file and line of that secret, where it is the project's own
    server_version: str = ""  # the server that it is for, where the user or the case says so
    line: int | None = None  # of the file that holds it

    @property
    def where(self) -> str:
        """Its file and line, else how the user named it."""
        return f"{self.place.source}:{self.line}" if self.line else self.name

    def at(self, claim: str = "") -> Place:
        """Where one top-level claim of it stands (`header` for the header); the whole token without a name."""
        if claim not in self.claims and claim != "header":
            return self.place
        return Place(self.place.source, None, f"{self.place.path} {claim}".lstrip())  # a file may hold several tokens
