"""Opens one input (file, zip member, stdin; gzip, zstd, UTF-16) as a stream of plain UTF-8 bytes that never raises."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

_BLOCK: Final = 256 * 1024
_ZSTD_BLOCK: Final = 16 * 1024  # one call unpacks all of its input: small pieces keep memory small
#: A zip member that grows beyond this, by more than the ratio, is taken for a bomb.
_BOMB_BYTES: Final = 1 << 30
_BOMB_RATIO: Final = 200


class StopReading(Exception):  # noqa: N818 - no error
    """Raised by the caller's signal handler while a read waits: the input ends here."""


@dataclass(frozen=True, slots=True)
class LogInput:
    """One thing to read. `name` is the source id used in every proof: the path as given, unique in a run.

    `path` None is stdin; `member` is the name inside of a zip.
    """

    name: str
    path: Path | None = None
    member: str = ""

    @property
    def rereadable(self) -> bool:
        """False for a pipe, which can be read only once."""
        return self.path is not None and (self.path.is_file() or not self.path.exists())

    @property
    def packed(self) -> bool:
        """True when the name says that the file is compressed: a guess, for planning only."""
        return bool(self.member) or (self.path is not None and self.path.suffix in (".gz", ".zst"))

    @property
    def size_on_disk(self) -> int:
        """Bytes to be read from the disk, compressed if so; 0 when not known (pipes)."""
        if self.path is None or not self.path.is_file():
            return 0
        if self.member:
            with (
                contextlib.suppress(OSError, KeyError, zipfile.BadZipFile),
                zipfile.ZipFile(self.path) as archive,
            ):
                return archive.getinfo(self.member).compress_size
            return 0
        return self.path.stat().st_size


class Closing(Protocol):
    """Something open."""

    def close(self) -> None: ...


class Raw(Closing, Protocol):
    """The little that is asked of a byte stream."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


@dataclass(slots=True)
class Opened:
    """An open input: `raw` gives plain UTF-8 bytes; `size` is their number when known before reading.

    `notes` grows while reading (truncated archive, transcoding); `raw_bytes` counts what was read from the disk.
    """

    raw: Raw
    size: int | None
    disk_size: int | None = None
    notes: list[str] = field(default_factory=list)

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; 0 at the end. A read error ends the stream and leaves a note."""
        try:
            return self.raw.readinto(buffer) or 0
        except (OSError, zlib.error, zipfile.BadZipFile, EOFError) as error:
            self.notes.append(f"reading stopped: {error}")
            return 0

    def close(self) -> None:
        self.raw.close()


class _Pulled(io.RawIOBase):
    """A readable stream over an iterator of byte blocks."""

    def __init__(self, blocks: Iterator[bytes], under: Closing) -> None:
        self._blocks = blocks
        self._under = under
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        self._under.close()
        super().close()


def open_input(given: LogInput) -> Opened:
    """Open `given` and look through its compression and encoding, which its first bytes tell (never its name).

    Raises:
        OSError: the file cannot be opened (the caller turns it into a note).
    """
    size: int | None = None
    raw: Raw
    if given.path is None:
        raw = _Stdin()
    elif given.member:
        raw = _open_member(given.path, given.member)
    else:
        raw = open(given.path, "rb", buffering=0)  # noqa: SIM115 - closed by Opened.close
        if given.path.is_file():
            size = given.path.stat().st_size
    opened = Opened(raw, size, size)
    head = _peek(opened)
    for _ in range(2):  # a gzip inside of a zip, a UTF-16 text inside of a gzip
        if head[:2] == b"\x1f\x8b":
            _pull(opened, _inflate(opened, opened.raw))
        elif head[:4] == b"\x28\xb5\x2f\xfd":
            _pull(opened, _unzstd(opened, opened.raw))
        else:
            break
        head = _peek(opened)
    encoding = _utf16(head)
    if encoding:
        opened.notes.append(f"read as {encoding}; offsets count the bytes of its UTF-8 form")
        _pull(opened, _transcode(opened.raw, encoding))
    return opened


