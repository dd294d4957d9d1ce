"""From paths to a report: collect, join, check, build. What `check`, `why`, `workers` and `demo` share."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from lkdoctor.cli.interrupt import Interrupt
from lkdoctor.cli.live_options import PROBE_WORDS, Live, Machine
from lkdoctor.cli.progress import Progress
from lkdoctor.collect.below import folders_below
from lkdoctor.collect.case import CaseInputs, read_other
from lkdoctor.collect.gathered import Gap, Gathered
from lkdoctor.collect.server_log import LogInput, ServerLogs
from lkdoctor.collect.snapshot.case_file import recorded_gaps
from lkdoctor.collect.worker_log import Marker, WorkerLogs
from lkdoctor.config import ConfigFile
from lkdoctor.dispatch.connection import server_ahead
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import READ_KINDS, SourceNote, Stories, Wanted
from lkdoctor.dispatch.stories import KEEP, join
from lkdoctor.dispatch.worker_facts import UTC, DeclaredMarker, Said, WorkerEvent
from lkdoctor.dispatch.worker_side import attach
from lkdoctor.doctor import engine, loader
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.registry import Check
from lkdoctor.redact import mask
from lkdoctor.report.baseline import Baseline
from lkdoctor.report.build import RunFacts, Settings, build
from lkdoctor.report.narrow import narrow, unknown_names
from lkdoctor.report.rows import Quoted
from lkdoctor.report.suppress import IgnoreError, LeftOut, by_baseline, by_config, set_aside

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target
    from lkdoctor.report.json_v1 import Report

# What describes a case is no evidence in it.
OWN_FILES = frozenset({"scenario", "manifest", "config"})


class InputError(Exception):
    """The evidence that was named cannot be used; the message says which and what to do."""


@dataclass(slots=True)
class Collected:
    """What one run read, and the stories in it."""

    stories: Stories
    logs: ServerLogs
    gathered: Gathered
    started_at: float
    interrupted: bool = False
    unusable: tuple[str, ...] = ()  # why nothing could be used, one sentence an input
    gaps: tuple[str, ...] = ()  # what was asked for and could not be learned, where nothing else shows it
    target: Target | None = None  # the live server that was asked
    worker_logs: WorkerLogs = field(default_factory=lambda: WorkerLogs(()))
    checks: tuple[Check, ...] = ()  # those that looked at it, once they have

    def resolve(self, places: Iterable[Place]) -> Mapping[Place, Quoted]:
        """The words that stand at `places`, wherever these are."""
        wanted = list(places)
        return {**self.logs.resolve(wanted), **self.worker_logs.resolve(wanted), **self.gathered.resolve(wanted)}

    def prepare(self, places: Iterable[Place]) -> None:
        """Make `resolve` quick for `places` in many small parts."""
        wanted = list(places)
        self.logs.prepare(wanted)
        self.worker_logs.prepare(wanted)


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
    live: Live = field(default_factory=Live)
    machine: Machine = field(default_factory=Machine)
    apis: tuple[str, ...] = ()  # recorded API exchanges, whatever they look like
    tokens: tuple[str, ...] = ()  # a token, a file with tokens, or -
    wanted: Wanted = field(default_factory=Wanted)
    worker_logs: tuple[str, ...] = ()  # logs of agent workers, whatever they look like
    worker_urls: tuple[str, ...] = ()  # workers' own HTTP endpoints, to be asked
    config: ConfigFile = field(default_factory=ConfigFile)  # lkdoctor.toml, where there is one
    baseline: tuple[str, Baseline] | None = None  # its file's name, and what it knows
    plugins: bool = True  # also the checks of other packages
    record: Callable[[bytes], object] | None = None  # takes each exchange with the API as a line of api.jsonl


def collect(wish: Wish, spare: Iterable[str] = (), gathered: Gathered | None = None) -> Collected:
    """Read the evidence, ask the live server, and join all of it into stories; `spare` are files that will be written,
    `gathered` holds what was learned already.

    Raises:
        InputError: a path does not exist, holds nothing that can be read, or is one of `spare`; a room or an agent name
            that was asked for is not in the evidence; the live server's address or key is missing or unusable.
    """
    started_at = time.time()
    _consistent(wish)
    inputs = inputs_of(wish, spare)
    gathered = Gathered() if gathered is None else gathered
    with Interrupt() as interrupt:
        target = learn(wish, inputs, gathered, interrupt)
        # The logs come last: what the API listed a moment ago stands in them then.
        logs, stories = _read(wish, inputs, gathered, interrupt)
        markers = tuple(Marker(one.name, one.regex) for one in wish.config.config.markers)
        for marker in markers:
            gathered.add(
                DeclaredMarker(name=marker.name, regex=marker.regex, place=Place(wish.config.name, path="markers"))
            )
        worker_logs = WorkerLogs(
            inputs.worker_logs, jobs=wish.jobs, progress=lambda *_: interrupt.stop(), markers=markers
        )
        said = interrupt.watch(worker_logs.events()) if inputs.worker_logs else ()
        attach(stories, (one for one in said if _said_within(wish, one)))
        stories.sources += worker_logs.notes or [
            SourceNote(one.name, "worker_log", notes=["reading was interrupted"]) for one in inputs.worker_logs
        ]
    stories.steps, stories.probes = gathered.steps, gathered.probes
    stories.tokens, stories.server = gathered.tokens, gathered.server
    stories.facts = gathered.facts
    stories.wanted = wish.wanted
    if not (stories.sources or wish.config.name or wish.tokens or _looks_live(wish)):
        raise InputError(
            _nothing(wish, inputs)
        )  # a gate must not be green over a template and an image of something else
    used = {one.kind for one in stories.sources if one.kind in READ_KINDS and not one.unusable}
    judged = used & {"server_log", "worker_log", "api"}
    settings = wish.settings
    if judged and not interrupt.asked and not gathered.gaps and (unknown := unknown_names(stories, settings)):
        raise InputError(mask(unknown))
    reasons = () if used else tuple(f"{one.name}: {one.unusable}" for one in stories.sources if one.unusable)
    # A log shows what the API would have shown; nothing shows what a probe would have.
    shown = {"connection", "api"} if "server_log" in used else set()
    gaps = tuple(one.text for one in gathered.gaps if one.kind not in shown)
    return Collected(stories, logs, gathered, started_at, interrupt.asked, reasons, gaps, target, worker_logs)


def _consistent(wish: Wish) -> None:
    if sum(one == "-" for one in {*wish.paths, *wish.logs}) + (wish.apis + wish.tokens).count("-") > 1:
        raise InputError("stdin (-) can be read only once; put one of the two into a file")
    if wish.since is not None and wish.until is not None and wish.since > wish.until:
        raise InputError("--since is later than --until, so nothing lies between them; swap their values")
    if wish.live.asked and wish.until is not None and wish.until < time.time():
        raise InputError(
            "--until lies in the past, and a live server only tells how things are now; leave one of them out"
        )


def inputs_of(wish: Wish, spare: Iterable[str] = ()) -> CaseInputs:
    """What the user named, found and sorted; nothing named and no live server: the current folder.

    Raises:
        InputError: something cannot be read, is one of `spare`, or there is nothing at all.
    """
    named = wish.logs or wish.worker_logs or wish.apis or wish.tokens or _looks_live(wish)
    paths = wish.paths or (() if named else (".",))
    inputs = (
        CaseInputs(list(wish.inputs))
        if wish.inputs
        else CaseInputs.find(paths, logs=wish.logs, worker_logs=wish.worker_logs, apis=wish.apis)
    )
    if inputs.errors:
        raise InputError("\n".join(inputs.errors))
    written = {os.path.realpath(one) for one in spare}
    for one in (*inputs.server_logs, *inputs.worker_logs, *inputs.readable):
        if one.path is not None and os.path.realpath(one.path) in written:
            raise InputError(f"-o would overwrite {one.name}, which is evidence; write the report to another file")
    known = inputs.server_logs or inputs.worker_logs or inputs.readable or wish.config.name
    if not (known or wish.tokens or _looks_live(wish)):
        raise InputError(_nothing(wish, inputs))
    return inputs


def _looks_live(wish: Wish) -> bool:
    """Is anything asked besides files?"""
    return wish.live.asked or wish.machine.asked or bool(wish.worker_urls)


def learn(wish: Wish, inputs: CaseInputs, gathered: Gathered, interrupt: Interrupt) -> Target | None:
    """Fill `gathered` from everything but logs; returns the live server that was asked.

    Raises:
        InputError: the live server's address or key is missing or unusable; a token cannot be read.
    """
    pairs = read_other(inputs, gathered)
    if wish.config.name:
        from lkdoctor.collect.intentions import add_intentions

        add_intentions(wish.config, gathered)
    gathered.snapshots = [one for one in gathered.snapshots if _within(wish, one.at)]
    target = None
    gathered.gaps += recorded_gaps(wish.paths)
    # A recorded probe that ended early is a gap as the live one was; a case's own list may have it already.
    told = " ".join(gap.text for gap in gathered.gaps)
    errors = [one.error.rstrip(".") for one in gathered.probes if one.error]
    gathered.gaps += [Gap("probe", f"{PROBE_WORDS} ended early: {error}.") for error in errors if error not in told]
    if _looks_live(wish) or wish.tokens:
        from lkdoctor.cli import live  # what talks to servers is heavy
        from lkdoctor.collect.credentials import CredentialsError
        from lkdoctor.collect.token import TokenInputError

        try:
            target = live.target_of(wish.live) if wish.live.asked else None
            live.read_tokens(wish.live, wish.tokens, target, gathered, pairs)
        except (CredentialsError, TokenInputError) as error:
            raise InputError(mask(str(error))) from None
        asked = live.of_workers(wish.worker_urls, wish.live.timeout)
        asked += live.of_machine(wish.machine, since=wish.since, until=wish.until, seconds=wish.live.timeout)
        if target is not None:
            asked += live.collectors(wish.live, target, wish.settings.rooms, wish.record)
        if asked:
            live.ask(asked, gathered, interrupt, quiet=wish.quiet)
        inputs.server_logs += [one for one, kind in gathered.logs if kind == "server_log"]
        inputs.worker_logs += [one for one, kind in gathered.logs if kind == "worker_log"]
    return target


def _within(wish: Wish, at: float) -> bool:
    return (wish.since is None or at >= wish.since) and (wish.until is None or at <= wish.until)


def _said_within(wish: Wish, one: WorkerEvent) -> bool:
    """Is it within --since and --until? Clocks without a zone cannot be held against them; a run's start is always told."""
    return one.at is None or one.clock != UTC or one.what in (Said.STARTING, Said.REGISTERED) or _within(wish, one.at)


