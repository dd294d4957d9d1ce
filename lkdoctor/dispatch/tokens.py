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
