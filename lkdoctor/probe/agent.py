"""The agent probe: has a user's agent called into a room of lkdoctor's own, joins as a person, and watches it arrive.

It runs the user's agent, so a command asks before. All names go into one room as its agents entries, which also suppresses
the unnamed dispatch; several runs, each in a fresh room, tell how many workers serve a name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.target import Target
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.listings import JobInfo
from lkdoctor.dispatch.probes import ProbeRun, StepName
from lkdoctor.dispatch.rules import SETTLE
from lkdoctor.probe import media
from lkdoctor.probe.calls import Calls, ProbeError
from lkdoctor.probe.media import Agent, Guest
from lkdoctor.probe.recorder import SOURCE, Recorder, Say, fresh, nobody
from lkdoctor.probe.room import OwnRoom, give_back

if TYPE_CHECKING:
    import aiohttp

#: Seconds for the agent to join once it has the job, and then for its audio: a cold process takes about 4 s.
TIMEOUT: Final = 15.0
_POLL: Final = 0.4
_GLANCE: Final = 0.1
_LISTING_LAG: Final = 1.0  # beyond SETTLE, for a listing that comes at the last moment


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. `mine` are worker ids that they know as their own."""

    names: tuple[str, ...]
    times: int = 1
    timeout: float = TIMEOUT  # s
    metadata: str = field(default="", repr=False)
    deployment: str = ""
    mine: tuple[str, ...] = ()


async def probe_agents(target: Target, gathered: Gathered, say: Say, request: Request) -> None:
    """Have every name called together, `times` times in a row.

    Raises:
        ProbeError: the server was lost on the way; what was learned until then is in `gathered`.
    """
    import aiohttp  # noqa: PLC0415 - only for who talks to a server

    async with aiohttp.ClientSession() as http:
        for number in range(1, request.times + 1):
            visit = _Visit(target, gathered, say, request, number, http)
            await visit.go()
            if visit.lost is not None:
                raise visit.lost


@dataclass(slots=True)
class _Watched:
    """One name in the room, and how far it has come (times by time.monotonic)."""

    recorder: Recorder
    dispatched: bool = False  # ListDispatch shows its dispatch
    job: JobInfo | None = None
    learned_at: float = 0.0  # when its job was first listed
    joined_at: float | None = None
    over: bool = False

    @property
    def run(self) -> ProbeRun:
        """What is told of it."""
        return self.recorder.run


