"""`lkdoctor check`: what happened to every dispatch, why, the proof and the fix."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lkdoctor.cli import options

if TYPE_CHECKING:
    from lkdoctor.cli.pipeline import Collected, Wish

FORMATS = ("text", "json")


class OutputType(options.ParamType):
    """`json=FILE`: one more document, written beside the one on stdout."""

    name = "FORMAT=FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        form, found, path = str(value).partition("=")
        if not found or not path:
            self.fail(f"{value!r}: write FORMAT=FILE, for example json=report.json", param, ctx)
        if form not in FORMATS:
            self.fail(f"{form!r} is no format. Choose from {', '.join(FORMATS)}.", param, ctx)
        return form, path


@click.command("check")
@options.evidence
@options.live
@options.more_evidence
@options.worker_logs
@options.worker_urls
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="On stdout.")
@click.option("-o", "--output", "outputs", type=OutputType(), multiple=True, help="Write this too. Repeatable.")
@click.option("--select", multiple=True, type=options.CodeType(), help="Only these: LKD303, LKD3xx, no-headroom.")
@click.option("--ignore", multiple=True, type=options.CodeType(), help="Not these; what was left out is counted.")
@click.option(
    "--room", "rooms", multiple=True, metavar="NAME", help="Only this room; only it is asked about live. Repeatable."
)
@click.option("--agent", "agents", multiple=True, metavar="NAME", help="Only this agent name. Repeatable.")
@click.option(
    "--expect",
    multiple=True,
    metavar="NAME",
    help="Agents that somebody must dispatch, as lkdoctor.toml may say too: NAME[,NAME].",
)
@click.option(
    "--together",
    multiple=True,
    metavar="A,B",
    help="Agents that belong into one room and talk to each other. Repeatable, once a group.",
)
@options.config
@options.fail_on
@click.option("--allow-inconclusive", is_flag=True, help="Exit 0 instead of 3 when the evidence cannot tell.")
@options.exit_zero
@click.option("--all", "list_all", is_flag=True, help="List every dispatch, also above 10,000.")
@options.quiet
@options.verbose
@options.look
def command(
    paths: tuple[str, ...],
    logs: tuple[str, ...],
    since: float | None,
    until: float | None,
    jobs: int | None,
    live: options.Live,
    tokens: tuple[str, ...],
    apis: tuple[str, ...],
    worker_logs: tuple[str, ...],
    worker_urls: tuple[str, ...],
    expect: tuple[str, ...],
    together: tuple[str, ...],
    config: str | None,
    form: str,
    outputs: tuple[tuple[str, str], ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    rooms: tuple[str, ...],
    agents: tuple[str, ...],
    fail_on: str,
    allow_inconclusive: bool,
    exit_zero: bool,
    list_all: bool,
    quiet: bool,
    verbose: bool,
    color: str,
) -> None:
    """Tell what happened to every dispatch in the evidence, why, the proof and the fix.

    PATHS are server logs (plain, .gz, .zst, as docker, kubectl or journald wrap them; rotated sets and several nodes
    together); logs of agent workers (Python and Node, of any version and mode); API exchanges (api.jsonl); folders and zips that hold some, such as the case of `lkdoctor snapshot`; or - for
    stdin. Without PATHS, a token or a live server the current folder is looked at.

    A live server is asked only with --url, --project, --live, --watch or --probe. Its key and secret come from
    LIVEKIT_API_KEY and LIVEKIT_API_SECRET, a .env file, or the projects of the `lk` command. Nothing is changed on it; only
    --probe registers a worker and makes a room, both lkdoctor's own, and takes them away again. --worker-url asks a worker itself:
    three GETs, no key.

    Exit status: 0 nothing found, 1 findings, 2 wrong usage or input, 3 the evidence cannot tell, 4 lkdoctor failed,
    130 interrupted.
    """
    from lkdoctor.cli.pipeline import Wish
    from lkdoctor.cli.plan import read_config, wanted_of
    from lkdoctor.doctor.finding import Severity
    from lkdoctor.report.build import Settings

    targets = [os.path.realpath(path) for _, path in outputs]
    for number, (_, path) in enumerate(outputs):
        if targets[number] in targets[:number]:
            raise click.UsageError(f"-o names {path} twice; give each report a file of its own")
    settings = Settings(
        Severity[fail_on.upper()],
        allow_inconclusive,
        options.words(select),
        options.words(ignore),
        rooms,
        agents,
        list_all,
    )
    options.sensible(live, for_token=bool(tokens))
    file = read_config(paths, config)
    wanted = wanted_of(file.config, options.words(expect), tuple(options.group(one) for one in together))
    wish = Wish(
        paths,
        logs,
        since,
        until,
        jobs,
        quiet,
        settings=settings,
        live=live,
        apis=apis,
        tokens=tokens,
        wanted=wanted,
        worker_logs=worker_logs,
        worker_urls=worker_urls,
        config=file,
    )
    sys.exit(run(wish, form, outputs, exit_zero=exit_zero, quiet=quiet, verbose=verbose, color=color))


def run(
    wish: Wish,
    form: str,
    outputs: tuple[tuple[str, str], ...] = (),
    *,
    exit_zero: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    color: str = "auto",
    collect: Callable[[Wish], Collected] | None = None,
) -> int:
    """Read (by `collect`, else all that the wish names), judge, write; returns the exit status."""
    from lkdoctor.cli import output, pipeline
    from lkdoctor.cli.interrupt import Interrupt
    from lkdoctor.doctor import gate

    started_at = time.time()
    usage = interrupted = failed = False
    with Interrupt() as late:  # a Ctrl-C while the report is made, too, lets it be told
        try:
            collected = collect(wish) if collect else pipeline.collect(wish, spare=[path for _, path in outputs])
            report = pipeline.report(collected, wish)
            usage, interrupted = bool(collected.unusable), collected.interrupted
            del collected  # its rooms are not needed to write, and writing needs memory
        except pipeline.InputError as error:
            raise click.UsageError(str(error)) from None
        except Exception as error:  # noqa: BLE001 - a failure of lkdoctor's still gives one valid document
            report = pipeline.crashed(error, started_at, wish.settings)
            failed = True
        for complaint in report.errors:
            output.hint(complaint)
        problems = output.write_all(report, form, outputs, quiet=quiet, verbose=verbose, color=color)
    return gate.exit_status(
        report.verdict,
        own_error=failed or any(one.code in gate.OWN for one in (*report.findings, *report.symptoms)),
        interrupted=interrupted or late.asked,
        usage=usage or problems,
        allow_inconclusive=wish.settings.allow_inconclusive,
        exit_zero=exit_zero,
    )
