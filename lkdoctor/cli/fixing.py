"""What `lkdoctor fix` does to files: each edit is tried in memory first, written whole, and can be taken back byte for byte."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

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

UNDO: Final = ".lkdoctor-undo.json"
_BOM: Final = b"\xef\xbb\xbf"


class FixError(Exception):
    """A file that cannot be changed or restored; the message says which, why, and what to do."""


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
    repairs: list[Repair], plan: Plan, inputs: list[tuple[LogInput, str]], config: ConfigFile
) -> list[Change]:
    """The edits for each repair, in memory; one that would touch any other service's name gets a blocker."""
    overlay: dict[str, str] = {}
    found: list[Change] = []
    for repair in repairs:
        change = Change(repair, blockers=repair.blockers)
        edits = [] if change.blockers else _tried(repair, plan, inputs, overlay)
        if not edits and not change.blockers:
            change.blockers = ("no single place in the files sets the name of this service alone",)
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
    block = f"{lead}{newline}[[agents]]{newline}name = {json.dumps(repair.name)}{newline}"
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


def apply(changes: list[Change], folder: Path) -> list[str]:
    """Write all edits, file by file, and remember how to take them back; returns the files.

    Raises:
        FixError: a file cannot be written; those before it are restored.
    """
    by_file: dict[str, list[Edit]] = {}
    for change in changes:
        for edit in change.edits:
            by_file.setdefault(edit.file, []).append(edit)
    done: list[dict[str, Any]] = []
    try:
        for name, edits in by_file.items():
            raw = _bytes(name)
            lead = len(_BOM) if raw.startswith(_BOM) else 0
            text = raw[lead:].decode("utf-8")
            steps = []
            for edit in edits:
                at = lead + len(text[: edit.start].encode())
                steps.append({"at": at, "before": edit.before, "after": edit.after})
                text = edit.applied(text)
            after = raw[:lead] + text.encode()
            _write(name, after)
            done.append({"file": os.path.relpath(name, folder), "was": _hash(raw), "is": _hash(after), "steps": steps})
        _remember(folder, done)
    except (OSError, FixError) as error:
        for entry in reversed(done):
            _restore(folder, entry)
        raise FixError(f"nothing was changed: {error}") from None
    return list(by_file)


def undo(folder: Path) -> list[str]:
    """Take the last `fix` back, byte for byte; returns the files.

    Raises:
        FixError: there is nothing to take back, or a file was changed since.
    """
    record = folder / UNDO
    try:
        runs = json.loads(record.read_text("utf-8"))
    except FileNotFoundError:
        raise FixError(f"{folder}: no `lkdoctor fix` to take back; {UNDO} is not there") from None
    except (OSError, ValueError) as error:
        raise FixError(f"{record}: cannot be read: {error}") from None
    if not isinstance(runs, list) or not runs:
        raise FixError(f"{record}: holds nothing to take back")
    entries = runs[-1]
    for entry in entries:
        if _hash(_bytes(str(folder / entry["file"]))) != entry["is"]:
            raise FixError(f"{folder / entry['file']}: was changed since `lkdoctor fix`; take the change back by hand")
    for entry in reversed(entries):
        _restore(folder, entry)
    if len(runs) > 1:
        _write(str(record), json.dumps(runs[:-1], indent=1).encode())
    else:
        record.unlink()
    return [str(folder / one["file"]) for one in entries]


def _restore(folder: Path, entry: dict[str, Any]) -> None:
    name = str(folder / entry["file"])
    raw = _bytes(name)
    for step in reversed(entry["steps"]):
        at, after = step["at"], step["after"].encode()
        raw = raw[:at] + step["before"].encode() + raw[at + len(after) :]
    if _hash(raw) != entry["was"]:
        raise FixError(f"{name}: cannot be restored byte for byte; it was left as it is")
    _write(name, raw)


def _remember(folder: Path, done: list[dict[str, Any]]) -> None:
    record = folder / UNDO
    runs = json.loads(record.read_text("utf-8")) if record.exists() else []
    _write(str(record), json.dumps([*runs, done], indent=1).encode())


def _bytes(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise FixError(f"{name}: {error.strerror or error}") from None


def _write(name: str, data: bytes) -> None:
    """Replace the file as a whole, with its mode; a link stays a link."""
    path = Path(os.path.realpath(name))
    mode = path.stat().st_mode & 0o7777 if path.exists() else 0o600
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".lkdoctor-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(scratch, mode)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