def _read(wish: Wish, inputs: CaseInputs, gathered: Gathered, interrupt: Interrupt) -> tuple[ServerLogs, Stories]:
    total = sum(_size(one) for one in inputs.server_logs)
    with Progress(total, sys.stderr, quiet=wish.quiet) as progress:

        def advance(done: int, size: int | None) -> None:
            interrupt.stop()
            progress(done, size)

        logs = ServerLogs(inputs.server_logs, since=wish.since, until=wish.until, jobs=wish.jobs, progress=advance)
        settings = wish.settings
        # One room or name may well be among those that are else kept as a count only.
        every = wish.keep_all or settings.list_all or settings.rooms or settings.agents
        keep = sys.maxsize if every else KEEP
        events = interrupt.watch(logs.events()) if inputs.server_logs else ()
        stories = join(events, keep, gathered.snapshots, server_ahead(gathered.steps))
    stories.sources = logs.notes or [
        SourceNote(one.name, "server_log", notes=["reading was interrupted"]) for one in inputs.server_logs
    ]
    stories.sources += gathered.notes
    stories.sources += [one for one in inputs.others if one.kind not in OWN_FILES]
    return logs, stories


def _size(given: LogInput) -> int:
    """Bytes on the disk; 0 when that is not known (stdin, a member of a zip)."""
    return given.path.stat().st_size if given.path is not None and given.path.is_file() and not given.member else 0