class _Stdin(io.RawIOBase):
    """Standard input; it stays open. Blocks are filled whole: a pipe hands out 64 KiB at a time, too little to be fast."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        stdin = sys.stdin.buffer
        if isinstance(stdin, io.BufferedReader):
            return self._fill(stdin, buffer)
        block = stdin.read(len(buffer))  # a stand-in without readinto
        buffer[: len(block)] = block
        return len(block)

    def _fill(self, stdin: io.BufferedReader, buffer: memoryview) -> int:
        have = 0
        try:
            while not self._stopped and have < len(buffer) and (count := stdin.readinto1(buffer[have:])):
                have += count
        except StopReading:  # what has come is given out first
            self._stopped = True
        return have


def _open_member(path: Path, member: str) -> Raw:
    archive = zipfile.ZipFile(path)
    info = archive.getinfo(member)
    handle = archive.open(info)

    def blocks() -> Iterator[bytes]:
        done = 0
        while block := handle.read(_BLOCK):
            done += len(block)
            if done > _BOMB_BYTES and done > _BOMB_RATIO * max(1, info.compress_size):
                raise zipfile.BadZipFile(f"{member} unpacks to more than {_BOMB_RATIO} times its size")
            yield block
        archive.close()

    return _Pulled(blocks(), handle)


def _pull(opened: Opened, blocks: Iterator[bytes]) -> None:
    opened.raw = _Pulled(blocks, opened.raw)
    opened.size = None


class _Peeked(io.RawIOBase):
    """A stream with its first bytes put back."""

    def __init__(self, head: bytes, under: Raw) -> None:
        self._head = memoryview(head)
        self._under = under

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._head:
            count = min(len(buffer), len(self._head))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        return self._under.readinto(buffer) or 0

    def close(self) -> None:
        self._under.close()
        super().close()


def _peek(opened: Opened, count: int = 512) -> bytes:
    raw = opened.raw
    buffer = bytearray(count)
    have = 0
    while have < count:
        got = opened.readinto(memoryview(buffer)[have:])
        if not got:
            break
        have += got
    head = bytes(buffer[:have])
    if isinstance(raw, io.FileIO) and raw.seekable():
        raw.seek(0)
    else:
        opened.raw = _Peeked(head, raw)
    return head


def _blocks(raw: Raw) -> Iterator[bytes]:
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    while count := raw.readinto(view):
        yield bytes(view[:count])


def _inflate(opened: Opened, raw: Raw) -> Iterator[bytes]:
    engine = zlib.decompressobj(31)
    fresh = True
    for block in _blocks(raw):
        data = block
        while data:
            try:
                out = engine.decompress(data, _BLOCK)
            except zlib.error as error:
                opened.notes.append(f"compressed data is damaged ({error}); what stands before it was read")
                return
            fresh = False
            if out:
                yield out
            if engine.eof:
                data = engine.unused_data.lstrip(b"\0")
                engine = zlib.decompressobj(31)
                fresh = True
            else:
                data = engine.unconsumed_tail
    if not fresh:
        rest = engine.flush()
        if rest:
            yield rest
        if not engine.eof:
            opened.notes.append("compressed data ends in the middle; what stands before was read")


def _unzstd(opened: Opened, raw: Raw) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - 20 ms that plain files do not need

    engine = zstandard.ZstdDecompressor().decompressobj()
    fresh = True
    try:
        for block in _blocks(raw):
            for start in range(0, len(block), _ZSTD_BLOCK):
                data = block[start : start + _ZSTD_BLOCK]
                while data:
                    out = engine.decompress(data)
                    fresh = False
                    if out:
                        yield out
                    data = b""
                    if engine.eof:
                        data = engine.unused_data
                        engine = zstandard.ZstdDecompressor().decompressobj()
                        fresh = True
    except zstandard.ZstdError as error:
        opened.notes.append(f"compressed data is damaged ({error}); what stands before it was read")
        return
    if not fresh:
        opened.notes.append("compressed data ends in the middle; what stands before was read")


def _utf16(head: bytes) -> str:
    if head[:2] == b"\xff\xfe":
        return "UTF-16-LE"
    if head[:2] == b"\xfe\xff":
        return "UTF-16-BE"
    pairs = len(head) // 2
    if pairs >= 16:
        if head[1::2].count(0) > 0.9 * pairs and head[::2].count(0) == 0:
            return "UTF-16-LE"
        if head[::2].count(0) > 0.9 * pairs and head[1::2].count(0) == 0:
            return "UTF-16-BE"
    return ""


def _transcode(raw: Raw, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    first = True
    for block in _blocks(raw):
        text = decoder.decode(block)
        yield (text.lstrip("\ufeff") if first else text).encode("utf-8")
        first = False
    yield decoder.decode(b"", final=True).encode("utf-8")
