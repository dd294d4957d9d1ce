"""`lkdoctor demo`: the whole thing on recorded evidence that is shipped with it: no server, no key."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lkdoctor.cli import options

if TYPE_CHECKING:
    from lkdoctor.collect.server_log import LogInput

DEFAULT = "name-near-miss"


@dataclass(frozen=True, slots=True)
class Case:
    """One shipped case: what was done, and the codes that its log raises."""

    name: str
    title: str
    story: str
    codes: tuple[str, ...]
    path: Path

    @property
    def log(self) -> LogInput:
        """Its server log, under a name without the folder that lkdoctor is installed in."""
        from lkdoctor.collect.server_log import LogInput

        return LogInput(f"{self.name}/server.log", self.path / "server.log")


def cases() -> list[Case]:
    """The shipped cases, by name."""
    folder = Path(str(resources.files("lkdoctor") / "demo"))
    index = json.loads((folder / "index.json").read_text("utf-8"))
    return [
        Case(name, entry["title"], entry["story"], tuple(entry["codes"]), folder / name)
        for name, entry in sorted(index.items())
    ]


@click.command("demo")
@click.argument("name", required=False)
@click.option("--list", "listing", is_flag=True, help="List the recorded cases.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.quiet
@options.verbose
@options.look
def command(name: str | None, listing: bool, form: str, quiet: bool, verbose: bool, color: str) -> None:
    """Run `lkdoctor check` on a case that was recorded on a real livekit-server: no server, no key.

    The exit status is 0 whatever the case holds.
    """
    from lkdoctor.cli import output, pipeline, reporting

    known = {one.name: one for one in cases()}
    if listing:
        rows = [[one.name, " ".join(one.codes) or "healthy", one.title] for one in known.values()]
        output.to_stdout(output.lines(output.screen(color).table(["case", "finds", "what was done"], rows)))
        return
    wanted = name or DEFAULT
    if wanted not in known:
        import difflib

        near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise click.UsageError(f"there is no recorded case {wanted!r}.{hint} `lkdoctor demo --list` shows them.")
    case = known[wanted]
    wish = pipeline.Wish(inputs=(case.log,), quiet=quiet)
    if form == "text" and not quiet:
        output.hint(f"recorded case {case.name!r}: {case.story}")
    status = reporting.run(wish, reporting.Told(form, exit_zero=True, quiet=quiet, verbose=verbose, color=color))
    if form == "text" and not quiet:
        output.hint("more cases: `lkdoctor demo --list`; your own log: `lkdoctor check server.log`")
    sys.exit(status)
