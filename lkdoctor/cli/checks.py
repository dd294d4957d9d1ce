"""`lkdoctor checks`: every code, its severity and status, and what it needs."""

from __future__ import annotations

import click

from lkdoctor.cli import options


@click.command("checks")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.plugins
@options.look
def command(form: str, no_plugins: bool, color: str) -> None:
    """List every code: name, default severity, status, and the evidence that its check needs.

    Status: stable (a recorded case raises it, a healthy look-alike does not), planned, or retired.
    """
    from lkdoctor.cli import output
    from lkdoctor.doctor import handbook, loader

    loaded = loader.load(plugins=not no_plugins)
    for broken in loaded.findings:
        output.hint(f"{broken.code.id} {broken.message}")
    pages = handbook.pages(loaded.checks)
    if form == "json":
        import json

        rows = [
            {
                "code": one.code.id,
                "name": one.code.name,
                "severity": one.code.severity.word,
                "status": one.code.status,
                "checked": one.checked,
                "needs": list(one.needs),
                "summary": one.summary,
            }
            for one in pages
        ]
        output.to_stdout((json.dumps(rows, indent=2) + "\n").encode())
        return
    screen = output.screen(color)
    table = [
        [
            one.code.id,
            one.code.name,
            one.code.severity.word,
            one.code.status,
            ", ".join(one.needs) if one.checked else "(no check yet)",
        ]
        for one in pages
    ]
    styles = {"error": "bad", "warning": "odd", "stable": "ok"}
    lines = screen.table(["code", "name", "severity", "status", "needs"], table, ["needs", "status"], styles)
    output.to_stdout(output.lines(lines))
    output.hint("`lkdoctor explain CODE` shows a code's page.")
