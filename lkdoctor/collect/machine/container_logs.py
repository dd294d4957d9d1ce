"""Brings containers' own logs to where the log readers are: bounded copies in a private folder that goes with the run."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lkdoctor.collect.log.source import LogInput
from lkdoctor.collect.server_log.sniff import sniff
from lkdoctor.collect.worker_log.logs import is_worker_log
from lkdoctor.dispatch.machine import LIVE, SERVER, WORKER

if TYPE_CHECKING:
    from docker.models.containers import Container as Running

MOST_LINES: Final = 200_000  # of one container, the newest
MOST_BYTES: Final = 128 << 20
_HEAD: Final = 256 << 10
# A name like this would be taken for one file of a rotated set.
_LIKE_ROTATED: Final = re.compile(r"\d{8}|\d{4}-\d\d-\d\d")


class LogFolder:
    """A folder that only this user can read; it is removed when nobody holds it any more, at the latest at the end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lkdoctor-logs-"))
        weakref.finalize(self, shutil.rmtree, str(self.path), ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Fetched:
    """One container's log: which kinds of lines it has, as an input for each, and what of it was left out."""

    kinds: tuple[str, ...] = ()  # server, worker
    server: LogInput | None = None
    worker: LogInput | None = None
    name: str = ""
    notes: tuple[str, ...] = ()


def fetch(
    container: Running,
    name: str,
    folder: LogFolder,
    *,
    since: float | None = None,
    until: float | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Fetched:
    """Copy the log of a container when it holds lines of a LiveKit server or of an agent worker; else nothing is kept.

    `go_on` False ends it early. Raises docker's APIError when the engine cannot read this container's log.
    """
    span: dict[str, Any] = {}
    if since is not None:
        span["since"] = int(since)
    if until is not None:
        span["until"] = int(until) + 1
    target = folder.path / f"{len(list(folder.path.iterdir()))}.log"
    size, notes = _copy(container.logs(stream=True, follow=False, tail=MOST_LINES, **span), target, go_on)
    if not size:
        target.unlink()
        return Fetched()
    kinds = _kinds(target)
    if not kinds:
        target.unlink()
        return Fetched()
    file = log_name(name, kinds)
    return Fetched(
        kinds,
        LogInput(f"{LIVE}/{file}", target) if SERVER in kinds else None,
        LogInput(f"{LIVE}/{file}{' (workers)' if SERVER in kinds else ''}", target) if WORKER in kinds else None,
        file,
        tuple(notes),
    )


def log_name(container: str, kinds: Iterable[str]) -> str:
    """The file that a container's log is in a case, such as `worker-agent-1.log`."""
    end = "_" if _LIKE_ROTATED.search(container) else ""
    return f"{SERVER if SERVER in kinds else WORKER}-{container}{end}.log"


def _copy(pieces: Iterable[bytes], target: Path, go_on: Callable[[], bool]) -> tuple[int, list[str]]:
    size = lines = 0
    notes = []
    with target.open("xb") as out:
        for piece in pieces:
            size += out.write(piece)
            lines += piece.count(b"\n")
            if size >= MOST_BYTES:
                notes.append(f"only {size >> 20} MiB were read; --since and --until name a shorter time")
                break
            if not go_on():
                notes.append("reading it was ended early")
                break
    if lines >= MOST_LINES:
        notes.append(f"only the newest {MOST_LINES:,} lines were read; --since names a shorter time")
    return size, notes


def _kinds(log: Path) -> tuple[str, ...]:
    """What stands in it, by its beginning and its end: a busy program's own lines may fill either."""
    size = log.stat().st_size
    with log.open("rb") as file:
        parts = [file.read(_HEAD)]
        if size > _HEAD:
            file.seek(max(_HEAD, size - _HEAD))
            parts.append(file.read().partition(b"\n")[2])
    found = []
    if any(sniff(part.split(b"\n")) is not None for part in parts):
        found.append(SERVER)
    if any(is_worker_log(part) for part in parts):
        found.append(WORKER)
    return tuple(found)
