"""What the user named (folders, zips, files, `-`), as inputs: which are server logs, and what the others are.

A case is a folder, or the same folder zipped, known by its files' content and by their names. Nothing is unpacked to
disk: members of a zip are read as streams.
"""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from lkdoctor.collect.config.pairs import Pairs
from lkdoctor.collect.extras import Extra, read_extras
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import BY_NAME, PROJECT, kind_of_name
from lkdoctor.collect.log.source import LogInput, open_input
from lkdoctor.collect.server_log.sniff import looks_like, sniff
from lkdoctor.collect.worker_log.logs import is_worker_log
from lkdoctor.dispatch.model import SourceNote

SIGNED: Final = "token"  # the kind whose signatures are held against the project's own secrets
BOTH: Final = "server_log and worker_log"  # one file with the lines of both
_HEAD: Final = 64 * 1024
_MOST_FILES: Final = 2000
_MOST_BYTES: Final = 1 << 40  # what all members of a zip claim to unpack to

_SERVER_LOG: Final = re.compile(r"(?:server|livekit).*\.(?:log|txt|jsonl?)\b")
_WORKER_LOG: Final = re.compile(r"(?:worker|agent).*\.(?:log|txt|jsonl?)\b")
_ANY_LOG: Final = re.compile(r"\.(?:log|out|err|txt|jsonl|gz|zst)(?:$|\W)|-json\.log")

#: Text files of every project: that they are not read is nothing to tell.
_NO_LOG: Final = re.compile(
    r"(?:(?:dev-)?requirements|constraints)[\w.-]*\.txt$|(?:robots|licen[cs]e|readme)\.txt$", re.IGNORECASE
)


class MissingInputError(Exception):
    """An input that cannot be read: which one, and what to do."""

    def __init__(self, path: str, advice: str) -> None:
        super().__init__(f"{path}: {advice}")
        self.path = path
        self.advice = advice


@dataclass(slots=True)
class CaseInputs:
    """Everything that was named, sorted into what it is. `errors` are whole sentences: what cannot be read, what to do."""

    server_logs: list[LogInput] = field(default_factory=list)
    worker_logs: list[LogInput] = field(default_factory=list)
    extras: list[Extra] = field(default_factory=list)  # what is read besides: `read_other`
    project: list[Extra] = field(default_factory=list)  # configuration files, read together
    chosen: list[str] = field(default_factory=list)  # names of those of them that were named one by one
    others: list[SourceNote] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def find(
        cls,
        paths: Sequence[str | Path],
        *,
        logs: Sequence[str | Path] = (),
        worker_logs: Sequence[str | Path] = (),
        apis: Sequence[str | Path] = (),
    ) -> CaseInputs:
        """Sort `paths` into what they are; `logs`, `worker_logs` and `apis` are taken as such whatever they look like.

        Raises nothing: what does not exist or cannot be opened is in `errors`.
        """
        found = cls()
        for log in logs:
            with found._noting(log):
                found._add(_plain(log), "server_log", "")
        for log in worker_logs:
            with found._noting(log):
                found._add(_plain(log), "worker_log", "")
        for api in apis:
            with found._noting(api):
                found._add(_plain(api), "api", "")
        for path in paths:
            with found._noting(path):
                found._sort(str(path))
        return found

    @property
    def readable(self) -> list[LogInput]:
        """The files besides server logs that are read."""
        return [one.given for one in (*self.extras, *self.project)]

    @contextlib.contextmanager
    def _noting(self, path: str | Path) -> Iterator[None]:
        try:
            yield
        except MissingInputError as error:
            self.errors.append(str(error))
        except OSError as error:  # a name that is too long, a loop of links
            self.errors.append(f"{path}: cannot be opened: {error.strerror or error}")

    def _sort(self, text: str) -> None:
        path = Path(text)
        if text == "-":
            self._add(LogInput("-"), "server_log", "")
        elif path.is_dir():
            self._members(_members_of_folder(path))
        elif path.is_file() and path.suffix != ".log" and zipfile.is_zipfile(path):
            self._members(_members_of_zip(path))
        else:
            given = _plain(text)
            # A pipe can be read only once, so its beginning is not looked at here.
            kind, looks = _kind(given, path.name) if path.is_file() else ("server_log", "")
            if kind in ("unknown", "worker_log") and path.suffix == ".py":
                kind = "agent_program"
            # A file named on the command line is tried in any case: the note on it then says what it looks like.
            self._add(given, "server_log" if kind == "unknown" else kind, looks)

    def _members(self, members: Iterable[tuple[LogInput, str]]) -> None:
        for given, name in members:
            kind, looks = _kind(given, name)
            if kind == "unknown" and _SERVER_LOG.match(name):
                kind = "server_log"
            if kind == "agent_program" and b"livekit" not in _head(given):
                continue  # some other program that lies there
            if kind != "unknown" or (_ANY_LOG.search(name) and not _NO_LOG.match(name)):
                self._add(given, kind, looks, by_chance=True)

    def _add(self, given: LogInput, kind: str, looks: str, *, by_chance: bool = False) -> None:
        # `server.log` and `./server.log` are one file: read twice, every dispatch in it would count twice.
        identity = (given.name if given.path is None else os.path.realpath(given.path), given.member)
        if identity in self._seen:
            return
        self._seen.add(identity)
        if kind == "server_log":
            self.server_logs.append(given)
            return
        if kind == "worker_log":
            self.worker_logs.append(given)
            return
        if kind == BOTH:  # `docker compose logs` of a server and its workers
            self.server_logs.append(given)
            self.worker_logs.append(replace(given, name=f"{given.name} (workers)"))
            return
        if kind in BY_NAME and BY_NAME[kind].read:
            self.extras.append(Extra(given, kind))
            return
        if kind in PROJECT and given.path is not None:
            self.project.append(Extra(given, kind))
            if not by_chance:
                self.chosen.append(given.name)
            return
        note = SourceNote(given.name, kind, bytes=given.size_on_disk)
        if kind == "unknown" and not by_chance:  # what merely lies in a folder was not meant to be read
            note.unusable = f"no evidence that this version reads; it looks like {looks}"
        else:
            note.notes.append(f"not read by this version{f'; it looks like {looks}' if looks else ''}")
        self.others.append(note)


