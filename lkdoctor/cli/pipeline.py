"""From paths to a report: collect, join, check, build. What `check`, `why`, `workers` and `demo` share."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from lkdoctor.cli.progress import Progress
from lkdoctor.collect.case import CaseInputs
from lkdoctor.collect.server_log import LogInput, ServerLogs, StopReading
from lkdoctor.dispatch.facts import Event
from lkdoctor.dispatch.model import SourceNote, Stories
from lkdoctor.dispatch.stories import KEEP, join
from lkdoctor.doctor import engine, loader
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Finding
from lkdoctor.redact import mask
from lkdoctor.report.build import RunFacts, Settings, build
from lkdoctor.report.narrow import narrow, unknown_names

if TYPE_CHECKING:
    from lkdoctor.report.json_v1 import Report

DRAIN_SECONDS = 2.0  # after Ctrl-C, for what a pipe had brought until then; other inputs are not read on for long
# What describes a case is no evidence in it.
OWN_FILES = frozenset({"scenario", "manifest", "config"})


class InputError(Exception):
    """The evidence that was named cannot be used; the message says which and what to do."""


@dataclass(slots=True)
class Collected:
    """What one run read, and the stories in it."""

    stories: Stories
    logs: ServerLogs
    started_at: float
    interrupted: bool = False
    unusable: tuple[str, ...] = ()  # why nothing could be used, one sentence an input


@dataclass(slots=True)
class Wish:
    """What is to be read."""

    paths: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    jobs: int | None = None
    quiet: bool = False
    inputs: tuple[LogInput, ...] = ()  # logs that are known already, instead of `paths`
    keep_all: bool = False  # the story of one thing may be that of a healthy one
    settings: Settings = field(default_factory=Settings)


class _Interrupt:
    """Turns the first Ctrl-C into a request to stop, so that what was read is still told; the second one kills."""

    def __init__(self) -> None:
        self.asked = False
        self._reading = False
        self._drains_until = float("-inf")  # by the clock of time.monotonic
        self._before: Any = None

    def __enter__(self) -> _Interrupt:
        try:
            self._before = signal.signal(signal.SIGINT, self._handle)
        except ValueError:  # not the main thread (a caller's own program): its Ctrl-C stays its own
            self._before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        # A read that waits for more goes on after a handler that returns. Joining is never broken off: its state is told.
        if self._reading:
            self._drains_until = time.monotonic() + DRAIN_SECONDS
            raise StopReading

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """`events` until Ctrl-C; a pipe that was waited for ends there, and what it had brought is still given out."""
        iterator = iter(events)
        try:
            while not self._over():
                self._reading = True
                try:
                    event = next(iterator)
                except StopIteration:
                    return
                finally:
                    self._reading = False
                yield event
        except StopReading:
            return

    def stop(self) -> None:
        """Called while bytes are read: between two events there may be gigabytes."""
        if self._over():
            raise StopReading

    def _over(self) -> bool:
        return self.asked and time.monotonic() >= self._drains_until


def collect(wish: Wish, spare: Iterable[str] = ()) -> Collected:
    """Read the evidence and join it into stories; `spare` are files that will be written.

    Raises:
        InputError: a path does not exist, holds nothing that can be read, or is one of `spare`; a room or an agent name
            that was asked for is not in the evidence.
    """
    started_at = time.time()
    if wish.since is not None and wish.until is not None and wish.since > wish.until:
        raise InputError("--since is later than --until, so nothing lies between them; swap their values")
    paths = wish.paths or (() if wish.logs else (".",))
    inputs = CaseInputs(list(wish.inputs)) if wish.inputs else CaseInputs.find(paths, logs=wish.logs)
    if inputs.errors:
        raise InputError("\n".join(inputs.errors))
    written = {os.path.realpath(one) for one in spare}
    for one in inputs.server_logs:
        if one.path is not None and os.path.realpath(one.path) in written:
            raise InputError(f"-o would overwrite {one.name}, which is evidence; write the report to another file")
    if not inputs.server_logs:
        raise InputError(_nothing(wish, inputs))
    total = sum(_size(one) for one in inputs.server_logs)
    with _Interrupt() as interrupt, Progress(total, sys.stderr, quiet=wish.quiet) as progress:

        def advance(done: int, size: int | None) -> None:
            interrupt.stop()
            progress(done, size)

        logs = ServerLogs(inputs.server_logs, since=wish.since, until=wish.until, jobs=wish.jobs, progress=advance)
        settings = wish.settings
        # One room or name may well be among those that are else kept as a count only.
        every = wish.keep_all or settings.list_all or settings.rooms or settings.agents
        keep = sys.maxsize if every else KEEP
        stories = join(interrupt.watch(logs.events()), keep)
    stories.sources = logs.notes or [
        SourceNote(one.name, "server_log", notes=["reading was interrupted"]) for one in inputs.server_logs
    ]
    stories.sources += [one for one in inputs.others if one.kind not in OWN_FILES]
    used = [one for one in stories.sources if one.kind == "server_log" and not one.unusable]
    if used and not interrupt.asked and (unknown := unknown_names(stories, settings)):
        raise InputError(mask(unknown))
    reasons = () if used else tuple(f"{one.name}: {one.unusable}" for one in stories.sources if one.unusable)
    return Collected(stories, logs, started_at, interrupt.asked, reasons)


def _size(given: LogInput) -> int:
    """Bytes on the disk; 0 when that is not known (stdin, a member of a zip)."""
    return given.path.stat().st_size if given.path is not None and given.path.is_file() and not given.member else 0


def _nothing(wish: Wish, inputs: CaseInputs) -> str:
    given = ", ".join(wish.paths) or "the current folder"
    found = "; ".join(
        f"{one.name}: {one.unusable or '; '.join(one.notes)}" for one in inputs.others if one.kind not in OWN_FILES
    )
    also = f" Found there: {found}." if found else ""
    return (
        f"no server log in {given}.{also} Name the file (`lkdoctor check FILE`), or use `--log FILE` when it is one "
        "all the same; `docker logs CONTAINER 2>&1 | lkdoctor check -` reads a container's."
    )


def report(collected: Collected, wish: Wish) -> Report:
    """Run the checks on what was collected and build the report."""
    loaded = loader.load()
    stories = collected.stories
    diagnosis = engine.run(loaded.checks, Evidence.of(stories), loaded.findings)
    narrowed, diagnosis, suppressed = narrow(stories, diagnosis, wish.settings)
    run = RunFacts(
        collected.started_at,
        time.time() - collected.started_at,
        interrupted=collected.interrupted,
        errors=collected.unusable,
        suppressed=tuple(suppressed),
    )
    logs = collected.logs
    settings = replace(wish.settings, since=wish.since, until=wish.until)
    return build(narrowed, diagnosis, resolve=logs.resolve, prepare=logs.prepare, run=run, settings=settings)


def crashed(error: BaseException, started_at: float, settings: Settings) -> Report:
    """A valid report that says only that lkdoctor itself failed."""
    finding: Finding = engine.own_failure(error)
    diagnosis = engine.Diagnosis((finding,), (), (), ())
    run = RunFacts(started_at, time.time() - started_at, errors=(finding.message,))
    return build(Stories(), diagnosis, resolve=lambda _: {}, run=run, settings=settings)
