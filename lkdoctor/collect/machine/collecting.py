"""Looks at the machine beside everything else that a run asks: in threads of its own, which end with the run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import Final

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.machine.docker import Engine
from lkdoctor.collect.machine.endpoints import Address, read
from lkdoctor.collect.machine.engine import EngineError
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.worker_http import WorkerEndpoint

Say = Callable[[str], None]
_ENDING: Final = 5.0  # s that a thread gets to end between two questions


async def docker(
    gathered: Gathered,
    say: Say,
    *,
    since: float | None = None,
    until: float | None = None,
    seconds: float = 20.0,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Fill `gathered` with this machine's containers, their logs and what their workers' endpoints say.

    An engine that is not there or may not be asked is an unusable source, with what to do; nothing is raised for it.
    """
    engine = Engine(since, until, seconds, os.environ if environ is None else environ)
    found: list[Address] = []

    def work(own: Gathered, tell: Say) -> None:
        try:
            engine.collect(own, tell)
        except EngineError as error:
            own.notes.append(SourceNote("docker", "docker", unusable=str(error)))
        found.extend(engine.addresses)

    await _threaded(work, engine.stop, gathered, say)
    await read(found, gathered, seconds)


async def host(gathered: Gathered, say: Say, *, seconds: float = 20.0) -> None:
    """Fill `gathered` with the workers among this machine's processes, and what their endpoints say."""
    from lkdoctor.collect.machine import host as processes  # noqa: PLC0415 - psutil is for those who ask

    stop = Event()
    look = processes.Look(stop)
    await _threaded(look.collect, stop, gathered, say)
    await read(look.addresses, gathered, seconds)
    # What answers as a worker does is one; the others were a guess, and are left out.
    workers = {one.found_in for one in gathered.facts.get(WorkerEndpoint, []) if isinstance(one, WorkerEndpoint)}
    for one in look.possible:
        if f"process {one.pid}" in workers:
            gathered.add(one)


async def _threaded(work: Callable[[Gathered, Say], None], stop: Event, gathered: Gathered, say: Say) -> None:
    """Run `work` in a thread that nobody has to wait for; what it has when it is ended counts.

    It fills a collection of its own, so that one that is late changes nothing any more.
    """
    loop = asyncio.get_running_loop()
    own = Gathered()
    ended: asyncio.Future[None] = loop.create_future()

    def tell(words: str) -> None:
        if not stop.is_set():
            loop.call_soon_threadsafe(say, words)

    def end(error: BaseException | None) -> None:
        if not ended.done():
            ended.set_exception(error) if error is not None else ended.set_result(None)

    def run() -> None:
        trouble: BaseException | None = None
        try:
            work(own, tell)
        except Exception as error:  # noqa: BLE001 - told by whoever waits
            trouble = error
        try:
            loop.call_soon_threadsafe(end, trouble)
        except RuntimeError:  # the run is over
            return

    Thread(target=run, name="lkdoctor-machine", daemon=True).start()
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({ended}, timeout=_ENDING)
        raise
    finally:
        gathered.take(own)
