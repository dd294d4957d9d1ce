"""Did the two agents of each conversation of a batch understand each other?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.conversations import OK, Conversed
from lkdoctor.doctor.codes import CONVERSATION_FAILED
from lkdoctor.doctor.evidence import Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

MEANT = {
    "words-lost": "a word was said three times, and its echo never came",
    "wrong-word": "an agent heard what nobody had said",
    "not-finished": "it was not over in its time",
    "not-left": "the words went well, and a job did not end",
    "partner-missing": "one of the two waited for the other in vain",
    "no-audio-track": "an agent stood in the room without a track",
    "job-crashed": "a job ended in an exception",
    "not-assigned": "a job never began",
    "never-joined": "a job began, and its agent never came into the room",
    "server-refused": "the server did not make the room",
}
_NOT_ITS_FAULT = "interrupted"


@check(CONVERSATION_FAILED)
def conversation_failed(talks: Facts[Conversed]) -> Iterator[Finding | Inconclusive]:
    """Two agents of a batch of conversations did not understand each other.

    ## What it means
    `lkdoctor worker --conversations N` lets pairs of reference workers' agents talk in rooms of their own. Each word must be
    heard by the partner and come back as an echo, exactly. In these conversations something on the way did not work.

    ## How it is decided
    By the batch itself, from the marks of both jobs (`conversations.jsonl` of its case). The word in brackets is what
    failed; where it has a code of its own, that stands beside it. What the same case's worker logs and API exchanges prove
    (a crash, a job that was never assigned) is told by the code of that cause, with this one beneath.

    ## How to fix
    Follow the cause. Where only words were lost, audio did not arrive in time: the machine, or the network between worker
    and server, was too busy for so many conversations at once.

    ## When it is not a problem
    Conversations that Ctrl-C ended count for nothing. A word that was said again and then came back is no fault.
    """
    every = list(talks)
    failed: dict[str, list[Conversed]] = {}
    for one in every:
        if one.outcome not in (OK, _NOT_ITS_FAULT):
            failed.setdefault(one.outcome, []).append(one)
    for outcome, group in sorted(failed.items()):
        group.sort(key=lambda one: one.at)
        cause = group[0].cause
        reasons = words.listed((one.reason for one in group if one.reason), 2)
        yield Finding(
            CONVERSATION_FAILED,
            Subject("agent", id=outcome),
            f"{len(group)} of {words.counted(len(every), 'conversation')} failed: {MEANT.get(outcome, outcome)} "
            f"({outcome}{f', {cause}' if cause else ''}; {words.listed(words.marked(one.room) for one in group)})"
            + (f": {reasons}." if reasons else "."),
            CONVERSATION_FAILED.severity,
            Confidence.HIGH,
            {
                "outcome": outcome,
                "cause": cause,
                "conversations": len(every),
                "rooms": [one.room for one in group][:20],
                "reasons": sorted({one.reason for one in group if one.reason})[:20],
            },
            words.spread(one.place for one in group),
            (_fix(outcome, group),),
            folds=tuple(
                Subject("dispatch", room=one.room, agent_name=name)
                for one in group
                for name in one.blamed or one.agent_names
            ),
            count=len(group),
            first_at=group[0].at,
            last_at=group[-1].at,
        )


def _fix(outcome: str, group: Sequence[Conversed]) -> Fix:
    room = words.shell(group[-1].room)
    if outcome == "words-lost":
        return Fix(
            "Give the audio room",
            steps=(
                "Run fewer conversations at once: --parallel 1. If they then go well, CPU or network was short.",
                "Look at the CPU of the workers' and the server's machines during the batch.",
            ),
            verify=("The same batch with --parallel 1 has no `words-lost`.",),
        )
    if outcome == "not-finished":
        return Fix(
            "Give it more time, or less to say",
            steps=(
                "A word there and back takes about 2 s, more on a busy machine: raise --seconds, or lower --lines.",
                "If the agents never began to talk, see what both jobs did: the command.",
            ),
            commands=(f"lkdoctor why {room} CASE",),
            verify=("`lkdoctor worker --conversations 1` with the same options goes well.",),
        )
    return Fix(
        "See what both jobs did",
        steps=("The room's story has the dispatches, the jobs and what the workers' logs say of them.",),
        commands=(f"lkdoctor why {room} CASE",),
        verify=("`lkdoctor worker --conversations 1` with the same options goes well.",),
    )
