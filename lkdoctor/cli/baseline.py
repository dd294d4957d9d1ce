"""`lkdoctor baseline write|check|prune`: what is known already, so that a gate fails on what is new."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from lkdoctor.cli import check
from lkdoctor.report.baseline import FILE

if TYPE_CHECKING:
    from lkdoctor.cli.pipeline import Wish
    from lkdoctor.report.baseline import Baseline, Entry
    from lkdoctor.report.json_v1 import Report

# Not --select, --ignore, --room or --agent: a baseline is about all codes and all rooms, else `prune` would take out too much.
_file = click.option("-b", "--baseline", "file", metavar="FILE", default=FILE, show_default=True, help="The baseline.")


@click.group("baseline")
def command() -> None:
    """Keep what is known in a file, so that a gate fails on new findings only.

    `write` writes down what counts for the gate today; `lkdoctor check --baseline FILE` then sets exactly that aside (the
    report still counts and names it). `check` tells what is new, known and gone; `prune` takes out what is gone.

    A finding is known again by its code and subject: not by ids, times, counts or lines, and not by the part of a room's
    name that is made anew for each call (`call-1234` is `call-*`). What is worse than the file says is new.
    """


@command.command("write")
@check.looking
@_file
def write(wish: Wish, file: str) -> None:
    """Write down what counts for the gate today.

    A finding that stood in the file before keeps its day. Exit status: 0 written, 2 wrong usage or input, 4 lkdoctor
    failed, 130 interrupted; after these nothing is written.
    """
    from lkdoctor.cli import output
    from lkdoctor.report import baseline

    before = check.read_baseline(file)[1] if os.path.exists(file) else None
    report = _report(wish, file)
    made = baseline.of(report, _today(), before)
    _save(file, made)
    number = len(made.findings)
    output.to_stdout(
        output.lines([f"Wrote {file}: {number} known finding{'' if number == 1 else 's'}.", *_told(made.findings)])
    )
    if report.verdict == "inconclusive" or report.questions:
        output.hint(
            "this evidence leaves questions open (`lkdoctor check` shows them), so more may be found another day"
        )


@command.command("check")
@check.looking
@_file
def compare(wish: Wish, file: str) -> None:
    """Tell what is new, what is known, and what is gone.

    Exit status: as `lkdoctor check --baseline FILE`, so 1 when something new counts for the gate.
    """
    from lkdoctor.cli import output
    from lkdoctor.doctor import fingerprint, gate
    from lkdoctor.report import baseline
    from lkdoctor.report.words import counts, where

    known = check.read_baseline(file)[1]
    report = _report(wish, file)
    days = {one.fingerprint: one for one in known.findings}
    lines = []
    new = False
    for one in report.findings:
        entry = days.get(fingerprint.base(one.fingerprint))
        if not counts(one, report.gate.fail_on):
            continue
        worse = entry is not None and baseline.worse(one, entry)
        word = "known" if entry is not None and not worse else "worse" if worse else "new"
        new |= word != "known"
        since = f" (since {entry.since})" if entry is not None else ""
        lines.append(f"{word:<6} {one.code} {one.name}  {where(one)}{since}")
    pruned = baseline.prune(known, report)
    lines += [f"gone   {one.code} {one.name}  {one.subject} (since {one.since})" for one in pruned.gone]
    lines += [f"unseen {one.code} {one.name}  {one.subject}: this evidence cannot tell" for one in pruned.kept]
    output.to_stdout(output.lines([output.harmless(line) for line in lines] or ["Nothing new, and nothing known."]))
    if pruned.gone:
        output.hint(f"`lkdoctor baseline prune` takes what is gone out of {file}")
    judged = report.verdict if new or report.verdict != "problems" else "healthy"
    sys.exit(gate.exit_status(judged, allow_inconclusive=report.gate.allow_inconclusive))


@command.command("prune")
@check.looking
@_file
def prune(wish: Wish, file: str) -> None:
    """Take out what this evidence looked for and did not find any more.

    What it could not look for (no such evidence, a question that stays open) stays. Exit status as of `write`.
    """
    from lkdoctor.cli import output
    from lkdoctor.report import baseline

    known = check.read_baseline(file)[1]
    report = _report(wish, file)
    pruned = baseline.prune(known, report)
    if pruned.gone:
        _save(file, pruned.baseline)
    left = len(pruned.baseline.findings)
    lines = [f"Took {len(pruned.gone)} out of {file}, {left} left.", *_told(pruned.gone)]
    if pruned.kept:
        lines.append(f"Kept, as this evidence cannot tell ({len(pruned.kept)}):")
        lines += _told(pruned.kept)
    output.to_stdout(output.lines(lines))


def _report(wish: Wish, file: str) -> Report:
    """The report without the baseline; ends the run (2, 4, 130) where it is none to go by."""
    from lkdoctor.cli import output, pipeline
    from lkdoctor.cli.interrupt import Interrupt
    from lkdoctor.doctor import gate
    from lkdoctor.report.crashed import crashed

    started_at = time.time()
    failed = interrupted = unusable = False
    with Interrupt() as late:
        try:
            collected = pipeline.collect(wish, spare=[file])
            report = pipeline.report(collected, wish)
            interrupted, unusable = collected.interrupted, bool(collected.unusable)
        except pipeline.InputError as error:
            raise click.UsageError(str(error)) from None
        except Exception as error:  # noqa: BLE001 - told as `check` tells it
            report, failed = crashed(error, started_at, wish.settings), True
    own = [one for one in (*report.findings, *report.symptoms) if one.code in gate.OWN]
    for complaint in dict.fromkeys([*report.errors, *(one.message for one in own)]):
        output.hint(complaint)
    status = gate.exit_status(
        "healthy", own_error=failed or bool(own), interrupted=interrupted or late.asked, usage=unusable
    )
    if status:
        output.hint(f"{file} was left as it is")
        sys.exit(status)
    return report


def _save(file: str, made: Baseline) -> None:
    """Write the file whole or not at all.

    Raises:
        click.UsageError: it cannot be written.
    """
    from lkdoctor.report.baseline import encode

    beside = f"{file}.new"
    try:
        with open(beside, "wb") as target:
            target.write(encode(made))
        os.replace(beside, file)
    except OSError as error:
        raise click.UsageError(f"{file}: cannot be written: {error.strerror or error}") from None


def _told(entries: list[Entry] | tuple[Entry, ...]) -> list[str]:
    from lkdoctor.cli import output

    return [output.harmless(f"  {one.code} {one.name}  {one.subject}, since {one.since}") for one in entries]


def _today() -> str:
    return f"{datetime.now(timezone.utc):%Y-%m-%d}"
