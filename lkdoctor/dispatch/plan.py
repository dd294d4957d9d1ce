"""What the server will do with every planned dispatch: intentions, sample tokens and configured workers into `predict`.

The same rules that explain what has happened say what will happen; nothing runs, so every worker is taken to be idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.addresses import on_cloud
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.intentions import PlannedAgent, PlannedRoom, PlannedServer
from lkdoctor.dispatch.model import Outcome
from lkdoctor.dispatch.predict import AgentWanted, PlannedWorker, Step, predict_room
from lkdoctor.dispatch.project import Project, Service

TOKEN_WAYS = frozenset({"token", "sip", "sample"})  # each is a roomConfig, read only when the join makes the room
_MOST_REPLICAS = 20  # more of one kind change nothing in what is possible


@dataclass(frozen=True, slots=True)
class Wish:
    """One agent that will be asked for: by whom, in which room."""

    name: str
    deployment: str
    way: str  # token, api, sip, automatic; sample: a token that was given
    room: str  # name or pattern; empty: any
    where: str  # the file and line that say so
    place: Place


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What will become of a wish: the possible outcomes; none at all when the server never reads it."""

    wish: Wish
    outcomes: frozenset[Outcome]
    ignored: bool = False  # the room exists before: the list of agents is not read

    @property
    def fails(self) -> bool:
        """True when no possible outcome brings the agent; one that waits for what the room never raises waits for ever."""
        return self.ignored or Outcome.ASSIGNED not in self.outcomes


@dataclass(slots=True)
class Plan:
    """Everything that was said of what should be."""

    server: PlannedServer | None = None
    agents: tuple[PlannedAgent, ...] = ()
    rooms: tuple[PlannedRoom, ...] = ()
    project: Project = field(default_factory=Project)

    @property
    def version(self) -> str:
        """The server's version: the plan's, else the image's; empty when neither says it."""
        if self.server is not None and self.server.version:
            return self.server.version.removeprefix("v")
        found = self.project.server.version
        return found.value if found is not None and found.known else ""

    @property
    def target_load(self) -> float | None:
        """livekit.yaml's `agents.target_load`, else the plan's."""
        found = self.project.server.number("agents.target_load")
        return found if found is not None or self.server is None else self.server.target_load

    @property
    def cloud(self) -> bool:
        """Are the workers meant for LiveKit Cloud? By their own URLs, else by the plan's."""
        known = [one.url for one in self.project.workers() if one.url]
        return all(map(on_cloud, known)) if known else self.server is not None and on_cloud(self.server.url)

    def agent(self, name: str) -> PlannedAgent | None:
        """What the plan says of this name."""
        return next((one for one in self.agents if one.name == name), None)

    def workers(self) -> tuple[list[PlannedWorker], list[Service]]:
        """Workers as they will register, and the services whose name, type or deployment is not known.

        From the project where its files show any worker, else from the plan.
        """
        known: list[PlannedWorker] = []
        unclear: list[Service] = []
        services = list(self.project.workers())
        for service in services:
            name, job_type, deployment = service.agent_name.value, service.job_type, service.deployment
            if name is None or job_type is None or deployment is None:
                unclear.append(service)
                continue
            count = min(service.replicas or 1, _MOST_REPLICAS)
            load = service.load or 0.0
            known += [
                PlannedWorker(f"{service.name}-{n}", name, job_type, deployment, load) for n in range(1, count + 1)
            ]
        if services:
            return known, [*unclear, *self.project.unseen()]
        for agent in self.agents:
            count = min(1 if agent.workers is None else agent.workers, _MOST_REPLICAS)
            load = agent.load or 0.0
            known += [
                PlannedWorker(f"{agent.name or 'unnamed'}-{n}", agent.name, agent.job_type, agent.deployment, load)
                for n in range(1, count + 1)
            ]
        return known, unclear


