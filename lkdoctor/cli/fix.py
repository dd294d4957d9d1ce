"""`lkdoctor fix`: agent names in a project's files, corrected where that is safe; else shown."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lkdoctor.cli import options


@click.command("fix")
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@options.config
@click.option(
    "--dry-run", is_flag=True, help="Show what would change, and change nothing (exit 1 when something would)."
)
@click.option("--undo", "take_back", is_flag=True, help="Take the last `lkdoctor fix` back, byte for byte.")
def command(folder: Path, config: str | None, dry_run: bool, take_back: bool) -> None:
    """Give each service of a Compose file the agent name that the plan asks for.

    Corrected are slips of a planned name, a service without a name when one planned agent is left, and two programs under one
    name. A change is made only where it is safe: lkdoctor.toml says who asks for the name, the program is in view and takes
    its name from the environment, no other service's name changes by it, and the file is one of FOLDER's. Everything else is
    shown with the reason. Comments, order, line endings and the file's mode stay as they are.

    Exit status: 0 nothing left to do, 1 something is left (or, with --dry-run, would be done), 2 wrong usage or a file
    that cannot be changed.
    """
    from lkdoctor.cli import fixing, way_back
    from lkdoctor.cli.plan import read_config
    from lkdoctor.collect.gathered import Gathered
    from lkdoctor.collect.intentions import add_intentions
    from lkdoctor.config import ConfigError, find
    from lkdoctor.dispatch.intentions import PlannedAgent, PlannedRoom
    from lkdoctor.dispatch.plan import Plan
    from lkdoctor.dispatch.repairs import repairs_of

    if not folder.is_dir():
        raise click.UsageError(f"{folder}: no such folder")
    try:
        if take_back:
            for name in way_back.undo(folder, find((str(folder),), config)):
                _say(f"restored {name}")
            return
        file = read_config((str(folder),), config)
        gathered = Gathered()
        add_intentions(file, gathered)
        inputs = fixing.inputs_of(folder)
        if not any(kind == "compose" for _, kind in inputs):
            raise click.UsageError(f"{folder}: no Compose file; `lkdoctor fix` changes agent names in Compose projects")
        plan = Plan(
            None,
            tuple(one for one in gathered.facts.get(PlannedAgent, []) if isinstance(one, PlannedAgent)),
            tuple(one for one in gathered.facts.get(PlannedRoom, []) if isinstance(one, PlannedRoom)),
            fixing.project_in(inputs),
        )
        changes = fixing.changes_of(repairs_of(plan), plan, inputs, file, folder)
        if not changes:
            click.echo("Nothing to fix in the agent names.")
            return
        safe = [one for one in changes if not one.blockers]
        for one in changes:
            repair = one.repair
            before = f'"{repair.before}"' if repair.before else "no name"
            _say(f'{repair.code}: service {repair.service}: {before} -> "{repair.name}", as {repair.why}')
            for blocker in one.blockers:
                _say(f"  not applied: {blocker}")
            if one.edits:
                _say(fixing.diff_of(one))
        if dry_run:
            sys.exit(1)
        if safe:
            for name in fixing.apply(safe, folder, file.path):
                _say(f"changed {name}")
            click.echo(
                "Now `lkdoctor check`, then `docker compose up -d --force-recreate`: a restart keeps the old environment. "
                "`lkdoctor fix --undo` takes it back."
            )
    except (way_back.FixError, ConfigError) as error:
        raise click.UsageError(str(error)) from None
    sys.exit(1 if len(safe) < len(changes) else 0)


def _say(text: str) -> None:
    """Lines that hold names of the user's files, without what a terminal would obey."""
    from lkdoctor.cli import output

    for line in text.splitlines():
        click.echo(output.harmless(line))
