"""What the Compose file of a container says now of its environment, where that differs from what the container has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.log.source import LogInput
from lkdoctor.dispatch.machine import Container, Declared
from lkdoctor.dispatch.settings import TOKENS, Setting, shown

_CUT: Final = 120  # characters; a longer value is not held whole


def declared(container: Container) -> tuple[Declared, ...]:
    """Variables that the container's own Compose files set to another value than it has.

    Left out is what may have another reason: a value that holds a variable of its own (the shell's may have won), a file that
    was not changed since the container was made, files that are not here, and `docker compose run`.
    """
    made = container.compose
    if made is None or made.oneoff or not made.config_files or container.created_at is None:
        return ()
    files = made.config_files
    if not all(Path(one).is_file() for one in files) or os.path.dirname(files[0]) != made.working_dir:
        return ()
    from lkdoctor.collect.config.project import read_project  # noqa: PLC0415 - YAML, for who has such containers

    own = Gathered()
    read_project([(LogInput(one, Path(one)), "compose") for one in files], own, {}, chosen=files)
    found = []
    for one in own.facts.get(Setting, []):
        if not isinstance(one, Setting) or one.service != made.service or not one.known:
            continue
        name = one.key.removeprefix("env.")
        if name == one.key or not _comparable(name, one) or one.value == container.environment.get(name):
            continue
        changed_at = _changed(one.file)
        if changed_at is not None and changed_at > container.created_at and not _computed(one):
            found.append(Declared(name, one.value, one.where, changed_at))
    return tuple(found)


def _comparable(name: str, one: Setting) -> bool:
    """Do equal values read equal here and there?"""
    if name in TOKENS:
        return one.value.startswith("<secret:")
    return shown(name) and "@" not in one.value and len(one.value) < _CUT


def _changed(file: str) -> float | None:
    """When the file was last written; None for what is no file of variables (a Dockerfile takes a build, too)."""
    if "dockerfile" in os.path.basename(file).lower():
        return None
    try:
        return os.stat(file).st_mtime
    except OSError:
        return None


def _computed(one: Setting) -> bool:
    """Does the line that sets it hold a variable?"""
    try:
        lines = Path(one.file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):
        return True
    return not 0 < one.line <= len(lines) or "$" in lines[one.line - 1]
