"""The gate before a deploy: each project that cannot work fails it with code, file and line; a right one passes.

Then all of them are deployed at once, as they are, on a real engine, and a caller of each joins: what the gate said happens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fixtures.lab.compose import Project
from fixtures.lab.deployable import COMPOSE, PLAN, TOKEN, Service, agent, asking_for, line_of, sample, write
from fixtures.lab.docker_engine import Engine
from fixtures.lab.play import Diagnosis, play
from fixtures.lab.servers import SECRET
from tests.cli.running import run

pytestmark = pytest.mark.live
NOWHERE = "ws://127.0.0.1:7880"  # nothing is asked before a deploy


@dataclass(frozen=True)
class Case:
    """One project: its parts, and what the gate must say of it."""

    name: str
    named: str  # what the worker is called
    claim: Mapping[str, Any]
    codes: frozenset[str] = frozenset()
    proof: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)  # code -> file, words of the line
    kind: str = "ROOM"
    stray: bool = False
    plan: str = ""

    def write(self, folder: Path, url: str = NOWHERE) -> Path:
        """The project in a folder of its own."""
        services = [Service("voice", self.named), *([Service("copy", "")] if self.stray else [])]
        table = self.plan or agent(self.name, "workers = 1")
        made = folder / self.name
        write(made, url, services, table, self.claim, types={"agent.py": self.kind}, room=f"call-{self.name}")
        return made


def table(*cases: Case) -> dict[str, Case]:
    return {one.name: one for one in cases}


CASES = table(
    Case("right", "right", asking_for("right")),
    # A wrong claim: the name of nobody, a slip of the name, the right name where no server looks for it.
    Case(
        "claim-name", "claim-name", asking_for("support"), frozenset({"LKD301"}),
        {"LKD301": ((TOKEN, "eyJ"), (COMPOSE, "LIVEKIT_AGENT_NAME: claim-name"))},
    ),
    Case(
        "claim-slip", "claim-slip", asking_for("Claim_Slip"), frozenset({"LKD202"}),
        {"LKD202": ((TOKEN, "eyJ"), (COMPOSE, "LIVEKIT_AGENT_NAME: claim-slip"))},
    ),
    Case(
        "claim-place", "claim-place", {"roomConfig": None, "room_config": asking_for("claim-place")["roomConfig"]},
        frozenset({"LKD505"}), {"LKD505": ((TOKEN, "eyJ"),)},
    ),
    # A wrong job type: one that the plan does not say, and one that a room without people never raises.
    Case(
        "type-other", "type-other", asking_for("type-other"), frozenset({"LKD515"}),
        {"LKD515": (("agent.py", "WorkerType.PUBLISHER"), (PLAN, "[[agents]]"))}, kind="PUBLISHER",
    ),
    Case(
        "type-never", "type-never", asking_for("type-never"), frozenset({"LKD206"}),
        {"LKD206": ((PLAN, "[[rooms]]"), ("agent.py", "WorkerType.PARTICIPANT"))}, kind="PARTICIPANT",
        plan=agent("type-never", 'type = "participant"', ways="api")
        + '\n[[rooms]]\npattern = "pair-*"\nagents = ["type-never"]\nmade_by = "create-room"\npeople = false\n',
    ),
    # Half a repair: the name was taken off the worker, and the token still has it. So its rooms get nobody.
    Case(
        "half-done", "", asking_for("half-done"), frozenset({"LKD301"}),
        {"LKD301": ((TOKEN, "eyJ"), (PLAN, "[[agents]]"), (COMPOSE, "  voice:"))},
    ),
    # A copy of the service without its name: it comes into every room that asks for nobody.
    Case(
        "stray", "stray", asking_for("stray"), frozenset({"LKD204"}), {"LKD204": ((COMPOSE, "  copy:"),)}, stray=True,
    ),
)  # fmt: skip


def gate(folder: Path) -> Diagnosis:
    """`lkdoctor check .` in the project, nothing running."""
    report = folder.parent / f"{folder.name}.json"
    ran = run("check", ".", "-o", f"json={report}", cwd=folder, environ={"COLUMNS": "400"})
    assert "Traceback" not in ran.err
    assert SECRET not in ran.out + ran.err
    return Diagnosis(ran.status, ran.out, json.loads(report.read_bytes()))


@pytest.mark.parametrize("name", CASES)
def test_the_gate(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    folder = case.write(tmp_path)
    told = gate(folder)
    if not case.codes:
        told.is_green()
        return
    assert (told.status, told.faults) == (1, set(case.codes)), told.text
    for code, places in case.proof.items():
        proof = {(one["source"], one["line"]) for one in told.finding(code)["proof"]}
        for file, words in places:
            line = line_of(folder, file, words)
            assert (file, line) in proof, f"{code}: {proof}"
            assert f"| {file}:{line} " in told.text


PLAYED = ("right", "claim-name", "type-other", "half-done", "stray")


@pytest.mark.usefixtures("compose")
def test_what_the_gate_says_happens(engine: Engine, tmp_path: Path) -> None:
    """Whoever holds the sample token of a project joins; who then comes is what the gate said of that project."""

    async def story() -> Diagnosis:
        async with play(tmp_path) as stage:
            projects = [Project(engine, CASES[one].write(tmp_path / "projects", stage.server.ws_url)) for one in PLAYED]
            await asyncio.gather(*(asyncio.to_thread(one.run, "up", "-d", "--build") for one in projects))
            await stage.server.wait_for_line("worker registered", seconds=180, count=len(PLAYED) + 1)
            for name in PLAYED:
                token = (tmp_path / "projects" / name / TOKEN).read_text(encoding="utf-8").strip()
                await stage.enter(f"call-{name}", "alice", token)
            await stage.enter("call-nobody", "alice", sample({}, "call-nobody"))
            for name in ("right", "stray", "nobody"):
                await stage.server.wait_for_line("assigned job to worker", f'"room": "call-{name}"', seconds=60)
            for name in ("support", "half-done"):
                await stage.server.wait_for_line("not dispatching agent job", "JT_ROOM", f'"{name}"', seconds=60)
            await stage.server.wait_for_line("failed to send job request", "JT_ROOM", '"type-other"', seconds=60)
            return await stage.lkdoctor("check", "server.log")

    told = asyncio.run(story())
    came = {(one["room"], one["agent_name"]): one["outcome"] for one in told.report["dispatches"]}
    assert came == {
        ("call-right", "right"): "assigned",
        ("call-stray", "stray"): "assigned",
        ("call-claim-name", "support"): "name-not-served",
        ("call-half-done", "half-done"): "name-not-served",
        ("call-type-other", "type-other"): "waiting",  # for somebody who publishes
        ("call-nobody", ""): "assigned",  # to a worker that nobody asked for
    }, told.text
