"""Is a worker registered for which nobody ever asks?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import Coverage
from lkdoctor.doctor.codes import NEVER_ASKED
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(NEVER_ASKED)
def never_asked(
    dispatches: Dispatches, workers: Workers, runs: ServerRuns, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """A worker was registered under a name, other dispatches were made, and none for this name.

    ## What it means
    The worker is healthy and idle because nobody asks for it. A worker with a name gets nothing by itself: every room
    that wants it must name it. If it should have had jobs, look at what dispatches, not at the worker.

    ## How it is decided
    A named worker was open, in a log at level info; dispatches of other names, or unnamed ones, were made in that time; and none of this name, in any outcome, nor a token that names it. It is only worth knowing.

    ## How to fix
    Compare the name in the token, in CreateRoom, in the SIP rule or in CreateDispatch with the worker's. Case, blanks
    and hyphens count.

    ## When it is not a problem
    A standby, a night shift, a worker for a feature that nobody used today. In a log without any dispatch nothing is
    said, because nothing was asked for at all.
    """
    last = words.end_of(runs)
    if last is None or coverage.hides_info:
        return
    asked_for = {one.agent_name for one in dispatches}
    for name in workers.names():
        sessions = workers.named(name)
        if not name or name in asked_for or any(one.jobs or one.asked for one in sessions):
            continue
        lives = [
            ((one.registered_at if one.registered_at is not None else one.first_seen_at), one.closed_at or last)
            for one in sessions
        ]
        known = [(since, until) for since, until in lives if since is not None]
        if not known:
            continue
        there = words.Attendance(sessions)
        others = [one for one in dispatches if there.anybody(words.asked(one) or 0.0)]
        if not others:
            continue
        names = sorted({words.quoted(one.agent_name) for one in others})
        yield Finding(
            NEVER_ASKED,
            Subject("agent", agent_name=name),
            f"Nobody asked for {words.quoted(name)} while it was registered; "
            f"{words.counted(len(others), 'other dispatch', 'other dispatches')} went to {words.listed(names)}.",
            NEVER_ASKED.severity,
            Confidence.HIGH if not coverage.starts_late else Confidence.MEDIUM,
            {"agent_name": name, "worker_ids": [one.worker_id for one in sessions][:20], "asked_instead": names[:20]},
            words.spread(place for one in sessions for place in one.proof[:1]),
            (
                Fix(
                    f"If {words.quoted(name)} should have been asked, name it where rooms are made",
                    steps=("Put the name into the token's roomConfig.agents, CreateRoom's agents or CreateDispatch.",),
                    commands=(words.dispatch_command("ROOM", name),),
                    verify=("`assigned job to worker` with this agentName follows.",),
                ),
            ),
            count=len(sessions),
            first_at=min(since for since, _ in known),
            last_at=max(until for _, until in known),
        )
