"""A real server is swept and watched: what it lists, what it refuses, and what is told when it stops in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.lab import tokens
from fixtures.lab.api import Api
from fixtures.lab.raw_worker import RawWorker
from fixtures.lab.servers import KEY, SECRET, Server, redis, restart, running
from lkdoctor.collect.credentials import resolve
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api import sweep
from lkdoctor.collect.server_api.exchanges import read_exchanges
from lkdoctor.collect.target import Target
from lkdoctor.dispatch.listings import Called, DispatchesListed, ParticipantsListed, RoomsListed
from lkdoctor.dispatch.model import SourceNote

pytestmark = pytest.mark.live

Recorder = Callable[[bytes], object]


def target_of(server: Server, *, key: str = KEY, secret: str = SECRET) -> Target:
    return resolve(url=server.url, key=key, secret=secret, environ={}, folder=Path("/nonexistent"))


class Swept:
    """One run of the collector, with everything it gave."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.lines: list[bytes] = []
        self.said: list[str] = []
        self.seconds = 0.0

    @property
    def note(self) -> SourceNote:
        (note,) = self.gathered.notes
        return note

    async def run(self, target: Target, record: Recorder | None = None, **options: Any) -> Swept:
        def keep(line: bytes) -> None:
            self.lines.append(line)
            if record is not None:
                record(line)

        began = time.monotonic()
        try:
            await sweep.collect(target, self.gathered, self.said.append, record=keep, **options)
        finally:
            self.seconds = time.monotonic() - began
        return self

    def listed(self, kind: type) -> list[Any]:
        return [one.data for one in self.gathered.snapshots if isinstance(one.data, kind)]

    @property
    def rooms_asked(self) -> set[str]:
        return {one.room for one in self.listed(DispatchesListed)}

    def replayed(self) -> Gathered:
        again = Gathered()
        read_exchanges(self.lines, "api.jsonl", again)
        return again


def told(gathered: Gathered) -> list[Any]:
    return [(one.at, one.data, one.complete, one.repeats) for one in gathered.snapshots]


def on_server(tmp_path: Path, play: Callable[[Server, Api], Awaitable[None]], rooms: int = 0, **options: Any) -> None:
    """Plays on a fresh server with this many rooms, each with a dispatch for a name that nobody serves."""

    async def whole() -> None:
        async with running("1.13.5", tmp_path, **options) as server:
            client = Api(server.url, tmp_path / "lab.jsonl")
            try:
                for number in range(rooms):
                    status, _ = await client.create_room(f"call-{number:03}", "nobody")
                    assert status == 200
                await play(server, client)
            finally:
                await client.close()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server.process.pid, signal.SIGCONT)  # one that stands still cannot end

    asyncio.run(whole())


def after(exchanges: int, act: Callable[[], object]) -> Recorder:
    """Acts once when so many exchanges were recorded, in the middle of the sweep."""
    seen = 0

    def record(_: bytes) -> None:
        nonlocal seen
        seen += 1
        if seen == exchanges:
            act()

    return record


def test_what_a_server_lists_and_its_recording(tmp_path: Path) -> None:
    async def play(server: Server, client: Api) -> None:
        worker = RawWorker(server.ws_url, "inbound-agent")
        await worker.start()
        await asyncio.sleep(0.5)
        for room, agent in (("served", "inbound-agent"), ("unserved", "nobody"), ("lkdoctor-own", "nobody")):
            assert (await client.create_room(room, agent))[0] == 200
        await worker.wait_for("joined")
        swept = await Swept().run(target_of(server), watch=7.0)
        await worker.close()
        assert not swept.note.unusable
        assert not swept.note.notes
        assert not swept.note.skipped
        assert {room.name for one in swept.listed(RoomsListed) for room in one.rooms} >= {"served", "unserved"}
        assert swept.rooms_asked == {"served", "unserved"}
        served = [one for one in swept.listed(DispatchesListed) if one.room == "served"]
        (dispatch,) = served[-1].dispatches
        (job,) = dispatch.state.jobs
        assert (dispatch.agent_name, job.state.status, job.state.worker_id) == (
            "inbound-agent",
            "JS_RUNNING",
            worker.worker_id,
        )
        unserved = [one for one in swept.listed(DispatchesListed) if one.room == "unserved"]
        assert [len(one.dispatches[0].state.jobs) for one in unserved] == [
            0,
            0,
        ]  # the first listing, and still so at the end
        here = [one for one in swept.listed(ParticipantsListed) if one.room == "served"]
        assert [(one.kind, one.state) for one in here[-1].participants] == [("AGENT", "ACTIVE")]
        assert told(swept.replayed()) == told(swept.gathered)
        assert sum(b"RoomService/ListRooms" in line for line in swept.lines) >= 4
        for line in swept.lines:
            assert b"turn_password" not in line

    on_server(tmp_path, play)


