"""Makes what is generated: the JSON schemas, docs/checks.md, the cases of `lkdoctor demo`, README's screen.

`python docs/generate.py` writes them, `--check` only compares and names what is out of date (exit 1).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lkdoctor import config
from lkdoctor.cli import pipeline
from lkdoctor.cli.demo import DEFAULT
from lkdoctor.collect.server_log import LogInput
from lkdoctor.doctor import handbook, loader
from lkdoctor.doctor.finding import Code
from lkdoctor.report import json_v1
from lkdoctor.report.screen import Screen
from lkdoctor.report.text import write

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
DEMO = ROOT / "lkdoctor" / "demo"
LARGEST = 40_000  # bytes of a log that is shipped

Scenario = dict[str, Any]


def scenarios() -> dict[str, Scenario]:
    """Every recorded case's description, by name."""
    return {
        path.parent.name: tomllib.loads(path.read_text("utf-8")) for path in sorted(FIXTURES.glob("*/scenario.toml"))
    }


def raises(scenario: Scenario) -> list[str]:
    """The codes that the case must show."""
    expect = scenario.get("expect", {})
    return [*expect.get("codes", []), *expect.get("infos", [])]


def generated() -> Iterator[tuple[Path, bytes]]:
    """Every generated file with its content."""
    known = scenarios()
    yield ROOT / "lkdoctor" / "schemas" / "report-v1.json", json_v1.schema()
    yield ROOT / "lkdoctor" / "schemas" / "config-v1.json", config.schema()
    yield ROOT / "docs" / "checks.md", checks_page(known).encode()
    yield ROOT / "docs" / "config.md", config_page().encode()
    yield from demo(known)
    yield ROOT / "README.md", readme().encode()


def readme() -> str:
    """README.md with the screen that `lkdoctor demo` prints now."""
    text = (ROOT / "README.md").read_text("utf-8")
    wish = pipeline.Wish(inputs=(LogInput(f"{DEFAULT}/server.log", FIXTURES / DEFAULT / "server.log"),), quiet=True)
    shown = write(pipeline.report(pipeline.collect(wish), wish), Screen(100))
    head, rest = text.split("<!-- generated: demo -->", 1)
    return f"{head}<!-- generated: demo -->\n```text\n{shown}```\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"


def config_page() -> str:
    """docs/config.md with the tables of the published schema."""
    text = (ROOT / "docs" / "config.md").read_text("utf-8")
    schema = json.loads(config.schema())
    lines = []
    for name, table in schema["properties"].items():
        known = schema["$defs"][table.get("$ref", table.get("items", {}).get("$ref")).rsplit("/", 1)[-1]]
        heading, _, words = known["description"].partition(": ")
        lines += [
            "",
            f"### {heading}",
            "",
            words[:1].upper() + words[1:],
            "",
            "| key | value | what it says |",
            "|---|---|---|",
        ]
        for key, one in known["properties"].items():
            must = " (must be there)" if key in known["required"] else ""
            lines.append(f"| `{key}` | {_kind_of(one)}{must} | {one['description']} |")
        assert name in heading, f"the description of {name} begins with its heading"
    head, rest = text.split("<!-- generated: tables -->", 1)
    tables = "\n".join(lines[1:])
    return f"{head}<!-- generated: tables -->\n{tables}\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"


