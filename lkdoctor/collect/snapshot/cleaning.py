"""Takes secrets and people out of evidence, record by record, in constant memory, whatever wraps its lines.

A record is masked as a whole, so where the chunks of a read end does not matter. What is longer than a record can be, or
comes in parts that never end, is cut between two members of its JSON or left out: never passed on unseen.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from lkdoctor.collect.log.reader import HEAD_BYTES, MAX_RECORD
from lkdoctor.collect.log.wrappers import Form, Peeled, docker_json, journald_json, json_envelope, peel
from lkdoctor.collect.server_log.sniff import sniff
from lkdoctor.collect.snapshot.pseudonyms import Pseudonyms
from lkdoctor.redact import Redactor

_CHUNK: Final = 1 << 20
_HEAD: Final = 64 * 1024  # by which the wrapper of a log is known
_IN_JSON: Final = frozenset({docker_json, journald_json, json_envelope})
# Password of a media connection, which a joiner's offer holds; it ends with the connection, but it is one.
_ICE: Final = re.compile(r"(a=ice-pwd:)(?!<)([A-Za-z0-9+/]{8,})")
_SPOKEN: Final = (
    "user_transcript|userTranscript|transcript|transcription|user_input|text|content|utterance|speech|arguments|output"
)
# What people said, and what was made of it. livekit-agents marks its own such fields: `lk.pii.<name>` (1.8.9).
_CONTENT: Final = re.compile(rf'"(?P<key>(?:[\w.-]+\.)?pii\.[\w.]+|{_SPOKEN})"\s*:\s*')
_NAMING: Final = ("pii.participant_identity", "pii.room_name")  # names, which have pseudonyms
_SAID: Final = re.compile(rf"(?P<head>'(?:{_SPOKEN})':\s*)(?P<value>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
_DECODER: Final = json.JSONDecoder(strict=False)


class Readable(Protocol):
    """A source of bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


@dataclass(slots=True)
class Cleaner:
    """Cleans text for one file of a case; `masked` counts what was replaced, by kind, `dropped` what was left out."""

    redactor: Redactor
    pseudonyms: Pseudonyms
    speech: bool = False  # mask what people said, as workers log it
    masked: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def text(self, text: str) -> str:
        """`text` without secrets and people."""
        before = text.count("<secret:")
        done = self.redactor.mask(text)
        if "a=ice-pwd:" in done:
            done = _ICE.sub(lambda match: match[1] + self.redactor.token(match[2]), done)
        if self.speech:
            done = self._without_speech(done)
        self.masked["secret"] += max(0, done.count("<secret:") - before)
        return self.people(done)

    def people(self, text: str) -> str:
        """`text` without people; for what is masked already, in a form where words like `signature` name no secret."""
        counts = self.pseudonyms.counts
        if counts:
            counts.clear()
        done = self.pseudonyms.text(text)
        if counts:
            self.masked.update(counts)
        return done

    def _without_speech(self, text: str) -> str:
        done: list[str] = []
        at = 0
        for match in _CONTENT.finditer(text):
            if match.start() < at or match["key"].endswith(_NAMING):
                continue
            try:
                value, end = _DECODER.raw_decode(text, match.end())
            except (ValueError, RecursionError):  # cut off: nobody knows where the value ends
                value, end = text[match.end() :].rstrip(), len(text.rstrip())
            if not isinstance(value, (str, list, dict)) or not value or str(value).startswith("<secret:"):
                continue
            done += [text[at : match.end()], f'"{self.redactor.token(text[match.end() : end])}"']
            at = end
        text = "".join(done) + text[at:]
        return (
            _SAID.sub(lambda match: f"{match['head']}'{self.redactor.token(match['value'])}'", text)
            if "'" in text
            else text
        )

    def data(self, data: bytes) -> bytes:
        """The same for bytes; what is no UTF-8 stays as it is."""
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def clean_log(source: Readable, cleaner: Cleaner, chunk_bytes: int = _CHUNK) -> Iterator[bytes]:
    """The log without secrets and people, line by line."""
    lines = _lines(source, cleaner, chunk_bytes)
    first: list[bytes] = []
    size = 0
    for line in lines:
        first.append(line)
        size += len(line)
        if size >= _HEAD:
            break
    form = sniff(one.rstrip(b"\r\n") for one in first) or ()
    parts = _Parts(form, cleaner)
    for line in _both(first, lines):
        yield from parts.take(line)
    yield from parts.rest()


