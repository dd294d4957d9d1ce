"""Brings containers' own logs to where the log readers are: bounded copies in a private folder that goes with the run."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping
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
MOST_KEPT: Final = 512 << 20  # of all containers together
_LOOK: Final = 256 << 10  # bytes of a log's beginning, and of its end, that tell whose it is
_LAST: Final = 500  # lines of its end
_SHORTER: Final = "; --since and --until name a shorter time"
# A name like this would be taken for one file of a rotated set.
_LIKE_ROTATED: Final = re.compile(r"\d{8}|\d{4}-\d\d-\d\d")


class LogFolder:
    """A folder that only this user can read; it is removed when nobody holds it any more, at the latest at the end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lkdoctor-logs-"))
        self.left = MOST_KEPT  # bytes that may still be written into it
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
    """Copy the log of a container when it holds lines of a LiveKit server or of an agent worker; else nothing is written.

    `go_on` False ends it early. Raises docker's APIError when the engine cannot read this container's log.
    """
    span: dict[str, Any] = {}
    if since is not None:
        span["since"] = int(since)
    if until is not None:
        span["until"] = int(until) + 1
    kinds = _kinds(container, span)
    if not kinds:
        return Fetched()
    if not folder.left:
        return Fetched(kinds, notes=(f"its log was not read: those before it took {MOST_KEPT >> 20} MiB{_SHORTER}",))
    target = folder.path / f"{len(list(folder.path.iterdir()))}.log"
    size, notes = _copy(_pieces(container, tail=MOST_LINES, **span), target, min(MOST_BYTES, folder.left), go_on)
    folder.left = max(folder.left - size, 0)
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


def _copy(pieces: Iterable[bytes], target: Path, most: int, go_on: Callable[[], bool]) -> tuple[int, list[str]]:
    size = lines = 0
    notes = []
    with target.open("xb") as out:
        for piece in pieces:
            size += out.write(piece[: most - size])
            lines += piece.count(b"\n")
            if size >= most:
                notes.append(f"only {size / (1 << 20):.3g} MiB were read{_SHORTER}")
                break
            if not go_on():
                notes.append("reading it was ended early")
                break
    if lines >= MOST_LINES:
        notes.append(f"only the newest {MOST_LINES:,} lines were read; --since names a shorter time")
    return size, notes


def _pieces(container: Running, **which: Any) -> Generator[bytes, None, None]:
    """The log as it comes; whoever has enough closes it, and the engine sends no more."""
    stream = container.logs(stream=True, follow=False, **which)
    ended = False
    try:
        yield from stream
        ended = True
    finally:
        if not ended:
            with contextlib.suppress(OSError, AttributeError):  # the engine has closed it meanwhile
                stream.close()


def _kinds(container: Running, span: Mapping[str, Any]) -> tuple[str, ...]:
    """What stands in its log, by its beginning and its end: a busy program's own lines may fill either."""
    parts = [_part(_pieces(container, **span))]
    if len(parts[0]) >= _LOOK:
        parts.append(_part(_pieces(container, tail=_LAST, **span)))
    found = []
    if any(sniff(part.split(b"\n")) is not None for part in parts):
        found.append(SERVER)
    if any(is_worker_log(part, len(part)) for part in parts):  # a program's own lines may come first here, and be many
        found.append(WORKER)
    return tuple(found)


def _part(pieces: Generator[bytes, None, None]) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) >= _LOOK:
            break
    pieces.close()
    return bytes(found[:_LOOK])
