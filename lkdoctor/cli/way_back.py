"""What `lkdoctor fix` remembers to take a change back: a record that is read strictly, and used within its folder only."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Final

import msgspec

UNDO: Final = ".lkdoctor-undo.json"


class FixError(Exception):
    """A file that cannot be changed or restored; the message says which, why, and what to do."""


class Step(msgspec.Struct, frozen=True):
    """Bytes that were replaced; `at` counts bytes of the file as it was when the step was made."""

    at: Annotated[int, msgspec.Meta(ge=0)]
    before: str
    after: str


class Entry(msgspec.Struct, frozen=True):
    """One file of a run, by its path from the folder, with the hashes (SHA-256) of what it was and what it became."""

    file: str
    was: str
    became: str = msgspec.field(name="is")
    steps: list[Step]

    def name(self, folder: Path) -> str:
        """The file's name. By its letters alone: where the folder is a link, `..` leads back to where the link stands."""
        return os.path.normpath(folder / self.file)


Run = list[Entry]


def within(name: str, folder: Path, also: Path | None = None) -> bool:
    """Is it, links followed, a file of the folder, or the one other that is named?"""
    real, home = os.path.realpath(name), os.path.realpath(folder)
    return os.path.commonpath([real, home]) == home or (also is not None and real == os.path.realpath(also))


def recorded(folder: Path) -> list[Run]:
    """The runs that can be taken back, oldest first; empty when there is no record.

    Raises:
        FixError: what is there was not written by `lkdoctor fix`.
    """
    record = folder / UNDO
    if not within(str(record), folder):
        raise FixError(f"{record} is a link that leaves the folder; `lkdoctor fix` writes no such thing, move it away")
    try:
        return msgspec.json.decode(record.read_bytes(), type=list[Run])
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FixError(f"{record} cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FixError(f"{record} is not what `lkdoctor fix` writes ({error}); move it away") from None


def remember(folder: Path, runs: list[Run]) -> None:
    """Write the record, or remove it when nothing is left to take back."""
    record = folder / UNDO
    if runs:
        write(str(record), msgspec.json.format(msgspec.json.encode(runs), indent=1))
    else:
        record.unlink()


def undo(folder: Path, config: Path | None = None) -> list[str]:
    """Take the last `fix` back, byte for byte; returns the files. `config` is the lkdoctor.toml in use, wherever it stands.

    Raises:
        FixError: there is nothing to take back, a file was changed since, or is none of the folder's.
    """
    runs = recorded(folder)
    if not runs:
        raise FixError(f"no `lkdoctor fix` to take back: {folder / UNDO} is not there, or empty")
    before = [(one.name(folder), _as_it_was(one, folder, config)) for one in reversed(runs[-1])]
    for name, data in before:
        write(name, data)
    remember(folder, runs[:-1])
    return [one.name(folder) for one in runs[-1]]


def restore(folder: Path, run: Run, config: Path | None = None) -> list[str]:
    """Put back what a run that failed has written; returns what could not be, in words."""
    failed = []
    for one in reversed(run):
        name = one.name(folder)
        try:
            if digest(read(name)) != one.was:
                write(name, _as_it_was(one, folder, config))
        except (OSError, FixError) as error:
            failed.append(f"{name} stays changed ({error})")
    return failed


def _as_it_was(entry: Entry, folder: Path, config: Path | None) -> bytes:
    name = entry.name(folder)
    if not within(name, folder, config):
        raise FixError(
            f"the record names {name}, which is no file of {folder}, and nothing was restored; a lkdoctor.toml elsewhere is "
            "named with --config"
        )
    raw = read(name)
    if digest(raw) != entry.became:
        raise FixError(f"the file {name} was changed since `lkdoctor fix`; take the change back by hand")
    for step in reversed(entry.steps):
        raw = raw[: step.at] + step.before.encode() + raw[step.at + len(step.after.encode()) :]
    if digest(raw) != entry.was:
        raise FixError(f"the file {name} cannot be restored byte for byte; it was left as it is")
    return raw


def read(name: str) -> bytes:
    """The file's bytes.

    Raises:
        FixError: it cannot be read.
    """
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise FixError(f"the file {name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def write(name: str, data: bytes) -> None:
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


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
