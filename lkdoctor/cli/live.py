"""Asks a live server: all collectors at once, each with its own time limit; what fails becomes a stated gap."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lkdoctor.cli.interrupt import Interrupt
from lkdoctor.cli.live_options import PROBE_WORDS, TALK_WORDS
from lkdoctor.cli.progress import Waiting
from lkdoctor.collect.gathered import Gap, Gathered
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.redact import mask

if TYPE_CHECKING:
    from lkdoctor.cli.live_options import Live, Machine, Talk
    from lkdoctor.collect.config.pairs import Pairs
    from lkdoctor.collect.target import Target

Say = Callable[[str], None]
Work = Callable[[Gathered, Say], Coroutine[Any, Any, object]]

Record = Callable[[bytes], object]

_PROBE_SECONDS: Final = 60.0  # a canary waits for what the server does within its own times
_SLACK: Final = 5.0  # s
_COPYING: Final = 120.0  # s
_TICK: Final = 0.1  # s
_JOINING: Final = 40.0  # s for looking, joining and leaving around a watch
_LETTING_GO: Final = 15.0  # s that a collector may take to clean up after its time was over


@dataclass(frozen=True, slots=True)
class Collector:
    """One thing that is asked: the kind of its source, how it is named in sentences, and the most seconds it may take."""

    kind: str
    words: str
    work: Work
    seconds: float
    source: str  # how the source is named when the work itself came to name none


def target_of(live: Live, *, keyless: bool = False) -> Target:
    """The server that the options, the environment or a `.env` file name.

    Raises:
        CredentialsError: none of them does, or something is missing.
    """
    from lkdoctor.collect.credentials import resolve

    return resolve(
        url=live.url,
        key=live.key,
        secret=live.secret,
        project=live.project,
        env_file=None if live.env_file is None else Path(live.env_file),
        keyless=keyless,
    )


def read_tokens(
    live: Live, tokens: tuple[str, ...], target: Target | None, gathered: Gathered, pairs: Pairs | None = None
) -> None:
    """Decode what `--token` named; the key and secret that check its signature are those of the live server, else any at hand, else
    those of the project that is checked (`pairs`).

    Raises:
        TokenInputError: a file cannot be read.
        CredentialsError: an option names a key or a project that is not there.
    """
    if not tokens:
        return
    from lkdoctor.collect.credentials import pair_of
    from lkdoctor.collect.token import read_tokens as read

    # Without a secret the signature stays unchecked, which the report says.
    pair = target if target is not None else pair_of(live.key, live.secret, live.project)
    read(tokens, gathered, pair, pairs=pairs)


def collectors(live: Live, target: Target, rooms: tuple[str, ...], record: Record | None) -> list[Collector]:
    """What is asked: the way to the server, what its API lists, and with `--probe` a job of lkdoctor's own."""
    from lkdoctor.collect import connection
    from lkdoctor.collect.server_api import sweep as server_api

    # Each answer has less time than the whole: a server that stays silent is told by the step that it was silent at.
    one_answer = min(connection.STEP_SECONDS, live.timeout / 2)

    async def walk(gathered: Gathered, say: Say) -> None:
        await connection.walk(target, gathered, say, one_answer)

    async def sweep(gathered: Gathered, say: Say) -> None:
        await server_api.collect(
            target,
            gathered,
            say,
            rooms=rooms,
            watch=live.watch or 0.0,
            timeout=live.timeout,
            call_timeout=min(server_api.CALL_SECONDS, live.timeout),
            record=record,
        )

    found = [
        Collector("connection", "the connection", walk, live.timeout, target.url),
        # It ends by itself, with what it has; the limit here is for what it did not foresee.
        Collector("api", "the server's API", sweep, live.timeout + (live.watch or 0.0) + _SLACK, target.url),
    ]
    if live.probe:
        from lkdoctor.probe.canary import canary

        seconds = max(live.timeout, _PROBE_SECONDS)
        found.append(Collector("probe", PROBE_WORDS, partial(canary, target), seconds, target.url))
    if live.talk is not None:
        found += _talk(live.talk, target, found.pop())
    return found


def of_workers(urls: tuple[str, ...], seconds: float) -> list[Collector]:
    """Workers' own HTTP endpoints; each answer may take up to 5 s, and one that is unwell is watched for 6 s more."""
    if not urls:
        return []
    from lkdoctor.collect.worker_http import SECONDS, Endpoints

    one_answer = min(SECONDS, seconds)
    return [
        Collector(
            "worker_http",
            "the worker's HTTP endpoint",
            Endpoints(urls, one_answer).collect,
            4 * seconds + _SLACK,
            urls[0],
        )
    ]


def _talk(wish: Talk, target: Target, listing: Collector) -> list[Collector]:
    """The watch of a room; what the API lists is asked after it, when the room has been there for some time."""
    from lkdoctor.dispatch.talks import TalkRun
    from lkdoctor.probe.watch import watch

    over = asyncio.Event()
    seconds = wish.wait + wish.seconds + _JOINING

    async def listen(gathered: Gathered, say: Say) -> None:
        try:
            await watch(target, gathered, say, wish.room, wish.seconds, wish.wait)
        finally:
            over.set()
            if wish.record is not None:
                _record(gathered, "talk", wish.record)

    async def then_list(gathered: Gathered, say: Say) -> None:
        say("")
        await over.wait()
        runs = [one for one in gathered.facts.get(TalkRun, ()) if isinstance(one, TalkRun) and one.room == wish.room]
        if runs and runs[-1].ended not in ("closed", "deleted"):  # else there is no room to ask about
            await listing.work(gathered, say)

    return [
        Collector("talk", TALK_WORDS, listen, seconds, target.url),
        replace(listing, work=then_list, seconds=seconds + listing.seconds),
    ]


