"""Predicts what a server will do: workers, a room's life and a version in, the possible outcomes of each dispatch out.

The server picks workers at random (weighted by load), so a prediction is the set of outcomes that can happen and the
workers that can get the job. Checked against real servers by playing random worlds (`tests/live`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Origin, Outcome

Answer = Literal["accept", "decline", "terminate", "silent", "drop"]


@dataclass(frozen=True, slots=True)
class PlannedWorker:
    """A registered worker and how it will answer. `load` is what it last reported (0 before its first report)."""

    worker_id: str
    agent_name: str
    job_type: str = rules.JT_ROOM
    deployment: str = ""
    load: float = 0.0
    full: bool = False
    answer: Answer = "accept"


@dataclass(frozen=True, slots=True)
class AgentWanted:
    """An agent entry of a token or of a CreateRoom request."""

    agent_name: str
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done to a room, in order.

    `create-room` and `join` carry agents, which are read only when the step makes the room; `create-dispatch` carries
    exactly one. A `join` is a person's (not an agent's); `publishes` raises the publisher launches.
    """

    do: Literal["create-room", "create-dispatch", "join"]
    agents: tuple[AgentWanted, ...] = ()
    publishes: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """What can become of one dispatch."""

    agent_name: str
    deployment: str
    origin: Origin
    outcomes: frozenset[Outcome]
    workers: frozenset[str]  # who can get the job


@dataclass(frozen=True, slots=True)
class Ignored:
    """An agent that was named but never dispatched, because the room existed."""

    agent_name: str
    origin: Origin


@dataclass(slots=True)
class _Planned:
    wanted: AgentWanted
    origin: Origin
    joins: int = 0
    publishes: int = 0


def predict_room(
    steps: Sequence[Step],
    workers: Sequence[PlannedWorker],
    version: str,
    *,
    target_load: float | None = None,
) -> tuple[list[Prediction], list[Ignored]]:
    """What becomes of every dispatch that these steps make, on one node whose workers are `workers`.

    Args:
        steps: what is done to the room, from before it exists.
        workers: everybody registered on the node, of any name.
        version: the server's version; its rules decide (see `rules`).
        target_load: `agents.target_load` where it is set (1.11.0 and later).

    Returns:
        One prediction per dispatch in the order they are made, and the agents that will be ignored.
    """
    dispatches: list[_Planned] = []
    ignored: list[Ignored] = []
    exists = False
    people = publishers = 0
    for step in steps:
        if step.do == "create-dispatch":
            if not exists:
                dispatches.append(_Planned(AgentWanted(""), Origin.IMPLICIT))
            dispatches.extend(_Planned(one, Origin.API, people, publishers) for one in step.agents)
        else:
            origin = Origin.ROOM if step.do == "create-room" else Origin.TOKEN
            if exists:
                ignored.extend(Ignored(one.agent_name, origin) for one in step.agents)
            elif step.agents:
                dispatches.extend(_Planned(one, origin) for one in step.agents)
            else:
                dispatches.append(_Planned(AgentWanted(""), Origin.IMPLICIT))
        exists = True
        if step.do == "join":
            people += 1
            publishers += step.publishes
            for one in dispatches:
                one.joins += 1
                one.publishes += step.publishes
    return [_predict(one, workers, version, target_load) for one in dispatches], ignored


def _predict(
    planned: _Planned, workers: Sequence[PlannedWorker], version: str, target_load: float | None
) -> Prediction:
    raised = rules.raised_types(version)
    counts = {rules.JT_ROOM: 1, rules.JT_PARTICIPANT: planned.joins, rules.JT_PUBLISHER: planned.publishes}
    name = planned.wanted.agent_name
    types = {one.job_type for one in workers if one.agent_name == name} or {rules.JT_ROOM}
    launches = [
        launch_outcomes(planned.wanted, job_type, workers, version, target_load)
        for job_type in sorted(types, key=rules.JOB_TYPES.index)
        if job_type in raised
        for _ in range(counts[job_type])
    ]
    if not launches:
        return Prediction(name, planned.wanted.deployment, planned.origin, frozenset((Outcome.WAITING,)), frozenset())
    outcomes = frozenset(
        _decide(combined, rules.JT_ROOM in types) for combined in product(*(one for one, _ in launches))
    )
    takers = frozenset(worker for _, ids in launches for worker in ids)
    return Prediction(name, planned.wanted.deployment, planned.origin, outcomes, takers)


