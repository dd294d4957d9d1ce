"""The canary: a worker, a name and a room of lkdoctor's own go the whole way through a server, touching no user's agent.

The order of things is what keeps users' agents out of it (seen on 1.8.4, 1.9.12, 1.11.0, 1.13.5: unnamed and named workers
beside it were never asked). The room is made by CreateRoom with the canary's own name as its agent: that suppresses the
unnamed dispatch. Nobody joins before that, and CreateDispatch is only called for the room that is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.target import Target
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.measured import expected_limit, explained
from lkdoctor.dispatch.probes import BELOW_ZERO, ProbeRun
from lkdoctor.dispatch.rules import SETTLE
from lkdoctor.probe import media
from lkdoctor.probe.calls import Calls, ProbeError
from lkdoctor.probe.limit import find_limit
from lkdoctor.probe.protocol import AgentSocket, Asked
from lkdoctor.probe.recorder import SOURCE, Recorder, Say, fresh, nobody
from lkdoctor.probe.room import OwnRoom, give_back

if TYPE_CHECKING:
    import aiohttp

#: After the register answer the server still subscribes and tells the other nodes: 1 of 30 dispatches right then was lost.
SPREAD: Final = 1.0
#: A job shows in ListDispatch 5.0 to 5.1 s after the room was made (the canary's registration made the cache cold).
LISTED: Final = 6.0
#: A server that will ask does so after 0.2 s; silence for this long is a no.
SILENCE: Final = 1.2
_LONGEST_SILENCE: Final = 4.0


async def canary(target: Target, gathered: Gathered, say: Say) -> ProbeRun:
    """Run the canary; its steps are in `gathered` as they happen. Takes about 7 s on a healthy server, 40 s at most.

    Cleans up whatever ends it, cancellation as well, which is passed on.

    Raises:
        ProbeError: the server was not reached, or lost on the way; what was learned until then is in `gathered`.
    """
    import aiohttp  # noqa: PLC0415 - only for who talks to a server

    name = fresh("canary")
    run = ProbeRun("canary", name, name, Place(f"{SOURCE} of {target.url}", path=name), time.time())
    async with aiohttp.ClientSession() as http:
        flight = _Flight(run, Recorder.begin(run, target, gathered, say), target, http, gathered)
        try:
            await flight.fly()
        except asyncio.CancelledError:
            run.interrupted, run.error = True, run.error or "interrupted"
            raise
        finally:
            await flight.clean_up()
    if run.error:
        step = run.failed
        raise ProbeError("lost" if step is None else step.trouble, run.error)
    return run


@dataclass(slots=True)
class _Flight:
    """One canary with everything that has to be given back."""

    run: ProbeRun
    recorder: Recorder
    target: Target
    http: aiohttp.ClientSession
    gathered: Gathered
    socket: AgentSocket = field(init=False)
    second: AgentSocket = field(init=False)
    room: OwnRoom = field(init=False)
    calls: Calls = field(init=False)
    silence: float = SILENCE
    _listing: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.calls = Calls(self.target, self.http)
        self.socket = AgentSocket(self.target, self.http, self.run.agent_name)
        self.second = AgentSocket(self.target, self.http, f"{self.run.agent_name}-2")
        self.room = OwnRoom(self.calls, self.run.room)

    async def fly(self) -> None:
        """Every step, until one fails that the next ones need."""
        if not await self._register() or not await self._make_room():
            return
        first = await self._first_job()
        if first is not None:
            self._listing = asyncio.create_task(self._listed())
            await self._joined(first)
            await self._second_name()
            await self._limit(asked=True)
        elif not self.run.error:
            await self._limit(asked=False)
        if self._listing is not None:
            await self._listing

    async def _register(self) -> bool:
        since = time.monotonic()
        try:
            await self.socket.open()
        except ProbeError as error:
            self.recorder.failed("connect", since, error)
            return False
        self.recorder.done("connect", since, "websocket /agent")
        since = time.monotonic()
        try:
            await self.socket.register()
        except ProbeError as error:
            self.recorder.failed("register", since, error)
            return False
        server = self.socket.server
        self.run.server = self.gathered.server = server
        self.run.worker_id = self.socket.worker_id
        self.recorder.note.server_version = server.version or None
        self.recorder.done(
            "register",
            since,
            f"{self.socket.worker_id}, livekit-server {server.version or 'of an unknown version'} ({server.edition}), "
            f"node {server.node_id}",
        )
        try:
            await self.second.open()
            await self.second.register()
        except ProbeError as error:
            self.recorder.failed("second name", since, error)
            return False
        await asyncio.sleep(SPREAD)
        return True

    async def _make_room(self) -> bool:
        since = time.monotonic()
        try:
            await self.room.make([{"agent_name": self.run.agent_name}])
        except ProbeError as error:
            self.recorder.failed("room", since, error)
            return False
        self.recorder.done("room", since, f"CreateRoom {self.run.room} with its own agent entry")
        return True

    async def _first_job(self) -> Asked | None:
        since = self.room.made_at or time.monotonic()
        try:
            offered = await self.socket.first_job(SETTLE)
            if offered is None:
                self.recorder.done(
                    "asked", since, f"the canary at load 0 was not asked within {SETTLE:g} s", ok=False, trouble="never"
                )
                return None
            self.recorder.done("asked", since, f"job {offered.job_id}", until=offered.at)
            self.run.job_id, self.run.job_type = offered.job_id, "JT_ROOM"
            took = await self.socket.job_of(offered.dispatch_id, SETTLE, assigned=True)
        except ProbeError as error:
            self.recorder.failed("assigned" if self.run.job_id else "asked", since, error)
            return None
        self.silence = min(_LONGEST_SILENCE, max(SILENCE, 4 * (offered.at - since)))
        if took is None or took.assigned_at is None:
            self.recorder.done(
                "assigned", since, "the canary said yes and was not given the job", ok=False, trouble="never"
            )
            return None
        self.recorder.done("assigned", since, f"to {self.run.worker_id}", until=took.assigned_at)
        return took

    async def _listed(self) -> None:
        """ListDispatch shows the job; it runs beside the other steps, for the job shows up to 5 s late."""
        since = self.room.made_at or time.monotonic()
        while time.monotonic() - since < LISTED:
            try:
                listed = await self.calls.dispatches(self.run.room)
            except ProbeError as error:
                self.recorder.failed("listed", since, error)
                return
            if any(job.id == self.run.job_id for one in listed for job in one.state.jobs):
                self.recorder.done("listed", since, "ListDispatch shows the job")
                return
            await asyncio.sleep(0.25)
        told = f"ListDispatch did not show the job within {LISTED:g} s"
        self.recorder.done("listed", since, told, ok=False, trouble="never")

    async def _joined(self, job: Asked) -> None:
        """As the agent of its job: nobody links to it, and it publishes nothing."""
        missing = media.missing()
        if missing:
            self.recorder.skipped("joined", missing)
            return
        since = time.monotonic()
        # Not with the job's own token: that one could make the room anew, with the unnamed dispatch in it.
        may_not = {"can_publish": False, "can_subscribe": False, "can_publish_data": False}
        token = self.target.token(
            identity=job.identity,
            claims={"kind": "agent", **nobody()},
            room_join=True,
            agent=True,
            room=self.run.room,
            **may_not,
        )
        try:
            guest = await media.enter(self.target.ws_url, token)
        except ProbeError as error:
            self.recorder.done("joined", since, str(error), ok=False, trouble=error.trouble)
            return
        self.run.identity = job.identity
        self.recorder.done("joined", since, "the canary joined the room as its agent, over media")
        await guest.leave()

    async def _second_name(self) -> None:
        """Two names in one room: each gets its own job. What fails here fails for two agents of the user's, too."""
        since = time.monotonic()
        try:
            job = await self._asked(self.second)
        except ProbeError as error:
            self.recorder.failed("second name", since, error)
            return
        if job is None:
            told = "a second name, dispatched into the same room, was not asked"
            self.recorder.done("second name", since, told, ok=False, trouble="never")
            return
        told = f"{job.job_id}: two names in one room, each with its own worker"
        self.recorder.done("second name", since, told, until=job.at)

    async def _asked(self, socket: AgentSocket) -> Asked | None:
        """One more dispatch for this worker's name; its job, or None when the worker was not asked."""
        dispatch = await self.room.dispatch(socket.agent_name)
        job = await socket.job_of(dispatch.id, self.silence)
        if job is not None:
            await socket.job_of(dispatch.id, SILENCE, assigned=True)
            await socket.finish(job.job_id)
        return job

    async def _limit(self, *, asked: bool) -> None:
        """The load at which the server stops asking: found by asking, never above MOST questions."""
        if self.run.error:
            return
        if self.run.server is not None and self.run.server.is_cloud:
            why = "LiveKit Cloud has a dispatcher of its own, which may offer a refused job again later"
            self.recorder.skipped("limit", why)
            return
        since = time.monotonic()
        try:
            if asked:
                version = self.run.server.version if self.run.server is not None else None
                found = await find_limit(self._asked_at, expected_limit(version))
            elif await self._asked_at(0.0):
                found = None, None  # late, not refused: the first job was lost, this one came
            else:
                found = (BELOW_ZERO if await self._asked_at(BELOW_ZERO) else None), 0.0
        except ProbeError as error:
            self.recorder.failed("limit", since, error)
            return
        self.run.accepted_load, self.run.refused_load = found
        known = found[1] is not None or found[0] == 1.0
        version = self.run.server.version if self.run.server is not None else None
        told = _told(found, version, len(self.run.asked_loads))
        self.recorder.done("limit", since, told, ok=known, trouble="" if known else "never")

    async def _asked_at(self, load: float) -> bool:
        await self.socket.report(load)
        asked = await self._asked(self.socket) is not None
        self.run.asked_loads.append((round(load, 3), asked))
        return asked

    async def clean_up(self) -> None:
        """Give everything back; what could not be is told with the command that removes it."""
        since = time.monotonic()
        if self._listing is not None and not self._listing.done():
            self._listing.cancel()
            await asyncio.gather(self._listing, return_exceptions=True)
        if self.run.job_id and not self.socket.closed:
            with contextlib.suppress(ProbeError):  # the socket went first: the server ends the job itself
                await self.socket.finish(self.run.job_id)
        await give_back(self.room, since, self.recorder)
        await asyncio.gather(self.socket.close(), self.second.close())


def _told(found: tuple[float | None, float | None], version: str | None, questions: int) -> str:
    accepted, refused = found
    if refused is None:
        if accepted == 1.0:
            return "load 1 is asked, too: this server refuses nobody for load"
        return f"not measured: the server's answers contradict each other ({questions} questions)"
    if accepted is None:
        return "not even a load below 0 is asked: what refuses the canary is not the load limit"
    if accepted < 0:
        return "load 0 is refused and only a load below 0 is asked: the server's limit is 0 or less"
    return f"load {accepted:g} is asked, load {refused:g} is not: {explained(version, accepted, refused)}"
