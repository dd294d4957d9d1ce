"""What a job tells of itself in the log: `[START] AJ_… customer: …`, every line with its job id and role.

One log holds the lines of many jobs at once, so a line without its job says nothing about who spoke. The lines go through
`logging`, which the SDK carries from each job process to the worker's one log: two processes that open one file on their
own overwrite each other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

logger = logging.getLogger("lkdoctor.worker")

What = Literal["START", "ROLE", "OK", "SAID", "HEARD", "LOST", "WRONG", "END", "FAIL"]


@dataclass(frozen=True, slots=True)
class Markers:
    """The marks of one agent in one job."""

    job_id: str
    room: str
    role: str
    identity: str

    def __call__(self, what: What, words: str, **more: Any) -> None:
        """One line; `more` are fields for who reads JSON (`text`, `seconds`, `tries` …)."""
        fields = {
            "marker": what,
            "job_id": self.job_id,
            "room": self.room,
            "role": self.role,
            "identity": self.identity,
        }
        level = logging.WARNING if what in {"LOST", "WRONG", "FAIL"} else logging.INFO
        logger.log(level, "[%s] %s %s: %s", what, self.job_id, self.role, words, extra=fields | more)
