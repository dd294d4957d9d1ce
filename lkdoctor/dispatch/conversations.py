"""What became of one conversation of a batch (`lkdoctor worker --conversations`), as the batch judged it. No logic."""

from __future__ import annotations

from lkdoctor.dispatch.facts import Fact

OK = "ok"


class Conversed(Fact, frozen=True, kw_only=True):
    """Two agents in a room of their own: the first speaker stands first in each pair. Times in seconds.

    `outcome` is "ok" or a word of `lkdoctor.worker.results.FAILURES`; `cause` is the code that goes with that word.
    """

    SOURCES = ("conversations",)

    room: str
    at: float  # Unix seconds: when the room was asked for
    outcome: str
    agent_names: tuple[str, ...]  # one, or one for each agent
    roles: tuple[str, str]
    blamed: tuple[str, ...] = ()  # agent names whose agent failed; empty: both, or nobody knows
    reason: str = ""
    cause: str = ""  # LKD602 …
    joined: tuple[float | None, float | None] = (None, None)  # from the room's creation to the session
    heard: tuple[int, int] = (0, 0)  # different texts that each of them heard
    lines: int = 0  # words that were to be heard by both
    round_trip: float | None = None  # the longest
    lost: int = 0  # transmissions without an echo
    wrong: int = 0  # texts that were heard and never said

    def told(self) -> str:
        """The conversation in one line."""
        heard = ", ".join(
            f"{role} heard {number} of {self.lines}" for role, number in zip(self.roles, self.heard, strict=True)
        )
        came = ", ".join(
            f"{role} there after {after:.2f} s" if after is not None else f"{role} never there"
            for role, after in zip(self.roles, self.joined, strict=True)
        )
        return f"conversation {self.room}: {self.outcome}{f' ({self.reason})' if self.reason else ''}; {came}; {heard}"
