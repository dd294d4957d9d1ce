"""Writes a probe's steps as they happen: times, words, and the quote that proves each."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.probe_file import said
from lkdoctor.collect.target import Target
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.probes import ProbeRun, ProbeStep, StepName, Trouble
from lkdoctor.dispatch.rules import OWN_PREFIX
from lkdoctor.probe.calls import ProbeError
from lkdoctor.redact import mask

Say = Callable[[str], None]
SOURCE: Final = "probe"


def fresh(kind: str) -> str:
    """A name that nobody else has: `lkdoctor-canary-3f09a2c41b7d`."""
    return f"{OWN_PREFIX}{kind}-{secrets.token_hex(6)}"


def nobody() -> dict[str, object]:
    """Claims for a token of lkdoctor's own: a room that its holder should ever make has an agent entry that nobody serves.

    In a room that is there it is ignored. But a client comes back by itself after a server was restarted, into a new room
    of the same name; without an entry the unnamed dispatch would call somebody's agent there.
    """
    return {"roomConfig": {"agents": [{"agentName": fresh("nobody")}]}}


def note_of(target: Target, gathered: Gathered) -> SourceNote:
    """The note on the probes of this run; all of them are one source."""
    name = f"{SOURCE} of {target.url}"
    for one in gathered.notes:
        if one.kind == "probe" and one.name == name:
            return one
    note = SourceNote(name, "probe", lines=0, first_at=time.time())
    gathered.notes.append(note)
    return note


@dataclass(slots=True)
class Recorder:
    """Keeps one run in `gathered` from its first moment on."""

    run: ProbeRun
    gathered: Gathered
    note: SourceNote
    say: Say

    @classmethod
    def begin(cls, run: ProbeRun, target: Target, gathered: Gathered, say: Say) -> Recorder:
        """Append the run to what is gathered and start its clock."""
        note = note_of(target, gathered)
        note.lines = (note.lines or 0) + 1
        gathered.probes.append(run)
        gathered.quote(run.place, f"probe {run.kind} {run.agent_name!r} in room {run.room}")
        return cls(run, gathered, note, say)

    def done(
        self,
        name: StepName,
        since: float,
        detail: str = "",
        *,
        ok: bool = True,
        trouble: Trouble = "",
        until: float | None = None,
    ) -> ProbeStep:
        """A step is over. Its time counts from `since` to now, or to `until` (both by time.monotonic)."""
        seconds = None if trouble == "not-tested" else round(max(0.0, (until or time.monotonic()) - since), 3)
        step = ProbeStep(name, ok, seconds, round(time.time(), 3), mask(detail), trouble)
        self.run.steps.append(step)
        self.note.last_at = step.at
        self.gathered.quote(self.run.place_of(step), said(self.run, step))
        self.say(progress(self.run, step))
        return step

    def skipped(self, name: StepName, why: str) -> None:
        """A step that was not tried."""
        self.done(name, time.monotonic(), why, ok=False, trouble="not-tested")

    def failed(self, name: StepName, since: float, error: ProbeError) -> None:
        """The step that ended the run."""
        self.done(name, since, str(error), ok=False, trouble=error.trouble)
        self.run.error = self.run.error or str(error)


def progress(run: ProbeRun, step: ProbeStep) -> str:
    """A step as progress shows it."""
    who = "canary" if run.kind == "canary" else run.agent_name
    number = f" {run.number}" if run.number > 1 else ""
    took = "" if step.seconds is None else f" {step.seconds:.2f} s"
    return f"{who}{number}: {step.name}{'' if step.ok else f' ({step.trouble})'}{took}"
