"""The command line: one file a command; parse, call, write, exit. A command's file is imported when it is run."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Final

import click

from lkdoctor import __version__

COMMANDS: Final = {
    "check": "Tell what happened to every dispatch, why, and how to fix it.",
    "why": "Tell the story of one room, agent, worker, job, dispatch or participant.",
    "workers": "List who was registered, under which name, since when, with how many jobs.",
    "probe": "Send a job through a live server, end to end: lkdoctor's own, or a call of an agent.",
    "talk": "Watch a room: who is there, whose voice sounds, who understands whom.",
    "snapshot": "Collect everything into one redacted case, to keep or to send.",
    "load": "Measure the load that a worker would report here, and tell what the server makes of it.",
    "worker": "Run the reference worker, or many conversations between two of its agents.",
    "baseline": "Keep what is known in a file, so that a gate fails on what is new.",
    "plugins": "List the packages that bring checks, and what of them could not be loaded.",
    "checks": "List every code and what it needs.",
    "explain": "Show the handbook page of one code.",
    "token": "Tell what a server will do with a token, or make one that is right.",
    "fix": "Give services the agent names of the plan, where that is safe; shows the rest.",
    "init": "Write lkdoctor.toml from what compose files, programs and logs show.",
    "demo": "Run the whole thing on recorded evidence: no server, no key.",
    "completion": "Print the script that completes lkdoctor's options in a shell.",
}


class _Commands(click.Group):
    """Knows every command by name and one line; imports its file when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lkdoctor.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(_unknown(args[0]))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _unknown(word: str) -> str:
    import difflib
    from pathlib import Path

    near = difflib.get_close_matches(word, COMMANDS, n=1)
    if near:
        return f"there is no command {word!r}. Did you mean `lkdoctor {near[0]}`?"
    if Path(word).exists():
        return f"there is no command {word!r}. Did you mean `lkdoctor check {word}`?"
    return f"there is no command {word!r}. The commands are: {', '.join(COMMANDS)}."


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `lkdoctor demo`, then `lkdoctor check server.log`.",
)
@click.version_option(__version__, "--version", "-V", message="%(prog)s %(version)s")
def group() -> None:
    """Tells why there is no LiveKit agent in the room, and who got the job."""


def main() -> None:
    """The entry point of the console script; never ends in a traceback."""
    try:
        status = group(prog_name="lkdoctor", standalone_mode=False)
    except click.exceptions.Exit as ended:
        status = ended.exit_code
    except click.ClickException as error:
        from lkdoctor.cli.output import harmless

        shown = io.StringIO()  # it repeats what was typed and read, and that may be a token in the wrong place
        error.show(shown)
        for line in shown.getvalue().splitlines():
            click.echo(harmless(line), err=True)
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = _interrupted()
    except BrokenPipeError:
        # The reader went away (`| head`); Python flushes stdout once more at exit, into nothing then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:  # noqa: BLE001 - the last fence: the user gets a sentence
        # Ctrl-C while a class is being made reaches us wrapped into a RuntimeError.
        if isinstance(error.__cause__, KeyboardInterrupt):
            status = _interrupted()
        else:
            from lkdoctor.redact import mask

            click.echo(
                f"lkdoctor: internal error: {type(error).__name__}: {mask(str(error))}\n"
                "Please report it with the command that you ran and the first lines of the input.",
                err=True,
            )
            status = 4
    sys.exit(status if isinstance(status, int) else 0)


def _interrupted() -> int:
    click.echo("lkdoctor: interrupted", err=True)
    return 130