@dataclass(slots=True)
class _Visit:
    """One room with everybody in it."""

    target: Target
    gathered: Gathered
    say: Say
    request: Request
    number: int
    http: aiohttp.ClientSession
    calls: Calls = field(init=False)
    room: OwnRoom = field(init=False)
    watched: list[_Watched] = field(default_factory=list)
    guest: Guest | None = None
    lost: ProbeError | None = None
    _first_seen: dict[str, float] = field(default_factory=dict)
    _last_seen: dict[str, float] = field(default_factory=dict)
    _first_audio: dict[str, float] = field(default_factory=dict)
    _states: dict[str, list[tuple[str, float]]] = field(default_factory=dict)  # by identity, each with when it came
    _listed: dict[str, Agent] = field(default_factory=dict)
    _list_again: float = 0.0

    def __post_init__(self) -> None:
        self.calls = Calls(self.target, self.http)
        empty = round(SETTLE + 2 * self.request.timeout + media.JOINING * 2 + 20)
        self.room = OwnRoom(self.calls, fresh("probe"), empty=empty)

    async def go(self) -> None:
        """The whole visit; everything is given back whatever ends it."""
        source, started = f"{SOURCE} of {self.target.url}", time.time()
        for name in self.request.names:
            place = Place(source, path=f"{self.room.name}/{name}")
            run = ProbeRun(
                "agent", name, self.room.name, place, started,
                number=self.number, deployment=self.request.deployment, mine=list(self.request.mine),
                server=self.gathered.server,
            )  # fmt: skip
            self.watched.append(_Watched(Recorder.begin(run, self.target, self.gathered, self.say)))
        try:
            await self._watch()
        except asyncio.CancelledError:
            for one in self.watched:
                one.run.interrupted, one.run.error = True, one.run.error or "interrupted"
            raise
        finally:
            since = time.monotonic()
            try:
                if self.guest is not None:
                    await self.guest.leave()
            finally:
                await give_back(self.room, since, *(one.recorder for one in self.watched))

    async def _watch(self) -> None:
        since = time.monotonic()
        entry = {"metadata": self.request.metadata, "deployment": self.request.deployment}
        entries = [
            {"agent_name": name, **{key: one for key, one in entry.items() if one}} for name in self.request.names
        ]
        try:
            await self.room.make(entries)
        except ProbeError as error:
            self._all_failed("room", since, error)
            return
        self._all_done("room", since, f"CreateRoom {self.room.name} with {', '.join(map(repr, self.request.names))}")
        await self._visitor()
        try:
            await self._both(self._follow_jobs(since), self._follow_people(since))
        except ProbeError as error:
            waiting = [one for one in self.watched if not one.over]
            for one in waiting:
                step: StepName = "audio" if one.joined_at else "joined" if one.job else "assigned"
                one.recorder.failed(step, since, error)
            self.lost = error

    async def _visitor(self) -> None:
        """A visible person with a silent microphone: default agents wait for one, publisher workers for its track."""
        since = time.monotonic()
        missing = media.missing()
        if missing:
            for one in self.watched:
                one.recorder.skipped("visitor", missing)
            return
        token = self.target.token(identity=fresh("visitor"), claims=nobody(), room_join=True, room=self.room.name)
        try:
            self.guest = await media.enter(self.target.ws_url, token, listen=True)
            await self.guest.make_silence()
        except ProbeError as error:
            for one in self.watched:
                one.recorder.done("visitor", since, str(error), ok=False, trouble=error.trouble)
            return
        for one in self.watched:
            one.run.visitor = True
        self._all_done("visitor", since, "a person joined and published a silent microphone")

    async def _both(self, *work: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_jobs(self, since: float) -> None:
        """Until every name has a job, or will have none. A job shows in ListDispatch up to 5 s late."""
        until = time.monotonic() + SETTLE + _LISTING_LAG  # the visitor's track may be what raises the job
        while waiting := [one for one in self.watched if one.job is None and not one.over]:
            dispatches = await self._asked(self.calls.dispatches(self.room.name))
            for one in waiting:
                mine = [each for each in dispatches if each.agent_name == one.run.agent_name]
                one.dispatched = bool(mine)
                found = next(((each, job) for each in mine for job in each.state.jobs), None)
                if found is None:
                    continue
                dispatch, job = found
                if job.state.ended is not None and not job.state.participant_identity:
                    told = "a worker rejected the job for good (terminate), so no other one was asked"
                    one.recorder.done("assigned", since, told, ok=False, trouble="refused")
                    one.over = True
                    continue
                one.job, one.learned_at = job, time.monotonic()
                one.run.job_id, one.run.job_type, one.run.worker_id = job.id, job.type, job.state.worker_id
                one.run.identity = job.state.participant_identity
                # The server's own two times, for the listing comes late; across its nodes' clocks they may disagree.
                times = job.state.started, dispatch.created
                took = times[0] - times[1] if times[0] is not None and times[1] is not None else None
                known = took is not None and 0 <= took <= one.learned_at - since + 1
                one.recorder.done(
                    "assigned",
                    since,
                    f"{job.type} {job.id} to {job.state.worker_id or 'a worker that this server does not name'}",
                    until=since + took if known and took is not None else one.learned_at,
                )
            if time.monotonic() > until:
                await self._still_ours()
                for one in waiting:
                    if one.job is None and not one.over:
                        shown = (
                            "the dispatch, and no job of it" if one.dispatched else "no dispatch of this name at all"
                        )
                        told = f"after {SETTLE + _LISTING_LAG:g} s ListDispatch shows {shown}"
                        one.recorder.done("assigned", since, told, ok=False, trouble="never")
                        one.over = True
                return
            await asyncio.sleep(_POLL)

    async def _follow_people(self, since: float) -> None:
        """Until every agent that has a job has joined, shown its state and published, or its time is over."""
        while not all(one.over for one in self.watched):
            people = await self._people()
            now = time.monotonic()
            # Whose agent it is, ListDispatch says up to 5 s later; what it did until then is kept.
            for identity, agent in people.items():
                self._first_seen.setdefault(identity, now)
                self._last_seen[identity] = now
                if agent.audio:
                    self._first_audio.setdefault(identity, now)
                states = self._states.setdefault(identity, [])
                if agent.state and (not states or states[-1][0] != agent.state):
                    states.append((agent.state, now))
            for one in self.watched:
                if not one.over and one.job is not None:
                    await self._follow(one, people.get(one.run.identity), now, since)
            await asyncio.sleep(_GLANCE)

    async def _follow(self, one: _Watched, agent: Agent | None, now: float, since: float) -> None:
        run, recorder, limit = one.run, one.recorder, self.request.timeout
        if one.joined_at is None:
            # An agent may have come and gone before ListDispatch said whose it was.
            if agent is None and run.identity not in self._first_seen:
                if now - one.learned_at > limit:
                    await self._still_ours()
                    told = f"no participant {run.identity or '(the server names no identity)'} within {limit:g} s of the job"
                    recorder.done("joined", since, told, ok=False, trouble="never")
                    one.over = True
                return
            one.joined_at = self._first_seen[run.identity]
            recorder.done("joined", since, f"{run.identity} is in the room", until=one.joined_at)
        states = self._states.get(run.identity, [])
        if states and not run.states:
            recorder.done("state", since, f"lk.agent.state is {states[0][0]}", until=states[0][1])
        run.states = [state for state, _ in states]
        heard_at = self._first_audio.get(run.identity)
        if heard_at is not None:
            recorder.done("audio", since, "the first audio track is there", until=heard_at)
            one.over = True
        elif agent is None:
            await self._still_ours()
            stayed = self._last_seen[run.identity] - one.joined_at
            told = f"{run.identity} left the room {stayed:.1f} s after it had joined, without an audio track"
            recorder.done("audio", since, told, ok=False, trouble="lost")
            one.over = True
        elif not run.visitor:
            recorder.skipped("audio", "nobody was in the room, and default agents publish nothing without a person")
            one.over = True
        elif now - one.joined_at > limit:
            recorder.done("audio", since, f"no audio track within {limit:g} s of joining", ok=False, trouble="never")
            one.over = True
        if one.over and not run.states:
            recorder.skipped("state", "no lk.agent.state: this agent has no AgentSession, or may not set attributes")

    async def _people(self) -> dict[str, Agent]:
        """The agents in the room. The listing is ahead of the visitor: the server announces who publishes nothing only
        every 3 s or so (1.8.4, 1.13.5); the visitor is ahead with states and tracks."""
        if time.monotonic() >= self._list_again:
            self._list_again = time.monotonic() + _POLL
            listed = await self._asked(self.calls.participants(self.room.name))
            self._listed = {
                one.identity: Agent(one.agent_state, any(track.type == "AUDIO" for track in one.tracks))
                for one in listed
                if one.is_agent
            }
        people = dict(self._listed)
        for identity, seen in (self.guest.agents() if self.guest is not None and self.guest.connected else {}).items():
            before = people.get(identity, seen)
            people[identity] = Agent(seen.state or before.state, seen.audio or before.audio)
        return people

    async def _still_ours(self) -> None:
        """Before anything is said to be missing: a restarted server has another room under this name, or none.

        Raises:
            ProbeError: it is another one, or gone.
        """
        if self.room.sid not in {one.sid for one in await self.calls.rooms([self.room.name])}:
            raise ProbeError("lost", "somebody deleted the probe's room, or the server was restarted")

    async def _asked(self, call: Coroutine[Any, Any, Any]) -> Any:
        """A call whose room must be there: a missing one is answered 404, or 503 after 3 s."""
        try:
            return await call
        except ProbeError as error:
            if error.status in (404, 503):
                raise ProbeError("lost", f"the probe's room is gone: {error}", error.status) from None
            raise

    def _all_done(self, name: StepName, since: float, detail: str) -> None:
        for one in self.watched:
            one.recorder.done(name, since, detail)

    def _all_failed(self, name: StepName, since: float, error: ProbeError) -> None:
        self.lost = error
        for one in self.watched:
            one.recorder.failed(name, since, error)
