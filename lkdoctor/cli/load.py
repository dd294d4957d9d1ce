"""`lkdoctor load`: what load a worker would report here, what it is a share of, and what the server makes of it."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import click

from lkdoctor.cli import live_options, options, reporting

if TYPE_CHECKING:
    from lkdoctor.cli.pipeline import Collected, Wish
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.load.machine import Place
    from lkdoctor.collect.load.measure import Known
    from lkdoctor.collect.load.sdk import Function
    from lkdoctor.dispatch.load import LoadReading
    from lkdoctor.report.build import Settings

SECONDS: Final = 5.0
SOURCE: Final = "this machine's load"


class LoadOutput(reporting.OutputType):
    """`json=FILE`, or the file for a case: `load.jsonl`."""

    name = "FORMAT=FILE|FILE.jsonl"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, str) and value.endswith(".jsonl") and "=" not in value:
            return "case", value
        return super().convert(value, param, ctx)


@dataclass(slots=True)
class _Asked:
    """What is to be measured, for how long, and what the user said of it."""

    pythons: tuple[str, ...]
    nodes: tuple[str, ...]
    functions: tuple[str, ...]
    pids: tuple[int, ...]
    containers: tuple[str, ...]
    known: Known
    seconds: float
    windows: int
    quiet: bool
    notes: list[str] = field(default_factory=list)


@click.command("load")
@options.inputs
@click.option("--python", "pythons", multiple=True, metavar="PYTHON|VENV", help="The worker's Python [default: this].")
@click.option("--node", "nodes", multiple=True, metavar="FOLDER", help="A project with @livekit/agents. Repeatable.")
@click.option(
    "--function",
    "functions",
    multiple=True,
    metavar="MODULE:NAME",
    help="Your own load function; it is imported and called, in the Python of --python and from the current folder.",
)
@click.option("--pid", "pids", type=click.IntRange(1), multiple=True, help="A worker that runs, also in a container.")
@click.option("--container", "containers", multiple=True, metavar="NAME", help="The same for a Docker container here.")
@click.option(
    "--seconds", type=click.FloatRange(1, 600), default=SECONDS, show_default=True, help="Measure for so long."
)
@click.option(
    "--watch", type=click.FloatRange(1, 86400), metavar="SECONDS", help="Measure again and again for so long."
)
@click.option("--agent", "agent_name", metavar="NAME", help="The agent name of the worker that is measured.")
@click.option("--threshold", type=float, help="The worker's own load_threshold, where its code sets one.")
@click.option("--dev", is_flag=True, help="The worker runs in dev mode: it never calls itself full.")
@click.option("--server-version", metavar="VERSION", help="The livekit-server [default: by the log, if one is given].")
@live_options.server(
    url="Ask this server: lkdoctor's canary registers there and measures its limit.",
    project="The same for the server of this project of the `lk` command.",
)
@click.option("--target-load", type=float, help="`agents.target_load` of the server's livekit.yaml, if it is set.")
@reporting.reported(
    output=click.option(
        "-o", "--output", "outputs", type=LoadOutput(), multiple=True, help="Write this too; load.jsonl is for a case. Repeatable."
    )
)  # fmt: skip
def command(
    paths: tuple[str, ...],
    logs: tuple[str, ...],
    pythons: tuple[str, ...],
    nodes: tuple[str, ...],
    functions: tuple[str, ...],
    pids: tuple[int, ...],
    containers: tuple[str, ...],
    seconds: float,
    watch: float | None,
    agent_name: str | None,
    threshold: float | None,
    dev: bool,
    server_version: str | None,
    server: live_options.Live,
    target_load: float | None,
    settings: Settings,
    told: reporting.Told,
) -> None:
    """Measure the load that a worker would report here, and tell what it means to the server.

    A livekit-server refuses a worker from a certain load on, silently and without a second try. What that load is a share of
    differs by SDK version and host: of the whole machine, of a container's quota, of two CPUs that were taken for granted.
    lkdoctor runs the load function of the SDK itself beside the kernel's own counters, and explains the difference. Give the
    server's log (PATHS) to learn its version, and whether dispatches were refused meanwhile; or --url, to measure the limit
    there (as `lkdoctor probe` does: with a worker and a room of lkdoctor's own).

    Run it where the worker runs: in its container, with its Python. From outside, --pid looks at a worker's process as it
    sees itself. Without --url nothing is sent anywhere. `-o load.jsonl` keeps the measurements for `lkdoctor check`.

    Exit status: 0 nothing found, 1 findings, 2 wrong usage, 3 the evidence cannot tell, 4 lkdoctor failed, 130 interrupted.
    """
    from lkdoctor.cli import pipeline
    from lkdoctor.collect.load.measure import Known
    from lkdoctor.dispatch.rules import parse_version

    if server_version is not None and parse_version(server_version) is None:
        raise click.UsageError(f"--server-version {server_version}: write three numbers, as in 1.13.5")
    if threshold is not None and (math.isnan(threshold) or threshold <= 0):
        raise click.UsageError("--threshold is a number above 0, as load_threshold is")
    if dev and threshold is not None:
        raise click.UsageError("a load_threshold that the code sets holds in dev mode, too: leave out --dev")
    windows = 1 if watch is None else max(1, round(watch / seconds))
    known = Known(agent_name, threshold, dev, (server_version or "").removeprefix("v"), target_load)
    asked = _Asked(pythons, nodes, functions, pids, containers, known, seconds, windows, told.quiet)
    live = replace(server, probe=server.asked)
    live_options.sensible(live, for_token=False)
    wish = pipeline.Wish(paths, logs, quiet=told.quiet, live=live, settings=settings)
    documents = tuple(one for one in told.outputs if one[0] != "case")
    cases = tuple(path for kind, path in told.outputs if kind == "case")
    told = replace(told, outputs=documents)
    sys.exit(reporting.run(wish, told, collect=lambda one: _collect(one, asked, cases)))


def _collect(wish: Wish, asked: _Asked, cases: tuple[str, ...]) -> Collected:
    """The measurements, and the logs that were named beside them."""
    from lkdoctor.cli import output, pipeline
    from lkdoctor.cli.interrupt import Interrupt
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.load.machine import NoSuchProcessError
    from lkdoctor.collect.load.sdk import NoSdkError
    from lkdoctor.collect.server_log import ServerLogs
    from lkdoctor.dispatch.model import SourceNote, Stories

    started_at = time.time()
    gathered = Gathered()
    note = SourceNote(SOURCE, "load", lines=0)
    gathered.notes.append(note)
    with Interrupt() as interrupt:
        try:
            asyncio.run(_measure(asked, gathered, interrupt))
        except (NoSdkError, NoSuchProcessError) as error:
            raise pipeline.InputError(str(error)) from None
    note.notes += asked.notes
    for one in asked.notes:
        output.hint(one)
    _write_cases(gathered, cases)
    if not (wish.paths or wish.logs or wish.live.asked):
        stories = Stories(sources=gathered.notes, facts=gathered.facts)
        return pipeline.Collected(stories, ServerLogs([]), gathered, started_at, interrupt.asked)
    return pipeline.collect(wish, spare=cases, gathered=gathered)


async def _measure(asked: _Asked, gathered: Gathered, interrupt: Any) -> None:
    """Fill `gathered` with what was measured, window by window; Ctrl-C keeps what there is.

    Raises:
        NoSdkError, NoSuchProcessError: what was named cannot be measured.
    """
    from lkdoctor.collect.load import machine, measure

    places: list[Place] = [machine.of_process(one) for one in asked.pids]
    places += [machine.of_container(one) for one in asked.containers]
    if asked.pythons or asked.nodes or asked.functions or not places:
        places.insert(0, machine.here())
    functions: list[Function] = []
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if task is not None:
            task.cancel()

    try:
        with interrupt.calling(lambda: loop.call_soon_threadsafe(stop)):
            if any(one.pid is None for one in places):
                functions += await _functions(asked)
            async for found in measure.readings(
                places, functions, asked.known, seconds=asked.seconds, windows=asked.windows
            ):
                _keep(found, gathered, asked)
    except asyncio.CancelledError:
        if not interrupt.asked:
            raise
    finally:
        for one in functions:
            await one.stop()
        asked.notes += (
            [
                f"{one.where}: no livekit-agents and no @livekit/agents was found there, so what its worker would report is not known"
                for one in _last_of(gathered)
                if not one.measures
            ]
            if asked.pids or asked.containers
            else []
        )
        asked.notes += [f"{one.named}: {one.ended}" for one in functions if one.ended and not one.samples]


def _last_of(gathered: Gathered) -> list[LoadReading]:
    """The last reading of each other process."""
    from lkdoctor.dispatch.load import LoadReading

    every = [one for one in gathered.facts.get(LoadReading, []) if isinstance(one, LoadReading)]
    return list({one.where: one for one in every if one.where != "this machine"}.values())


async def _functions(asked: _Asked) -> list[Function]:
    from lkdoctor.collect.load import sdk

    wanted: list[tuple[Callable[..., Any], tuple[str, ...]]] = []
    for one in asked.pythons or ("",):
        wanted += [(sdk.python, (one, named)) for named in asked.functions]
    wanted += [(sdk.python, (one,)) for one in asked.pythons]
    wanted += [(sdk.node, (one,)) for one in asked.nodes]
    unnamed = not (asked.pythons or asked.nodes or asked.functions)
    if unnamed:
        wanted.append((sdk.python, ("",)))
    started: list[Function] = []
    try:
        for start, arguments in wanted:
            try:
                started.append(await start(*arguments))
            except sdk.NoSdkError as error:
                if not unnamed:
                    raise
                # Nobody named one, so that the machine alone is measured is no fault; but it has to be said.
                asked.notes.append(
                    f"no SDK was measured ({error}); name the worker's: --python path/to/venv, or --node path/to/project"
                )
    except BaseException:
        for each in started:
            await each.stop()
        raise
    return started


def _keep(found: Sequence[LoadReading], gathered: Gathered, asked: _Asked) -> None:
    import msgspec

    from lkdoctor.dispatch.facts import Place as FactPlace

    note = gathered.notes[0]
    for one in found:
        note.lines = (note.lines or 0) + 1
        note.first_at = one.at - one.seconds if note.first_at is None else note.first_at
        note.last_at = one.at
        gathered.add(msgspec.structs.replace(one, place=FactPlace(SOURCE, note.lines - 1)))
        if asked.windows > 1 and not asked.quiet:
            clock = datetime.fromtimestamp(one.at, timezone.utc).strftime("%H:%M:%S")
            shown = "" if one.load is None else f" {one.measures} {one.load:.2f},"
            click.echo(f"{clock}Z {one.where}:{shown} busy {one.host_share:.0%} of its CPUs", err=True)


def _write_cases(gathered: Gathered, cases: tuple[str, ...]) -> None:
    from lkdoctor.cli.pipeline import InputError
    from lkdoctor.collect.fact_files import write_facts
    from lkdoctor.collect.kinds import BY_NAME

    for path in cases:
        try:
            with open(path, "wb") as file:
                file.writelines(write_facts(gathered, BY_NAME["load"]))
        except OSError as error:
            raise InputError(f"-o {path}: {error.strerror or error}; the measurements were not written") from None
