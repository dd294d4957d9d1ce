"""`lkdoctor check`: what happened to every dispatch, why, the proof and the fix."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from lkdoctor.cli import live_options, options, reporting

if TYPE_CHECKING:
    from lkdoctor.cli.pipeline import Wish
    from lkdoctor.report.baseline import Baseline


def looking(function: options.Command) -> options.Command:
    """All options that say what is looked at, and how it is judged. They arrive as one `Wish` in `wish`."""

    @functools.wraps(function)
    def gathered(*args: Any, **values: Any) -> Any:
        asked = {name: values.pop(name) for name in inspect.signature(wish_of).parameters}
        return function(*args, wish=wish_of(**asked), **values)

    for option in reversed(
        [
            options.evidence,
            live_options.live,
            options.more_evidence,
            options.worker_logs,
            live_options.worker_urls,
            live_options.machine,
            click.option(
                "--expect",
                multiple=True,
                metavar="NAME",
                help="Agents that must be there and be dispatched, as lkdoctor.toml may say too: NAME[,NAME].",
            ),
            click.option(
                "--together",
                multiple=True,
                metavar="A,B",
                help="Agents that belong into one room and talk to each other. Repeatable, once a group.",
            ),
            options.config,
            options.plugins,
            options.fail_on,
            click.option(
                "--allow-inconclusive", is_flag=True, help="Exit 0 instead of 3 when the evidence cannot tell."
            ),
            click.option("--all", "list_all", is_flag=True, help="List every dispatch, also above 10,000."),
            options.quiet,
        ]
    ):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value] # wraps keeps the signature that click reads


@click.command("check")
@looking
@reporting.form
@reporting.outputs
@click.option("--select", multiple=True, type=options.CodeType(), help="Only these: LKD303, LKD3xx, no-headroom.")
@click.option("--ignore", multiple=True, type=options.CodeType(), help="Not these; what was left out is counted.")
@click.option(
    "--room", "rooms", multiple=True, metavar="NAME", help="Only this room; only it is asked about live. Repeatable."
)
@click.option("--agent", "agents", multiple=True, metavar="NAME", help="Only this agent name. Repeatable.")
@click.option("--baseline", metavar="FILE", help="What `lkdoctor baseline write` wrote: only what is not in it counts.")
@options.exit_zero
@options.verbose
@options.look
def command(
    wish: Wish,
    form: str,
    outputs: tuple[tuple[str, str], ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    rooms: tuple[str, ...],
    agents: tuple[str, ...],
    baseline: str | None,
    exit_zero: bool,
    verbose: bool,
    color: str,
) -> None:
    """Tell what happened to every dispatch in the evidence, why, the proof and the fix.

    PATHS are server logs (plain, .gz, .zst, as docker, kubectl or journald wrap them; rotated sets and several nodes
    together); logs of agent workers (Python and Node, of any version and mode); API exchanges (api.jsonl); an agent's Python program (agent.py: read, never run); watches of a room (talk.jsonl); folders and zips that hold some, such as the case of `lkdoctor snapshot`; or - for
    stdin. Without PATHS, a token or a live server the current folder is looked at.

    A live server is asked only with --url, --project, --live, --watch or --probe. Its key and secret come from
    LIVEKIT_API_KEY and LIVEKIT_API_SECRET, a .env file, or the projects of the `lk` command. Nothing is changed on it; only
    --probe registers a worker and makes a room, both lkdoctor's own, and takes them away again. --worker-url asks a worker itself:
    three GETs, no key.

    --docker asks this machine's Docker engine for containers of workers and servers, and reads their logs; --host looks for
    workers among the processes. Nothing is changed there either.

    Exit status: 0 nothing found, 1 findings, 2 wrong usage or input, 3 the evidence cannot tell, 4 lkdoctor failed,
    130 interrupted.
    """
    targets = [os.path.realpath(path) for _, path in outputs]
    for number, (_, path) in enumerate(outputs):
        if targets[number] in targets[:number]:
            raise click.UsageError(f"-o names {path} twice; give each report a file of its own")
    wish.settings = replace(
        wish.settings, select=options.words(select), ignore=options.words(ignore), rooms=rooms, agents=agents
    )
    wish.baseline = None if baseline is None else read_baseline(baseline)
    told = reporting.Told(form, outputs, exit_zero, wish.quiet, verbose, color)
    sys.exit(reporting.run(wish, told))


def wish_of(
    *,
    paths: tuple[str, ...],
    logs: tuple[str, ...],
    since: float | None,
    until: float | None,
    jobs: int | None,
    live: live_options.Live,
    tokens: tuple[str, ...],
    apis: tuple[str, ...],
    worker_logs: tuple[str, ...],
    worker_urls: tuple[str, ...],
    machine: live_options.Machine,
    expect: tuple[str, ...],
    together: tuple[str, ...],
    config: str | None,
    no_plugins: bool,
    fail_on: str,
    allow_inconclusive: bool,
    list_all: bool,
    quiet: bool,
) -> Wish:
    """What the options of `looking` ask for.

    Raises:
        click.UsageError: an option's value, or a file that one names, cannot be used.
    """
    from lkdoctor.cli.pipeline import Wish
    from lkdoctor.cli.plan import read_config, wanted_of
    from lkdoctor.doctor.finding import Severity
    from lkdoctor.report.build import Settings

    settings = Settings(Severity[fail_on.upper()], allow_inconclusive, list_all=list_all)
    live_options.sensible(live, for_token=bool(tokens))
    file = read_config(paths, config)
    wanted = wanted_of(file.config, options.words(expect), tuple(options.group(one) for one in together))
    return Wish(
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
        machine=machine,
        config=file,
        plugins=not no_plugins,
    )


def read_baseline(path: str) -> tuple[str, Baseline]:
    """The baseline in this file, with its name.

    Raises:
        click.UsageError: there is none; the message says why and what to do.
    """
    from lkdoctor.report.baseline import BaselineError, decode

    try:
        with open(path, "rb") as file:
            return path, decode(file.read())
    except FileNotFoundError:
        raise click.UsageError(f"{path}: no such file; `lkdoctor baseline write` writes one") from None
    except OSError as error:
        raise click.UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except BaselineError as error:
        raise click.UsageError(f"{path}: {error}") from None