def _record(gathered: Gathered, kind: str, path: str) -> None:
    """Write the facts of this kind to a file of their own."""
    from lkdoctor.cli import output
    from lkdoctor.collect.fact_files import write_facts
    from lkdoctor.collect.kinds import BY_NAME

    lines = b"".join(write_facts(gathered, BY_NAME[kind]))
    if not lines:
        return
    try:
        Path(path).write_bytes(lines)
    except OSError as error:
        output.hint(f"{path} could not be written: {error.strerror or error}")


def of_machine(machine: Machine, *, since: float | None, until: float | None, seconds: float) -> list[Collector]:
    """What is looked at on this machine; `since` and `until` bound what is read of containers' logs."""
    if not machine.asked:
        return []
    from lkdoctor.collect.machine import collecting

    found = []
    if machine.docker:
        work: Work = partial(collecting.docker, since=since, until=until, seconds=seconds)
        # Logs are copied before they are read, and there may be many.
        found.append(Collector("docker", "the Docker engine", work, max(seconds, _COPYING), "docker"))
    if machine.host:
        look: Work = partial(collecting.host, seconds=seconds)
        found.append(Collector("host", "this machine's processes", look, seconds + _SLACK, "host"))
    return found


def ask(collectors: list[Collector], gathered: Gathered, interrupt: Interrupt, *, quiet: bool) -> None:
    """Run all collectors at once; returns when the slowest is done, its time is over, or Ctrl-C was pressed.

    What could not be learned is in `gathered.gaps` then.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed a second time.
    """
    asyncio.run(_ask(collectors, gathered, interrupt, Waiting(sys.stderr, quiet=quiet)))


async def _ask(collectors: list[Collector], gathered: Gathered, interrupt: Interrupt, waiting: Waiting) -> None:
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_one(one, gathered, waiting)) for one in collectors]

    def stop() -> None:
        for task in tasks:
            task.cancel()

    # The handler runs between two steps of this loop, which would go on sleeping after it.
    with interrupt.calling(lambda: loop.call_soon_threadsafe(stop)):
        pending = set(tasks)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=_TICK)
            waiting.show()
    waiting.wipe()


async def _one(one: Collector, gathered: Gathered, waiting: Waiting) -> None:
    """One collector, behind a fence: the others go on whatever it does."""

    def say(words: str) -> None:
        waiting.say(one.kind, words)

    say(f"waiting for {one.words}")
    known = gathered.count(one.kind)  # what files told of the same kind was not learned here
    before = len(gathered.notes)
    work = asyncio.ensure_future(one.work(gathered, say))
    gap = ""
    try:
        done, _ = await asyncio.wait({work}, timeout=one.seconds)
        if not done:
            gap = f"{one.words} took longer than {one.seconds:g} s"
            await _let_go(work)
    except asyncio.CancelledError:  # Ctrl-C: what it has learned is told
        gap = f"{one.words} was interrupted"
        await _let_go(work)
    if work.done() and not work.cancelled() and (error := work.exception()) is not None:
        gap = _ended_by(one, error)
    say("")
    mine = [note for note in gathered.notes[before:] if note.kind == one.kind]
    _note(one, gap, mine, gathered, learned=gathered.count(one.kind) > known)


def _ended_by(one: Collector, error: BaseException) -> str:
    """The gap that an exception leaves; a probe says in its own words what ended it."""
    from lkdoctor.probe.calls import ProbeError

    if isinstance(error, ProbeError):
        return f"{one.words} ended early: {error}".rstrip(".")
    return f"{one.words} failed with {type(error).__name__}: {mask(str(error))}".rstrip(": ")


async def _let_go(work: asyncio.Future[object]) -> None:
    """Ends a collector; it may still clean up on the server (a probe's room), but not for ever."""
    work.cancel()
    await asyncio.wait({work}, timeout=_LETTING_GO)


def _note(one: Collector, gap: str, mine: list[SourceNote], gathered: Gathered, *, learned: bool) -> None:
    """Puts what went wrong into the source's note, and among the gaps."""
    if gap:
        if not mine:
            mine = [SourceNote(one.source, one.kind)]
            gathered.notes += mine
        if learned:
            mine[0].notes.append(f"{gap}; what was learned until then is used")
        else:
            mine[0].unusable = mine[0].unusable or gap
        gathered.gaps.append(Gap(one.kind, f"{gap}."))
        return
    for note in mine:
        # A listing that is missing is a gap; what else is noted of a source is none.
        partly = [*note.notes, *note.skipped] if one.kind == "api" else []
        whys = [note.unusable] if note.unusable else partly
        # Of several endpoints each says for itself what is wrong.
        words = one.words if len(mine) == 1 else f"{one.words} {note.name}"
        gathered.gaps += [Gap(one.kind, f"{words}: {why}.") for why in whys]
