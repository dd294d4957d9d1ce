"""`lkdoctor workers`: the roster that no API gives: who was registered under which name, since when."""

from __future__ import annotations

import sys
from typing import Final

import click

from lkdoctor.cli import live_options, options

_LISTING: Final = frozenset({"server_log", "worker_log", "docker", "host", "worker_http"})  # kinds that show workers


@click.command("workers")
@options.evidence
@options.worker_logs
@live_options.worker_urls
@live_options.machine
@click.option("--url", metavar="URL", help="Not possible: no API of LiveKit lists workers; --url says what would help.")
@click.option(
    "--at",
    metavar="TIME",
    help="Only those registered then: 2026-01-31T12:00:00Z, Unix seconds, 12:00:00 (on the last day of the evidence), "
    "-10m before its end, +10m after its start.",
)
@options.look
def command(
    paths: tuple[str, ...],
    logs: tuple[str, ...],
    since: float | None,
    until: float | None,
    jobs: int | None,
    worker_logs: tuple[str, ...],
    worker_urls: tuple[str, ...],
    machine: live_options.Machine,
    url: str | None,
    at: str | None,
    color: str,
) -> None:
    """List who was registered under which agent name, since when, until when, and with how many jobs.

    A worker that registered before the evidence starts is listed when something in it names the worker. With --docker the
    logs of this machine's containers are read, and each worker is placed in its container; with --host workers among the
    processes are listed, and with --worker-url what a worker says of itself.
    """
    from lkdoctor.cli import output, pipeline
    from lkdoctor.report import roster

    if url is not None:
        raise click.UsageError(
            "--url: no API of livekit-server lists workers, so a live server cannot be asked for them. Give its log "
            "(`lkdoctor workers server.log`, or --docker where it runs in a container), which tells each registration; whether a name is served now, "
            "`lkdoctor probe NAME` finds out, by having that agent called once"
        )

    wish = pipeline.Wish(
        paths, logs, since, until, jobs, worker_logs=worker_logs, worker_urls=worker_urls, machine=machine
    )
    try:
        collected = pipeline.collect(wish)
    except pipeline.InputError as error:
        raise click.UsageError(str(error)) from None
    stories = collected.stories
    for complaint in collected.unusable or collected.gaps:  # what makes it fail is a gap as well
        output.hint(complaint)
    if collected.unusable:
        sys.exit(2)
    if not any(one.kind in _LISTING and not one.unusable for one in stories.sources):
        raise click.UsageError("no server log in this evidence, and nothing else lists workers; name one")
    moment = None if at is None else _moment(at, stories.first_at, stories.last_at)
    output.to_stdout(output.lines(roster.lines(stories, output.screen(color), moment)))
    sys.exit(130 if collected.interrupted else 0)


def _moment(text: str, first: float | None, last: float | None) -> float:
    found = options.absolute(text)
    if found is not None:
        return found
    if first is None or last is None:
        raise click.BadParameter("the evidence has no times, so nothing can be said about a moment", param_hint="--at")
    span = options.seconds_of(text)
    if span is not None:
        return first + span if text.strip().startswith("+") else last - abs(span)
    clock = options.clock_on_day(text, last)
    if clock is not None:
        return clock
    raise click.BadParameter(
        f"{text!r} is no time. Write 2026-01-31T12:00:00Z, Unix seconds, 12:00:00, -10m or +10m.", param_hint="--at"
    )
