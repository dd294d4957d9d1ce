"""In a watched room: does anybody begin, and is what is said understood?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.model import Wanted
from lkdoctor.dispatch.suspicions import partner_of, unheard
from lkdoctor.dispatch.talks import Presence, Spell, TalkRun, Watch, watches
from lkdoctor.dispatch.worker_model import WorkerJob
from lkdoctor.doctor.codes import NOBODY_SPEAKS_FIRST, NOT_UNDERSTOOD
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _talk as talk
from lkdoctor_checks import _words as words

SILENCE = 20.0  # s of all of them together; a model's first sentence takes a few
EARLY = 10.0  # s before the watch that an agent may have come: less than a greeting and its answer take
TWICE = 2  # spells of words: a single one may have been cut off, or fallen into the session's start


@check(NOBODY_SPEAKS_FIRST)
def nobody_speaks_first(
    runs: Facts[TalkRun], people: Facts[Presence], wanted: Wanted
) -> Iterator[Finding | Inconclusive]:
    """Agents are linked to each other, and each waits for the other to begin.

    ## What it means
    A session answers; by itself it says nothing. Two agents that both only listen stand in the room with their tracks
    published, in state `listening`, for ever.

    ## How it is decided
    By `lkdoctor talk`: every agent of the room has a session and an audio track, no person was there, and for 20 s from
    the last one's coming no track sounded, no agent was `thinking` or `speaking`, and no word was transcribed. It counts
    when the watch saw the last one come, or began at most 10 s later; agents that had been there for longer may have
    said all that they had to say, and are asked back.

    ## How to fix
    Let one of them begin, by role: `await session.say("…")` or `session.generate_reply(instructions="…")` right after
    `session.start()`, in one of the two only.

    ## When it is not a problem
    Agents that wait for a caller. An agent that begins later than 20 s after its partner came, on purpose.
    """
    for watch in watches(runs, people):
        for group in talk.groups(watch, wanted):
            last = max(one.began for one in group)
            silent = watch.run.ended_at - max(last, watch.run.started_at)
            if silent < SILENCE or not all(_waits(one) for one in group) or any(one.until for one in group):
                continue
            if last < watch.run.started_at - EARLY:
                yield Inconclusive(
                    talk.group_subject(group),
                    f"{talk.names(group)} are linked and silent in {words.marked(watch.run.room)} for {words.span(silent)}; "
                    "whether they spoke before the watch began, it cannot tell.",
                    talk.LONGER,
                    talk.proof(watch, group),
                )
                continue
            yield Finding(
                NOBODY_SPEAKS_FIRST,
                talk.group_subject(group),
                f"{talk.names(group)} listen to each other in {words.marked(watch.run.room)}, and in "
                f"{words.span(silent)} none of them said a word: each waits for the other to begin.",
                NOBODY_SPEAKS_FIRST.severity,
                Confidence.MEDIUM,
                {
                    "group": sorted({one.called for one in group}),
                    "rooms": [watch.run.room],
                    "seconds": round(silent, 1),
                },
                talk.proof(watch, group),
                (
                    Fix(
                        "Let one of them begin",
                        steps=(
                            (
                                "Right after `session.start()`, in one role only: `await session.say(…)`, or "
                                "`session.generate_reply(instructions=…)` with an LLM."
                            ),
                            "Take the role from the dispatch's metadata: `json.loads(ctx.job.metadata)`.",
                        ),
                        verify=(f"`lkdoctor talk {words.shell(watch.run.room)}` shows sound of both.",),
                    ),
                ),
                folds=talk.folds(watch.run.room, group),
                first_at=last,
                last_at=watch.run.ended_at,
            )


def _waits(one: Presence) -> bool:
    """Does it stand there with a session and a track, and nothing comes of it?"""
    linked = bool(one.states) and bool(one.audio) and not any(track.muted_now for track in one.audio)
    return linked and not one.sounded() and not one.was("thinking", "speaking") and not one.sayings


@check(NOT_UNDERSTOOD)
def not_understood(
    runs: Facts[TalkRun], people: Facts[Presence], evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """An agent is linked to somebody whose words sound, and nothing of them is ever understood.

    ## What it means
    Audio flows and the session listens, but no turn comes of it. Voice detection does not fire (its threshold is too
    high, its model does not take this voice for speech), speech recognition gives nothing, or the session's audio input
    is off.

    ## How it is decided
    By `lkdoctor talk`: the speaker's track sounded at least twice, each time for 0.3 s or more; the listener had a
    session and a track and nobody else to be linked to; and within 8 s of no word was there a transcript of it, nor did
    the listener turn to `thinking` or `speaking`. From outside these causes look alike, so without the worker's side it
    is asked back. It becomes a finding when the listener's own log says whom its session is linked to (`RoomIO linked to
    participant`). Seen with livekit-agents 1.8.9: a voice detection that no voice passes, and audio input off.

    ## How to fix
    Start the session without its voice detection (`vad=None`, with a streaming STT that ends turns itself), then with a
    lower `activation_threshold`; see that audio input is on, and what the STT's log says.

    ## When it is not a problem
    Music or noise before somebody speaks. A listener that is told to ignore what is said; one that answers without
    sending transcripts is seen answering, and is left out.
    """
    jobs = [job for run in evidence.worker_runs for job in run.jobs]
    for watch in watches(runs, people):
        for speaker in watch.people:
            for listener in watch.agents:
                if listener.identity == speaker.identity or partner_of(watch, listener) is not speaker:
                    continue
                spells = unheard(watch, speaker, listener)
                if len(spells) >= TWICE:
                    yield _not_understood(watch, speaker, listener, spells, jobs)


def _not_understood(
    watch: Watch, speaker: Presence, listener: Presence, spells: Sequence[Spell], jobs: Sequence[WorkerJob]
) -> Finding | Inconclusive:
    told = (
        f"{words.quoted(listener.called)} listens to {words.quoted(speaker.called)} in {words.marked(watch.run.room)}, whose "
        f"voice sounded {words.counted(len(spells), 'time')}, and it understood nothing"
    )
    linked = [job for job in jobs if _links(job, watch, speaker, listener)]
    if not linked:
        return Inconclusive(
            talk.agent_subject(listener),
            f"{told}: voice detection, speech recognition, or audio input that is off.",
            f"Add the log of its worker: `lkdoctor talk {words.shell(watch.run.room)} --worker-log FILE`; or start its session "
            "with `vad=None`, and watch again.",
            talk.proof(watch, [speaker, listener]),
        )
    return Finding(
        NOT_UNDERSTOOD,
        talk.agent_subject(listener),
        f"{told}, although its session is linked by its own log: voice detection, speech recognition or its audio input.",
        NOT_UNDERSTOOD.severity,
        Confidence.MEDIUM,
        {
            "agent_name": listener.called,
            "speaker": speaker.called,
            "rooms": [watch.run.room],
            "spells": len(spells),
            "loudest": max(spell.loudest for spell in spells),
        },
        words.spread((*talk.proof(watch, [speaker, listener]), *(job.proof[-1] for job in linked if job.proof))),
        (
            Fix(
                "Find out which step takes no speech",
                steps=(
                    "Start the session with `vad=None` and a streaming STT: when it understands then, it was voice detection.",
                    "Lower its threshold: `inference.VAD(activation_threshold=0.3)`, or `silero.VAD.load(…)` likewise.",
                    "See that `RoomOptions(audio_input=…)` is not False, and what the STT's plugin logs (a missing key, a language).",
                ),
                verify=(f"`lkdoctor talk {words.shell(watch.run.room)}` counts transcripts of the speaker.",),
            ),
        ),
        folds=talk.folds(watch.run.room, [listener]),
        count=1,
        first_at=spells[0].since,
        last_at=spells[-1].until,
    )


def _links(job: WorkerJob, watch: Watch, speaker: Presence, listener: Presence) -> bool:
    """Does the listener's own log say that this session listens to the speaker, here?"""
    mine = job.job_id == listener.job_id if listener.job_id else job.room == watch.run.room
    return mine and any(who == speaker.identity for _, who in job.linked)
