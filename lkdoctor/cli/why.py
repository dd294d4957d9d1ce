"""`lkdoctor why SUBJECT`: the story of one thing, as a timeline in words."""

from __future__ import annotations

import sys

import click

from lkdoctor.cli import live_options, options


@click.command("why")
@click.argument("subject")
@options.evidence
@live_options.live
@options.more_evidence
@options.worker_logs
@live_options.worker_urls
@live_options.machine
@options.config
@click.option("-v", "--verbose", is_flag=True, help="Whole proof lines, and everything however long.")
@options.look
def command(
    subject: str,
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
    config: str | None,
    verbose: bool,
    color: str,
) -> None:
    """Tell the story of SUBJECT, line by line, with the proof.

    SUBJECT is a room's name or id (RM_…), an agent name, a worker (AW_…), a job (AJ_…), a dispatch (AD_…), or a
    participant's identity. All that `lkdoctor check` looks at can be looked at here: with --url the live server is asked,
    with --docker this machine's containers, whose logs are read.

    Exit status: 0, or 2 when the evidence does not know it.
    """
    from lkdoctor.cli import output, pipeline
    from lkdoctor.cli.plan import read_config, wanted_of
    from lkdoctor.redact import mask
    from lkdoctor.report.why import Story, UnknownSubjectError

    live_options.sensible(live, for_token=bool(tokens))
    file = read_config(paths, config)
    wish = pipeline.Wish(
        paths, logs, since, until, jobs, keep_all=True, live=live, apis=apis, tokens=tokens, worker_logs=worker_logs,
        worker_urls=worker_urls, machine=machine, config=file, wanted=wanted_of(file.config, (), ()),
    )  # fmt: skip
    try:
        collected = pipeline.collect(wish)
        report = pipeline.report(collected, wish)
        for complaint in collected.unusable:
            output.hint(complaint)
        if collected.unusable:
            sys.exit(2)
        story = Story(collected.stories, subject)
    except (pipeline.InputError, UnknownSubjectError) as error:
        raise click.UsageError(mask(str(error))) from None  # names near to SUBJECT may hold a token
    screen = output.screen(color)
    output.to_stdout(output.lines(story.lines(report, collected.resolve, screen, verbose=verbose)))
    sys.exit(130 if collected.interrupted else 0)
