"""`lkdoctor talk`: who is in a room, whose voice sounds, who understands whom, and why nobody does."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from lkdoctor.cli import live_options, options, reporting

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target
    from lkdoctor.report.build import Settings

SECONDS: Final = 60.0
LONGEST: Final = 3600.0


@click.command("talk")
@click.argument("room")
@live_options.server()
@click.option(
    "--seconds",
    type=click.FloatRange(1, LONGEST),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to watch.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, LONGEST),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for a room that is not there yet: the watch then sees everybody come.",
)
@click.option(
    "--together",
    multiple=True,
    metavar="A,B",
    help="The agents that should talk to each other [default: all in the room, when no person is there]. Repeatable.",
)
@click.option("--log", "logs", multiple=True, metavar="FILE", help="A server log to read as well. Repeatable.")
@options.worker_logs
@click.option(
    "--record", metavar="FILE", help="Write what was noticed to FILE (talk.jsonl), for `lkdoctor check FILE`."
)
@reporting.reported(inconclusive="Exit 0 instead of 3 when the watch could not tell.")
def command(
    room: str,
    server: live_options.Live,
    seconds: float,
    wait: float,
    together: tuple[str, ...],
    logs: tuple[str, ...],
    worker_logs: tuple[str, ...],
    record: str | None,
    settings: Settings,
    told: reporting.Told,
) -> None:
    """Watch ROOM for a minute, and tell why its agents do not talk to each other.

    lkdoctor joins as a hidden participant of kind agent: nobody in the room is told of it, no agent links to it, it keeps no
    room open, and it sends nothing. It notes who comes and goes, the agents' states, their tracks, how loud each sounds (ten
    times a second), and how much of it was transcribed; no audio and no words are kept. The server's log and your webhooks
    show it come and go (lkdoctor-listener-…).

    A room that is not there is not made: say --wait 60, start the call, and the watch sees it from its first moment. It
    ends by itself, with the room, or with Ctrl-C; what was noticed until then is told. With the worker's log
    (--worker-log) more can be told apart.

    Exit status: 0 nothing found, 1 findings, 2 wrong usage, 3 the watch could not tell, 4 lkdoctor failed, 130 interrupted.
    """
    from lkdoctor.cli import live, pipeline
    from lkdoctor.collect.credentials import CredentialsError
    from lkdoctor.dispatch.model import Wanted
    from lkdoctor.probe import media
    from lkdoctor.redact import mask

    if media.missing():
        raise click.UsageError("a watch joins the room over media, which needs: pip install 'lkdoctor[probe]'")
    if not room:
        raise click.UsageError("ROOM is empty; name the room that is to be watched")
    wanted = replace(server, asked=True, talk=live_options.Talk(room, seconds, wait, record))
    live_options.sensible(wanted, for_token=False)
    try:
        _keyed(live.target_of(wanted))
    except CredentialsError as error:
        raise click.UsageError(mask(str(error))) from None
    wish = pipeline.Wish(
        logs=logs,
        worker_logs=worker_logs,
        quiet=told.quiet,
        settings=replace(settings, rooms=(room,)),
        live=wanted,
        wanted=Wanted(together=tuple(options.group(one) for one in together)),
    )
    sys.exit(reporting.run(wish, told))


def _keyed(target: Target) -> None:
    """A watch needs a token of its own.

    Raises:
        click.UsageError: only a URL is known.
    """
    if not target.has_key:
        raise click.UsageError(
            "a watch joins the room, and needs --api-key and --api-secret, or LIVEKIT_API_KEY and _SECRET"
        )
