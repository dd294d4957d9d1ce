"""What shows that a process is an agent worker's: the helpers that both SDKs start beside it, by their command lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

# @livekit/agents 1.9.0 starts files of its package, livekit-agents 1.8.9 names its modules; older ones (seen: 0.12.21, 1.2.18,
# 1.3.12, 1.5.17) start helpers as any Python program does. A program's own arguments say nothing: many are run with `start`.
_PYTHON: Final = re.compile(r"multiprocessing\.(?:forkserver|spawn)\b.*\blivekit\.agents\b")
_NODE: Final = re.compile(r"@livekit/agents/dist/(?:ipc|inference)")
_HELPER: Final = re.compile(r"multiprocessing\.(?:forkserver|spawn) import ")
_SERVER: Final = re.compile(r"(?:^|/)livekit-server(?:\s|$)")


class Running(NamedTuple):
    """One process of a list."""

    pid: int
    parent: int
    command: str


def sdk_of(command: str) -> str:
    """`python` or `node` for a helper process of an SDK; empty for any other."""
    if _PYTHON.search(command):
        return "python"
    return "node" if _NODE.search(command) else ""


def is_server(command: str) -> bool:
    """Is this a livekit-server?"""
    return _SERVER.search(command) is not None


def mains(processes: Iterable[Running]) -> dict[int, str]:
    """The main processes of workers among these, by pid, with their SDK: those that started one of its helpers."""
    found = {}
    for parent, helper in _starters(processes):
        if sdk := sdk_of(helper.command):
            found[parent.pid] = sdk
    return found


def possible(processes: Iterable[Running]) -> list[int]:
    """Python programs that started helpers as workers of old SDKs do, and other programs too: to be asked further."""
    return sorted({parent.pid for parent, helper in _starters(processes) if not sdk_of(helper.command)})


def _starters(processes: Iterable[Running]) -> Iterator[tuple[Running, Running]]:
    """Each process that started a helper, with the helper."""
    by_pid = {one.pid: one for one in processes}
    for one in by_pid.values():
        parent = by_pid.get(one.parent)
        # What is forked from a fork server has its command line.
        if parent is not None and _helps(one.command) and not _helps(parent.command):
            yield parent, one


def _helps(command: str) -> bool:
    return bool(sdk_of(command) or _HELPER.search(command))