def _both(first: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from first
    yield from rest


def _lines(source: Readable, cleaner: Cleaner, chunk_bytes: int) -> Iterator[bytes]:
    """Lines with their ends; of one that is longer than a record the head, up to a border between two JSON members."""
    buffer = bytearray(chunk_bytes)
    view = memoryview(buffer)
    held = bytearray()
    skipping = False
    while have := source.readinto(view):
        start = 0
        while (end := buffer.find(b"\n", start, have)) >= 0:
            held += view[start : end + 1]
            start = end + 1
            if not skipping:
                yield _whole(held, cleaner)
            skipping = False
            held.clear()
        if not skipping:
            held += view[start:have]
            if len(held) > MAX_RECORD:
                yield _whole(held, cleaner)
                skipping = True
                held.clear()
    if held:
        yield _whole(held, cleaner)


def _whole(line: bytearray, cleaner: Cleaner) -> bytes:
    if len(line) <= MAX_RECORD:
        return bytes(line)
    # A quote, a comma and a quote never stand next to each other inside of a JSON string: no value is cut there.
    head = bytes(line[:HEAD_BYTES])
    border = max(head.rfind(b'", "'), head.rfind(b'","'))
    cleaner.dropped["line longer than 1 MiB, of which at most the head is kept"] += 1
    return head[: border + 1] + b"\n" if border > 0 else b""


@dataclass(slots=True)
class _Parts:
    """Cleans lines as they come; parts of one record (docker, CRI) are put together first, for a secret may span them."""

    form: Form
    cleaner: Cleaner
    _waiting: dict[tuple[str, str], tuple[bytearray, int]] = field(default_factory=dict)

    def take(self, line: bytes) -> Iterator[bytes]:
        """The next line; gives what is ready."""
        bare = line.rstrip(b"\r\n")
        got = peel(bare, self.form) if self.form else None
        if got is None or got.lost:
            yield self.cleaner.data(line)
            return
        key = (got.service, got.part_of)
        if got.more or key in self._waiting:
            yield from self._part(bare, key, got)
            return
        if _IN_JSON.isdisjoint(self.form):
            yield self.cleaner.data(line)
        else:
            yield self._rewrapped(bare, got.payload, got.payload)

    def _part(self, bare: bytes, key: tuple[str, str], got: Peeled) -> Iterator[bytes]:
        held, number = self._waiting.pop(key, (bytearray(), 0))
        if len(held) <= MAX_RECORD:
            held += got.payload
        if got.more:
            self._waiting[key] = (held, number + 1)
            return
        if len(held) > MAX_RECORD:
            self.cleaner.dropped["record in parts, longer than 1 MiB"] += 1
            return
        yield self._rewrapped(bare, got.payload, bytes(held))

    def rest(self) -> Iterator[bytes]:
        """What never came to its end is cut somewhere, maybe in a secret: it is left out, and counted."""
        if self._waiting:
            self.cleaner.dropped["record of which the last part is missing"] += len(self._waiting)
        yield from ()

    def _rewrapped(self, line: bytes, payload: bytes, whole: bytes) -> bytes:
        """`line` around the cleaned `whole` in place of `payload`."""
        clean = self.cleaner.data(whole)
        around = self._around(line, payload, clean)
        return around + b"\n"

    def _around(self, line: bytes, payload: bytes, clean: bytes) -> bytes:
        if _IN_JSON.isdisjoint(self.form) and payload and line.endswith(payload):
            return self.cleaner.data(line[: len(line) - len(payload)]) + clean
        brace = line.find(b"{")
        try:
            document = json.loads(line[brace:])
        except ValueError:
            return clean
        changed, done = _put(document, payload, clean.decode("utf-8", "replace"))
        if not done:
            return clean
        text = json.dumps(changed, ensure_ascii=False, separators=(",", ":"))
        return self.cleaner.data(line[:brace]) + self.cleaner.data(text.encode("utf-8", "replace"))


def _put(document: Any, payload: bytes, clean: str) -> tuple[Any, bool]:
    """`document` with the one value that holds `payload` replaced, and whether there was one."""
    if isinstance(document, dict):
        for key, value in document.items():
            changed, done = _put(value, payload, clean)
            if done:
                return {**document, key: changed}, True
        return document, False
    if isinstance(document, str):
        bare = document.rstrip("\r\n")
        if bare.encode("utf-8", "surrogatepass") == payload:
            return clean + document[len(bare) :], True
        return document, False
    if isinstance(document, list) and document == list(payload) and payload:
        return clean, True  # journald's list of byte values
    return document, False


def clean_lines(lines: Iterable[bytes], cleaner: Cleaner, again: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Lines of a JSONL file of lkdoctor's own form; `again` reads and writes one, or raises ValueError."""
    for line in lines:
        if not line.strip():
            continue
        try:
            done = again(line)
        except ValueError as error:
            cleaner.dropped[str(error)] += 1
            continue
        yield cleaner.data(done)