def test_chosen_rooms(tmp_path: Path) -> None:
    async def play(server: Server, _: Api) -> None:
        swept = await Swept().run(target_of(server), rooms=("call-001", "call-009"))
        assert swept.rooms_asked == {"call-001"}
        assert [one.complete for one in swept.gathered.snapshots if isinstance(one.data, RoomsListed)] == [False]
        (note,) = swept.note.notes
        assert "the server lists no room call-009" in note
        assert told(swept.replayed()) == told(swept.gathered)

    on_server(tmp_path, play, rooms=3)


@pytest.mark.parametrize(
    ("key", "secret", "words"),
    [(KEY, "another-secret-0123456789abcdefghij", "invalid token"), ("otherkey", SECRET, "invalid API key: otherkey")],
)
def test_a_refused_key_is_a_gap_in_the_servers_words(key: str, secret: str, words: str, tmp_path: Path) -> None:
    async def play(server: Server, _: Api) -> None:
        swept = await Swept().run(target_of(server, key=key, secret=secret), watch=30.0)
        assert swept.seconds < 15  # asking again for 30 s would tell nothing more
        assert swept.note.unusable.startswith(f"ListRooms answered 401: {words}")
        assert not swept.gathered.snapshots
        for text in (swept.note.unusable, *swept.note.skipped, *map(bytes.decode, swept.lines)):
            assert "eyJ" not in text

    on_server(tmp_path, play)


class Poor(Target):
    """Makes tokens that may list rooms and nothing else."""

    def headers(self, **grants: Any) -> dict[str, str]:
        return Target.headers(self, room_list=grants.get("room_list", False))


def test_missing_grants_are_found_out_once(tmp_path: Path) -> None:
    async def play(server: Server, _: Api) -> None:
        whole = target_of(server)
        poor = Poor(whole.address, whole.key, whole.secret)
        swept = await Swept().run(poor, concurrency=2)
        assert set(swept.note.skipped) == {
            "ListDispatch answered 401: permissions denied",
            "ListParticipants answered 401: permissions denied",
        }
        assert max(swept.note.skipped.values()) < 10  # of 60 rooms
        assert sorted(swept.note.notes) == [
            "it was not asked of the other rooms: ListDispatch answered 401: permissions denied",
            "it was not asked of the other rooms: ListParticipants answered 401: permissions denied",
        ]
        assert len(swept.listed(RoomsListed)[0].rooms) == 60
        assert not swept.note.unusable

    on_server(tmp_path, play, rooms=60)


def test_rooms_that_vanish_meanwhile_are_no_gap_and_cost_little(tmp_path: Path) -> None:
    async def play(server: Server, _: Api) -> None:
        def delete() -> None:
            for number in range(40):
                request = urllib.request.Request(
                    f"{server.url}/twirp/livekit.RoomService/DeleteRoom",
                    data=f'{{"room": "call-{number:03}"}}'.encode(),
                    headers={"Content-Type": "application/json", "Authorization": f"Bearer {tokens.api_token()}"},
                )
                urllib.request.urlopen(request, timeout=5).close()

        swept = await Swept().run(target_of(server), after(1, delete), concurrency=4)
        assert swept.seconds < 15  # 40 refusals of 3 s each by four at once would take 30 s
        assert not swept.note.skipped
        assert not swept.note.notes
        assert swept.rooms_asked == {f"call-{number:03}" for number in range(40, 60)}
        counts = [len(one.rooms) for one in swept.listed(RoomsListed)]
        assert (counts[0], counts[-1]) == (60, 20)

    on_server(tmp_path, play, rooms=60)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_server_that_stops_in_the_middle_of_a_sweep(how: signal.Signals, tmp_path: Path) -> None:
    async def play(server: Server, _: Api) -> None:
        swept = await Swept().run(
            target_of(server), after(21, lambda: os.kill(server.process.pid, how)), call_timeout=4.0
        )
        assert swept.seconds < 30
        assert 5 <= len(swept.rooms_asked) < 60
        assert not swept.note.unusable
        (note,) = swept.note.notes
        assert "of 60 rooms were not asked for their dispatches and participants, the server stopped answering" in note
        assert any(" no answer: " in reason for reason in swept.note.skipped)
        assert told(swept.replayed()) == told(swept.gathered)

    on_server(tmp_path, play, rooms=60)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_server_that_stops_in_the_middle_of_a_watch(how: signal.Signals, tmp_path: Path) -> None:
    async def play(server: Server, _: Api) -> None:
        swept = await Swept().run(
            target_of(server), after(12, lambda: os.kill(server.process.pid, how)), watch=6.0, call_timeout=4.0
        )
        assert 6 <= swept.seconds < 30
        assert swept.rooms_asked == {"call-000", "call-001"}
        assert not swept.note.unusable
        refused = f"no connection to 127.0.0.1:{server.port} (Connection refused)"
        words = refused if how == signal.SIGKILL else "nothing came within 4 s"
        assert any(f" no answer: {words}" in reason for reason in swept.note.skipped)
        # Both samples before the end are there: the first, and that it was still so.
        assert len([one for one in swept.listed(RoomsListed) if len(one.rooms) == 2]) == 2

    on_server(tmp_path, play, rooms=2)


