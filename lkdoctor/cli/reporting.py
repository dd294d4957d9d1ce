"""Commands that end in a report: the options that say how it is judged and told, and the run that makes and writes it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from lkdoctor.cli import options

if TYPE_CHECKING:
    from lkdoctor.cli.pipeline import Collected, Wish
    from lkdoctor.doctor.registry import Check

FORMATS = ("text", "json", "sarif", "junit", "github", "markdown")


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


# Options that stand in several commands, each with the same words.
form = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="On stdout."
)
outputs = click.option(
    "-o", "--output", "outputs", type=OutputType(), multiple=True, help="Write this too. Repeatable."
)


@dataclass(frozen=True, slots=True)
class Told:
    """How a report is told: in which form on stdout and into which files, how much of it, and with which exit status."""

    form: str = "text"
    outputs: tuple[tuple[str, str], ...] = ()
    exit_zero: bool = False
    quiet: bool = False
    verbose: bool = False
    color: str = "auto"


def reported(
    *, inconclusive: str = "", output: Callable[[Any], Any] = outputs
) -> Callable[[options.Command], options.Command]:
    """The options of a command that ends in a report: its `Settings` arrive in `settings`, and one `Told` in `told`.

    `inconclusive` is the help of --allow-inconclusive; without it there is no such option.
    """

    def decorate(function: options.Command) -> options.Command:
        @functools.wraps(function)
        def gathered(*args: Any, **values: Any) -> Any:
            from lkdoctor.doctor.finding import Severity
            from lkdoctor.report.build import Settings

            settings = Settings(Severity[values.pop("fail_on").upper()], values.pop("allow_inconclusive", False))
            told = Told(**{name: values.pop(name) for name in Told.__slots__})
            return function(*args, settings=settings, told=told, **values)

        allowing = [click.option("--allow-inconclusive", is_flag=True, help=inconclusive)] if inconclusive else []
        some = [
            form,
            output,
            options.fail_on,
            *allowing,
            options.exit_zero,
            options.quiet,
            options.verbose,
            options.look,
        ]
        for option in reversed(some):
            gathered = option(gathered)
        return gathered  # type: ignore[return-value] # wraps keeps the signature that click reads

    return decorate


def run(
    wish: Wish,
    told: Told,
    *,
    collect: Callable[[Wish], Collected] | None = None,
) -> int:
    """Read (by `collect`, else all that the wish names), judge, write; returns the exit status."""
    from lkdoctor.cli import output, pipeline
    from lkdoctor.cli.interrupt import Interrupt
    from lkdoctor.doctor import gate
    from lkdoctor.report.crashed import crashed

    started_at = time.time()
    usage = interrupted = failed = False
    checks: tuple[Check, ...] = ()
    with Interrupt() as late:  # a Ctrl-C while the report is made, too, lets it be told
        try:
            collected = collect(wish) if collect else pipeline.collect(wish, spare=[path for _, path in told.outputs])
            report = pipeline.report(collected, wish)
            usage, interrupted, checks = bool(collected.unusable), collected.interrupted, collected.checks
            del collected  # its rooms are not needed to write, and writing needs memory
        except pipeline.InputError as error:
            raise click.UsageError(str(error)) from None
        except Exception as error:  # noqa: BLE001 - a failure of lkdoctor's still gives one valid document
            report = crashed(error, started_at, wish.settings)
            failed = True
        for complaint in report.errors:
            output.hint(complaint)
        look = output.Look(told.quiet, told.verbose, told.color, checks, wish.config.name)
        written = output.write_all(report, told.form, told.outputs, look)
    return gate.exit_status(
        report.verdict,
        own_error=failed or written.failed or any(one.code in gate.OWN for one in (*report.findings, *report.symptoms)),
        interrupted=interrupted or late.asked,
        usage=usage or written.unwritten,
        allow_inconclusive=wish.settings.allow_inconclusive,
        exit_zero=told.exit_zero,
    )