def _nothing(wish: Wish, inputs: CaseInputs) -> str:
    given = ", ".join(f'"{one}"' for one in wish.paths) or "the current folder"
    found = "; ".join(
        f"{one.name}: {one.unusable or '; '.join(one.notes)}" for one in inputs.others if one.kind not in OWN_FILES
    )
    also = f" Found there: {found}." if found else ""
    # A variable that happens to be set asks no server, so whoever set it for this has to be told of the option.
    live = " LIVEKIT_URL is set: `--live` asks that server." if os.environ.get("LIVEKIT_URL") else ""
    folders = folders_below(wish.paths or ["."])
    below = f" Folders below hold some: {', '.join(folders)}; name one of them." if folders else ""
    return (
        f"no server log in {given}, and nothing else to look at (a worker's log or program, a Compose file, "
        f"livekit.yaml, lkdoctor.toml).{also}{below} Name the file (`lkdoctor check FILE`), or use `--log FILE` when it "
        f"is one all the same; `docker logs CONTAINER 2>&1 | lkdoctor check -` reads a container's.{live}"
    )


def mode_of(wish: Wish) -> Literal["offline", "read-only", "probe"]:
    """How far the run goes: files only, asking a server, or sending a job through it."""
    return "probe" if wish.live.probe else "read-only" if _looks_live(wish) else "offline"


