"""A token names an agent and a room: does that room live already, without the agent?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Room
from lkdoctor.dispatch.token_claims import entries, granted, identity, text
from lkdoctor.doctor.codes import TOKEN_AGENTS_IGNORED
from lkdoctor.doctor.evidence import Evidence, Listed, Rooms, Tokens
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _tokens
from lkdoctor_checks import _words as words


@check(TOKEN_AGENTS_IGNORED)
def token_for_a_living_room(
    tokens: Tokens, rooms: Rooms, listed: Listed, evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """From the API with a token: the token names an agent and a room, and that room is open without any dispatch of that
    name. Whoever joins it with this token brings no agent. It is an error when the token's own identity is in the room
    already, and has been for 8 s or more; else it is worth knowing, for the room may close before the token is used."""
    del tokens
    for token in _tokens.readable(evidence):
        version = _tokens.version_of(token, evidence) or None
        name = text(granted(token.claims, "room", version))
        agents = list(dict.fromkeys(one.wanted.agent_name for one in entries(token.claims, version)))
        for room in seen.lives(rooms):
            if not name or room.name != name or room.dispatches_at is None:
                continue
            for agent in agents:
                if not agent or any(one.agent_name == agent for one in room.dispatches) or _may_be(room, agent):
                    continue
                who = identity(token.claims)
                waited = max((seen.stayed(room, one) for one in seen.waiting(room) if one.identity == who), default=0.0)
                used = waited >= rules.SETTLE
                yield Finding(
                    TOKEN_AGENTS_IGNORED,
                    Subject("agent", agent_name=agent),
                    f"The token asks for {words.quoted(agent)} in room {words.marked(name)}, which is open already without a "
                    f"dispatch of that name: its agents {'were' if used else 'would'} not {'' if used else 'be '}read"
                    + (f", and {words.marked(who)} waits there." if used else ", as long as this room lives."),
                    TOKEN_AGENTS_IGNORED.severity if used else Severity.INFO,
                    Confidence.MEDIUM,
                    {"agent_name": agent, "rooms": [name], "identities": [who] if used else []},
                    words.spread([token.place, *seen.listings(room)]),
                    (
                        Fix(
                            "Name the agent where the room is made, or dispatch it now",
                            steps=(
                                "Put `agents` into the CreateRoom call, or let the join with this token make the room.",
                                "For the room that is open, make a dispatch.",
                                "Or use a new room name for each session.",
                            ),
                            commands=(words.dispatch_command(name, agent),),
                            verify=(f"`lk dispatch list {words.shell(name)}` shows the name, and within 6 s a job.",),
                        ),
                    ),
                    folds=(Subject("dispatch", room=name, agent_name=agent),),
                    first_at=room.opened_at,
                    last_at=listed.sampled.last_at,
                )


def _may_be(room: Room, agent: str) -> bool:
    """An agent that is there, and that no listed dispatch accounts for, may be the one that is meant."""
    known = {id(one.participant) for one in room.dispatches}
    return any(
        id(one) not in known and one.listed[-1][1].attributes.get("lk.agent_name", agent) == agent
        for one in seen.agents_here(room)
    )