def test_a_watch_goes_on_after_the_server_stood_still(tmp_path: Path) -> None:
    async def play(server: Server, _: Api) -> None:
        loop = asyncio.get_running_loop()

        def pause() -> None:
            os.kill(server.process.pid, signal.SIGSTOP)
            loop.call_later(5.0, os.kill, server.process.pid, signal.SIGCONT)

        swept = await Swept().run(target_of(server), after(6, pause), watch=9.0, call_timeout=4.0)
        assert swept.note.skipped
        last = max(one.at for one in swept.gathered.snapshots)
        first = min(one.at for one in swept.gathered.snapshots)
        assert last - first > 8

    on_server(tmp_path, play, rooms=2)


def test_a_restart_in_the_middle_of_a_watch(tmp_path: Path) -> None:
    async def play(server: Server, client: Api) -> None:
        async def again() -> None:
            await restart(server)
            await client.create_room("after", "nobody")

        tasks = []
        swept = await Swept().run(
            target_of(server), after(12, lambda: tasks.append(asyncio.ensure_future(again()))), watch=10.0
        )
        await asyncio.gather(*tasks)
        counts = [[room.name for room in one.rooms] for one in swept.listed(RoomsListed)]
        assert counts[0] == ["call-000", "call-001"]
        assert counts[-1] == ["after"]  # one node without redis forgets its rooms
        assert "after" in swept.rooms_asked
        assert told(swept.replayed()) == told(swept.gathered)

    on_server(tmp_path, play, rooms=2)


def test_rooms_of_a_dead_node_are_told_and_cost_one_wait(tmp_path: Path) -> None:
    async def whole() -> Swept:
        async with (
            redis(tmp_path) as port,
            running("1.13.5", tmp_path, name="a", redis_port=port) as alive,
            running("1.13.5", tmp_path, name="b", redis_port=port) as dead,
        ):
            client = Api(alive.url, tmp_path / "lab.jsonl")
            for number in range(40):
                assert (await client.create_room(f"call-{number:03}", "nobody"))[0] == 200
            await client.close()
            os.kill(dead.process.pid, signal.SIGKILL)
            return await Swept().run(target_of(alive))

    swept = asyncio.run(whole())
    lost = 40 - len(swept.rooms_asked)
    assert 0 < lost < 40  # the rooms were spread over both nodes
    assert swept.note.skipped == {"ListDispatch answered 503: twirp error unknown: no response from servers": lost}
    (note,) = swept.note.notes
    assert f"{lost} listed room" in note
    assert swept.seconds < 20  # 3 s for each, but all at once: about 20 rooms would take a minute


def test_a_sweep_that_is_interrupted_keeps_what_it_had(tmp_path: Path) -> None:
    async def play(server: Server, _: Api) -> None:
        swept = Swept()
        stopped = asyncio.Event()
        run = asyncio.ensure_future(swept.run(target_of(server), after(30, stopped.set), concurrency=2))
        await stopped.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert len(swept.rooms_asked) >= 10
        assert not swept.note.unusable
        assert "of 60 rooms were not asked" in swept.note.notes[0]
        assert told(swept.replayed()) == told(swept.gathered)
        assert [one for one in asyncio.all_tasks() if one is not asyncio.current_task()] == []

    on_server(tmp_path, play, rooms=60)


def test_calls_of_a_recording_are_facts(tmp_path: Path) -> None:
    """What the lab itself called: made, refused and deleted, each with what the server answered."""

    async def play(server: Server, client: Api) -> None:
        await client.create_room("made", "inbound-agent")
        _, made = await client.dispatch("made", "second-agent", metadata="of a customer")
        await client.delete_dispatch("made", made["id"])
        await client.delete_room("made")
        await client.dispatch("made", "x", token=tokens.api_token("another"))
        again = Gathered()
        with client.journal.open("rb") as lines:
            note = read_exchanges(lines, "api.jsonl", again)
        assert not note.skipped
        calls = [one.data for one in again.snapshots if isinstance(one.data, Called)]
        assert [(one.call.partition("/")[2], one.room, one.status) for one in calls] == [
            ("CreateRoom", "made", 200),
            ("CreateDispatch", "made", 200),
            ("DeleteDispatch", "made", 200),
            ("DeleteRoom", "made", 200),
            ("CreateDispatch", "made", 401),
        ]
        assert [agent.agentName for agent in calls[0].agents] == ["inbound-agent"]
        assert calls[0].made_room is not None
        assert calls[0].made_room.sid.startswith("RM_")
        assert calls[2].made_dispatch is not None
        assert calls[2].made_dispatch.id == made["id"]
        assert calls[4].error == "permissions denied"
        assert "of a customer" not in str(again)

    on_server(tmp_path, play)
