"""Many conversations of two agents: each in a room of its own, so many at once, everything cleaned up, also on Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from lkdoctor.collect.fact_files import write_facts
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import BY_NAME
from lkdoctor.collect.server_api.client import Client
from lkdoctor.collect.server_api.exchanges import Exchange, exchange
from lkdoctor.collect.server_api.protojson import Dispatches, Participants, plain
from lkdoctor.probe.calls import Calls, ProbeError
from lkdoctor.redact import mask
from lkdoctor.worker.processes import Record, WorkerProcess
from lkdoctor.worker.results import Conversation, Side

if TYPE_CHECKING:
    from lkdoctor.collect.snapshot.case_file import CaseFile
    from lkdoctor.collect.target import Target

PREFIX: Final = "talk-"
"""How the names of a batch's rooms and agents begin. Not with "lkdoctor-": such are left out of every report, and a batch's
case is there to be judged."""
SHAPES: Final = {
    "a": ("customer", "support"),  # one job per agent, two agent names, two workers
    "b": ("customer", "support"),  # one worker, two dispatches of one name, roles in their metadata
    "c": ("dispatcher", "driver"),  # one job, two sessions
}
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_WORD: Final = 8  # letters of a word to say: 0.9 s of sound with its frame
_LISTED: Final = 6.0  # s after its room was made a job is listed at the latest
_LEAVE_SECONDS: Final = 10.0  # for the partner to notice that the first speaker left


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for."""

    conversations: int
    parallel: int = 2
    shape: str = "b"
    lines: int = 2
    seconds: float = 60.0  # for one conversation
    models: tuple[str, ...] = ()  # options that the workers get: --stt … --llm … --tts …
    prefix: str = PREFIX

    @property
    def proven(self) -> bool:
        """Words go by the audible code, so that what is heard can be compared with what was said."""
        return not self.models


