"""`lkdoctor token inspect` and `lkdoctor token create`: what a server will do with a token, and a token that is right."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lkdoctor.cli import options

if TYPE_CHECKING:
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.target import Target
    from lkdoctor.doctor.finding import Severity
    from lkdoctor.report.json_v1 import Report

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_KINDS = ("standard", "agent", "sip", "egress", "ingress")


class LifeType(options.ParamType):
    """A length of time: `90s`, `30m`, `6h`, `1d`, or seconds."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
        if not 0 < seconds <= 366 * 86400 * 10:
            self.fail(f"{value!r} is no length of time: write 90s, 30m, 6h or 1d.", param, ctx)
        return seconds


class VersionType(options.ParamType):
    """A version of livekit-server."""

    name = "VERSION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from lkdoctor.dispatch import rules

        if rules.parse_version(str(value)) is None:
            self.fail(f"{value!r} is no version of livekit-server: write 1.13.5.", param, ctx)
        return str(value).removeprefix("v")


def credentials(function: Command) -> Command:
    """The options that name the key and the secret; without them the environment, .env files and lk's projects are used."""
    for option in reversed(
        [
            options.key,
            options.secret,
            click.option("--project", metavar="NAME", help="Key and secret of this project of the `lk` command."),
            click.option("--server-version", type=VersionType(), help="The server that it is for [default: any]."),
        ]
    ):
        function = option(function)
    return function


@click.group("token")
def command() -> None:
    """Tell what a server will do with a token, or make one that is right."""


@command.command("inspect")
@click.argument("tokens", nargs=-1, required=True, metavar="TOKEN|FILE|-...")
@credentials
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.fail_on
@options.exit_zero
@options.quiet
@options.verbose
@options.look
def inspect(
    tokens: tuple[str, ...],
    key: str | None,
    secret: str | None,
    project: str | None,
    server_version: str | None,
    form: str,
    fail_on: str,
    exit_zero: bool,
    quiet: bool,
    verbose: bool,
    color: str,
) -> None:
    """Tell what a server will do with each TOKEN, for a new room and for one that is there.

    Give the token, a FILE that holds one, or - for stdin; `Bearer `, quotes, a URL or JSON around it do no harm. The
    token is not shown, and nobody is asked: with the secret at hand its signature is checked here.

    Exit status: 0 nothing found, 1 findings, 2 wrong usage or input, 4 lkdoctor failed.
    """
    from lkdoctor.cli import output
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.token import TokenInputError, read_tokens
    from lkdoctor.doctor import gate
    from lkdoctor.doctor.finding import Severity

    started_at = time.time()
    gathered = Gathered()
    pair = _pair(key, secret, project)
    try:
        read_tokens(tokens, gathered, pair, server_version=server_version or "", option="TOKEN")
    except TokenInputError as error:
        raise click.UsageError(str(error)) from None
    report = report_of(gathered, started_at, Severity[fail_on.upper()])
    written = output.write_all(report, form, (), output.Look(quiet, verbose, color))
    sys.exit(
        gate.exit_status(
            report.verdict,
            own_error=written.failed or any(one.code in gate.OWN for one in (*report.findings, *report.symptoms)),
            interrupted=False,
            usage=False,
            allow_inconclusive=True,
            exit_zero=exit_zero,
        )
    )


def report_of(gathered: Gathered, started_at: float, fail_on: Severity) -> Report:
    """The report of tokens alone."""
    from lkdoctor.dispatch.model import Stories
    from lkdoctor.doctor import engine, loader
    from lkdoctor.doctor.evidence import Evidence
    from lkdoctor.report.build import RunFacts, Settings, build

    stories = Stories()
    stories.tokens, stories.sources = gathered.tokens, gathered.notes
    loaded = loader.load()
    diagnosis = engine.run(loaded.checks, Evidence.of(stories), loaded.findings)
    run = RunFacts(started_at, time.time() - started_at)
    return build(stories, diagnosis, resolve=gathered.resolve, run=run, settings=Settings(fail_on))


def _pair(key: str | None, secret: str | None, project: str | None) -> Target | None:
    from lkdoctor.collect.credentials import CredentialsError, pair_of
    from lkdoctor.redact import mask

    try:
        return pair_of(key, secret, project)
    except CredentialsError as error:
        raise click.UsageError(mask(str(error))) from None


