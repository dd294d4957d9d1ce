"""The files of a project by the names that the report shows: on the disk, or in a zip; nothing is unpacked."""

from __future__ import annotations

import contextlib
import os
import posixpath
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lkdoctor.collect.log.source import LogInput

LARGEST: Final = 2 << 20  # bytes; what is larger is no configuration


@dataclass(slots=True)
class Files:
    """Reads text by name and remembers what was read; `texts` are given instead of a disk in tests and for zips."""

    texts: Mapping[str, str] | None = None
    overlay: Mapping[str, str] = field(default_factory=dict)  # texts that are tried instead of those on the disk
    used: list[str] = field(default_factory=list)
    _cache: dict[str, str | None] = field(default_factory=dict)

    def read(self, name: str) -> str | None:
        """The file's text (UTF-8, a byte-order mark is dropped); None when it is absent, no file, too large or no text."""
        if name not in self._cache:
            self._cache[name] = self._read(name)
        found = self._cache[name]
        if found is not None and name not in self.used:
            self.used.append(name)
        return found

    def _read(self, name: str) -> str | None:
        if name in self.overlay:
            return self.overlay[name]
        if self.texts is not None:
            return self.texts.get(name)
        path = Path(name)
        try:
            if not path.is_file() or path.stat().st_size > LARGEST:
                return None
            return path.read_bytes().decode("utf-8-sig")
        except (OSError, ValueError):
            return None

    def exists(self, name: str) -> bool:
        """Is there such a file?"""
        if self.texts is not None:
            return name in self.texts
        with contextlib.suppress(OSError, ValueError):
            return Path(name).is_file()
        return False


def beside(name: str, relative: str) -> str:
    """The name of a file that `name` refers to by a relative path; absolute paths stay as they are."""
    return join(posixpath.dirname(name.replace(os.sep, "/")), relative)


def join(folder: str, relative: str) -> str:
    """The same from a folder."""
    if relative.startswith("/"):
        return posixpath.normpath(relative)
    return posixpath.normpath(posixpath.join(folder, relative))


def of_zip(inputs: list[LogInput]) -> Files:
    """The text files of the zip that these members come from, by the names that the report shows."""
    texts: dict[str, str] = {}
    path = inputs[0].path
    if path is None:
        return Files(texts)
    with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir() and info.file_size <= LARGEST and not info.flag_bits & 1:
                with contextlib.suppress(OSError, RuntimeError, NotImplementedError, ValueError, zipfile.BadZipFile):
                    texts[f"{path}/{info.filename}"] = archive.read(info).decode("utf-8-sig")
    return Files(texts)
