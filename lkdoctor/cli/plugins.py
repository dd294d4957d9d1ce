"""`lkdoctor plugins`: which packages bring checks, their versions, and what of them could not be loaded."""

from __future__ import annotations

import json
import sys

import click

from lkdoctor.cli import options


@click.command("plugins")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.look
def command(form: str, color: str) -> None:
    """List the installed packages that bring checks: their version, their codes, and what could not be loaded.

    A package offers checks by an entry point in the group `lkdoctor.checks`; docs/plugins.md says how to write one.
    `--no-plugins` of `check` and others leaves them out. Exit status: 0, or 4 when something could not be loaded.
    """
    from lkdoctor.cli import output
    from lkdoctor.doctor import loader
    from lkdoctor.doctor.packages import packages

    loaded = loader.load()
    rows = packages(loaded)
    if form == "json":
        output.to_stdout((json.dumps([row.plain() for row in rows], indent=2) + "\n").encode())
    else:
        screen = output.screen(color)
        table = [
            [
                one.package or one.module,
                one.version,
                one.module,
                "" if one.built_in else " ".join(one.codes),
                f"{len(one.codes)} codes",
                "; ".join(one.refused),
            ]
            for one in rows
        ]
        heads = ["package", "version", "module", "codes", "checks", "not loaded"]
        output.to_stdout(output.lines(screen.table(heads, table, ["module"])))
    for broken in loaded.findings:
        output.hint(f"{broken.code.id} {broken.message}")
    sys.exit(4 if loaded.findings else 0)
