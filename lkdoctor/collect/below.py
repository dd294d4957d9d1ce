"""Folders below a folder that hold evidence: what to name where the folder itself holds none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from lkdoctor.collect.kinds import kind_of_name

_TELLING: Final = frozenset({"compose", "livekit_yaml", "agent_program", "intentions", "api"})
_SKIPPED: Final = frozenset({"node_modules", "site-packages", "venv", "vendor", "dist", "build"})
_DEEPEST: Final = 3
_MOST_FOLDERS: Final = 2000
_SHOWN: Final = 4


def folders_below(paths: Sequence[str]) -> list[str]:
    """The first few folders below `paths` with files that lkdoctor reads by their names, those that lie higher first.

    Raises nothing; hidden folders and those of packages are left out.
    """
    found: list[str] = []
    level = [one for one in paths if os.path.isdir(one)]
    looked = 0
    for _ in range(_DEEPEST):
        below: list[str] = []
        for folder in level:
            looked += 1
            if looked > _MOST_FOLDERS:
                return found[:_SHOWN]
            below += _within(folder)
        found += [one for one in below if _holds(one)]
        if len(found) >= _SHOWN:
            break
        level = below
    return found[:_SHOWN]


def _within(folder: str) -> list[str]:
    try:
        names = sorted(one.name for one in os.scandir(folder) if one.is_dir(follow_symlinks=False))
    except OSError:
        return []
    return [os.path.normpath(os.path.join(folder, name)) for name in names if name[0] != "." and name not in _SKIPPED]


def _holds(folder: str) -> bool:
    try:
        return any(kind_of_name(name) in _TELLING for name in os.listdir(folder))
    except OSError:
        return False
