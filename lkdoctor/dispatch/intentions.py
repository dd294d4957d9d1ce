"""Intentions: what `lkdoctor.toml` says should be, as facts that checks hold against everything else."""

from __future__ import annotations

import json
from typing import ClassVar

from lkdoctor.dispatch.facts import Fact


class PlannedServer(Fact, frozen=True, kw_only=True):
    """The server that the agents register with."""

    SOURCES: ClassVar[tuple[str, ...]] = ("intentions",)

    url: str = ""
    version: str = ""
    target_load: float | None = None
    where: str = ""  # lkdoctor.toml:3

    def told(self) -> str:
        """The table in short."""
        return _table("[server]", url=self.url, version=self.version, target_load=self.target_load)


class PlannedAgent(Fact, frozen=True, kw_only=True):
    """One agent name: who serves it, who asks for it, and how its participant looks."""

    SOURCES: ClassVar[tuple[str, ...]] = ("intentions",)

    name: str
    job_type: str = "JT_ROOM"
    workers: int | None = None
    deployment: str = ""
    ways: tuple[str, ...] = ()  # token, api, sip, automatic
    service: str = ""
    identity: str = ""
    participant_name: str = ""
    kind: str = ""
    hidden: bool | None = None
    load_threshold: float | str | None = None  # `inf`: JSON has no such number
    load: float | None = None
    where: str = ""

    def told(self) -> str:
        """The table in short."""
        return _table(
            "[[agents]]",
            name=self.name,
            type=self.job_type,
            workers=self.workers,
            deployment=self.deployment,
            dispatched_by=self.ways,
            service=self.service,
        )

    @property
    def threshold(self) -> float | None:
        """The worker's own threshold as a number."""
        return None if self.load_threshold is None else float(self.load_threshold)


class PlannedRoom(Fact, frozen=True, kw_only=True):
    """A room or a family of rooms, and the agents that belong into it together."""

    SOURCES: ClassVar[tuple[str, ...]] = ("intentions",)

    name: str = ""  # fixed
    pattern: str = ""
    agents: tuple[str, ...] = ()  # one with two roles stands twice
    made_by: str = "join"
    people: bool = True  # whether a person joins it
    talk: bool = False
    where: str = ""

    def told(self) -> str:
        """The table in short."""
        named = {"name": self.name} if self.name else {"pattern": self.pattern}
        return _table("[[rooms]]", **named, agents=self.agents, made_by=self.made_by)

    @property
    def called(self) -> str:
        """Its name or pattern."""
        return self.name or self.pattern


def _table(heading: str, **values: object) -> str:
    """`agents = [{name = "inbound"}]`, the table as one line of TOML: what is empty is left out, a name never is."""
    shown = [(key, value) for key, value in values.items() if key == "name" or value not in (None, "", ())]
    inline = "{" + ", ".join(f"{key} = {_value(value)}" for key, value in shown) + "}"
    name = heading.strip("[]")
    return f"{name} = [{inline}]" if heading.startswith("[[") else f"{name} = {inline}"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value}"
