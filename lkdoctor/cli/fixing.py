"""What `lkdoctor fix` does to files: each edit is tried in memory first, written whole, and can be taken back byte for byte."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lkdoctor.cli import way_back
from lkdoctor.cli.way_back import FixError
from lkdoctor.collect.config.edits import Edit, add_variable, change_value
from lkdoctor.collect.config.files import Files
from lkdoctor.collect.config.project import read_project
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import PROJECT, kind_of_name
from lkdoctor.collect.log.source import LogInput
from lkdoctor.config import ConfigFile
from lkdoctor.dispatch.plan import Plan
from lkdoctor.dispatch.project import Project, project_of
from lkdoctor.dispatch.repairs import Repair
from lkdoctor.dispatch.settings import NAME, Setting
from lkdoctor.redact import mask
from lkdoctor.wording import quoted

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Change:
    """A repair with the edits that make it; `blockers` of the repair and of its edits together."""

    repair: Repair
    edits: list[Edit] = field(default_factory=list)
    blockers: tuple[str, ...] = ()


def inputs_of(folder: Path) -> list[tuple[LogInput, str]]:
    """The configuration files of a folder."""
    found = sorted(one for one in folder.iterdir() if one.is_file() and kind_of_name(one.name) in PROJECT)
    return [(LogInput(str(one), one), kind_of_name(one.name)) for one in found]


def project_in(inputs: list[tuple[LogInput, str]], overlay: Mapping[str, str] | None = None) -> Project:
    """The project as its files describe it, some of them with other texts."""
    gathered = Gathered()
    read_project(inputs, gathered, os.environ, files=Files(overlay=dict(overlay or {})))
    return project_of([one for one in gathered.facts.get(Setting, []) if isinstance(one, Setting)])


def changes_of(
    repairs: list[Repair], plan: Plan, inputs: list[tuple[LogInput, str]], config: ConfigFile, folder: Path
) -> list[Change]:
    """The edits for each repair, in memory; one that would touch any other service's name, or a file that is none of the
    folder's and that `--undo` would therefore leave alone, gets a blocker."""
    overlay: dict[str, str] = {}
    found: list[Change] = []
    for repair in repairs:
        change = Change(repair, blockers=repair.blockers)
        edits = [] if change.blockers else _tried(repair, plan, inputs, overlay)
        if not edits and not change.blockers:
            change.blockers = ("no single place in the files sets the name of this service alone",)
        outside = [one.file for one in edits if not way_back.within(one.file, folder)]
        if outside:
            edits, change.blockers = [], (f"{outside[0]} is no file of {folder}; change it by hand",)
        if edits and repair.announce and config.path is not None:
            edits.append(_announced(config, overlay, repair))
        change.edits = edits
        for one in edits:
            overlay[one.file] = one.applied(_text(one.file, overlay))
        found.append(change)
    return found


def _tried(repair: Repair, plan: Plan, inputs: list[tuple[LogInput, str]], overlay: dict[str, str]) -> list[Edit]:
    service = next((one for one in plan.project.services if one.name == repair.service), None)
    if service is None:
        return []
    at = service.agent_name.setting
    candidates: list[Edit | None] = []
    if at is not None and at.scope == "compose":
        candidates.append(change_value(_text(at.file, overlay), at, repair.name))
    variable = at.key.removeprefix("env.") if at is not None and at.key.startswith("env.") else NAME
    home = service.first.file
    candidates.append(add_variable(_text(home, overlay), home, repair.service, variable, repair.name))
    before = {one.name: one.agent_name.value for one in project_in(inputs, overlay).services}
    for edit in candidates:
        if edit is None:
            continue
        tried = {**overlay, edit.file: edit.applied(_text(edit.file, overlay))}
        after = {one.name: one.agent_name.value for one in project_in(inputs, tried).services}
        if after == {**before, repair.service: repair.name}:
            return [edit]
    return []


def _announced(config: ConfigFile, overlay: dict[str, str], repair: Repair) -> Edit:
    text = _text(config.name, overlay)
    newline = "\r\n" if "\r\n" in text else "\n"
    lead = "" if not text or text.endswith(("\n", "\r")) else newline
    block = f"{lead}{newline}[[agents]]{newline}name = {quoted(repair.name)}{newline}"
    return Edit(config.name, len(text), "", block, text.count("\n") + 1)


def _text(name: str, overlay: Mapping[str, str]) -> str:
    if name in overlay:
        return overlay[name]
    try:
        return Path(name).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FixError(f"{name}: cannot be read: {error}") from None


def diff_of(change: Change) -> str:
    """The lines that change, masked; nothing around them is shown, as it may hold secrets."""
    out: list[str] = []
    for edit in change.edits:
        text = _text(edit.file, {}) if Path(edit.file).exists() else ""
        after = edit.applied(text) if text.startswith(edit.before, edit.start) else None
        if after is None:  # stands on an edit before it
            out += [f"--- {edit.file}", f"+++ {edit.file}", *(f"+{line}" for line in edit.after.splitlines())]
            continue
        lines = difflib.unified_diff(text.splitlines(), after.splitlines(), edit.file, edit.file, n=0, lineterm="")
        out += [mask(line) for line in lines]
    return "\n".join(out)


def apply(changes: list[Change], folder: Path, config: Path | None = None) -> list[str]:
    """Write all edits, file by file, and remember how to take them back; returns the files.

    Raises:
        FixError: a file cannot be written; those before it are restored.
    """
    by_file: dict[str, list[Edit]] = {}
    for change in changes:
        for edit in change.edits:
            by_file.setdefault(edit.file, []).append(edit)
    before = way_back.recorded(folder)  # a record that cannot be kept has to be known before the first file is written
    run: way_back.Run = []
    try:
        for name, edits in by_file.items():
            entry, after = _entry(name, edits, folder)
            run.append(entry)
            way_back.write(name, after)
        way_back.remember(folder, [*before, run])
    except BaseException as error:
        left = way_back.restore(folder, run, config)
        if not isinstance(error, (OSError, ValueError, FixError)) and not left:
            raise
        raise FixError(f"{'; '.join(left) or 'nothing was changed'}: {error}") from None
    return list(by_file)


def _entry(name: str, edits: list[Edit], folder: Path) -> tuple[way_back.Entry, bytes]:
    """A file's edits as the record has them, and what the file becomes."""
    raw = way_back.read(name)
    lead = len(_BOM) if raw.startswith(_BOM) else 0
    text = raw[lead:].decode("utf-8")
    steps = []
    for edit in edits:
        steps.append(way_back.Step(lead + len(text[: edit.start].encode()), edit.before, edit.after))
        text = edit.applied(text)
    after = raw[:lead] + text.encode()
    path = os.path.relpath(name, folder)
    return way_back.Entry(file=path, was=way_back.digest(raw), became=way_back.digest(after), steps=steps), after
