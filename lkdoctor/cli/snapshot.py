"""`lkdoctor snapshot`: everything that may be collected, redacted, as one case that `lkdoctor check` reads."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lkdoctor.cli import live_options, options

if TYPE_CHECKING:
    from lkdoctor.cli.pipeline import Wish
    from lkdoctor.collect.snapshot.case_file import CaseFile


@click.command("snapshot")
@options.inputs
@live_options.live
@options.more_evidence
@live_options.worker_urls
@live_options.machine
@click.option(
    "--room", "rooms", multiple=True, metavar="NAME", help="Ask the live server about this room only. Repeatable."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE.zip|FOLDER",
    help="Where the case goes; .zip makes one file [default: lkdoctor-case-DATE.zip].",
)
@click.option("--force", is_flag=True, help="Replace an older case of that name.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but the case's name.")
def command(
    paths: tuple[str, ...],
    logs: tuple[str, ...],
    live: live_options.Live,
    tokens: tuple[str, ...],
    apis: tuple[str, ...],
    worker_urls: tuple[str, ...],
    machine: live_options.Machine,
    rooms: tuple[str, ...],
    output: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Collect everything allowed into a redacted case: a folder or a zip that `lkdoctor check CASE` reads like the original.

    Taken are server and worker logs, API exchanges, LiveKit's own lines of .env files, tokens (decoded, without signature),
    with --url what the live server answers, with --worker-url what a worker says of itself, and with --docker and --host this
    machine's containers, their logs, and its workers. Secrets, people's identities and phone numbers are replaced, the same
    one by the same word in every file. What lkdoctor does not read is left out, and said. case.json lists each file with what
    was masked in it. Look into the case before you send it: what your own programs print may hold more than lkdoctor can
    know.

    Exit status: 0 written, 2 wrong usage or input, 3 written without something that was asked for, 4 lkdoctor failed,
    130 interrupted (the case holds what was collected until then).
    """
    from lkdoctor.cli import output as out
    from lkdoctor.cli import pipeline
    from lkdoctor.collect.snapshot.case_file import CaseFile, CaseFileError
    from lkdoctor.report.build import Settings

    live_options.sensible(live, for_token=bool(tokens))
    target = Path(output or f"lkdoctor-case-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.zip")
    asked = Settings(rooms=rooms)
    wish = pipeline.Wish(
        paths,
        logs,
        quiet=quiet,
        settings=asked,
        live=live,
        apis=apis,
        tokens=tokens,
        worker_urls=worker_urls,
        machine=machine,
    )
    case = CaseFile(target, force)
    try:
        _outside(target, paths)
        manifest, interrupted = _write(case, wish)
    except (pipeline.InputError, CaseFileError) as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"-o {target}: {error.strerror or error}; the case was not written") from None
    if quiet:
        out.to_stdout(out.lines([str(target)]))
    else:
        out.to_stdout(out.lines(_told(target, manifest)))
    for one in manifest["left_out"]:
        out.hint(f"left out: {one['name']}: {one['why']}")
    gaps = (
        manifest["gaps"] if live.asked or worker_urls or machine.asked else []
    )  # what the evidence had as a gap is told when the case is read
    for gap in gaps:
        out.hint(f"not learned: {gap['text']}")
    sys.exit(130 if interrupted else 3 if gaps else 0)


def _outside(target: Path, paths: tuple[str, ...]) -> None:
    """Refuses to write into the evidence.

    Raises:
        InputError: `target` is one of `paths`, or lies in a folder among them.
    """
    from lkdoctor.cli.pipeline import InputError

    real = os.path.realpath(target)
    for one in paths:
        evidence = os.path.realpath(one)
        if real == evidence or (os.path.isdir(evidence) and real.startswith(evidence.rstrip(os.sep) + os.sep)):
            raise InputError(f"-o {target} would write into {one}, which is evidence; name a place outside of it")


def _write(case: CaseFile, wish: Wish) -> tuple[dict[str, Any], bool]:
    """The manifest of the written case, and whether Ctrl-C was pressed."""
    from lkdoctor.cli import pipeline
    from lkdoctor.cli.interrupt import Interrupt
    from lkdoctor.cli.progress import Progress
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.server_log import StopReading
    from lkdoctor.collect.snapshot.writing import Writer
    from lkdoctor.redact import mask, of_this_run

    inputs = pipeline.inputs_of(wish, spare=[str(case.path)])
    gathered = Gathered()
    case.begin()
    try:
        with tempfile.TemporaryFile() as spool, Interrupt() as interrupt:
            wish.record = spool.write
            target = pipeline.learn(wish, inputs, gathered, interrupt)
            total = sum(one.size_on_disk for one in inputs.server_logs)
            with Progress(total, sys.stderr, quiet=wish.quiet) as progress:
                done = 0

                def track(count: int) -> None:
                    nonlocal done
                    done += count
                    progress(done, None)
                    interrupt.stop()

                writer = Writer(case, of_this_run(), track)
                if spool.tell():
                    spool.seek(0)
                    writer.exchanges(spool)
                writer.recorded(inputs, gathered)
                try:
                    writer.logs(inputs)
                except StopReading:
                    case.leave_out("the rest", "Ctrl-C was pressed before it was copied")
        live = {} if target is None else {"url": mask(target.url), "origins": dict(target.origins)}
        manifest = case.finish(
            mode=pipeline.mode_of(wish),
            interrupted=interrupt.asked,
            live=live,
            gaps=[{"kind": one.kind, "text": mask(one.text)} for one in gathered.gaps],
        )
    except BaseException:
        case.abandon()
        raise
    return manifest, interrupt.asked


def _told(target: Path, manifest: dict[str, Any]) -> list[str]:
    from lkdoctor.wording import counted

    masked: Counter[str] = Counter()
    for one in manifest["files"]:
        masked.update(one["masked"])
    plural = {"identity": "identities", "e-mail address": "e-mail addresses"}
    words = [counted(number, kind, plural.get(kind, "")) for kind, number in sorted(masked.items())]
    size = sum(one["bytes"] for one in manifest["files"])
    lines = [f"Wrote {target}: {counted(len(manifest['files']), 'file')}, {size / 1e6:,.1f} MB unpacked."]
    for one in manifest["files"]:
        dropped = sum(one.get("left_out", {}).values())
        more = f", {counted(dropped, 'line')} left out" if dropped else ""
        lines.append(f"  {one['name']}  {one['kind'].replace('_', ' ')}, {one['bytes']:,} bytes{more}")
    lines.append(f"Masked, each time counted: {', '.join(words) or 'nothing'}; case.json says what in which file.")
    lines.append(f"Look into it before you send it. `lkdoctor check {shlex.quote(str(target))}` reads it.")
    return lines
