"""Options that name what is looked at as it lives: a server, a room, this machine, a worker's own endpoint."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import click

from lkdoctor.cli import options

LIVE_TIMEOUT: Final = 20.0  # seconds
TALK_WORDS: Final = "the watch of the room"
PROBE_WORDS: Final = "the probe"  # how what is said of the probe begins; its gaps are known by it


@dataclass(frozen=True, slots=True)
class Talk:
    """A room that is to be watched, for so many seconds; `wait`: so many more until it is there."""

    room: str
    seconds: float
    wait: float = 0.0
    record: str | None = None  # a file for what was noticed


@dataclass(frozen=True, slots=True)
class Live:
    """What is to be asked of which live server; `asked` False: none, the rest is for tokens only."""

    asked: bool = False
    url: str | None = None
    project: str | None = None
    key: str | None = None
    secret: str | None = field(default=None, repr=False)
    env_file: str | None = None
    watch: float | None = None  # seconds
    timeout: float = LIVE_TIMEOUT  # seconds, for each collector
    probe: bool = False
    talk: Talk | None = None

    @property
    def named(self) -> str:
        """An option that says which key or file to use; empty when none was given."""
        given = {"--api-key": self.key, "--api-secret": self.secret, "--env-file": self.env_file}
        return next((option for option, value in given.items() if value is not None), "")


def live(function: options.Command) -> options.Command:
    """The options that name a live server, and how it is asked. Their values arrive as one `Live` in `live`."""

    @functools.wraps(function)
    def gathered(*args: Any, **values: Any) -> Any:
        return function(*args, live=_live(values), **values)

    for option in reversed(
        [
            click.option("--url", metavar="URL", help="Ask this live server too: wss://livekit.example.com."),
            click.option("--project", metavar="NAME", help="Ask the server of this project of the `lk` command."),
            click.option("--live", "ask", is_flag=True, help="Ask the server that the environment or .env names."),
            options.key,
            options.secret,
            click.option(
                "--env-file", metavar="FILE", help="Read LIVEKIT_URL and the others from here, not from .env."
            ),
            click.option(
                "--watch",
                type=click.FloatRange(min=1),
                metavar="SECONDS",
                help="Ask again and again for so long: what never came is told from what came and went.",
            ),
            click.option(
                "--timeout",
                type=click.FloatRange(min=0.1),
                default=LIVE_TIMEOUT,
                show_default=True,
                metavar="SECONDS",
                help="The longest wait for each thing that is asked.",
            ),
            click.option("--probe", is_flag=True, help="Send a job of lkdoctor's own through the server, end to end."),
        ]
    ):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value] # wraps keeps the signature that click reads


def server(
    *,
    url: str = "The server: wss://livekit.example.com [default: LIVEKIT_URL, .env, lk]",
    project: str = "The server of this project of the `lk` command.",
) -> Callable[[options.Command], options.Command]:
    """The options that name the one server of a command; `url` and `project` are their help. Arrive as `Live` in `server`."""

    def decorate(function: options.Command) -> options.Command:
        @functools.wraps(function)
        def gathered(*args: Any, **values: Any) -> Any:
            given = {name: values.pop(name) for name in ("url", "project", "key", "secret")}
            _hide(given["secret"])
            return function(*args, server=Live(bool(given["url"] or given["project"]), **given), **values)

        for option in reversed(
            [
                click.option("--url", metavar="URL", help=url),
                click.option("--project", metavar="NAME", help=project),
                options.key,
                options.secret,
            ]
        ):
            gathered = option(gathered)
        return gathered  # type: ignore[return-value] # wraps keeps the signature that click reads

    return decorate


def _live(values: dict[str, Any]) -> Live:
    """Takes the values of `live` out of `values`.

    A server is asked only when an option says so: a variable that happens to be set must not turn the reading of a log
    into calls to a production server.
    """
    names = ("url", "project", "key", "secret", "env_file", "watch", "timeout", "probe")
    given = {name: values.pop(name) for name in names}
    asked = bool(values.pop("ask") or given["watch"] or given["probe"])
    asked = asked or given["url"] is not None or given["project"] is not None
    _hide(given["secret"])
    return Live(asked, **given)


def _hide(secret: str | None) -> None:
    """From here on it is masked in whatever is written."""
    if secret is not None:
        from lkdoctor.redact import of_this_run

        of_this_run().add(secret)


def sensible(live: Live, *, for_token: bool) -> None:
    """Say what is odd about these values.

    Raises:
        click.UsageError: a key or a file was named, and nothing that it could be for.
    """
    if live.named and not live.asked and not for_token:
        raise click.UsageError(
            f"{live.named} is for a live server: add --url URL, --project NAME, or --live for the one in the environment"
        )
    if live.secret is not None:
        from lkdoctor.cli import output

        output.hint(
            "--api-secret shows the secret in `ps` and in the shell's history; LIVEKIT_API_SECRET or a .env file does not"
        )


@dataclass(frozen=True, slots=True)
class Machine:
    """What is to be looked at on this machine."""

    docker: bool = False
    host: bool = False

    @property
    def asked(self) -> bool:
        """Is anything?"""
        return self.docker or self.host


def machine(function: options.Command) -> options.Command:
    """The options that look at this machine. Their values arrive as one `Machine` in `machine`."""

    @functools.wraps(function)
    def gathered(*args: Any, **values: Any) -> Any:
        return function(*args, machine=Machine(values.pop("docker"), values.pop("host")), **values)

    for option in reversed(
        [
            click.option(
                "--docker",
                is_flag=True,
                help="Look at the containers of this machine's Docker engine, and read the logs of workers and servers.",
            ),
            click.option("--host", is_flag=True, help="Look for agent workers among this machine's processes."),
        ]
    ):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value] # wraps keeps the signature that click reads


class WorkerUrlType(options.ParamType):
    """The address of a worker's HTTP endpoint: a URL, `host:port`, or a port of this machine."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from lkdoctor.collect.address import AddressError
        from lkdoctor.collect.worker_http import worker_url

        try:
            return worker_url(str(value))
        except AddressError as error:
            return self.fail(str(error), param, ctx)


def worker_urls(function: options.Command) -> options.Command:
    """The option that names workers' own HTTP endpoints."""
    return click.option(
        "--worker-url",
        "worker_urls",
        multiple=True,
        type=WorkerUrlType(),
        metavar="URL",
        help="Ask this worker's own HTTP endpoint: http://host:8081, or a port of this machine. Repeatable.",
    )(function)
