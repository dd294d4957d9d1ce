"""Probes as `probe.jsonl`: one run a line, written by a live probe, read back from a case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from lkdoctor.collect.gathered import LATEST, Gathered
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.probes import ProbeRun, ProbeStep
from lkdoctor.redact import mask, of_this_run


def said(run: ProbeRun, step: ProbeStep) -> str:
    """A step as a proof reads it."""
    took = "" if step.seconds is None else f" after {step.seconds:.2f} s"
    who = "canary" if run.kind == "canary" else f"agent {run.agent_name!r}"
    return f"probe of {who} in {run.room}, {step.name}: {'ok' if step.ok else step.trouble or 'failed'}{took}. {step.detail}"


def write_probe(run: ProbeRun) -> str:
    """The run as one line of `probe.jsonl`, with its newline; every string in it is masked."""
    plain = msgspec.to_builtins(run)
    del plain["place"]  # where it stands is the file's business
    return msgspec.json.encode(of_this_run().mask_all(plain)).decode() + "\n"


def read_probes(lines: Iterable[bytes], source: str, gathered: Gathered) -> None:
    """Read `probe.jsonl`, line by line with its ends; a line that is no run is counted in the note on the source.

    The last run that registered says which server it was, unless something said so before.
    """
    note = SourceNote(source, "probe", lines=0)
    gathered.notes.append(note)
    offset = 0
    for number, line in enumerate(lines, 1):
        place, offset = Place(source, offset), offset + len(line)
        if not line.strip():
            continue
        note.lines = number
        try:
            run = _run(line, place)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            reason = f"no probe run: {mask(str(error))[:120]}"
            note.skipped[reason] = note.skipped.get(reason, 0) + 1
            continue
        gathered.probes.append(run)
        gathered.quote(place, f"probe {run.kind} {run.agent_name!r} in room {run.room}", number)
        for step in run.steps:
            gathered.quote(run.place_of(step), said(run, step), number)
        times = [run.started_at, *(step.at for step in run.steps if step.at is not None)]
        note.first_at = min(times) if note.first_at is None else min(note.first_at, *times)
        note.last_at = max(times) if note.last_at is None else max(note.last_at, *times)
        if run.server is not None:
            note.server_version = run.server.version or note.server_version
            gathered.server = gathered.server or run.server
    if note.skipped and not any(one.place.source == source for one in gathered.probes):
        note.unusable = "no line of it is a probe run"


def _run(line: bytes, place: Place) -> ProbeRun:
    """One line as a run.

    Raises:
        msgspec.DecodeError: it is no JSON, or JSON of another form.
        ValueError: a time in it cannot be.
    """
    plain: Any = msgspec.json.decode(line)
    if not isinstance(plain, dict):
        raise ValueError("not an object")
    stamp = {"source": place.source, "offset": place.offset, "path": place.path}
    run = msgspec.convert({**of_this_run().mask_all(plain), "place": stamp}, ProbeRun)
    for at in (run.started_at, *(one.at for one in run.steps)):
        if at is not None and not 0 <= at <= LATEST:
            raise ValueError(f"{at:g} is no time")
    return run
