"""Puts everything that a run has read or learned into a case: logs cleaned, the rest in lkdoctor's own masked forms."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from lkdoctor.collect.case import CaseInputs
from lkdoctor.collect.extras import lines_of
from lkdoctor.collect.fact_files import write_facts
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import FILE_KINDS
from lkdoctor.collect.log.source import LogInput, Opened, open_input
from lkdoctor.collect.server_api.exchanges import parse_line
from lkdoctor.collect.snapshot.case_file import CaseFile
from lkdoctor.collect.snapshot.cleaning import Cleaner, clean_lines, clean_log
from lkdoctor.collect.snapshot.pseudonyms import Pseudonyms
from lkdoctor.redact import Redactor

_SERVER_NAME: Final = re.compile(r"(?:server|livekit).*\.(?:log|txt|jsonl?)\b")
_WORKER_NAME: Final = re.compile(r"(?:worker|agent).*\.(?:log|txt|jsonl?)\b")
_PACKED: Final = re.compile(r"\.(?:gz|zst)$")

Track = Callable[[int], None]


class Writer:
    """Writes one case; `track` is called with the bytes read, and may raise to end it."""

    def __init__(self, case: CaseFile, redactor: Redactor, track: Track) -> None:
        self._case = case
        self._redactor = redactor
        self._people = Pseudonyms(redactor.salt)
        self._track = track

    def logs(self, inputs: CaseInputs) -> None:
        """The logs of servers and of workers; what this version does not read is left out, and named."""
        for one in inputs.server_logs:
            self._log(one, "server_log", _log_name(one, _SERVER_NAME, "server"), Cleaner(self._redactor, self._people))
        both = {(one.path, one.member) for one in inputs.server_logs}
        for given in inputs.worker_logs:
            if (given.path, given.member) not in both:  # one file of both kinds is written once
                name = _log_name(given, _WORKER_NAME, "worker")
                self._log(given, "worker_log", name, Cleaner(self._redactor, self._people, speech=True))
        for note in inputs.others:
            why = (
                f"a file of the kind {note.kind}, which this version does not read: it cannot know what is secret in it"
            )
            self._case.leave_out(_base(note.name), why)

    def _log(self, given: LogInput, kind: str, name: str, cleaner: Cleaner) -> None:
        with self._opened(given) as opened:
            if opened is not None:
                pieces = clean_log(_Tracked(opened, self._track), cleaner)
                self._write(name, kind, pieces, cleaner, opened.notes)

    @contextmanager
    def _opened(self, given: LogInput) -> Iterator[Opened | None]:
        """The open file; None when it cannot be opened, which the manifest then says."""
        try:
            opened = open_input(given)
        except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
            # The words of an OSError hold the whole path, which is nobody else's business.
            why = getattr(error, "strerror", None) or error
            self._case.leave_out(_base(given.name), self._redactor.mask(f"cannot be opened: {why}"))
            yield None
            return
        try:
            yield opened
        finally:
            opened.close()

    def recorded(self, inputs: CaseInputs, gathered: Gathered) -> None:
        """API exchanges that came as files, each read and written again in lkdoctor's own form."""
        for extra in inputs.extras:
            if extra.kind == "api":
                with self._opened(extra.given) as opened:
                    if opened is not None:
                        self.exchanges(lines_of(opened), opened.notes)
        self._learned(gathered)

    def exchanges(self, lines: Iterable[bytes], notes: list[str] | None = None) -> None:
        """Lines of one `api.jsonl`; `notes` on their source may still grow while they are read."""
        cleaner = Cleaner(self._redactor, self._people)
        pieces = clean_lines(lines, cleaner, lambda line: parse_line(line).line())
        self._write("api.jsonl", "api", pieces, cleaner, notes)

    def _learned(self, gathered: Gathered) -> None:
        from lkdoctor.collect.connection import write_steps  # noqa: PLC0415
        from lkdoctor.collect.probe_file import write_probe  # noqa: PLC0415 - most cases have none
        from lkdoctor.collect.token import write_token  # noqa: PLC0415

        if gathered.steps:
            self._text("connection.jsonl", "connection", write_steps(gathered.steps))
        if gathered.probes:
            self._text("probe.jsonl", "probe", (write_probe(one).encode() for one in gathered.probes))
        for kind in FILE_KINDS:
            if facts := list(write_facts(gathered, kind)):
                self._text(kind.file, kind.name, facts)
        for number, token in enumerate(gathered.tokens, 1):
            name = f"token-{number}.json"
            token.name = name  # the user may have named it by a path of theirs
            cleaner = Cleaner(self._redactor, self._people)
            text = cleaner.people(write_token(token)).encode("utf-8", "backslashreplace")
            cleaner.masked["secret"] += text.count(b"<secret:")
            self._write(name, "token", [text], cleaner)

    def _text(self, name: str, kind: str, pieces: Iterable[bytes]) -> None:
        cleaner = Cleaner(self._redactor, self._people)
        self._write(name, kind, (cleaner.data(one) for one in pieces), cleaner)

    def _write(
        self, name: str, kind: str, pieces: Iterable[bytes], cleaner: Cleaner, notes: list[str] | None = None
    ) -> None:
        entry = self._case.write(self._case.unique(name), kind, pieces)
        entry["masked"] = dict(sorted((what, number) for what, number in cleaner.masked.items() if number))
        if cleaner.dropped:
            entry["left_out"] = dict(sorted(cleaner.dropped.items()))
        if notes:
            entry["notes"] = [self._redactor.mask(one) for one in notes]


class _Tracked:
    """A source whose reading is told."""

    def __init__(self, opened: Opened, track: Track) -> None:
        self._opened = opened
        self._track = track

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._opened.readinto(buffer)
        self._track(count)
        return count


def _base(name: str) -> str:
    return "stdin" if name == "-" else name.replace("\\", "/").rsplit("/", 1)[-1]


def _log_name(given: LogInput, pattern: re.Pattern[str], kind: str) -> str:
    """The log's own name, unpacked, changed only as far as a case needs it to be known for what it is.

    Rotated files keep their numbers, by which they are one stream.
    """
    name = _PACKED.sub("", _base(given.name))
    if pattern.match(name):
        return name
    if re.search(r"\.(?:log|txt|jsonl?)\b", name):
        return f"{kind}-{name}"
    return f"{kind}-{name}.log"