def _kind_of(one: dict[str, Any]) -> str:
    """The values that a key takes, in words."""
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"] if value)
    if "anyOf" in one:
        kinds = [_kind_of(each) for each in one["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if one.get("format") == "date":
        return "date"
    if one["type"] == "array":
        return "list of " + ("these" if "enum" in one["items"] else "texts")
    return {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` or `false`",
        "object": "table of texts",
    }[one["type"]]


def demo(known: dict[str, Scenario]) -> Iterator[tuple[Path, bytes]]:
    """For each code the smallest case whose server log alone raises it, the default case, and one healthy call."""
    alone = {name: one for name, one in known.items() if "wanted" not in one}  # no option says what should be there
    of_logs = [name for name, one in alone.items() if one.get("evidence", ["server_log"]) == ["server_log"]]
    logs = {name: FIXTURES / name / "server.log" for name in of_logs}
    sizes = {name: log.stat().st_size for name, log in logs.items() if log.is_file()}
    small = [name for name, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])) if size <= LARGEST]
    chosen = {DEFAULT}
    covered: set[str] = set(raises(known[DEFAULT]))
    for name in small:
        new = set(known[name].get("expect", {}).get("codes", [])) - covered
        if new:
            chosen.add(name)
            covered |= new
    for name in small:  # codes that are only ever worth knowing
        if set(raises(known[name])) - covered:
            chosen.add(name)
            covered |= set(raises(known[name]))
    chosen.update([name for name in small if known[name].get("healthy") and not raises(known[name])][:1])
    index = {
        name: {"title": known[name]["title"], "story": known[name]["story"], "codes": raises(known[name])}
        for name in sorted(chosen)
    }
    for name in index:
        yield DEMO / name / "server.log", logs[name].read_bytes()
    yield DEMO / "index.json", (json.dumps(index, indent=2, ensure_ascii=False) + "\n").encode()


def checks_page(known: dict[str, Scenario]) -> str:
    """docs/checks.md."""
    pages = [one for one in handbook.pages(loader.load().checks) if one.code.prefix == "LKD"]
    lines = [
        "# Checks",
        "",
        "Every code of lkdoctor, what it means, how it is decided, and how to fix what it finds. This page is made by",
        "`python docs/generate.py` from the catalogue and from the checks themselves; `lkdoctor explain CODE` shows the",
        "same in a terminal.",
        "",
        "## What each source can prove",
        "",
        "A filled cell has a recorded case: the first link raises the code, the second one looks like it and must not.",
        "An empty cell claims nothing.",
        "",
        f"| code | name | severity | status | {' | '.join(handbook.SOURCES.values())} |",
        f"|---|---|---|---|{'---|' * len(handbook.SOURCES)}",
    ]
    for page in pages:
        code = page.code
        cells = [_cell(known, code, source) for source in handbook.SOURCES]
        anchor = f"[{code.id}](#{code.id.lower()}-{code.name})"
        lines.append(f"| {anchor} | {code.name} | {code.severity.word} | {code.status} | {' | '.join(cells)} |")
    family = ""
    for page in pages:
        if page.family != family:
            family = page.family
            lines += ["", f"## LKD{page.code.number // 100}xx {family}"]
        lines += ["", *_page(page)]
    return "\n".join(lines) + "\n"


def _cell(all_known: dict[str, Scenario], code: Code, source: str) -> str:
    """The case that raises the code by this source (its namesake before others), and the nearest look-alike (a healthy
    one first)."""
    known = {name: one for name, one in all_known.items() if one.get("evidence", ["server_log"])[0] == source}
    raising = [name for name, scenario in known.items() if code.id in raises(scenario)]
    if not raising:
        return ""
    shown = min(raising, key=lambda name: (not name.startswith(code.name), len(raises(known[name])), name))
    absent = {name: one["expect"].get("absent", []) for name, one in known.items()}
    # The fewer codes a case is made to spare, the more it is made for this one.
    alike = [name for name, codes in absent.items() if code.id in codes and name not in raising]
    alike.sort(key=lambda name: (not known[name].get("healthy"), len(absent[name]), name))
    return ", not ".join(f"[{name}](../fixtures/{name})" for name in (shown, *alike[:1]))


def _page(one: handbook.Page) -> Iterator[str]:
    code = one.code
    yield f"### {code.id} {code.name}"
    yield ""
    yield one.summary
    yield ""
    facts = [f"Severity: {code.severity.word}", f"status: {code.status}"]
    if one.needs:
        facts.append(f"needs: {', '.join(one.needs)}")
    if one.explains:
        facts.append(f"explains: {', '.join(other.id for other in one.explains)}")
    if code.aliases:
        facts.append(f"also called: {', '.join(code.aliases)}")
    yield "; ".join(facts) + "."
    if not one.checked:
        yield ""
        yield "No check of this version looks for it yet."
    for title, text in handbook.sections(one.body):
        if title:
            yield ""
            yield f"#### {title}"
        yield ""
        yield text


def main() -> int:
    """Write or compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    wanted = dict(generated())
    kept = {path for path in DEMO.rglob("*") if path.is_file()} if DEMO.is_dir() else set()
    stale = [path for path, content in wanted.items() if not path.is_file() or path.read_bytes() != content]
    surplus = sorted(kept - set(wanted))
    for path in [*stale, *surplus]:
        print(f"{'out of date' if check else 'updated'}: {path.relative_to(ROOT)}")
    if check:
        return 1 if stale or surplus else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[path])
    for path in surplus:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
