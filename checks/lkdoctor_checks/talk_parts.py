"""In a watched room: is each agent a participant of its own, with a role of its own?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import Wanted
from lkdoctor.dispatch.talks import HeardTrack, Presence, TalkRun, watches
from lkdoctor.doctor.codes import ROLE_COLLISION, SESSIONS_SHARE_PARTICIPANT
from lkdoctor.doctor.evidence import Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _talk as talk
from lkdoctor_checks import _words as words

OVERLAP = 1.0  # s for which two tracks stand side by side; one that replaces another comes and goes in less


@check(SESSIONS_SHARE_PARTICIPANT)
def sharing_in_talk(runs: Facts[TalkRun], people: Facts[Presence]) -> Iterator[Finding | Inconclusive]:
    """One agent participant in a watched room has two voices of the same name: two sessions on one room connection.

    ## What it means
    Two sessions on one room connection are one participant with two tracks. Both talk to the same user, and neither hears
    the other, as nobody hears oneself.

    ## How it is decided
    By `lkdoctor talk`: an agent had two audio tracks of one name and source at the same time. A session names its track
    `roomio_audio`, so two of them are two sessions (livekit-agents 1.8.9).

    ## How to fix
    Give each session a participant of its own: two names, two dispatches with a role each, or a second room connection with
    a token and identity of its own.

    ## When it is not a problem
    Background sound is a track of another name, and is left out.
    """
    for watch in watches(runs, people):
        for one in watch.agents:
            doubled = _doubled(one, watch.run.ended_at)
            if doubled:
                yield Finding(
                    SESSIONS_SHARE_PARTICIPANT,
                    talk.agent_subject(one),
                    f"{words.quoted(one.called)} is one participant with {doubled} voices in {words.marked(watch.run.room)}: "
                    "several sessions share one room connection, and none of them hears the other.",
                    SESSIONS_SHARE_PARTICIPANT.severity,
                    Confidence.MEDIUM,
                    {"agent_name": one.called, "tracks": doubled, "rooms": [watch.run.room]},
                    talk.proof(watch, [one]),
                    (
                        Fix(
                            "Give each session a participant of its own",
                            steps=(
                                "Two agents of two names: dispatch both into the room.",
                                "One worker, two dispatches: take the role from the job's metadata (`ctx.job.metadata`).",
                                (
                                    "One job: `second = rtc.Room(); await second.connect(url, token)` with a token of kind agent "
                                    "and an identity of its own, then `session.start(agent, room=second)`."
                                ),
                            ),
                            caveats=(
                                "To hear each other both sessions must accept agents (`participant_kinds`, LKD701).",
                            ),
                            verify=("`lkdoctor talk` shows two agents with one audio track each.",),
                        ),
                    ),
                    folds=talk.folds(watch.run.room, [one]),
                    first_at=one.began,
                    last_at=one.until or watch.run.ended_at,
                )


def _doubled(one: Presence, end: float) -> int:
    """How many audio tracks of one name it had at one moment; 0 when never two."""
    most = 0
    for track in one.audio:
        beside = [other for other in one.audio if _alike(track, other) and _overlap(track, other, end) >= OVERLAP]
        most = max(most, len(beside))
    return most if most > 1 else 0


def _alike(one: HeardTrack, other: HeardTrack) -> bool:
    return (one.name, one.source) == (other.name, other.source)


def _overlap(one: HeardTrack, other: HeardTrack, end: float) -> float:
    return min(one.until or end, other.until or end) - max(one.since, other.since)


@check(ROLE_COLLISION)
def same_role_in_talk(
    runs: Facts[TalkRun], people: Facts[Presence], wanted: Wanted
) -> Iterator[Finding | Inconclusive]:
    """Two agents in one room have the same role, where each should have its own.

    ## What it means
    A program that finds its role by looking around (how many participants are there, is a lock file there) races with its
    twin: both jobs look before either has joined, and both become the customer. Two customers have nothing to say to each
    other.

    ## How it is decided
    By `lkdoctor talk`: two agents were in the room at the same time, each with an identity of its own, and said the same
    role of themselves in a participant attribute called `role` (or one that ends in `.role`), while no person was there.

    ## How to fix
    Take the role from the dispatch: `CreateDispatch` with `metadata='{"role": "customer"}'`, in the job
    `json.loads(ctx.job.metadata)["role"]`. It needs no lock file, and no counting.

    ## When it is not a problem
    Several agents of one role beside people, such as two translators. Agents that tell no role in their attributes are not
    judged.
    """
    for watch in watches(runs, people):
        for group in talk.groups(watch, wanted):
            for role in sorted({one.role for one in group if one.role}):
                same = [one for one in group if one.role == role]
                if len({one.identity for one in same}) < 2 or not _together(same, watch.run.ended_at):
                    continue
                yield Finding(
                    ROLE_COLLISION,
                    talk.group_subject(same),
                    f"In {words.marked(watch.run.room)}, {words.listed(words.marked(one.identity) for one in same)} all took the "
                    f"role {words.marked(role)}.",
                    ROLE_COLLISION.severity,
                    Confidence.MEDIUM,
                    {
                        "role": role,
                        "identities": [one.identity for one in same][:20],
                        "rooms": [watch.run.room],
                    },
                    talk.proof(watch, same),
                    (role_from_metadata(),),
                    folds=talk.folds(watch.run.room, same),
                    count=1,
                    first_at=max(one.began for one in same),
                    last_at=watch.run.ended_at,
                )


def _together(group: list[Presence], end: float) -> bool:
    """Was there a moment at which all of them were in the room?"""
    return min(one.until or end for one in group) - max(one.since for one in group) > 0


def role_from_metadata() -> Fix:
    """What gives each agent its own role; for any evidence that shows two of one role."""
    return Fix(
        "Take the role from the dispatch, not from who is there",
        steps=(
            'Dispatch each with its own metadata: `CreateDispatch(room, agent_name, metadata=\'{"role": "customer"}\')`.',
            'In the job: `role = json.loads(ctx.job.metadata)["role"]`. No lock file, no counting of participants.',
        ),
        caveats=("Two dispatches of one agent name are fine: each gets its own job.",),
        verify=("Each agent tells another role in its attributes or its log.",),
    )
