"""User story 5, whole: the gate before the deploy, the engine after it, the fix, the test call, and the way back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fixtures.lab.compose import Project
from fixtures.lab.deployable import COMPOSE, PLAN, Service, agent, asking_for, line_of, sample, snapshot, write
from fixtures.lab.docker_engine import Engine
from fixtures.lab.play import Play, play

pytestmark = pytest.mark.live
NAME, OWN = "inbound", "inbound-staging"
CONTAINERS = {"inbound": "shop-inbound-1", "staging": "shop-staging-1"}


async def calls(stage: Play, name: str, *rooms: str) -> None:
    """A caller in each room asks for this agent by token, and meets one."""
    for room in rooms:
        await stage.enter(room, "alice", sample(asking_for(name), room))
        await stage.agents_in(room, 1)


async def hang_up(stage: Play, *rooms: str) -> None:
    for person in stage.people:
        await person.leave()
    for room in rooms:
        await stage.api.delete_room(room)


@pytest.mark.usefixtures("compose")
def test_two_services_of_one_name(engine: Engine, tmp_path: Path) -> None:
    async def story() -> None:
        async with play(tmp_path) as stage:
            folder = tmp_path / "shop"
            services = [Service("inbound", NAME), Service("staging", NAME, "staging.py")]
            write(folder, stage.server.ws_url, services, agent(NAME, "workers = 1"), asking_for(NAME))
            stage.home, stage.shell = folder, {"DOCKER_HOST": engine.host}
            project = Project(engine, folder)
            running = ("check", "--docker", "--url", stage.server.ws_url)
            before = snapshot(folder)

            # Before the deploy.
            told = await stage.lkdoctor("check", ".")
            assert (told.status, told.faults) == (1, {"LKD802"}), told.text
            lines = [number for number, line in _lines(folder) if f"LIVEKIT_AGENT_NAME: {NAME}" in line]
            assert len(lines) == 2
            assert {(one["source"], one["line"]) for one in told.finding("LKD802")["proof"]} == {
                (COMPOSE, number) for number in lines
            }

            # Deployed all the same: the engine and the server tell who got what.
            await asyncio.to_thread(project.run, "up", "-d", "--build")
            await stage.server.wait_for_line("worker registered", NAME, seconds=180, count=2)
            await asyncio.sleep(4)  # what was just registered counts as idle until its first status
            rooms = [f"call-{number}" for number in range(1, 4)]
            await calls(stage, NAME, *rooms)
            await asyncio.sleep(6)  # what the API lists of a job may be 5 s old
            told = await stage.lkdoctor(*running)
            assert (told.status, told.faults) == (1, {"LKD802"}), told.text
            found = told.finding("LKD802")
            for container in CONTAINERS.values():
                assert f"container {container} (service" in found["message"]
            assert {one["code"] for one in told.report["symptoms"]} == {"LKD203"}
            both = await stage.lkdoctor("check", "--docker", ".")  # one cause, shown by the file and by the engine
            assert (both.status, both.faults) == (1, {"LKD802"}), both.text
            assert [one["code"] for one in both.report["findings"]].count("LKD802") == 1
            assert {(COMPOSE, number) for number in lines} <= {
                (one["source"], one["line"]) for one in both.finding("LKD802")["proof"]
            }
            assert all(f"container {one} as AW_" in both.finding("LKD802")["message"] for one in CONTAINERS.values())
            placed = {one["name"]: one for one in told.report["containers"]}
            assert set(placed) == set(CONTAINERS.values())
            assert sorted(room for one in placed.values() for room in one["rooms"]) == rooms
            for one in told.report["dispatches"]:  # the worker of each job is the one of the container that is named
                (mine,) = (each for each in placed.values() if one["room"] in each["rooms"])
                assert mine["worker_id"] == one["worker_id"]
                assert mine["worker_id"] in _log(engine, mine["name"])
            await hang_up(stage, *rooms)

            # The fix: shown, then made.
            status, shown = await stage.output("fix", "--dry-run")
            assert status == 1
            assert f"-      LIVEKIT_AGENT_NAME: {NAME} # whom the shop calls" in shown
            assert f"+      LIVEKIT_AGENT_NAME: {OWN} # whom the shop calls" in shown
            assert snapshot(folder) == before
            status, made = await stage.output("fix")
            assert status == 0, made
            assert "docker compose up -d --force-recreate" in made
            changed = snapshot(folder)
            assert {name for name in before if changed[name] != before[name]} == {COMPOSE, PLAN}
            assert line_of(folder, COMPOSE, f"LIVEKIT_AGENT_NAME: {OWN}") == lines[1]
            (await stage.lkdoctor("check", ".")).is_green()

            # As it is printed; then a test call to each name.
            await asyncio.to_thread(project.run, "up", "-d", "--force-recreate", "-t", "5")
            await stage.server.wait_for_line("worker registered", f'"{OWN}"', seconds=180)
            await stage.server.wait_for_line("worker registered", f'"{NAME}"', seconds=180, count=3)
            await asyncio.sleep(4)
            await calls(stage, OWN, "test-staging")
            await calls(stage, NAME, "test-inbound")
            await asyncio.sleep(6)
            told = await stage.lkdoctor(*running)
            told.is_green()
            got = {one["service"]: (one["name"], one["agent_name"], one["rooms"]) for one in told.report["containers"]}
            assert got == {
                "inbound": (CONTAINERS["inbound"], NAME, ["test-inbound"]),
                "staging": (CONTAINERS["staging"], OWN, ["test-staging"]),
            }
            (row,) = (line for line in told.text.splitlines() if line.strip().startswith(CONTAINERS["staging"]))
            assert row.split()[1:3] == ["staging", OWN]
            assert row.split()[-1] == "test-staging"

            # And back.
            status, _ = await stage.output("fix", "--undo")
            assert status == 0
            assert snapshot(folder) == before

    asyncio.run(story())


def _lines(folder: Path) -> list[tuple[int, str]]:
    return list(enumerate((folder / COMPOSE).read_text(encoding="utf-8").splitlines(), 1))


def _log(engine: Engine, name: str) -> str:
    return str(engine.client.containers.get(name).logs().decode("utf-8", "replace"))
