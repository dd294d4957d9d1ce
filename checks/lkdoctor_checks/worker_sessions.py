"""Do two sessions share one room connection?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.doctor.codes import SESSIONS_SHARE_PARTICIPANT
from lkdoctor.doctor.evidence import WorkerRuns
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks import _worker_words as told


@check(SESSIONS_SHARE_PARTICIPANT)
def sessions_share_participant(runs: WorkerRuns) -> Iterator[Finding | Inconclusive]:
    """Two sessions were started on one room connection: one participant with two voices, and neither hears the other.

    ## What it means
    `AgentSession.start(room=ctx.room)` twice in one job gives one agent participant with two audio tracks of the same
    name. Both sessions link to the same user and both speak; a session only hears other participants, so the two never
    hear each other.

    ## How it is decided
    The second start warns in the worker's log: `pre-connect audio handler … already registered, ignoring` and `text
    stream handler for topic 'lk.chat' already set, ignoring`; at info level two `RoomIO linked to participant` of one job
    stand beside them. Seen with livekit-agents 1.8.9.

    ## How to fix
    Two dispatches, with two agent names or with roles in their metadata: each job has a room connection and an identity
    of its own. Or, in one job, connect a second `rtc.Room` with a token of its own and give it to the second session.

    ## When it is not a problem
    A program that sets a text handler of its own gets the second warning alone; that is not reported. One session that
    is closed before the next one starts does not warn.
    """
    sharing = [job for job in runs.jobs() if any("pre-connect" in text for text in job.shared.values())]
    for name, group in told.by_name(sharing).items():
        first, last = told.when(group)
        both = all(len(job.linked) > 1 or len(job.shared) > 1 for job in group)
        yield Finding(
            SESSIONS_SHARE_PARTICIPANT,
            Subject("agent", agent_name=name),
            f"A job of {words.quoted(name)} started a second session on the room connection of the first "
            f"({told.hit(group)}): they are one participant with two voices, and neither hears the other.",
            SESSIONS_SHARE_PARTICIPANT.severity,
            Confidence.HIGH if both else Confidence.MEDIUM,
            {
                "agent_name": name,
                "job_ids": [one.job_id for one in group][:20],
                "linked": sorted({who for one in group for _, who in one.linked if who})[:20],
            },
            words.spread(place for one in group for place in (*one.shared, *one.proof[:1])),
            (
                Fix(
                    "Give each session a participant of its own",
                    steps=(
                        "Two agents of two names: dispatch both into the room.",
                        "One worker, two dispatches: take the role from the job's metadata (`ctx.job.metadata`).",
                        (
                            "One job: `second = rtc.Room(); await second.connect(url, token)` with a token of kind agent and "
                            "an identity of its own, then `session.start(agent, room=second)`: `second_connection` in "
                            "docs/worker.md, shape c."
                        ),
                        "The command lets two such agents of the reference worker talk to each other on this server.",
                    ),
                    commands=("lkdoctor worker --conversations 1 --shape c",),
                    caveats=("To hear each other both sessions must accept agents (`participant_kinds`, LKD701).",),
                    verify=(
                        "ListParticipants shows two participants of kind AGENT; the worker's log has no such warning.",
                    ),
                ),
            ),
            folds=told.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )
