"""What a check yields: a `Finding` (code, subject, values, proof, fix) or an `Inconclusive` (what is missing)."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lkdoctor.dispatch.facts import Place


class Severity(enum.IntEnum):
    """How bad; ordered, so that the gate can compare."""

    INFO = 10
    WARNING = 20
    ERROR = 30

    @property
    def word(self) -> str:
        """The word of the JSON contract."""
        return self.name.lower()


class Confidence(enum.IntEnum):
    """How sure; the gate counts medium and high."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        """The word of the JSON contract."""
        return self.name.lower()


SubjectKind = Literal["dispatch", "worker", "room", "agent", "token", "env", "file", "server", "container", "check"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about. `room` and `agent_name` are stable words; `id` may be a server id and is not hashed
    unless nothing else is known."""

    kind: SubjectKind
    room: str = ""
    agent_name: str | None = None
    id: str = ""

    def stable(self) -> str:
        """The part that stays the same over re-runs: names, never `RM_`, `AW_` or `AJ_` ids."""
        parts = [self.kind, self.room, "" if self.agent_name is None else f"name={self.agent_name}"]
        if self.id and not self.id.startswith(("RM_", "AW_", "CAW_", "AJ_", "AD_", "PA_", "ND_")):
            parts.append(self.id)
        return "\0".join(parts)


@dataclass(frozen=True, slots=True)
class Fix:
    """What to do. `safety`: safe (may be applied by a machine), unsafe (may break something), manual."""

    title: str
    safety: Literal["safe", "unsafe", "manual"] = "manual"
    steps: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of the catalogue (`codes.py`)."""

    number: int
    name: str
    severity: Severity
    title: str
    explains: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()
    status: Literal["planned", "stable", "retired"] = "planned"
    prefix: str = "LKD"  # other people's checks bring their own

    @property
    def id(self) -> str:
        """`LKD301`."""
        return f"{self.prefix}{self.number}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, found. `message` is derived from `values` by the check; the fingerprint hashes code and subject."""

    code: Code
    subject: Subject
    message: str
    severity: Severity
    confidence: Confidence = Confidence.HIGH
    values: Mapping[str, Any] = field(default_factory=dict)
    proof: tuple[Place, ...] = ()
    fixes: tuple[Fix, ...] = ()
    explains: tuple[str, ...] = ()  # fingerprints of the findings folded under this one
    folds: tuple[Subject, ...] = ()  # dispatches this finding accounts for; lets a root cause swallow its symptoms
    count: int = 1
    first_at: float | None = None
    last_at: float | None = None

    @property
    def fingerprint(self) -> str:
        """16 hex digits; the same for the same code and stable subject, whatever ids, times or lines.

        It tells findings apart within one run. What is published also holds for rooms that are named anew each time:
        `doctor/fingerprint.py`.
        """
        told = f"{self.code.id}\0{self.subject.stable()}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(told).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """A question that this evidence cannot answer: about what, what is missing, and how to get it."""

    subject: Subject
    missing: str
    how: str
    proof: tuple[Place, ...] = ()
    weighs: bool = False  # somebody misses something now, and only the answer tells whether that is a fault