def _decide(outcomes: Iterable[Outcome], in_room: bool) -> Outcome:
    """The outcome of a dispatch from those of its deciding launches, in the order of `rules.JOB_TYPES`.

    `in_room`: a JT_ROOM launch is among them. Without one each launch is some person's only try, and one that failed
    counts; a terminal reject leaves no line, so it shows only where nothing else does.
    """
    listed = list(outcomes)
    failed = [one for one in listed if one not in (Outcome.ASSIGNED, Outcome.REJECTED_TERMINALLY)]
    if Outcome.ASSIGNED in listed and (in_room or not failed):
        return Outcome.ASSIGNED
    return failed[0] if failed else listed[0]


def launch_outcomes(
    wanted: AgentWanted,
    job_type: str,
    workers: Sequence[PlannedWorker],
    version: str,
    target_load: float | None = None,
) -> tuple[frozenset[Outcome], frozenset[str]]:
    """The possible endings of one launch, and the workers that can get its job.

    The steps are the server's: is the name known for this type, does somebody listen for exactly this key, has the node
    headroom, and then one worker after the other is asked (seen on 1.8.4, 1.9.12, 1.11.0, 1.13.5).
    """
    of_type = [one for one in workers if one.job_type == job_type]
    name_known = any(one.agent_name == wanted.agent_name for one in workers)
    if not of_type or (wanted.agent_name and not name_known):
        return frozenset((Outcome.NAME_NOT_SERVED,)), frozenset()
    by_deployment = rules.since(version, rules.DEPLOYMENTS)
    listening = [
        one
        for one in of_type
        if one.agent_name == wanted.agent_name and (not by_deployment or one.deployment == wanted.deployment)
    ]
    if not listening:
        return frozenset((Outcome.NO_RESPONSE,)), frozenset()
    available = [one for one in listening if not one.full]
    rule = rules.headrooms(version)[-1]
    if rule.limit is None:
        refused = not available
    else:
        limit = target_load if rule.configurable and target_load is not None else rule.limit
        room = math.fsum(_headroom(one.load, limit) for one in available)
        refused = not room > 0  # NaN is not above 0: one NaN switches off the key
    if refused:
        return frozenset((Outcome.NO_HEADROOM,)), frozenset()
    return _ask(tuple(available), tuple(listening), rules.since(version, rules.TERMINAL_REJECT) is True)


def _headroom(load: float, limit: float) -> float:
    return math.nan if math.isnan(load) else max(0.0, limit - load)


def _ask(
    left: tuple[PlannedWorker, ...], listening: tuple[PlannedWorker, ...], terminal: bool, asked: bool = False
) -> tuple[frozenset[Outcome], frozenset[str]]:
    """Ask the AVAILABLE workers in every order that their weights allow."""
    weighted = [one for one in left if 1 - one.load > 0]
    if not weighted:
        if not asked:
            return frozenset((Outcome.NO_HEADROOM,)), frozenset()  # claimed, then nobody with weight: E'
        gone = all(one.answer == "drop" and one not in left for one in listening)
        return frozenset((Outcome.WORKER_CLOSED if gone else Outcome.DECLINED,)), frozenset()
    outcomes: set[Outcome] = set()
    takers: set[str] = set()
    for one in weighted:
        if one.answer == "accept":
            outcomes.add(Outcome.ASSIGNED)
            takers.add(one.worker_id)
        elif one.answer == "silent":
            outcomes.add(Outcome.ANSWER_TIMEOUT)
        elif one.answer == "terminate" and terminal:
            outcomes.add(Outcome.REJECTED_TERMINALLY)
        else:
            rest = tuple(other for other in left if other is not one)
            more, others = _ask(rest, listening, terminal, True)
            outcomes |= more
            takers |= others
    return frozenset(outcomes), frozenset(takers)
