"""Did an agent's session close with the person it listened to, while the agent stayed in the room?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import Dispatch
from lkdoctor.dispatch.talks import Presence, TalkRun, watches
from lkdoctor.dispatch.worker_model import WorkerJob
from lkdoctor.doctor.codes import DEAF_AFTER_USER_LEFT
from lkdoctor.doctor.evidence import Evidence, WorkerRuns
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks import _worker_words as told

STAYS = 25.0  # s: a room that the last person leaves closes after 20 s by default, and the job ends with it


@check(DEAF_AFTER_USER_LEFT)
def deaf_after_user_left(runs: WorkerRuns, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The person whom an agent listened to left, its session closed, and the agent stays in the room, deaf and silent.

    ## What it means
    A session ends with the participant that it is linked to (`close_on_disconnect`, on by default). The job goes on, and
    so does its participant: still there, its track still published, `lk.agent.state` still `listening`. Somebody else in
    the room, or the same person who comes back while the room lives, talks to nobody.

    ## How it is decided
    The worker's log says `closing agent session due to participant disconnect` for a job, and no session of that job
    linked to anybody after it. The job was still there 25 s later: by the worker's own later lines without its end, by the
    server's log or listings in which its participant had not left, or by a watch of the room. A room that the last person
    left closes 20 s after, by default, and ends the job, so somebody kept it open. Seen with livekit-agents 1.8.9.

    ## How to fix
    End the job with the session: `session.on("close", lambda _: ctx.shutdown("session closed"))`; `delete_room_on_close`
    ends the room as well, for all who are in it. Or keep the session: `RoomOptions(close_on_disconnect=False)`; it hears
    the person again under the same identity, and anybody else after `session.room_io.set_participant(…)`.

    ## When it is not a problem
    An agent that is to wait in the room for the person's return, with `departure_timeout` set longer on purpose, and links
    anew then. A job that ends within 25 s.
    """
    found: dict[str, list[tuple[WorkerJob, float, tuple[Place, ...], bool]]] = {}
    for job in runs.jobs():
        closed = job.session_closed_at
        if closed is None or job.exiting_at is not None or job.crashed or _linked_again(job, closed):
            continue
        later, proof, others = _later(job, evidence)
        if later is not None and later - closed >= STAYS:
            found.setdefault(job.name, []).append((job, later - closed, proof, others))
    for name, group in sorted(found.items()):
        jobs = [job for job, _, _, _ in group]
        first, last = told.when(jobs)
        yield Finding(
            DEAF_AFTER_USER_LEFT,
            Subject("agent", agent_name=name),
            f"{words.listed(words.marked(job.left_by) for job in jobs if job.left_by) or 'Whom it listened to'} left, the session "
            f"of {words.quoted(name)} closed, and the agent was still in the room {words.between(one for _, one, _, _ in group)} "
            f"later, deaf and silent ({told.hit(jobs)}).",
            DEAF_AFTER_USER_LEFT.severity,
            Confidence.HIGH if any(others for _, _, _, others in group) else Confidence.MEDIUM,
            {
                "agent_name": name,
                "job_ids": [job.job_id for job in jobs][:20],
                "left": sorted({job.left_by for job in jobs if job.left_by})[:20],
                "seconds": [round(one, 1) for _, one, _, _ in group][:20],
                "rooms": sorted({job.room for job in jobs if job.room})[:20],
            },
            words.spread(place for job, _, proof, _ in group for place in (*job.proof[-1:], *proof)),
            (
                Fix(
                    "Let the job end with its session",
                    steps=(
                        'In the entrypoint: `session.on("close", lambda _: ctx.shutdown("the session is over"))` (Node: `() => …`).',
                        (
                            "Or keep the session when its person leaves: `RoomOptions(close_on_disconnect=False)` (Node: `inputOptions: { closeOnDisconnect: false }`); it hears "
                            "them again when they come back with the same identity."
                        ),
                        "An agent for several people needs one session for each, or a link that is set anew.",
                    ),
                    verify=(
                        "After the person has left, the agent's participant is gone, or answers whoever is there.",
                    ),
                ),
            ),
            folds=told.folds_of(jobs),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _linked_again(job: WorkerJob, closed: float) -> bool:
    return any(at is not None and at > closed for at, _ in job.linked)


def _later(job: WorkerJob, evidence: Evidence) -> tuple[float | None, tuple[Place, ...], bool]:
    """Until when the job's agent was seen in the room; by what; and whether somebody besides the worker saw it.

    The worker's own times count only against each other when its clock is not known.
    """
    own = job.run.last_at
    if not job.run.dated:
        return own, (), False
    best: tuple[float | None, tuple[Place, ...], bool] = (own, (), False)
    log_end = words.end_of(evidence.runs)
    for dispatch in evidence.dispatches:
        if not any(launch.worker_side is job for launch in dispatch.launches):
            continue
        seen = _seen_until(dispatch, log_end)
        if seen is not None and seen >= (best[0] or 0.0):
            best = (seen, tuple(dispatch.proof[-1:]), True)
    for watch in watches(evidence.facts_of(TalkRun), evidence.facts_of(Presence)):
        for one in watch.agents:
            seen = one.until or watch.run.ended_at
            if one.job_id == job.job_id and seen >= (best[0] or 0.0):
                best = (seen, (one.place,), True)
    return best


def _seen_until(dispatch: Dispatch, log_end: float | None) -> float | None:
    """Until when the dispatch's participant was in the room, by the server."""
    one = dispatch.participant
    if one is None:
        return None
    if one.left_at is not None:
        return one.left_at
    if dispatch.room_closed:
        return None
    if one.listed:
        return one.listed[-1][0] if one.gone_by is None else None
    return log_end