def read_other(inputs: CaseInputs, gathered: Gathered) -> Pairs:
    """Read what `inputs` holds besides logs into `gathered`: API exchanges, connection steps, probes, settings, tokens.

    Returns the project's API keys with their secrets, for whoever reads further tokens; they are not to be kept.
    """
    pairs = Pairs()
    read_extras([one for one in inputs.extras if one.kind != SIGNED], gathered)
    if inputs.project:
        from lkdoctor.collect.config.project import read_projects  # noqa: PLC0415 - most runs read no project

        read_projects(inputs.project, gathered, os.environ, inputs.chosen, pairs)
    read_extras([one for one in inputs.extras if one.kind == SIGNED], gathered, pairs)
    return pairs


def _plain(text: str | Path) -> LogInput:
    return LogInput("-") if str(text) == "-" else _file(str(text))


def _file(text: str) -> LogInput:
    path = Path(text)
    if path.is_dir():
        raise MissingInputError(text, "is a folder; name a file here, or give the folder without an option")
    try:
        if path.is_file():
            with open(path, "rb"):
                pass
        else:
            path.stat()
    except FileNotFoundError:
        raise MissingInputError(
            text,
            "no such file; check the path (relative paths start at the current folder)",
        ) from None
    except OSError as error:
        raise MissingInputError(text, f"cannot be opened: {error.strerror or error}") from None
    return LogInput(text, path)


def _members_of_folder(folder: Path) -> Iterable[tuple[LogInput, str]]:
    try:
        found = sorted(one for one in folder.iterdir() if one.is_file())
    except OSError as error:
        raise MissingInputError(str(folder), f"cannot be listed: {error.strerror or error}") from None
    wanted = [one for one in found if _is_evidence(one.name)]
    if len(wanted) > _MOST_FILES:
        raise MissingInputError(str(folder), f"holds {len(wanted)} logs; name those that you mean")
    return [(LogInput(str(one), one), one.name) for one in wanted]


def _members_of_zip(path: Path) -> Iterable[tuple[LogInput, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [one for one in archive.infolist() if not one.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise MissingInputError(
            str(path),
            f"is a damaged zip ({error}); unpack it with another tool and give the folder",
        ) from None
    if len(infos) > _MOST_FILES or sum(one.file_size for one in infos) > _MOST_BYTES:
        raise MissingInputError(str(path), "unpacks to too much for a case; name the log itself")
    if any(one.flag_bits & 1 for one in infos):
        raise MissingInputError(str(path), "is encrypted; unpack it and give the folder")
    members = []
    for info in sorted(infos, key=lambda one: one.filename):
        name = info.filename.rsplit("/", 1)[-1]
        if info.filename.startswith("__MACOSX/") or ".." in info.filename.split("/") or not _is_evidence(name):
            continue
        members.append((LogInput(f"{path}/{info.filename}", path, info.filename), name))
    return members


def _is_evidence(name: str) -> bool:
    return kind_of_name(name) != "" or bool(_ANY_LOG.search(name))


def _kind(given: LogInput, name: str) -> tuple[str, str]:
    """What a file is: by name when that says it, else by its beginning."""
    kind = kind_of_name(name)
    if kind:
        return kind, ""
    head = _head(given)
    workers = is_worker_log(head)
    if sniff(head.split(b"\n")) is not None or head.startswith(b"could not parse config: "):
        return BOTH if workers else "server_log", ""
    looks = looks_like(head)
    if workers or "agent worker" in looks or (_WORKER_LOG.match(name) and not _SERVER_LOG.match(name)):
        return "worker_log", looks
    if "api.jsonl" in looks:
        return "api", looks
    return "unknown", looks


def _head(given: LogInput) -> bytes:
    try:
        opened = open_input(given)
    except (
        OSError,
        KeyError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        raise MissingInputError(given.name, f"cannot be opened: {error}") from None
    try:
        buffer = bytearray(_HEAD)
        have = 0
        while have < _HEAD and (count := opened.readinto(memoryview(buffer)[have:])):
            have += count
        return bytes(buffer[:have])
    finally:
        opened.close()
