"""In a watched room: does each agent run a session, listen to the others, and publish what it says?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import Wanted
from lkdoctor.dispatch.suspicions import SETTLED, links_nobody, mute, starts_nothing, writes_only
from lkdoctor.dispatch.talks import Presence, TalkRun, Watch, watches
from lkdoctor.doctor.codes import DEAF_AGENTS, NO_AUDIO_TRACK, WAITS_FOR_A_PERSON
from lkdoctor.doctor.evidence import Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _talk as talk
from lkdoctor_checks import _words as words
from lkdoctor_checks.agents_together import accept_agents

BEFORE = 5.0  # s without a session before the person came: what starts at once would have started
AFTER = 10.0  # s after the person came in which a session that waited for one starts


@check(DEAF_AGENTS)
def deaf_in_talk(runs: Facts[TalkRun], people: Facts[Presence], wanted: Wanted) -> Iterator[Finding | Inconclusive]:
    """Agents in a watched room run their sessions, and listen to nobody there.

    ## What it means
    A session links to people unless it is told otherwise. Among agents alone it links to nobody, publishes no track, hears
    nothing and says nothing, though its job is running.

    ## How it is decided
    By `lkdoctor talk`: the agent was watched for 15 s in a room where another agent stood and no person; its session ran
    (`lk.agent.state` was set), it had no audio track at any moment, was never `speaking`, and wrote no word. A session
    publishes its track when it links to somebody (livekit-agents 1.8.9, with every kind of option; @livekit/agents 1.9.0), so
    this one did not.

    ## How to fix
    Start both sessions with `participant_kinds` that hold PARTICIPANT_KIND_AGENT (Node: `participantKinds` with AGENT). The
    partner's identity alone does not do it: a session told so waits for that identity among people, and stays deaf (seen).

    ## When it is not a problem
    Agents that wait for a caller, watched before the caller came: watch them during the call, or leave this out
    (`--ignore LKD701`). Agents that write are seen speaking, and are left out.
    """
    for watch in watches(runs, people):
        for group in talk.groups(watch, wanted):
            deaf = [one for one in group if links_nobody(one) and watch.stayed(one) >= SETTLED]
            if not deaf:
                continue
            everyone = len({one.identity for one in deaf}) == len({one.identity for one in group})
            yield Finding(
                DEAF_AGENTS,
                talk.group_subject(group),
                f"{talk.names(group)} stand in {words.marked(watch.run.room)} without a person, and "
                f"{'none of them' if everyone else f'{talk.names(deaf)} never'} published a track or spoke: "
                f"{'they accept' if len(deaf) > 1 else 'it accepts'} people only, not agents.",
                DEAF_AGENTS.severity,
                Confidence.MEDIUM,
                {
                    "group": sorted({one.called for one in group}),
                    "deaf": sorted({one.called for one in deaf}),
                    "rooms": [watch.run.room],
                    "seconds": round(min(watch.stayed(one) for one in deaf), 1),
                },
                talk.proof(watch, group),
                (accept_agents(watch.run.room),),
                folds=talk.folds(watch.run.room, deaf),
                first_at=min(one.began for one in group),
                last_at=watch.run.ended_at,
            )


@check(NO_AUDIO_TRACK)
def mute_in_talk(runs: Facts[TalkRun], people: Facts[Presence]) -> Iterator[Finding | Inconclusive]:
    """An agent in a watched room speaks, by its own word, and its voice cannot be heard.

    ## What it means
    The session works and its words exist as text, but no sound of them is in the room, so nobody answers.

    ## How it is decided
    By `lkdoctor talk`: its `lk.agent.state` was `speaking`, or it sent transcripts of its own words, and either it had no
    audio track while another participant did have one (audio output is off), or its track was muted or carried digital
    silence throughout.

    ## How to fix
    See that audio output is on and a TTS is set; where the track is silent, the TTS's errors stand in the worker's log; where
    it is muted, find out who muted it.

    ## When it is not a problem
    A room in which everybody writes: without any audio track nothing is said.
    """
    for watch in watches(runs, people):
        voices = any(one.audio for one in watch.people)
        for one in watch.agents:
            if not (mute(one) or (voices and writes_only(one))):
                continue
            muted = any(track.muted_now for track in one.audio)
            how = (
                "published no audio track: its audio output is off"
                if not one.audio
                else f"its track {'was muted' if muted else 'carried silence'}"
            )
            yield Finding(
                NO_AUDIO_TRACK,
                talk.agent_subject(one),
                f"{words.quoted(one.called)} spoke in {words.marked(watch.run.room)}, by its own state, and {how}.",
                NO_AUDIO_TRACK.severity,
                Confidence.MEDIUM,
                {
                    "agent_name": one.called,
                    "rooms": [watch.run.room],
                    "states": sorted({state for _, state in one.states}),
                    "tracks": len(one.audio),
                    "muted": muted,
                },
                talk.proof(watch, [one]),
                (
                    Fix(
                        "Let the agent's voice into its track",
                        steps=(
                            "See that audio output is on: `RoomOptions(audio_output=…)` is not False, and a TTS is set.",
                            "With a track that is silent: the TTS gave no sound; its errors stand in the worker's log.",
                            "With a muted track: something muted it (`track_muted`, MutePublishedTrack of the server's API).",
                        ),
                        verify=(f"`lkdoctor talk {words.shell(watch.run.room)}` shows sound in its track.",),
                    ),
                ),
                folds=talk.folds(watch.run.room, [one]),
                first_at=one.began,
                last_at=one.until or watch.run.ended_at,
            )


@check(WAITS_FOR_A_PERSON)
def waits_in_talk(runs: Facts[TalkRun], people: Facts[Presence], wanted: Wanted) -> Iterator[Finding | Inconclusive]:
    """An agent starts its session only when a person is there; among agents it waits for ever.

    ## What it means
    `await ctx.wait_for_participant()` returns when a *person* is there (participants of kind STANDARD, SIP or CONNECTOR),
    unless it is told another kind. In a room of agents nobody comes whom it would take, and what stands below it in the
    entrypoint is never reached: no session, no track, no `lk.agent.state`.

    ## How it is decided
    By `lkdoctor talk`: no session of the agent showed for 5 s or more, then a person came, and within 10 s its session
    began. Where no person came during the watch, an agent without a session is named and left open: it may wait, still be
    starting, or run no AgentSession at all.

    ## How to fix
    Leave the wait out, or name whom to wait for: `wait_for_participant(kind=[rtc.ParticipantKind.PARTICIPANT_KIND_AGENT])`,
    best with the partner's `identity`. The session, too, must accept agents (LKD701).

    ## When it is not a problem
    An agent that serves callers does right to wait for one. Nothing is reported in a room without a second agent.
    """
    for watch in watches(runs, people):
        if len({one.identity for one in watch.agents}) < 2:
            continue
        for one in watch.agents:
            person = _waited(watch, one)
            if person is not None:
                yield _waits(watch, one, person)
        for group in talk.groups(watch, wanted):
            for one in group:
                if starts_nothing(one) and watch.stayed(one) >= SETTLED and not watch.persons:
                    yield Inconclusive(
                        talk.agent_subject(one),
                        f"{words.quoted(one.called)} is in {words.marked(watch.run.room)} and no session of it began: it waits "
                        "for a person, is still starting, or runs no AgentSession.",
                        "Look for `wait_for_participant` in its entrypoint (`lkdoctor check` reads a program that it is given), "
                        "add its worker's log, or watch while a person joins.",
                        talk.proof(watch, [one]),
                    )


def _waited(watch: Watch, one: Presence) -> Presence | None:
    """The person whose coming the session waited for."""
    if not one.states:
        return None
    began = one.states[0][0]
    for person in watch.persons:
        # Seen from the start of the watch: how long it had been without a session before is not known.
        waited = person.since - max(one.since, watch.run.started_at)
        if waited >= BEFORE and 0 <= began - person.since <= AFTER:
            return person
    return None


def _waits(watch: Watch, one: Presence, person: Presence) -> Finding:
    waited = person.since - max(one.since, watch.run.started_at)
    return Finding(
        WAITS_FOR_A_PERSON,
        talk.agent_subject(one),
        f"{words.quoted(one.called)} had no session for {words.span(waited)} in {words.marked(watch.run.room)}, beside another "
        f"agent; it began {words.span(one.states[0][0] - person.since)} after {words.marked(person.identity)} had come: it waits "
        "for a person.",
        WAITS_FOR_A_PERSON.severity,
        Confidence.MEDIUM,
        {"agent_name": one.called, "rooms": [watch.run.room], "waited": round(waited, 1)},
        talk.proof(watch, [one, person]),
        (wait_for_agent(),),
        folds=talk.folds(watch.run.room, [one]),
        first_at=one.began,
        last_at=one.states[0][0],
    )


def wait_for_agent() -> Fix:
    """What lets an agent start among agents; for any evidence that shows it waiting."""
    return Fix(
        "Do not wait for a person where an agent is the partner",
        steps=(
            (
                "Leave `wait_for_participant()` out: a session that accepts agents (`participant_kinds`, LKD701) waits for its partner "
                "by itself. In Node this is the only way: its `waitForParticipant` never takes an agent."
            ),
            (
                "Or name the kind: `await ctx.wait_for_participant(identity=PARTNER, kind=[rtc.ParticipantKind."
                "PARTICIPANT_KIND_AGENT])`."
            ),
        ),
        verify=("In a room with the other agent alone, both publish an audio track within seconds.",),
    )
