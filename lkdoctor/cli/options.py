"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from lkdoctor.doctor.catalogue import Catalogue

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # not generic in older releases of click

_RELATIVE: Final = re.compile(r"([+-]?)(\d+(?:\.\d+)?)(s|m|h|d)")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EARLIEST_EPOCH: Final = 1e9  # a bare number below it is no Unix time of any LiveKit log

Command = TypeVar("Command", bound=Callable[..., Any])

# Options that stand in several commands, each with the same words.
key = click.option("--api-key", "key", metavar="KEY", help="[default: LIVEKIT_API_KEY, .env, lk's projects]")
secret = click.option(
    "--api-secret", "secret", metavar="SECRET", help="As the key. `ps` shows it: better in .env or its variable."
)
fail_on = click.option(
    "--fail-on",
    type=click.Choice(["info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="Exit 1 from this severity on (findings of low confidence never count).",
)
exit_zero = click.option("--exit-zero", is_flag=True, help="Exit 0 whatever was found (not when something went wrong).")
_PLUGINS: Final = "lkdoctor.plugins"  # in the context of the command: False with --no-plugins


def _no_plugins(ctx: click.Context, param: click.Parameter, value: bool) -> bool:  # noqa: ARG001 - click's signature
    ctx.meta[_PLUGINS] = not value
    return value


plugins = click.option(
    "--no-plugins",
    is_flag=True,
    is_eager=True,  # before --select looks a code up
    callback=_no_plugins,
    help="Only lkdoctor's own checks, none of other packages.",
)
config = click.option(
    "--config",
    metavar="FILE",
    help="What should be, what to ignore [default: lkdoctor.toml in the given folder, else in the current one].",
)
quiet = click.option("-q", "--quiet", is_flag=True, help="One line for the verdict and one for each finding.")
verbose = click.option("-v", "--verbose", is_flag=True, help="All proof, all rows, every check.")


def catalogue() -> Catalogue:
    """The codes that can occur: the built-in ones and those of installed packages."""
    from lkdoctor.doctor.catalogue import Catalogue
    from lkdoctor.doctor.codes import CODES
    from lkdoctor.doctor.loader import load

    context = click.get_current_context(silent=True)
    plugins = context is None or context.meta.get(_PLUGINS, True)
    return Catalogue({*CODES, *(one.code for one in load(plugins=plugins).checks)})


class CodeType(ParamType):
    """A code, a name or a family of codes; kept as it was written, checked against the catalogue."""

    name = "code"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from lkdoctor.doctor.catalogue import UnknownCodeError

        for word in str(value).split(","):
            try:
                catalogue().select(word)
            except UnknownCodeError as error:
                self.fail(str(error), param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from lkdoctor.doctor.codes import CODES

        low = incomplete.lower()
        by_id = [CompletionItem(one.id, help=one.name) for one in CODES if one.id.lower().startswith(low)]
        by_name = [CompletionItem(one.name, help=one.title) for one in CODES if one.name.startswith(low)]
        return [*by_id, *by_name] if low else by_id


class TimeType(ParamType):
    """A moment as Unix seconds: RFC 3339 (UTC unless it says a zone), Unix seconds, or so long before now (`10m`)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = absolute(value)
        if found is not None:
            return found
        back = seconds_of(value)
        if back is not None:
            return time.time() - abs(back)
        if clock_on_day(value, 0.0) is not None:
            self.fail(f"{value!r} does not say which day; write 2026-01-31T{value.strip()}Z", param, ctx)
        return self.fail(
            f"{value!r} is no time. Write 2026-01-31T12:00:00Z, 1769860800, or 10m for ten minutes ago.", param, ctx
        )


def absolute(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time or of a number of seconds; None when `text` is neither."""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return number if number >= _EARLIEST_EPOCH else None
    shape = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(\.\d{1,9})?)?\s*(Z|[+-]\d\d:?\d\d)?", text.strip()
    )
    if shape is None:
        return None
    day, clock, fraction, zone = shape.groups()
    zone = "+00:00" if zone in {None, "Z"} else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    clock = clock or "00:00"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock if clock.count(':') == 2 else clock + ':00'}{zone}")
    except ValueError:
        return None
    return moment.astimezone(timezone.utc).timestamp() + float(fraction or 0)


def seconds_of(text: str) -> float | None:
    """Seconds of `-5m`, `90s`, `+2h`; None when `text` is no such span."""
    match = _RELATIVE.fullmatch(text.strip().lower().removesuffix(" ago"))
    if match is None:
        return None
    return float(match[2]) * _SECONDS[match[3]] * (-1 if match[1] == "-" else 1)


def clock_on_day(text: str, day: float) -> float | None:
    """Unix seconds of a time of day (`12:00`, `12:00:30`) on the UTC day of `day`; None when `text` is none."""
    if not re.fullmatch(r"\d\d:\d\d(:\d\d)?", text.strip()):
        return None
    return absolute(f"{datetime.fromtimestamp(day, timezone.utc):%Y-%m-%d}T{text.strip()}Z")


def words(values: tuple[str, ...]) -> tuple[str, ...]:
    """`--select LKD3,no-worker --select LKD2` as a flat tuple."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def inputs(function: Command) -> Command:
    """The files that are read."""
    for option in reversed(
        [
            click.argument("paths", nargs=-1, type=click.Path(path_type=str)),
            click.option(
                "--log",
                "logs",
                multiple=True,
                metavar="FILE",
                help="A file that is a server log, whatever it looks like ('-' is stdin). Repeatable.",
            ),
        ]
    ):
        function = option(function)
    return function


def evidence(function: Command) -> Command:
    """The files that are read, and what of them."""
    for option in reversed(
        [
            click.option("--since", type=TimeType(), help="Leave out what is older: 2026-01-31T12:00:00Z, Unix, 10m."),
            click.option("--until", type=TimeType(), help="Leave out what is younger."),
            click.option("--jobs", type=click.IntRange(min=1), help="Processes to read with [default: all cores]."),
        ]
    ):
        function = option(function)
    return inputs(function)


def worker_logs(function: Command) -> Command:
    """The option that names workers' own logs."""
    return click.option(
        "--worker-log",
        "worker_logs",
        multiple=True,
        metavar="FILE",
        help="A file that is an agent worker's log, whatever it looks like. Repeatable.",
    )(function)


def more_evidence(function: Command) -> Command:
    """The options that name evidence besides logs."""
    for option in reversed(
        [
            click.option(
                "--token",
                "tokens",
                multiple=True,
                metavar="TOKEN|FILE|-",
                help="A participant's token: what the server will do with it. Repeatable.",
            ),
            click.option(
                "--api",
                "apis",
                multiple=True,
                metavar="FILE",
                help="A file that is API exchanges, whatever it looks like.",
            ),
        ]
    ):
        function = option(function)
    return function


def group(text: str) -> tuple[str, ...]:
    """`a,b` of `--together` as names.

    Raises:
        click.BadParameter: fewer than two.
    """
    names = tuple(dict.fromkeys(words((text,))))
    if len(names) < 2:
        raise click.BadParameter(f"{text!r}: name two agents or more, A,B", param_hint="--together")
    return names


def look(function: Command) -> Command:
    """The option that says how text looks."""
    return click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Colour; auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured).",
    )(function)
