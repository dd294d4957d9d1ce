"""Turns `lkdoctor.toml` into facts: what should be, each with its line."""

from __future__ import annotations

import math
from typing import Final

from msgspec.structs import replace

from lkdoctor.collect.fact_files import read_facts
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import BY_NAME
from lkdoctor.config import Agent, ConfigError, ConfigFile, parse
from lkdoctor.dispatch.facts import Fact, Place
from lkdoctor.dispatch.intentions import PlannedAgent, PlannedRoom, PlannedServer
from lkdoctor.dispatch.model import SourceNote

KIND: Final = "intentions"
_TYPES: Final = {"room": "JT_ROOM", "participant": "JT_PARTICIPANT", "publisher": "JT_PUBLISHER"}


def read_intentions(text: str, name: str, gathered: Gathered, read_at: float | None = None) -> None:
    """Read the `lkdoctor.toml` of a case, or the facts of one that lkdoctor wrote into its own case."""
    del read_at  # nothing in it depends on when it was read
    if ".jsonl" in name.rpartition("/")[2]:
        read_facts(text.encode().splitlines(keepends=True), name, gathered, BY_NAME[KIND])
        return
    try:
        file = parse(text.encode(), name)
    except ConfigError as error:
        gathered.notes.append(SourceNote(name, KIND, unusable=str(error)))
        return
    add_intentions(file, gathered)


def add_intentions(file: ConfigFile, gathered: Gathered) -> None:
    """The facts of a file that was read, unless the same file is among the evidence already."""
    if not file.name or any(note.name == file.name and note.kind == KIND for note in gathered.notes):
        return
    gathered.notes.append(SourceNote(file.name, KIND))
    config = file.config
    if file.lines.get(("server",)):
        _add(gathered, file, ("server",), _server(file))
    for number, agent in enumerate(config.agents):
        _add(gathered, file, ("agents", number), _agent(agent, _where(file, "agents", number, "name")))
    for number, room in enumerate(config.rooms):
        planned = PlannedRoom(
            name=room.name,
            pattern=room.pattern,
            agents=room.expected,
            made_by=room.made_by,
            people=room.people,
            talk=room.talk,
            where=_where(file, "rooms", number),
        )
        _add(gathered, file, ("rooms", number), planned)


def _where(file: ConfigFile, *path: str | int) -> str:
    return f"{file.name}:{file.line(*path)}"


def _server(file: ConfigFile) -> PlannedServer:
    server = file.config.server
    return PlannedServer(
        url=server.url, version=server.version, target_load=server.target_load, where=_where(file, "server")
    )


def _agent(agent: Agent, where: str) -> PlannedAgent:
    threshold = agent.load_threshold
    return PlannedAgent(
        name=agent.name,
        job_type=_TYPES[agent.type],
        workers=agent.workers,
        deployment=agent.deployment,
        ways=agent.ways,
        service=agent.service,
        identity=agent.identity,
        participant_name=agent.participant_name,
        kind=agent.kind,
        hidden=agent.hidden,
        load_threshold="inf" if threshold is not None and math.isinf(threshold) else threshold,
        load=agent.load,
        where=where,
    )


def _add(gathered: Gathered, file: ConfigFile, path: tuple[str | int, ...], fact: Fact) -> None:
    placed = replace(fact, place=Place(file.name, None, ".".join(map(str, path))))
    gathered.quote(placed.place, placed.told(), file.line(*path))
    gathered.add(placed)
