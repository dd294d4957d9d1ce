"""The container of a case: a folder or a zip that appears whole or not at all, with a manifest of what stands in it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, Final

from lkdoctor import __version__
from lkdoctor.collect.gathered import Gap
from lkdoctor.redact import mask

FORMAT: Final = "lkdoctor.case/v1"
MANIFEST: Final = "case.json"


class CaseFileError(Exception):
    """The case cannot be written there; the message says why and what to do."""


@dataclass(slots=True)
class CaseFile:
    """A case that is being written: to a neighbour of `path`, which takes its place when all is done."""

    path: Path
    force: bool = False
    files: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    _part: Path = field(init=False)
    _zip: zipfile.ZipFile | None = None

    def __post_init__(self) -> None:
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")

    @property
    def zipped(self) -> bool:
        """True when the case becomes one file."""
        return self.path.suffix == ".zip"

    def begin(self) -> None:
        """Make the place to write to.

        Raises:
            CaseFileError: something stands there already, or the folder cannot be written to.
        """
        if os.path.lexists(self.path) and not (self.force and self._replaceable()):
            what = "exists already" if not self.force else "is no case of lkdoctor's, so it is not replaced"
            raise CaseFileError(f"-o {self.path}: {what}; name another file{'' if self.force else ', or add --force'}")
        try:
            if self.zipped:
                self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_DEFLATED)
            else:
                self._part.mkdir()
        except OSError as error:
            raise CaseFileError(
                f"-o {self.path}: {error.strerror or error}; name a place that can be written"
            ) from None

    def _replaceable(self) -> bool:
        if self.path.is_dir():
            return not self.zipped and (self.path / MANIFEST).is_file()
        return self.zipped and self.path.is_file() and zipfile.is_zipfile(self.path)

    def write(self, name: str, kind: str, pieces: Iterable[bytes]) -> dict[str, Any]:
        """Write one file, piece by piece; returns its entry of the manifest, to which more may be added."""
        digest = hashlib.sha256()
        size = 0
        with self._open(name) as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
        entry: dict[str, Any] = {"name": name, "kind": kind, "bytes": size, "sha256": digest.hexdigest()}
        self.files.append(entry)
        return entry

    def _open(self, name: str) -> IO[bytes]:
        if self._zip is None:
            return open(self._part / name, "wb")
        return self._zip.open(name, "w", force_zip64=True)

    def unique(self, name: str) -> str:
        """`name`, or with a number in it when the case has one of that name."""
        taken = {one["name"] for one in self.files}
        stem, dot, end = name.partition(".")
        number = 1
        found = name
        while found in taken:
            number += 1
            found = f"{stem}-{number}{dot}{end}"
        return found

    def leave_out(self, name: str, why: str) -> None:
        """Say that `name` is not in the case."""
        self.left_out.append({"name": name, "why": why})

    def finish(self, **more: Any) -> dict[str, Any]:
        """Write the manifest and put the case in its place; returns the manifest."""
        manifest = {
            "format": FORMAT,
            "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "lkdoctor": __version__,
            **more,
            "files": self.files,
            "left_out": self.left_out,
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        with self._open(MANIFEST) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
        if self._zip is not None:
            self._zip.close()
            self._zip = None
        if self.force and self.path.is_dir():
            shutil.rmtree(self.path)
        os.replace(self._part, self.path)
        return manifest

    def abandon(self) -> None:
        """Take away what was begun."""
        if self._zip is not None:
            self._zip.close()
            self._zip = None
        if self._part.is_dir():
            shutil.rmtree(self._part, ignore_errors=True)
        else:
            self._part.unlink(missing_ok=True)


def recorded_gaps(paths: Iterable[str]) -> list[Gap]:
    """What the makers of the cases among `paths` could not learn from their live servers."""
    gaps: list[Gap] = []
    for one in paths:
        told = _manifest(Path(one)).get("gaps")
        gaps += [
            Gap(str(gap.get("kind", "")), mask(str(gap["text"])))
            for gap in (told if isinstance(told, list) else ())
            if isinstance(gap, dict) and gap.get("text")
        ]
    return gaps


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest of the case at `path`; empty where there is none that can be read."""
    try:
        if path.is_dir():
            raw = (path / MANIFEST).read_bytes()
        elif path.suffix == ".zip" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                raw = archive.read(MANIFEST)
        else:
            return {}
        found = json.loads(raw)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, RuntimeError):
        return {}
    return found if isinstance(found, dict) and found.get("format") == FORMAT else {}