def report(collected: Collected, wish: Wish) -> Report:
    """Run the checks on what was collected and build the report.

    Raises:
        InputError: lkdoctor.toml ignores a code that does not exist.
    """
    loaded = loader.load() if wish.plugins else loader.load(plugins=False)
    collected.checks = loaded.checks
    stories = collected.stories
    diagnosis = engine.run(loaded.checks, Evidence.of(stories), loaded.findings)
    narrowed, diagnosis, suppressed = narrow(stories, diagnosis, wish.settings)
    diagnosis, known, reminders = _known(diagnosis, wish, collected)
    run = RunFacts(
        collected.started_at,
        time.time() - collected.started_at,
        interrupted=collected.interrupted,
        mode=mode_of(wish),
        errors=collected.unusable,
        gaps=collected.gaps,
        url="" if collected.target is None else collected.target.url,
        credentials={} if collected.target is None else collected.target.origins,
        suppressed=(*suppressed, *known),
        reminders=tuple(reminders),
    )
    settings = replace(wish.settings, since=wish.since, until=wish.until)
    return build(
        narrowed,
        diagnosis,
        resolve=collected.resolve,
        prepare=collected.prepare,
        run=run,
        settings=settings,
    )


def _known(
    diagnosis: engine.Diagnosis, wish: Wish, collected: Collected
) -> tuple[engine.Diagnosis, list[LeftOut], list[str]]:
    """Set aside what lkdoctor.toml accepts and the baseline knows; and what of the former has ended."""
    reminders: list[str] = []
    file = wish.config
    accepted = [
        (f"{file.name} line {file.line('ignore', number)}", one) for number, one in enumerate(file.config.ignore)
    ]
    today = datetime.fromtimestamp(collected.started_at, timezone.utc).date()
    codes = [one.code for one in collected.checks]
    try:
        whys = [by_config(accepted, codes, today, reminders)] if accepted else []
        if wish.baseline is not None:
            name, baseline = wish.baseline
            whys.append(by_baseline(baseline.known(), name))
        diagnosis, known = set_aside(diagnosis, whys)
    except IgnoreError as error:
        raise InputError(str(error)) from None
    return diagnosis, known, reminders
