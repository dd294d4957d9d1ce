"""`lkdoctor probe`: a job of lkdoctor's own through a live server, test calls of agents, and the rooms they left."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from lkdoctor.cli import live_options, reporting

if TYPE_CHECKING:
    from lkdoctor.cli.pipeline import Collected, Wish
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.target import Target
    from lkdoctor.probe.agent import Request
    from lkdoctor.report.build import Settings

TIMEOUT: Final = 15.0  # s
MOST: Final = 100  # test calls of one run: each runs the user's agent
_CANARY_SECONDS: Final = 60.0
_VISIT_SECONDS: Final = 45.0  # of one test call besides its two time-outs


@click.command("probe")
@click.argument("agents", nargs=-1, metavar="[AGENT]...")
@live_options.server()
@click.option(
    "--times",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="Call AGENT so often, each in a new room.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 300),
    default=TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="The longest wait for an agent to join, and then for its audio.",
)
@click.option("--metadata", default="", metavar="TEXT", help="The metadata that the agent gets with its job.")
@click.option(
    "--deployment", default="", metavar="NAME", help="Call the workers of this deployment (servers from 1.12 on)."
)
@click.option(
    "--mine", multiple=True, metavar="AW_…", help="A worker id that is yours; others are strangers. Repeatable."
)
@click.option("--no-canary", is_flag=True, help="Call AGENT at once, without lkdoctor's own job before it.")
@click.option("--cleanup", is_flag=True, help="Only remove rooms that a probe left behind (lkdoctor-…), and no others.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before calling an agent or removing rooms.")
@reporting.reported(inconclusive="Exit 0 instead of 3 when the probe could not tell.")
def command(
    agents: tuple[str, ...],
    server: live_options.Live,
    times: int,
    timeout: float,
    metadata: str,
    deployment: str,
    mine: tuple[str, ...],
    no_canary: bool,
    cleanup: bool,
    yes: bool,
    settings: Settings,
    told: reporting.Told,
) -> None:
    """Send a job through a live server, end to end, and tell each step with its time.

    Without AGENT this is the canary: lkdoctor registers a worker of a name of its own, makes a room for that name, takes the
    job, checks that two names in one room both come, and measures the load at which the server stops asking. No user's
    agent is called. Seen from outside: lines in the server's log, room_started and room_finished at your webhooks, and for
    some seconds a room lkdoctor-…, which is deleted at the end.

    With AGENT lkdoctor calls it as well, after the canary: it makes a room for it (one for all names), joins as a visible
    person with a silent microphone, and waits for job, agent and its first audio track. That runs your agent, with whatever its
    models cost, so it asks before. --times 8 tells how many workers serve the name.

    Exit status: 0 nothing found, 1 findings, 2 wrong usage, 3 the probe could not tell, 4 lkdoctor failed, 130 interrupted.
    """
    from lkdoctor.cli import live, pipeline
    from lkdoctor.collect.credentials import CredentialsError
    from lkdoctor.probe.agent import Request
    from lkdoctor.redact import mask, of_this_run

    names = tuple(dict.fromkeys(agents))
    if cleanup and (told.form != "text" or told.outputs):
        raise click.UsageError("--cleanup removes rooms and makes no report; leave out --format and -o")
    _consistent(
        names, cleanup=cleanup, no_canary=no_canary, for_agents=bool(mine or metadata or deployment or times > 1)
    )
    if metadata:
        of_this_run().add(metadata)
    wanted = replace(server, asked=True, timeout=timeout, probe=True)
    live_options.sensible(wanted, for_token=False)
    try:
        target = live.target_of(wanted)
    except CredentialsError as error:
        raise click.UsageError(mask(str(error))) from None
    if cleanup:
        sys.exit(_clean_up(target, yes=yes))
    if names:
        _ask(_price(names, times, target), yes=yes)
    request = Request(names, times, timeout, metadata, deployment, mine)
    wish = pipeline.Wish(quiet=told.quiet, settings=settings, live=wanted)
    sys.exit(reporting.run(wish, told, collect=lambda one: _collect(one, target, request, with_canary=not no_canary)))


def _consistent(names: tuple[str, ...], *, cleanup: bool, no_canary: bool, for_agents: bool) -> None:
    from lkdoctor.dispatch.rules import OWN_PREFIX

    if cleanup and names:
        raise click.UsageError(
            "--cleanup only removes rooms; leave the agent names out, or run the two one after the other"
        )
    if not names and (no_canary or for_agents):
        raise click.UsageError("this needs the name of an agent to call: `lkdoctor probe AGENT --times 8`")
    for one in names:
        if not one:
            raise click.UsageError("an empty name would call the unnamed workers of everybody; give the agent a name")
        if one.startswith(OWN_PREFIX):
            raise click.UsageError(f"{one}: names that begin with {OWN_PREFIX} are lkdoctor's own")


def _price(names: tuple[str, ...], times: int, target: Target) -> str:
    """What the test calls cost and touch."""
    called = f"{', '.join(names)} {'once' if times == 1 else f'{times} times'}"
    rooms = (
        "one room (lkdoctor-probe-…)," if times == 1 else f"{times} rooms (lkdoctor-probe-…), one after the other, each"
    )
    gone = "The room is deleted" if times == 1 else "The rooms are deleted"
    from lkdoctor.report.screen import Screen, width_of

    screen = Screen(width_of(sys.stderr), color=False)
    points = (
        "It runs the agent's code: its models, speech and telephony services may cost money.",
        (
            f"It makes {rooms} with a visible person and a silent microphone; your webhooks get room_started, "
            f"participant_joined, track_published and the like. {gone} at the end."
        ),
        "No other agent is called.",
    )
    lines = screen.wrap(f"This calls {called} on {target.url} (URL from {target.origins.get('url', 'an option')}).")
    return "\n".join(lines + [line for point in points for line in screen.wrap(point, "  - ")])


def _ask(told: str, *, yes: bool) -> None:
    """Say what is about to happen, and ask on a terminal.

    Raises:
        click.UsageError: nobody can be asked, and --yes was not given.
        click.exceptions.Exit: the answer was no.
    """
    click.echo(told, err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here (stdin is no terminal); add --yes if this is meant")
    if not click.confirm("Go on?", err=True):
        raise click.exceptions.Exit(2)


def probe_collect(
    request: Request, *, with_canary: bool = True
) -> Callable[[Target, Gathered, Callable[[str], None]], Coroutine[Any, Any, None]]:
    """The collector that runs the canary and then calls the agents of `request` (none: the canary alone)."""

    async def collect(target: Target, gathered: Gathered, say: Callable[[str], None]) -> None:
        from lkdoctor.probe.agent import probe_agents
        from lkdoctor.probe.calls import ProbeError
        from lkdoctor.probe.canary import canary

        if with_canary:
            run = await canary(target, gathered, say)
            if request.names and not run.reached("assigned"):
                names = ", ".join(request.names)
                raise ProbeError(
                    "never",
                    f"{names} was not called, because the canary got no job (--no-canary calls it all the same)",
                )
        if request.names:
            await probe_agents(target, gathered, say, request)

    return collect


def seconds_of(request: Request) -> float:
    """The most seconds that `probe_collect` may take."""
    calls = request.times * (_VISIT_SECONDS + 2 * request.timeout) if request.names else 0.0
    return _CANARY_SECONDS + calls


def _collect(wish: Wish, target: Target, request: Request, *, with_canary: bool) -> Collected:
    """The way to the server and the probe, as everything that a report is made from."""
    from lkdoctor.cli import live, pipeline
    from lkdoctor.cli.interrupt import Interrupt
    from lkdoctor.collect import connection
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.server_log import ServerLogs
    from lkdoctor.dispatch.model import Stories

    started_at = time.time()
    gathered = Gathered()
    asked = [
        live.Collector(
            "connection", "the connection", partial(connection.walk, target), live_options.LIVE_TIMEOUT, target.url
        ),
        live.Collector(
            "probe",
            live_options.PROBE_WORDS,
            partial(probe_collect(request, with_canary=with_canary), target),
            seconds_of(request),
            target.url,
        ),
    ]
    with Interrupt() as interrupt:
        live.ask(asked, gathered, interrupt, quiet=wish.quiet)
    stories = Stories(sources=gathered.notes, steps=gathered.steps, probes=gathered.probes, server=gathered.server)
    return pipeline.Collected(
        stories,
        ServerLogs([]),
        gathered,
        started_at,
        interrupt.asked,
        gaps=tuple(one.text for one in gathered.gaps),
        target=target,
    )


def _clean_up(target: Target, *, yes: bool) -> int:
    """Remove what probes left; returns the exit status: 1 when something is still there."""
    from lkdoctor.cli import output
    from lkdoctor.probe import cleanup
    from lkdoctor.probe.calls import ProbeError

    try:
        rooms = asyncio.run(cleanup.left_overs(target))
    except ProbeError as error:
        output.hint(f"{target.url}: the rooms could not be listed: {error}")
        return 3
    if not rooms:
        output.to_stdout(output.lines([f"No room of lkdoctor's is on {target.url}."]))
        return 0
    now = time.time()
    listed = [
        f"  {one.name}" + (f", made {max(0.0, now - one.created_at):.0f} s ago" if one.created_at else "")
        for one in rooms
    ]
    told = [
        f"Rooms of lkdoctor's on {target.url} (one of a probe that runs now is among them, if there is one):",
        *listed,
    ]
    _ask("\n".join(told), yes=yes)
    done = asyncio.run(cleanup.remove(target, [one.name for one in rooms]))
    output.to_stdout(output.lines([f"Removed {len(done.removed)} of {len(rooms)}."]))
    for name, why in sorted(done.failed.items()):
        output.hint(f"{name} is still there: {why}")
    return 1 if done.failed else 0
