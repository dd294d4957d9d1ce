"""Is the name served for a job type that its rooms can raise?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, Outcome, Room
from lkdoctor.doctor.codes import JOB_TYPE_MISMATCH
from lkdoctor.doctor.evidence import Dispatches, Rooms, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

MISSING = {
    rules.JT_PUBLISHER: "no person published a track",
    rules.JT_PARTICIPANT: "no person joined",
}


@check(JOB_TYPE_MISMATCH)
def job_type_mismatch(
    dispatches: Dispatches, workers: Workers, rooms: Rooms, runs: ServerRuns
) -> Iterator[Finding | Inconclusive]:
    """The name is served only for a job type that its room never raised.

    ## What it means
    The job type belongs to the worker, not to the dispatch. A JT_ROOM worker is asked when the room is made; a
    JT_PARTICIPANT worker at each person's join; a JT_PUBLISHER worker at each person's first audio or video track.
    Agents, egress and recorders never raise the last two. A publisher worker in a room of listeners is never asked.

    ## How it is decided
    All workers of the name register JT_PUBLISHER or JT_PARTICIPANT, and the room closed without the event that raises
    this type. On a server older than 1.8.4 nothing raises JT_PARTICIPANT at all (seen on 1.8.4 as the first that does),
    which is an error whether the room has closed or not.

    ## How to fix
    Register the worker as JT_ROOM, which is the default of every SDK: in Python leave `type` of `rtc_session`
    (or `worker_type` of WorkerOptions) out, in Node leave `serverType` out.

    ## When it is not a problem
    While the room is open the event may still come: waiting is normal, and not reported. A room in which no person ever
    was had nobody to miss the agent; it is not reported either, unless other agents were in it.
    """
    lives = words.rooms_by_id(rooms)
    never: list[Dispatch] = []
    unraised: list[Dispatch] = []
    for one in dispatches.ended(Outcome.WAITING):
        types = _types(workers, one.agent_name)
        run = words.run_of(runs, one.deciding, words.asked(one))
        version = run.version if run else None
        if not words.wanted(one) or not types or rules.JT_ROOM in types:
            continue
        if version and not set(types) & set(rules.raised_types(version)):
            never.append(one)
        elif _closed_unraised(lives.get(one.room_id)):
            unraised.append(one)
    for group_of, severity in ((never, Severity.ERROR), (unraised, Severity.WARNING)):
        for name, group in words.by_name(group_of).items():
            types = _types(workers, name)
            first, last = words.when(group)
            because = (
                f"this server never raises {words.listed(types)}"
                if severity is Severity.ERROR
                else f"{' and '.join(MISSING.get(each, f'nothing raised {each}') for each in types)} in {words.rooms_of(group)}"
            )
            yield Finding(
                JOB_TYPE_MISMATCH,
                Subject("agent", agent_name=name),
                f"{words.quoted(name)} is served only for {words.listed(types)}, and {because} "
                f"({words.counted(len(group), 'dispatch', 'dispatches')}).",
                severity,
                Confidence.HIGH if severity is Severity.ERROR else Confidence.MEDIUM,
                {"agent_name": name, "job_types": types, "rooms": sorted({one.room for one in group})[:20]},
                words.proof_of(group, workers.named(name)),
                (
                    Fix(
                        "Register the worker as JT_ROOM",
                        steps=(
                            "Python: leave `type` of `rtc_session` (`worker_type` of WorkerOptions) out. Node: leave `serverType` out.",
                            "Keep JT_PUBLISHER only where one agent per publishing person is wanted.",
                        ),
                        caveats=("A JT_ROOM agent comes once a room; a JT_PUBLISHER agent once a publisher.",),
                        verify=(f"`worker registered` with jobType JT_ROOM for {words.quoted(name)}.",),
                    ),
                ),
                folds=words.folds_of(group),
                count=len(group),
                first_at=first,
                last_at=last,
            )


def _types(workers: Workers, name: str) -> list[str]:
    """Job types under which the name registered."""
    return sorted({one.job_type for one in workers.named(name) if one.job_type})


def _closed_unraised(room: Room | None) -> bool:
    """Did the room close with somebody in it who could have missed the agent?"""
    if room is None or room.closed_at is None:
        return False
    return bool(room.people or room.agents)
