"""An agent stands beside a person: does it publish audio?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import AgentParticipant, Dispatch, Room, Wanted
from lkdoctor.doctor.codes import NO_AUDIO_TRACK
from lkdoctor.doctor.evidence import Listed, Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _words as words

BESIDE = 20.0  # s beside a person: a session publishes within 5 s of its start, and a slow one starts late
Hit = tuple[Room, Dispatch, AgentParticipant, str]


@check(NO_AUDIO_TRACK)
def no_audio_track(rooms: Rooms, wanted: Wanted, listed: Listed) -> Iterator[Finding | Inconclusive]:
    """An agent that should speak has been beside a person for a while, and has no audio track.

    ## What it means
    An AgentSession publishes its track as soon as it has linked to somebody. Without one the session never started, it
    links to nobody in this room (another identity, another kind), its audio output is off, or it may not publish.

    ## How it is decided
    The agent is ACTIVE and has been there for 20 s with a visible person; no listing showed an audio track of it, nor
    the state `speaking`; and something shows that it should have one: agents of the same name publish audio in other
    rooms, or `--together` names it. Or it had a track, and has none now. A real default session (livekit-agents 1.8.9)
    listed its track within 2 s of a person's join.

    ## How to fix
    See which participant the session links to (`participant_identity`, `participant_kinds`), that `session.start()` is
    reached, that audio output is on, and that the worker's permissions allow publishing.

    ## When it is not a problem
    Agents that write, transcribe or watch publish nothing; an avatar's worker publishes on the agent's behalf. Without a
    sign that the agent should speak it is left open. An agent that is alone, or has just come, is not looked at.
    """
    del listed
    voices = {
        one.agent_name
        for room in rooms
        for one in room.dispatches
        if one.participant is not None and seen.audio_ever(one.participant)
    }
    paired = {name for group in wanted.together for name in group}
    hit: dict[str, list[Hit]] = {}
    silent: list[Dispatch] = []
    for room in seen.lives(rooms):
        for dispatch in room.dispatches:
            agent = dispatch.participant
            if agent is None or not _mute(room, agent):
                continue
            why = _why(dispatch.agent_name, agent, voices, paired)
            if why:
                hit.setdefault(dispatch.agent_name, []).append((room, dispatch, agent, why))
            elif seen.state(agent):
                silent.append(dispatch)
    for group in words.by_name(silent).values():
        yield seen.asked_back(
            group,
            "no audio track beside a person; whether it should speak, nothing shows.",
            "Fine if it only writes or listens. Else ask for it with `lkdoctor probe NAME`, or compare with a room where it speaks.",
        )
    for name, found in sorted(hit.items()):
        yield _finding(name, found)


def _mute(room: Room, agent: AgentParticipant) -> bool:
    """Is it there, beside a person for long enough, without audio, and nobody speaks for it?"""
    if not seen.here(agent) or not seen.active(agent) or seen.audio_now(agent) or seen.stayed(room, agent) < BESIDE:
        return False
    if seen.spoke(agent) and not seen.audio_ever(agent):
        return False  # it speaks in writing
    if any(one.listed and one.listed[-1][1].attributes.get(seen.BEHALF) == agent.identity for one in room.agents):
        return False
    return bool(seen.waiting(room, BESIDE))


def _why(name: str, agent: AgentParticipant, voices: set[str], paired: set[str]) -> str:
    """What shows that this agent should have a track; empty when nothing does."""
    if seen.audio_ever(agent):
        return "it had a track, and has none now"
    if name in voices:
        return "it publishes one in other rooms"
    return "it should talk to another agent" if name in paired else ""


def _finding(name: str, found: list[Hit]) -> Finding:
    agents = [agent for _, _, agent, _ in found]
    forbidden = [one for one in agents if not one.listed[-1][1].permission.can_publish]
    room = found[-1][0]
    states = sorted({seen.state(one) or "no session" for one in agents})
    return Finding(
        NO_AUDIO_TRACK,
        Subject("agent", agent_name=name),
        f"{words.quoted(name)} has no audio track in {words.listed(words.marked(each.name) for each, _, _, _ in found)}, "
        f"beside a person; {words.listed(why for _, _, _, why in found)}."
        + (" It may not publish: its worker's permissions forbid it." if forbidden else ""),
        NO_AUDIO_TRACK.severity,
        Confidence.MEDIUM,
        {
            "agent_name": name,
            "rooms": sorted({each.name for each, _, _, _ in found})[:20],
            "states": states,
            "may_publish": not forbidden,
        },
        words.spread(place for each, one, agent, _ in found for place in (*one.proof[-1:], *agent.proof[-1:])),
        (
            Fix(
                "Find out what the session waits for",
                steps=(
                    "`no session` or `initializing`: `session.start()` was not reached; read the worker's log for the job.",
                    "`listening`: it links to nobody here; see `participant_identity` and `participant_kinds`.",
                    "See that audio output is on (`RoomOptions(audio_output=…)`) and the worker may publish.",
                ),
                commands=(
                    f"lk room participants get --room {words.shell(room.name)} {words.shell(found[-1][2].identity)}",
                ),
                verify=("The agent lists a track of source MICROPHONE.",),
            ),
        ),
        folds=words.folds_of(one for _, one, _, _ in found),
        count=len(found),
        first_at=min((one.joined_at for one in agents if one.joined_at is not None), default=None),
        last_at=room.looked_at,
    )
