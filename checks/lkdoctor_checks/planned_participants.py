"""lkdoctor.toml against the API: does an agent's participant look as the application expects, and has the room all its agents?"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from lkdoctor.dispatch.intentions import PlannedAgent
from lkdoctor.dispatch.listings import ParticipantInfo
from lkdoctor.dispatch.model import Room
from lkdoctor.doctor.codes import EXPECTATION_UNMET
from lkdoctor.doctor.evidence import Facts, Listed, Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _words as words


@check(EXPECTATION_UNMET)
def planned_against_api(agents: Facts[PlannedAgent], rooms: Rooms, listed: Listed) -> Iterator[Finding | Inconclusive]:
    """From the API and lkdoctor.toml: an agent is in its room, and its participant has another identity, name, kind or
    visibility than the application looks for, so the application does not find it. The agent is known by the dispatch
    whose job names the participant, or by its attribute `lk.agent_name`. An agent that is missing from a room is told by
    LKD315, LKD601 and LKD704."""
    del listed
    for agent in agents:
        if not (agent.identity or agent.participant_name or agent.kind or agent.hidden is not None):
            continue
        wrong: dict[str, list[Room]] = {}
        for room in seen.lives(rooms):
            for one in _participants(room, agent.name):
                for told in _differences(agent, one):
                    wrong.setdefault(told, []).append(room)
        for told, group in sorted(wrong.items()):
            yield Finding(
                EXPECTATION_UNMET,
                Subject("agent", agent_name=agent.name),
                f"{words.quoted(agent.name)} is in {words.listed(words.marked(one.name) for one in group)}, and {told} "
                f"({agent.where}): the application does not find it.",
                Severity.ERROR,
                Confidence.HIGH,
                {"agent_name": agent.name, "rooms": sorted({one.name for one in group})[:20]},
                words.spread([agent.place, *(place for room in group for place in seen.listings(room))]),
                (
                    Fix(
                        "Let the agent come as the application expects it",
                        steps=(
                            (
                                "Identity and name: where the worker accepts the job (`req.accept(name=…, identity=…)`). Hidden: its "
                                "`permissions=WorkerPermissions(hidden=…)`. The kind of an agent that took a job is always AGENT."
                            ),
                            f"Or change what the application filters on, and {agent.where}.",
                        ),
                        verify=("`lk room participants get --room ROOM IDENTITY` shows it.",),
                    ),
                ),
                count=len(group),
            )


def _participants(room: Room, name: str) -> Iterator[ParticipantInfo]:
    mine = [one.participant for one in room.dispatches if one.agent_name == name and one.participant is not None]
    for agent in room.agents:
        if not agent.listed:
            continue
        info = agent.listed[-1][1]
        if any(agent is one for one in mine) or info.attributes.get("lk.agent_name") == name:
            yield info


def _differences(agent: PlannedAgent, info: ParticipantInfo) -> Iterator[str]:
    if agent.identity and not fnmatch.fnmatchcase(info.identity, agent.identity):
        yield f"its identity is {words.marked(info.identity)}, where {words.marked(agent.identity)} is looked for"
    if agent.participant_name and not fnmatch.fnmatchcase(info.name, agent.participant_name):
        yield f"its name is {words.marked(info.name)}, where {words.marked(agent.participant_name)} is looked for"
    if agent.kind and info.kind.lower() != agent.kind:
        yield f"its kind is {info.kind}, where {agent.kind.upper()} is looked for"
    if agent.hidden is not None and info.permission.hidden != agent.hidden:
        yield f"it is {'hidden' if info.permission.hidden else 'visible'}, where {'hidden' if agent.hidden else 'visible'} is planned"
