"""`lkdoctor explain CODE`: the handbook page of one code, with a recorded example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lkdoctor.cli import options

if TYPE_CHECKING:
    from lkdoctor.doctor.handbook import Page
    from lkdoctor.report.json_v1 import Report
    from lkdoctor.report.screen import Screen


@click.command("explain")
@click.argument("code", type=options.CodeType())
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.look
def command(code: str, form: str, color: str) -> None:
    """Show the handbook page of CODE (LKD303, 303 or no-headroom), with a recorded example where one is shipped."""
    from lkdoctor.cli import output
    from lkdoctor.doctor import handbook, loader
    from lkdoctor.doctor.catalogue import UnknownCodeError

    try:
        found = options.catalogue().find(code)
    except UnknownCodeError as error:
        raise click.UsageError(str(error)) from None
    page = handbook.page(found, [one for one in loader.load().checks if one.code.id == found.id])
    example = _example(page)
    if form == "json":
        import json

        output.to_stdout((json.dumps(_document(page, example), indent=2, ensure_ascii=False) + "\n").encode())
        return
    output.to_stdout(output.lines(_text(page, example, output.screen(color))))


def _example(page: Page) -> tuple[str, Report] | None:
    """A shipped case that raises the code, and its report; the one with the fewest other faults."""
    from lkdoctor.cli import demo, pipeline

    for case in sorted(demo.cases(), key=lambda one: len(one.codes)):
        if page.code.id in case.codes:
            wish = pipeline.Wish(inputs=(case.log,), quiet=True)
            report = pipeline.report(pipeline.collect(wish), wish)
            if any(one.code == page.code.id for one in report.findings):
                return case.name, report
    return None


def _document(page: Page, example: tuple[str, Report] | None) -> dict[str, Any]:
    import msgspec

    from lkdoctor.doctor import handbook

    code = page.code
    shown = None
    if example is not None:
        name, report = example
        finding = next(one for one in report.findings if one.code == code.id)
        shown = {"case": name, "finding": msgspec.to_builtins(finding)}
    return {
        "code": code.id,
        "name": code.name,
        "aliases": list(code.aliases),
        "family": page.family,
        "severity": code.severity.word,
        "status": code.status,
        "summary": page.summary,
        "needs": list(page.needs),
        "explains": [one.id for one in page.explains],
        "explained_by": [one.id for one in page.explained_by],
        "sections": [{"title": title, "text": text} for title, text in handbook.sections(page.body)],
        "example": shown,
    }


def _text(page: Page, example: tuple[str, Report] | None, screen: Screen) -> list[str]:
    from lkdoctor.doctor import handbook
    from lkdoctor.report import text

    code = page.code
    lines = [screen.paint(f"{code.id} {code.name}", "head"), *screen.wrap(page.summary), ""]
    facts = f"{page.family}; {code.severity.word}; {code.status}"
    facts += f"; needs {' and '.join(page.needs)}" if page.needs else ""
    lines += screen.wrap(facts, style="dim")
    if page.explains:
        lines += screen.wrap(f"explains {_names(page.explains)}", style="dim")
    if page.explained_by:
        lines += screen.wrap(f"may be explained by {_names(page.explained_by)}", style="dim")
    if not page.checked:
        lines += ["", *screen.wrap("No check of this version looks for it yet.")]
    for title, body in handbook.sections(page.body):
        lines += ["", *([screen.paint(title, "head")] if title else []), *_paragraphs(body, screen)]
    if example is not None:
        name, report = example
        lines += ["", screen.paint(f"Recorded example (lkdoctor demo {name})", "head"), ""]
        finding = next(one for one in report.findings if one.code == code.id)
        lines += text.Text(report, screen, verbose=False).finding(finding)
    return lines


def _names(codes: tuple[Any, ...]) -> str:
    return ", ".join(f"{one.id} {one.name}" for one in codes)


def _paragraphs(body: str, screen: Screen) -> list[str]:
    """Markdown as plain text: paragraphs are wrapped, list items hang, code and tables stay as they are."""
    lines: list[str] = []
    paragraph: list[str] = []
    fenced = False

    def flush() -> None:
        if paragraph:
            joined = " ".join(line.strip() for line in paragraph)
            item = joined[:2] if joined.startswith(("- ", "* ")) else ""
            lines.extend(screen.wrap(joined.removeprefix(item), f"  {item}", "  " + " " * len(item)))
            paragraph.clear()

    for line in body.splitlines():
        if line.lstrip().startswith("```"):
            flush()
            fenced = not fenced
        elif fenced or line.startswith(("    ", "|")):
            flush()
            lines.append(f"    {line.strip() if not fenced else line}")
        elif not line.strip():
            flush()
            lines.append("")
        else:
            if line.startswith(("- ", "* ")):
                flush()
            paragraph.append(line)
    flush()
    return lines
