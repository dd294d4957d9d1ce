"""Several streams read by several processes, handed out as if they were read here.

Each process reads its share of the streams in turns. A stream may be a few batches ahead of what was asked for, no more:
so memory stays bounded and, when the streams cover different days, all of them still advance.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, Generic

import msgspec

from lkdoctor import redact
from lkdoctor.collect.log.dialect import Dialect, E
from lkdoctor.collect.log.streams import Stream, read_stream
from lkdoctor.dispatch.model import SourceNote

_AHEAD: Final = 24  # batches; one holds about 500 events, some 200 KB
_BATCH: Final = 512
_PATIENCE: Final = 0.25  # seconds between two words of progress, and for Ctrl-C to be seen

_Item = tuple[int, str, bytes]  # stream, "events" | "notes" | "read", payload

_encode: Final = msgspec.msgpack.Encoder().encode
_notes: Final = msgspec.msgpack.Decoder(list[SourceNote]).decode


def _serve(
    dialect: Dialect[E], pipe: Connection, share: Sequence[tuple[int, Stream]], chunk_bytes: int, salt: bytes
) -> None:
    """The process: reads its share, each stream as far ahead as it may."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends this process when it wants to
    redact.continue_run(salt)
    credit = {index: _AHEAD for index, _ in share}
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done > 16 << 20:
            pipe.send((-1, "read", str(done).encode()))
            done = 0

    running = {index: _items(dialect, index, stream, chunk_bytes, progress) for index, stream in share}
    with contextlib.suppress(BrokenPipeError, EOFError, ConnectionResetError):
        while running:
            ready = [index for index in running if credit[index] > 0]
            while not ready or pipe.poll():
                index = pipe.recv()
                credit[index] += 1
                ready = [one for one in running if credit[one] > 0]
            for index in ready:
                item = next(running[index], None)
                if item is None:
                    del running[index]
                    continue
                credit[index] -= 1
                pipe.send(item)
    pipe.close()


def _items(
    dialect: Dialect[E], index: int, stream: Stream, chunk_bytes: int, progress: Callable[[int], None]
) -> Iterator[_Item]:
    for batch in read_stream(dialect, stream, chunk_bytes, progress):
        if batch and isinstance(batch[0], SourceNote):
            yield index, "notes", _encode(batch)
            continue
        for start in range(0, len(batch), _BATCH):
            yield index, "events", _encode(batch[start : start + _BATCH])


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """A process started inside is deaf to Ctrl-C from its first instruction on, before it can say so itself."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Readers(Generic[E]):
    """The processes, for as long as the `with` lasts."""

    def __init__(
        self,
        dialect: Dialect[E],
        streams: Sequence[Stream],
        jobs: int,
        chunk_bytes: int,
        progress: Callable[[int], None],
    ) -> None:
        self._dialect = dialect
        self._streams = streams
        self._chunk_bytes = chunk_bytes
        self._progress = progress
        self._inbox: list[queue.SimpleQueue[tuple[str, bytes] | None]] = [queue.SimpleQueue() for _ in streams]
        self._read: dict[Connection, int] = {}  # bytes, by process
        self._told = 0
        self._pipes: list[Connection] = []
        self.processes: list[BaseProcess] = []
        self._pipe_of: dict[int, Connection] = {}
        # The biggest streams first, each to the process with the least to do.
        shares: list[list[tuple[int, Stream]]] = [[] for _ in range(min(jobs, len(streams)))]
        loads = [0] * len(shares)
        for index, stream in sorted(enumerate(streams), key=lambda item: -item[1].work):
            least = loads.index(min(loads))
            shares[least].append((index, stream))
            loads[least] += stream.work + 1
        self._shares = shares

    def __enter__(self) -> Readers[E]:
        context = multiprocessing.get_context("spawn")  # the same on every system, and safe beside threads
        salt = redact.of_this_run().salt
        with _without_ctrl_c():
            for share in self._shares:
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_serve,
                    args=(self._dialect, theirs, share, self._chunk_bytes, salt),
                    daemon=True,
                )
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._read[ours] = 0
                self.processes.append(process)
                for index, _ in share:
                    self._pipe_of[index] = ours
        # Threads only now: a signal that is blocked here would reach Python through them.
        for ours, share in zip(self._pipes, self._shares, strict=True):
            threading.Thread(
                target=self._receive,
                args=(ours, [one[0] for one in share]),
                daemon=True,
            ).start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(5)
        for pipe in self._pipes:
            pipe.close()

    def _receive(self, pipe: Connection, share: Sequence[int]) -> None:
        """One thread a process: sorts what arrives into the streams' inboxes."""
        try:
            while True:
                index, kind, payload = pipe.recv()
                if kind == "read":
                    self._read[pipe] += int(payload)  # written by this thread alone
                else:
                    self._inbox[index].put((kind, payload))
        except (EOFError, OSError):
            for index in share:
                self._inbox[index].put(None)

    def _tell(self) -> None:
        done = sum(self._read.values())
        self._progress(done - self._told)
        self._told = done

    def stream(self, index: int) -> Iterator[list[E] | list[SourceNote]]:
        """Batches of one stream, the last one its notes.

        Raises:
            RuntimeError: the process that read it died.
        """
        inbox = self._inbox[index]
        while True:
            try:
                got = inbox.get(timeout=_PATIENCE)
            except queue.Empty:
                self._tell()  # which may stop the run
                continue
            if got is None:
                raise RuntimeError(
                    f"the process that read {self._streams[index].name} died; --jobs 1 reads it in this one"
                )
            self._tell()
            kind, payload = got
            with contextlib.suppress(OSError):
                self._pipe_of[index].send(index)
            if kind == "notes":
                yield _notes(payload)
                return
            yield self._dialect.decode(payload)
