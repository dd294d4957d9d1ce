"""Small stories by hand, for the edges that no recorded case shows."""

from __future__ import annotations

from collections.abc import Iterable

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import (
    AgentParticipant,
    Dispatch,
    Launch,
    Origin,
    Outcome,
    Refusal,
    Room,
    ServerRun,
    Stories,
    WorkerSession,
)
from lkdoctor.doctor.evidence import Evidence, Listed
from lkdoctor.doctor.finding import Code, Finding, Inconclusive
from lkdoctor.doctor.loader import load
from lkdoctor.doctor.registry import Check

T0 = 1_800_000_000.0
NODE = "server.log"
_CHECKS = load().checks


def line(offset: int = 0) -> Place:
    """A place in the log."""
    return Place(NODE, offset)


def worker(
    worker_id: str,
    name: str = "inbound-agent",
    since: float | None = 0.0,
    until: float | None = None,
    *,
    jobs: int = 0,
    job_type: str = "JT_ROOM",
    sdk: str | None = None,
    deployment: str | None = None,
    stream: str = NODE,
) -> WorkerSession:
    """A worker session; times are seconds after T0."""
    return WorkerSession(
        f"AW_{worker_id}",
        stream,
        name,
        job_type=job_type,
        deployment=deployment,
        sdk=sdk,
        registered_at=None if since is None else T0 + since,
        closed_at=None if until is None else T0 + until,
        first_seen_at=None if since is None else T0 + since,
        jobs=jobs,
        proof=[line(1)],
    )


def dispatch(
    name: str,
    at: float,
    outcome: Outcome,
    *,
    room: str = "support-call-7",
    took: float = 0.2,
    origin: Origin = Origin.API,
    worker_id: str = "",
    job_type: str = "JT_ROOM",
    node: str = NODE,
    job_ended: float | None = None,
) -> Dispatch:
    """A dispatch with its one launch."""
    launch = Launch(
        job_type,
        T0 + at,
        outcome=outcome,
        decides=True,
        ended_at=T0 + at + took,
        worker_id=f"AW_{worker_id}" if worker_id else None,
        node=node,
        nodes_refusing=1 if outcome is Outcome.NO_HEADROOM else 0,
        job_ended_at=None if job_ended is None else T0 + job_ended,
        proof=[line(int(at * 10) + 2)],
    )
    return Dispatch(room, f"RM_{room}", name, origin, T0 + at, outcome=outcome, launches=[launch])


def person(
    identity: str, since: float, until: float | None = None, *, is_agent: bool = False, dependent: bool = False
) -> AgentParticipant:
    """Somebody in a room."""
    return AgentParticipant(
        identity,
        f"PA_{identity}",
        is_agent,
        dependent or is_agent,
        joined_at=T0 + since,
        left_at=None if until is None else T0 + until,
        proof=[line(3)],
    )


def stories(
    *,
    workers: Iterable[WorkerSession] = (),
    rooms: Iterable[Room] = (),
    dispatches: Iterable[Dispatch] = (),
    refusals: Iterable[Refusal] = (),
    runs: Iterable[ServerRun] | None = None,
    last: float = 600.0,
    version: str | None = "1.13.5",
) -> Stories:
    """Stories of one complete log, from T0 on."""
    told = Stories(first_at=T0, last_at=T0 + last)
    told.runs = list(
        runs
        if runs is not None
        else [ServerRun(NODE, "ND_a", version, T0, T0, T0 + last, redis=False, info_seen=True, proof=[line()])]
    )
    told.workers = {one.worker_id: one for one in workers}
    told.rooms = list(rooms)
    told.dispatches = [*dispatches, *(one for room in told.rooms for one in room.dispatches)]
    told.refusals = list(refusals)
    return told


def room(
    name: str,
    *,
    since: float = 0.0,
    until: float | None = None,
    people: Iterable[AgentParticipant] = (),
    agents: Iterable[AgentParticipant] = (),
    dispatches: Iterable[Dispatch] = (),
) -> Room:
    """One life of a room."""
    return Room(
        name,
        f"RM_{name}",
        NODE,
        first_at=T0 + since,
        opened_at=T0 + since,
        closed_at=None if until is None else T0 + until,
        people=list(people),
        agents=list(agents),
        dispatches=list(dispatches),
        proof=[line(4)],
    )


def results(code: Code, told: Stories) -> list[Finding | Inconclusive]:
    """What the checks of this code make of the stories: those whose evidence is there."""
    evidence = Evidence.of(told)
    return [found for one in _CHECKS if one.code is code for found in ask(one, evidence)]


def ask(one: Check, evidence: Evidence) -> list[Finding | Inconclusive]:
    """What one check makes of the evidence; nothing when a whole kind that it wants is absent."""
    if Listed in one.wants and evidence.listed is None:
        return []
    return list(one.function(*(evidence.view(kind) for kind in one.wants)))


def found(code: Code, told: Stories) -> list[Finding]:
    """Its findings."""
    return [one for one in results(code, told) if isinstance(one, Finding) and one.code is code]