@command.command("create")
@click.option("--room", default="", metavar="NAME", help="The room that may be joined. Needed.")
@click.option("--identity", default="", metavar="ID", help="Who the participant is. Needed.")
@click.option("--name", default="", help="The participant's name for others to see.")
@click.option(
    "--agent",
    "agents",
    multiple=True,
    metavar="NAME[:METADATA]",
    help="Bring this agent when the join makes the room. Repeatable.",
)
@click.option(
    "--deployment", default="", metavar="NAME", help="The deployment of these agents (servers from 1.12.0 on)."
)
@click.option("--preset", default="", metavar="NAME", help="A room preset of the server's configuration.")
@click.option("--metadata", default="", help="The participant's metadata.")
@click.option("--ttl", type=LifeType(), default="6h", show_default=True, help="How long it may be joined with.")
@click.option("--can-publish/--no-can-publish", default=True, show_default=True, help="May send audio and video.")
@click.option("--can-subscribe/--no-can-subscribe", default=True, show_default=True, help="May receive them.")
@click.option("--hidden", is_flag=True, help="Others do not see the participant.")
@click.option("--kind", type=click.Choice(_KINDS), default="standard", show_default=True)
@credentials
def create(
    room: str,
    identity: str,
    name: str,
    agents: tuple[str, ...],
    deployment: str,
    preset: str,
    metadata: str,
    ttl: float,
    can_publish: bool,
    can_subscribe: bool,
    hidden: bool,
    kind: Any,
    key: str | None,
    secret: str | None,
    project: str | None,
    server_version: str | None,
) -> None:
    """Make a token to join a room with; it alone is printed on stdout, what a server will do with it on stderr.

    What would go wrong is refused: an agent named twice, no room, no identity, a token too long for common proxies.
    """
    from datetime import timedelta

    from lkdoctor.cli import output
    from lkdoctor.dispatch.token_claims import usable_deployment

    if not room:
        raise click.UsageError("--room is missing: a server lets nobody join with a token that names no room")
    if not identity:
        raise click.UsageError("--identity is missing: a server lets nobody join without one")
    if deployment and not agents:
        raise click.UsageError("--deployment is for agents: name one with --agent")
    if not usable_deployment(deployment):
        raise click.UsageError(
            "--deployment takes 64 bytes at most, no `_` and no blanks: the server drops the agent else"
        )
    wanted = [_agent(one) for one in agents]
    if preset and wanted:
        raise click.UsageError(
            "--preset and --agent do not go together: agents in the token replace those of the preset"
        )
    pair = _pair(key, secret, project)
    if pair is None:
        raise click.UsageError(
            "no API key and secret: set LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or give --api-key and --api-secret"
        )

    from livekit import api  # heavy

    grants = api.VideoGrants(
        room_join=True, room=room, can_publish=can_publish, can_subscribe=can_subscribe, hidden=hidden or None
    )
    token = api.AccessToken(pair.key, pair.secret).with_identity(identity).with_grants(grants)
    token = token.with_ttl(timedelta(seconds=ttl))
    if name:
        token = token.with_name(name)
    if metadata:
        token = token.with_metadata(metadata)
    if kind != "standard":
        token = token.with_kind(kind)
    if preset:
        token = token.with_room_preset(preset)
    if wanted:
        # Servers before 1.12.0 refuse a token for the bare presence of the field.
        extra: dict[str, Any] = {"deployment": deployment} if deployment else {}
        entries = [api.RoomAgentDispatch(agent_name=one, metadata=said, **extra) for one, said in wanted]
        token = token.with_room_config(api.RoomConfiguration(agents=entries))
    made = _signed(token)
    for sentence in _tried(made, pair, server_version or ""):
        output.hint(sentence)
    output.to_stdout(f"{made}\n".encode())


def _signed(token: Any) -> str:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `livekit-server --dev` has a secret of six letters; the server takes it
        return str(token.to_jwt())


def _agent(text: str) -> tuple[str, str]:
    name, _, metadata = text.partition(":")
    if not name:
        raise click.UsageError("--agent needs a name before the colon: --agent NAME or --agent NAME:METADATA")
    return name, metadata


def _tried(made: str, pair: Target, server_version: str) -> Sequence[str]:
    """What a server will do with the token, in sentences.

    Raises:
        click.UsageError: a check finds fault with it.
    """
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.token import read_tokens
    from lkdoctor.doctor.finding import Severity
    from lkdoctor.report.tokens import sentences

    gathered = Gathered()
    read_tokens((made,), gathered, pair, server_version=server_version, option="TOKEN")
    report = report_of(gathered, time.time(), Severity.WARNING)
    faults = [one for one in report.findings if one.severity != "info"]
    if faults:
        raise click.UsageError(
            "\n".join(
                f"{one.message} ({one.code}) {' '.join(step for fix in one.fixes[:1] for step in fix.steps)}"
                for one in faults
            )
        )
    return [*sentences(report.tokens[0]), *(f"{one.missing} {one.how}" for one in report.questions)]
