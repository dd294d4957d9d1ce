"""Looks for agent workers among this machine's processes, in containers and outside of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

import psutil

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.machine import signs
from lkdoctor.collect.machine.endpoints import Address, of_process
from lkdoctor.collect.machine.environment import allowed, command
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.machine import HostProcess
from lkdoctor.dispatch.model import SourceNote

KIND: Final = "host"
SOURCE: Final = "host"
_CONTAINER: Final = re.compile(
    r"(?:docker|libpod|crio|containerd)[-/:]?(?:[\w.-]*[-/:])?([0-9a-f]{64})|/([0-9a-f]{64})(?:\.scope)?$"
)
_LIBRARY: Final = re.compile(r"/livekit/|livekit_ffi|@livekit/")


@dataclass(slots=True)
class Look:
    """One look at this machine's processes. `stop` ends it between two of them.

    `possible` are programs that use LiveKit's libraries and start helpers as livekit-agents of old does: they may be something
    else, and whoever asks their ports learns it.
    """

    stop: Event
    possible: list[HostProcess] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)

    def collect(self, gathered: Gathered, say: Callable[[str], None]) -> None:
        """Fill `gathered` with the workers among this machine's processes, in containers and outside."""
        now = time.time()
        note = SourceNote(SOURCE, KIND, first_at=now, last_at=now)
        gathered.notes.append(note)
        say("looking at the processes")
        listed, hidden = _listed()
        note.lines = len(listed)
        sure = signs.mains(listed)
        apart = 0
        for pid in sorted({*sure, *signs.possible(listed)}):
            if self.stop.is_set():
                note.notes.append("not all processes were looked at")
                break
            found = _process(pid, sure.get(pid, ""), now)
            if found is None:
                continue
            if pid in sure:
                gathered.add(found)
            elif _uses_livekit(pid):
                self.possible.append(found)
            else:
                continue
            address = of_process(found)
            apart += bool(found.ports and not address.urls)
            self.addresses.append(address)
        if apart:
            note.notes.append(f"workers in a network of their own, whose endpoints --docker can ask: {apart}")
        if hidden:
            note.notes.append(f"processes of other users that could not be looked at (root sees them all): {hidden}")


def _listed() -> tuple[list[signs.Running], int]:
    found, hidden = [], 0
    for one in psutil.process_iter(["pid", "ppid", "cmdline", "status"], ad_value=None):
        command = one.info["cmdline"]
        if command is None:
            hidden += one.info["status"] != psutil.STATUS_ZOMBIE
        elif command:
            found.append(signs.Running(one.info["pid"], one.info["ppid"] or 0, " ".join(command)))
    return found, hidden


def _process(pid: int, sdk: str, now: float) -> HostProcess | None:
    """The fact; None when the process has gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            folder, gone = _folder(pid, process)
            return HostProcess(
                place=Place(SOURCE, path=str(pid)),
                at=now,
                pid=pid,
                sdk=sdk,
                command=command(process.cmdline()),
                folder=folder,
                folder_gone=gone,
                started_at=process.create_time(),
                parent=_parent(process),
                terminal=process.terminal() or "",
                container=_container(pid),
                environment=_environment(process),
                ports=_ports(process),
                children=len(process.children()),
            )
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # macOS shows little of other users' processes
        return HostProcess(place=Place(SOURCE, path=str(pid)), at=now, pid=pid, sdk=sdk)


def _folder(pid: int, process: psutil.Process) -> tuple[str, bool]:
    """Where it was started, and whether that folder was deleted since (Linux says so behind its name)."""
    try:
        folder = str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        try:
            folder = process.cwd()
        except (psutil.Error, OSError):
            return "", False
    return folder.removesuffix(" (deleted)"), folder.endswith(" (deleted)")


def _parent(process: psutil.Process) -> str:
    try:
        parent = process.parent()
        return parent.name() if parent is not None else ""
    except psutil.Error:
        return ""


def _container(pid: int) -> str:
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = next((match for line in groups.splitlines() if (match := _CONTAINER.search(line))), None)
    return (found[1] or found[2])[:12] if found is not None else ""


def _environment(process: psutil.Process) -> dict[str, str] | None:
    try:
        return allowed(process.environ())
    except (psutil.Error, OSError):
        return None


def _ports(process: psutil.Process) -> tuple[int, ...]:
    try:
        opened = process.net_connections("tcp")
    except (psutil.Error, OSError):
        return ()
    return tuple(sorted({one.laddr.port for one in opened if one.status == psutil.CONN_LISTEN and one.laddr}))


def _uses_livekit(pid: int) -> bool:
    """Has it, or a helper of it, loaded a library of LiveKit's?"""
    try:
        every = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return False
    for one in every[:20]:
        try:
            maps = one.memory_maps()
        except (psutil.Error, OSError, AttributeError, NotImplementedError):
            continue
        if any(_LIBRARY.search(each.path) for each in maps):
            return True
    return False