@dataclass
class Batch:
    """A running or finished batch; `case` takes the API's answers and the workers' logs."""

    target: Target
    wish: Wish
    say: Callable[[str], None]
    case: CaseFile | None = None
    run_id: str = field(default_factory=lambda: secrets.token_hex(3))
    done: list[Conversation] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0
    worker_cpu: float = 0.0  # CPU seconds of the workers
    left_over: list[str] = field(default_factory=list)  # rooms that could not be deleted
    _running: dict[str, tuple[Conversation, asyncio.Event]] = field(default_factory=dict)
    _rooms: set[str] = field(default_factory=set)
    _workers: list[WorkerProcess] = field(default_factory=list)
    _evidence: list[Exchange] = field(default_factory=list)

    async def run(self) -> None:
        """Everything, cleaning up included; a signal ends it early with `interrupted`.

        Raises:
            WorkerFailedError: a worker did not come up.
            ProbeError: the server refuses the very first call.
        """
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            if not self.interrupted:
                self.interrupted = True
                work.cancel()

        for one in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError):
                loop.add_signal_handler(one, on_signal)
        scratch = Path(tempfile.mkdtemp(prefix="lkdoctor-talk-"))
        began = time.monotonic()
        work = asyncio.ensure_future(self._work(scratch))
        try:
            try:
                await work
            except asyncio.CancelledError:
                if not self.interrupted:
                    raise
            finally:
                self.seconds = round(time.monotonic() - began, 1)
                self.worker_cpu = round(sum(one.cpu_seconds() for one in self._workers), 1)
                await self._clean_up()
                self.done.sort(key=lambda one: one.number)
                if self.case is not None:
                    self._write(self.case, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            for one in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError, ValueError):
                    loop.remove_signal_handler(one)

    def _name(self, role: str) -> str:
        """Shape a has an agent name per role, the others one for all."""
        return f"{self.own}-{role}" if self.wish.shape == "a" else self.own

    @property
    def began(self) -> bool:
        """A worker was started, so there is something to look at."""
        return bool(self._workers)

    @property
    def own(self) -> str:
        """How the names of this batch's rooms and agents begin; no other batch's do."""
        return f"{self.wish.prefix}{self.run_id}"

    async def _work(self, scratch: Path) -> None:
        async with aiohttp.ClientSession() as http, Client(self.target, 8.0) as listing:
            calls = Calls(self.target, http, self.own)
            await calls.rooms([self.own])  # a wrong key shows here, not in a worker that retries
            names = {self._name(role): role for role in SHAPES[self.wish.shape]}
            self._workers = [
                WorkerProcess(name, scratch / f"worker-{role}.log", self._on_record) for name, role in names.items()
            ]
            self.say(f"starting {len(names)} worker{'s' if len(names) > 1 else ''} (shape {self.wish.shape})")
            await asyncio.gather(
                *(self._start(one, role) for one, role in zip(self._workers, names.values(), strict=True))
            )
            gate = asyncio.Semaphore(self.wish.parallel)
            tasks = [
                asyncio.ensure_future(self._within(gate, number, calls, listing))
                for number in range(1, self.wish.conversations + 1)
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for one in tasks:
                    one.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, worker: WorkerProcess, role: str) -> None:
        # Zero load: the batch itself bounds how many jobs run, and each name has one worker.
        jobs = self.wish.parallel * (1 if self.wish.shape != "b" else 2)
        idle = str(min(max(jobs, 2), 4))
        arguments = ["--name", worker.label, "--role", role, "--zero-load", "--idle", idle, "--drain", "5"]
        await worker.start(self.target, [*arguments, *self.wish.models])

    def _on_record(self, record: Record) -> None:
        job, message = str(record.get("job_id", "")), str(record.get("message", ""))
        if record.get("marker"):
            running = self._running.get(str(record.get("room", "")))
            if running is not None:
                running[0].take(record)
                running[1].set()
            return
        # The SDK's own lines; before 1.8 they name the job, but no room.
        crashed, exited = message.startswith("unhandled exception while running the job"), message == "process exiting"
        for talk, changed in self._running.values() if crashed or exited else ():
            if job in {side.job_id for side in talk.sides}:
                talk.crashed(job, mask(message.strip().splitlines()[-1])) if crashed else talk.exited(job)
                changed.set()

    async def _within(self, gate: asyncio.Semaphore, number: int, calls: Calls, listing: Client) -> None:
        async with gate:
            talk = self._new(number)
            began = time.monotonic()
            try:
                await self._one(talk, calls, listing)
            finally:
                talk.seconds = round(time.monotonic() - began, 3)
                if self.interrupted:
                    talk.outcome, talk.reason = "interrupted", ""
                self._running.pop(talk.room, None)
                self.done.append(talk)
            words = "ok" if talk.outcome == "ok" else f"{talk.outcome}: {talk.reason}"
            self.say(f"{len(self.done)} of {self.wish.conversations}: {talk.room} {words}")

    def _new(self, number: int) -> Conversation:
        first, partner = SHAPES[self.wish.shape]
        lines = ["".join(secrets.choice(_LETTERS) for _ in range(_WORD)) for _ in range(self.wish.lines)]
        return Conversation(number, f"{self.own}-{number:04d}", lines, (Side(first), Side(partner)))

    def _agents(self, talk: Conversation) -> list[dict[str, str]]:
        first, partner = (one.role for one in talk.sides)
        if self.wish.shape == "c":
            return [
                {
                    "agent_name": self._name(first),
                    "metadata": json.dumps({"roles": [first, partner], "lines": talk.lines}),
                }
            ]
        speaks = {"role": first, "partner": partner, "first": True, "lines": talk.lines}
        listens = {"role": partner, "partner": first}
        return [
            {"agent_name": self._name(first), "metadata": json.dumps(speaks)},
            {"agent_name": self._name(partner), "metadata": json.dumps(listens)},
        ]

    async def _one(self, talk: Conversation, calls: Calls, listing: Client) -> None:
        changed = asyncio.Event()
        self._running[talk.room] = talk, changed
        agents = self._agents(talk)
        talk.asked_at = time.time()
        try:
            self._rooms.add(talk.room)
            # Agents do not keep a room open: without a person it closes empty_timeout after its creation.
            room = await calls.create_room(talk.room, agents, empty=int(self.wish.seconds) + 30)
        except ProbeError as error:
            talk.outcome, talk.reason = "server-refused", str(error)
            return
        asked = {"name": talk.room, "agents": [{"agent_name": one["agent_name"]} for one in agents]}
        self._evidence.append(exchange(talk.asked_at, "RoomService/CreateRoom", asked, 200, plain(room)))
        deadline = time.monotonic() + self.wish.seconds
        looked = False
        while not talk.over and (left := deadline - time.monotonic()) > 0:
            changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(changed.wait(), left)
            if talk.sides[0].ended or talk.sides[0].failed:
                deadline = min(deadline, time.monotonic() + _LEAVE_SECONDS)
            if self.case is not None and not looked and all(one.said for one in talk.sides):
                looked = True
                await self._look(talk, listing)
        talk.judge(self.wish.proven)
        if talk.outcome != "ok":
            await self._explain(talk, listing)
        elif self.case is not None:
            await self._jobs(talk, listing)
        await self._delete(talk.room, calls)

    async def _jobs(self, talk: Conversation, listing: Client) -> None:
        """The room's dispatches, once the API lists their jobs: a server that had to ask for the name does so 5 s late."""
        while True:
            found = await listing.list_dispatch(talk.room, listing.admin(talk.room))
            late = time.time() - talk.asked_at > _LISTED
            if late or all(one.state.jobs for one in _dispatches(found)):
                self._evidence.append(found)
                return
            await asyncio.sleep(0.5)

    async def _look(self, talk: Conversation, listing: Client) -> tuple[Exchange, Exchange]:
        """The room's dispatches and participants as the API lists them now; both go into the case."""
        admin = listing.admin(talk.room)
        found = await listing.list_dispatch(talk.room, admin), await listing.list_participants(talk.room, admin)
        self._evidence += found
        return found

    async def _explain(self, talk: Conversation, listing: Client) -> None:
        """The most that the API tells about a conversation that went wrong."""
        dispatched, present = await self._look(talk, listing)
        if talk.outcome not in {"not-finished", "partner-missing"}:
            return
        here = present.answer.participants if isinstance(present.answer, Participants) else ()
        unasked = [side.role for side in talk.sides if not side.job_id]
        outside = [side for side in talk.sides if side.job_id and not side.ended and not side.failed]
        outside = [side for side in outside if side.identity not in {one.identity for one in here}]
        mute = [one.identity for one in here if not one.tracks]
        if unasked:
            jobs = sum(len(one.state.jobs) for one in _dispatches(dispatched))
            talk.outcome = "not-assigned"
            talk.reason = f"no job began for {' and '.join(unasked)}; the server has assigned {jobs} in this room"
        elif outside and present.ok:
            talk.outcome = "never-joined"
            talk.reason = (
                f"the job of {' and '.join(side.role for side in outside)} began, but its agent is not in the room"
            )
        elif mute and talk.outcome == "not-finished" and not any(one.heard for one in talk.sides):
            talk.outcome, talk.reason = "no-audio-track", f"{', '.join(mute)} in the room and without a track"
        elif talk.outcome == "not-finished":
            talk.reason = f"not finished within {self.wish.seconds:g} s"

    async def _delete(self, room: str, calls: Calls) -> None:
        at = time.time()
        try:
            await calls.delete_room(room)
        except ProbeError:
            return  # the cleaning up tries once more, and tells
        self._rooms.discard(room)
        self._evidence.append(exchange(at, "RoomService/DeleteRoom", {"room": room}, 200, {}))

    async def _clean_up(self) -> None:
        async with aiohttp.ClientSession() as http:
            calls = Calls(self.target, http, self.own)
            for room in sorted(self._rooms):
                try:
                    await calls.delete_room(room)
                except ProbeError as error:
                    self.left_over.append(f"{room}: {error}")
        # Their rooms are gone; who pressed Ctrl-C does not wait for jobs that would end in good order.
        stops = (one.stop(1.0) if self.interrupted else one.stop() for one in self._workers)
        await asyncio.gather(*stops, return_exceptions=True)

    def _write(self, case: CaseFile, scratch: Path) -> None:
        kept = Gathered()
        for talk in self.done:
            kept.add(talk.fact(tuple(dict.fromkeys(self._name(one.role) for one in talk.sides))))
        kind = BY_NAME["conversations"]
        case.write(kind.file, kind.name, write_facts(kept, kind))
        case.write("api.jsonl", "api", (one.line() for one in sorted(self._evidence, key=lambda one: one.at)))
        for log in sorted(scratch.glob("worker-*.log")):  # masked when it was written
            with log.open("rb") as lines:
                case.write(log.name, "worker_log", lines)


def _dispatches(one: Exchange) -> tuple[Any, ...]:
    return one.answer.agent_dispatches if isinstance(one.answer, Dispatches) else ()
