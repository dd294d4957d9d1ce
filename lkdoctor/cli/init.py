"""`lkdoctor init`: writes lkdoctor.toml from what a project's files and logs show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from lkdoctor.config import FILE
from lkdoctor.wording import quoted


@click.command("init")
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--stdout", "to_stdout", is_flag=True, help="Print it and write nothing.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(folder: Path, to_stdout: bool, force: bool) -> None:
    """Write lkdoctor.toml from what FOLDER shows: Compose files, .env, livekit.yaml, programs, sample tokens, logs.

    What is found is what is, not what should be: read it, say who dispatches each agent, and correct the numbers.
    """
    from lkdoctor.config import ConfigError, parse

    if not folder.is_dir():
        raise click.UsageError(f"{folder}: no such folder")
    target = folder / FILE
    if target.exists() and not (force or to_stdout):
        raise click.UsageError(f"{target} is there already; --force writes over it, --stdout only prints")
    text = draft(folder)
    try:
        parse(text.encode(), FILE)
    except ConfigError as error:  # what was found does not make a plan that agrees with itself
        raise click.UsageError(f"what {folder} shows makes no plan: {error}") from None
    if to_stdout:
        click.echo(text, nl=False)
        return
    try:
        target.write_text(text, "utf-8")
    except OSError as error:
        raise click.UsageError(f"{target}: cannot be written: {error.strerror or error}") from None
    click.echo(f"wrote {target}; read it, and say in `dispatched_by` who asks for each agent")


def draft(folder: Path) -> str:
    """The file's text."""
    from lkdoctor.cli import pipeline
    from lkdoctor.dispatch.model import Stories
    from lkdoctor.dispatch.project import project_of
    from lkdoctor.dispatch.settings import Setting
    from lkdoctor.dispatch.token_claims import entries

    try:
        stories = pipeline.collect(pipeline.Wish((str(folder),), quiet=True)).stories
    except pipeline.InputError:
        stories = Stories()  # nothing is there yet: an empty plan to fill in
    project = project_of([one for one in stories.facts.get(Setting, []) if isinstance(one, Setting)])
    agents: dict[str, dict[str, object]] = {}
    unnamed: list[str] = []
    for service in project.workers():
        name = service.agent_name.value
        if name is None:
            unnamed.append(f"# service {service.name}: its agent name is not known ({service.agent_name.why})")
            continue
        entry = agents.setdefault(name, {"workers": 0, "from": []})
        entry["workers"] = int(str(entry["workers"])) + (service.replicas or 1)
        programs = entry.setdefault("programs", set())
        assert isinstance(programs, set)
        programs.add(service.program)
        _sources(entry).append(service.agent_name.setting.where if service.agent_name.setting else service.first.where)
        if service.job_type not in {None, "JT_ROOM"}:
            entry["type"] = {"JT_PARTICIPANT": "participant", "JT_PUBLISHER": "publisher"}[str(service.job_type)]
        if service.deployment:
            entry["deployment"] = service.deployment
    for session in stories.workers.values():
        if session.agent_name is not None and session.agent_name not in agents and not session.refused:
            agents[session.agent_name] = {"from": ["a worker in the server's log"]}
    by_token = {one.wanted.agent_name for token in stories.tokens for one in entries(token.claims, None)}
    by_origin: dict[str, set[str]] = {}
    for dispatch in stories.dispatches:
        by_origin.setdefault(dispatch.agent_name, set()).add(dispatch.origin.value)
    for name in sorted(by_token | {one for one in by_origin if one}):
        agents.setdefault(name, {"from": ["a dispatch that asks for it; no worker of that name was found"]})
    version = project.server.version
    seen = sorted({run.version for run in stories.runs if run.version})
    known = seen[-1] if seen else version.value if version is not None and version.known else ""
    lines = [
        "# What should be. Made by `lkdoctor init` from what was found: correct it where it is wrong.",
        "",
        "[server]",
    ]
    lines.append(
        f"version = {quoted(known)}" if known else '# version = "1.13.5"  # its rules are used for what is predicted'
    )
    for name, entry in agents.items():
        lines += ["", *_agent(name, entry, by_token, by_origin.get(name, set()))]
    lines += ["", *unnamed] if unnamed else []
    if not agents:
        lines += ["", "# No agent was found. Add one table for each:", "# [[agents]]", '# name = "inbound"']
    return "\n".join(lines) + "\n"


def _sources(entry: dict[str, object]) -> list[str]:
    found = entry["from"]
    assert isinstance(found, list)
    return found


def _agent(name: str, entry: dict[str, object], by_token: Iterable[str], origins: set[str]) -> list[str]:
    ways = []
    if not name:
        ways = ["automatic"]
    elif name in by_token or "token" in origins:
        ways.append("token")
    if name and origins & {"create-dispatch", "create-room"}:
        ways.append("api")
    lines = [f"[[agents]]  # {', '.join(_sources(entry))}", f"name = {quoted(name)}"]
    programs = entry.get("programs", ())
    if isinstance(programs, set) and len(programs) > 1:  # a number would accept what is a fault
        entry.pop("workers", None)
        lines.append("# workers = 1  # different programs take this name (LKD802): say how many are meant")
    lines += [f"{key} = {_told(entry[key])}" for key in ("workers", "type", "deployment") if entry.get(key)]
    known = ", ".join(quoted(one) for one in ways)
    lines.append(f"dispatched_by = [{known}]" if ways else '# dispatched_by = "token"  # or "api", "sip"')
    return lines


def _told(value: object) -> str:
    return quoted(value) if isinstance(value, str) else str(value)
