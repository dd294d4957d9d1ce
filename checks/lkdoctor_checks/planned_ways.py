"""lkdoctor.toml by itself and with sample tokens: can the way in which an agent is asked for work?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.intentions import PlannedAgent, PlannedRoom
from lkdoctor.dispatch.plan import TOKEN_WAYS
from lkdoctor.dispatch.token_claims import entries
from lkdoctor.doctor.codes import THRESHOLD_ABOVE_LIMIT, TOKEN_AGENTS_IGNORED, TOKEN_NO_AGENTS
from lkdoctor.doctor.evidence import Evidence, Facts, Tokens
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan, _tokens
from lkdoctor_checks import _words as words


@check(TOKEN_AGENTS_IGNORED)
def fixed_room(rooms: Facts[PlannedRoom], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From lkdoctor.toml: a room with a fixed name gets its agent by the token alone. A token's agents are read only by the
    join that makes the room; whoever comes back within the departure time (20 s unless set), or while somebody else is
    there, brings no agent, and one that has left is not brought back (seen on 1.8.4 to 1.13.5; not claimed of LiveKit
    Cloud)."""
    plan = _plan.plan_of(evidence)
    for room in () if plan.cloud else rooms:
        lost = [
            one
            for name in dict.fromkeys(room.agents)
            if (one := plan.agent(name)) and one.ways and set(one.ways) <= TOKEN_WAYS
        ]
        if not room.name or room.made_by != "join" or not lost:
            continue
        names = words.listed(words.quoted(one.name) for one in lost)
        yield Finding(
            TOKEN_AGENTS_IGNORED,
            Subject("room", room=room.name),
            f"{words.marked(room.name)} has a fixed name and gets {names} by the token alone ({room.where}): the token is read only by "
            "the join that makes the room, so whoever comes back while it lives brings no agent.",
            Severity.WARNING,
            Confidence.HIGH,
            {"rooms": [room.name], "agents": [one.name for one in lost], "predicted": True},
            (room.place, *(one.place for one in lost[:3])),
            (
                Fix(
                    "Take a new room name for each session, or dispatch by the API",
                    steps=(
                        "Give each session a room of its own (`pattern` instead of `name`).",
                        "Or let the application call CreateDispatch when somebody joins a room without its agent.",
                    ),
                    verify=("`lkdoctor check .` finds nothing.",),
                ),
            ),
        )


@check(TOKEN_NO_AGENTS)
def token_without_planned_agent(
    agents: Facts[PlannedAgent], tokens: Tokens, evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """From lkdoctor.toml and sample tokens: the plan has agents that tokens ask for, and not one of the sample tokens names an
    agent, nor a room preset that may. Whoever joins with them gets the unnamed dispatch only, which no named worker
    takes."""
    del tokens
    planned = [one for one in agents if "token" in one.ways and one.name]
    plan = _plan.plan_of(evidence)
    version = _plan.version_of(plan, evidence) or None
    given = list(_tokens.readable(evidence))
    named = [one for one in given if entries(one.claims, version) or one.claims.get("roomPreset")]
    if not planned or not given or named:
        return
    for token in given:
        yield _tokens.finding(
            TOKEN_NO_AGENTS,
            token,
            f"names no agent, and {words.listed(words.quoted(one.name) for one in planned)} "
            f"{'is' if len(planned) == 1 else 'are'} planned to be asked for by the token ({planned[0].where}).",
            _tokens.inspect_again(
                "Name the agent in the token",
                f'Add `roomConfig: {{agents: [{{agentName: "{planned[0].name}"}}]}}` where the token is made.',
                f'Or dispatch it by the API, and say so: `dispatched_by = "api"` in {planned[0].where}.',
            ),
            severity=Severity.ERROR,
            agents=[one.name for one in planned],
        )


@check(THRESHOLD_ABOVE_LIMIT)
def planned_threshold(agents: Facts[PlannedAgent], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From lkdoctor.toml: the load threshold that it says the workers set is above the limit of the server's version, or
    above `agents.target_load`. The server refuses such a worker without a word while it calls itself available. LiveKit
    Cloud's limits are not known, and nothing is claimed of them."""
    plan = _plan.plan_of(evidence)
    for one in agents:
        threshold = one.threshold
        known = _plan.limits(plan, evidence)
        if threshold is not None and not plan.cloud and known and threshold > known[0][0]:
            yield _plan.above_limit(Subject("agent", agent_name=one.name), threshold, known, one.where, one.place)