def wishes_of(plan: Plan) -> list[Wish]:
    """Every agent that the plan says will be asked for, once a way and room."""
    found: list[Wish] = []
    roomed: set[tuple[str, str]] = set()
    for room in plan.rooms:
        for name in dict.fromkeys(room.agents):
            agent = plan.agent(name)
            for way in () if agent is None else agent.ways:
                roomed.add((name, way))
                found.append(Wish(name, agent.deployment if agent else "", way, room.called, room.where, room.place))
    for agent in plan.agents:
        ways = [way for way in agent.ways if (agent.name, way) not in roomed]
        found += [Wish(agent.name, agent.deployment, way, "", agent.where, agent.place) for way in ways]
    return found


def on_demand(plan: Plan, name: str, workers: Iterable[PlannedWorker]) -> bool:
    """Is the agent's worker started when it is needed (`workers = 0`), by something that is not in view?"""
    agent = plan.agent(name)
    return agent is not None and agent.workers == 0 and all(one.agent_name != name for one in workers)


def foresee(plan: Plan, wishes: Iterable[Wish], workers: Sequence[PlannedWorker], version: str) -> list[Foreseen]:
    """What this server will do with each wish; those of one room are played together, in the order of its making.

    Whether a worker that is started on demand will be there is not foreseen; that nobody reads the wish for it is.
    """
    rooms = {one.called: one for one in plan.rooms}
    groups: dict[str, list[Wish]] = {}
    alone: list[Wish] = []
    for wish in wishes:
        if wish.room in rooms:
            groups.setdefault(wish.room, []).append(wish)
        else:
            alone.append(wish)
    found: list[Foreseen] = []
    for name, group in groups.items():
        found += _play(rooms[name], group, workers, version, plan.target_load)
    for wish in alone:
        found += _play(PlannedRoom(name=wish.room, agents=(wish.name,)), [wish], workers, version, plan.target_load)
    return [one for one in found if one.ignored or not on_demand(plan, one.wish.name, workers)]


def _play(
    room: PlannedRoom, wishes: list[Wish], workers: Sequence[PlannedWorker], version: str, target_load: float | None
) -> list[Foreseen]:
    by_token = [one for one in wishes if one.way in TOKEN_WAYS]
    by_api = [one for one in wishes if one.way == "api"]
    steps, order = steps_of(room, by_token, by_api)
    predictions, ignored = predict_room(steps, workers, version, target_load=target_load)
    lost = {one.agent_name for one in ignored}
    found: list[Foreseen] = []
    explicit = [one for one in predictions if one.origin.value != "implicit"]
    for wish in order:
        if wish in by_token and wish.name in lost and not any(one.agent_name == wish.name for one in explicit):
            found.append(Foreseen(wish, frozenset(), ignored=True))
            continue
        mine = next((one for one in explicit if (one.agent_name, one.deployment) == (wish.name, wish.deployment)), None)
        if mine is not None:
            found.append(Foreseen(wish, mine.outcomes))
    for wish in (one for one in wishes if one.way == "automatic"):
        mine = next((one for one in predictions if one.origin.value == "implicit"), None)
        found.append(Foreseen(wish, frozenset(), ignored=True) if mine is None else Foreseen(wish, mine.outcomes))
    return found


def steps_of(room: PlannedRoom, by_token: Sequence[Wish], by_api: Sequence[Wish]) -> tuple[list[Step], list[Wish]]:
    """What will be done to the room, in order, and the wishes in the order of their dispatches."""
    join = Step("join", tuple(AgentWanted(one.name, one.deployment) for one in by_token), publishes=True)
    calls = [Step("create-dispatch", (AgentWanted(one.name, one.deployment),)) for one in by_api]
    people = [join] if room.people else []
    if room.made_by == "create-room":
        return [Step("create-room"), *people, *calls], [*by_token, *by_api]
    if room.made_by == "dispatch":
        return [*calls, *people], [*by_api, *by_token]
    return [join, *calls], [*by_token, *by_api]


def versions_of(plan: Plan, seen: str = "") -> tuple[str, ...]:
    """The version that is known, else one of each rule (newest first)."""
    known = plan.version or seen
    return (known,) if rules.parse_version(known) else ("1.13.5", "1.11.0", "1.9.12", "1.8.4")
