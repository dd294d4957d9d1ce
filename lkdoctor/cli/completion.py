"""`lkdoctor completion SHELL`: the script that completes commands, options and codes."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes lkdoctor's commands, options and codes in SHELL.

    bash: `lkdoctor completion bash >> ~/.bashrc`. zsh: the same with ~/.zshrc. fish: write it to
    ~/.config/fish/completions/lkdoctor.fish.
    """
    from click.shell_completion import get_completion_class

    from lkdoctor.cli import group

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(group, {}, "lkdoctor", "_LKDOCTOR_COMPLETE").source())
