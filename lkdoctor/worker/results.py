"""What became of one conversation, judged by the marks of its two agents and by nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from lkdoctor.dispatch.conversations import Conversed
from lkdoctor.redact import mask
from lkdoctor.worker.settings import ECHO

FAILURES: Final = {
    "job-crashed": "LKD602",
    "not-assigned": "LKD315",
    "never-joined": "LKD604",
    "partner-missing": "LKD704",
    "no-audio-track": "LKD702",
    "words-lost": None,
    "wrong-word": None,
    "not-finished": None,
    "not-left": None,
    "interrupted": None,
    "server-refused": None,
}
"""Why a conversation failed, the causes first, and lkdoctor's code for it where there is one."""


@dataclass
class Side:
    """One agent of the conversation."""

    role: str
    identity: str = ""
    job_id: str = ""
    asked_to_job: float | None = None  # seconds from the room's creation to the job's first line
    asked_to_session: float | None = None  # to its session, with its partner found
    said: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    ended: bool = False
    left: bool = False  # its job's process has ended
    failed: str = ""


@dataclass
class Conversation:
    """Two agents in a room of their own; `sides` is the first speaker and its partner."""

    number: int
    room: str
    lines: list[str]
    sides: tuple[Side, Side]
    asked_at: float = 0.0  # Unix seconds
    outcome: str = "not-finished"  # "ok", or a word of FAILURES
    reason: str = ""
    seconds: float = 0.0
    round_trips: list[float] = field(default_factory=list)  # seconds from saying a line to its echo, one a line
    tries: int = 0  # of lines that came back
    lost: int = 0  # transmissions without an echo
    wrong: list[str] = field(default_factory=list)  # texts that were heard and never said

    def take(self, record: dict[str, Any]) -> None:
        """One line of a worker's log that bears a mark of this room."""
        side = next((one for one in self.sides if one.role == record.get("role")), None)
        if side is None:
            return
        side.identity = side.identity or str(record.get("identity", ""))
        side.job_id = side.job_id or str(record.get("job_id", ""))
        since, text = self._since(record), str(record.get("text", ""))
        what = record.get("marker")
        if what == "START":
            side.asked_to_job = since
        elif what == "OK" and not text:
            side.asked_to_session = since
        elif what == "OK":
            self.round_trips.append(float(record.get("seconds", 0.0)))
            self.tries += int(record.get("tries", 1))
        elif what == "SAID":
            side.said.append(text)
        elif what == "HEARD":
            side.heard.append(text)
        elif what == "LOST":
            self.lost += 1
        elif what == "END":
            side.ended = True
        elif what == "FAIL":
            side.failed = side.failed or str(record.get("reason", "not-finished"))
            self.reason = self.reason or str(record.get("message", "")).partition(": ")[2]

    @property
    def over(self) -> bool:
        """Nothing more is to come: each side has ended or failed, and its job is gone."""
        return all((one.ended or one.failed) and one.left for one in self.sides)

    @property
    def complete(self) -> bool:
        """The partner heard each line, exactly, and the first speaker each echo, exactly."""
        first, partner = self.sides
        return set(self.lines) <= set(partner.heard) and {ECHO + one for one in self.lines} <= set(first.heard)

    def judge(self, proven: bool) -> None:
        """Set the outcome from what was marked; `proven`: words went by the audible code and can be compared."""
        first, partner = self.sides
        if proven:
            self.wrong = [one for one in partner.heard if one not in self.lines]
            self.wrong += [one for one in first.heard if one.removeprefix(ECHO) not in self.lines or one in self.lines]
        # Who misses a partner that has crashed is no cause of its own.
        failed = min((one.failed for one in self.sides if one.failed), key=list(FAILURES).index, default="")
        if self.wrong:
            self.outcome, self.reason = "wrong-word", f"heard {self.wrong[0]!r}, which nobody said"
        elif failed:
            self.outcome = failed
        elif first.ended and partner.ended and (self.complete or not proven):
            self.outcome, self.reason = (
                ("ok", "") if self.over else ("not-left", "the words went well, but a job did not end")
            )

    def exited(self, job_id: str) -> None:
        """The process of a job of this room has ended."""
        for side in self.sides:
            side.left = side.left or side.job_id == job_id

    def crashed(self, job_id: str, words: str) -> None:
        """A job of this room ended in an exception."""
        for side in self.sides:
            if side.job_id == job_id:
                side.failed, self.reason = "job-crashed", words

    def _since(self, record: dict[str, Any]) -> float | None:
        try:
            at = datetime.fromisoformat(str(record["timestamp"]).replace("Z", "+00:00")).timestamp()
        except (KeyError, ValueError):
            return None
        return round(at - self.asked_at, 3)

    def fact(self, agent_names: tuple[str, ...]) -> Conversed:
        """For the batch's case; `agent_names`: that of both, or one for each side."""
        each = agent_names * 2 if len(agent_names) == 1 else agent_names
        blamed = tuple(name for name, side in zip(each, self.sides, strict=True) if side.failed or not side.job_id)
        first, partner = self.sides
        return Conversed(
            room=self.room,
            at=self.asked_at,
            outcome=self.outcome,
            agent_names=agent_names,
            roles=(first.role, partner.role),
            blamed=() if self.outcome == "ok" else tuple(dict.fromkeys(blamed)),
            reason=mask(self.reason),
            cause=FAILURES.get(self.outcome) or "",
            joined=(first.asked_to_session, partner.asked_to_session),
            heard=(len(set(first.heard)), len(set(partner.heard))),
            lines=len(self.lines),
            round_trip=max(self.round_trips, default=None),
            lost=self.lost,
            wrong=len(self.wrong),
        )

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "code": FAILURES.get(self.outcome), "sides": [asdict(one) for one in self.sides]}


def middle(values: list[float], share: float = 0.5) -> float | None:
    """The value that `share` of the values lie at or below; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def totals(done: list[Conversation]) -> dict[str, Any]:
    """What all conversations amount to; times in seconds."""
    joined = [one.asked_to_session for talk in done for one in talk.sides if one.asked_to_session is not None]
    trips = [seconds for talk in done for seconds in talk.round_trips]
    failed: dict[str, int] = {}
    for talk in done:
        if talk.outcome != "ok":
            failed[talk.outcome] = failed.get(talk.outcome, 0) + 1
    return {
        "conversations": len(done),
        "ok": sum(one.outcome == "ok" for one in done),
        "failed": dict(sorted(failed.items())),
        "words": sum(len(one.round_trips) for one in done),
        "said": sum(len(side.said) for one in done for side in one.sides),
        "heard": sum(len(side.heard) for one in done for side in one.sides),
        "lost": sum(one.lost for one in done),
        "wrong": sum(len(one.wrong) for one in done),
        "joined_median": middle(joined),
        "joined_p95": middle(joined, 0.95),
        "round_trip_median": middle(trips),
        "round_trip_p95": middle(trips, 0.95),
    }
