"""The API lists a dispatch: did a job come of it?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, Outcome, Room, Wanted
from lkdoctor.dispatch.worker_http import WorkerEndpoint
from lkdoctor.doctor.codes import NOT_ASSIGNED
from lkdoctor.doctor.evidence import Dispatches, Evidence, Listed, Rooms
from lkdoctor.doctor.finding import Confidence, Finding, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _endpoints as ends
from lkdoctor_checks import _listed as seen
from lkdoctor_checks import _words as words


@check(NOT_ASSIGNED)
def not_assigned(
    dispatches: Dispatches, rooms: Rooms, wanted: Wanted, listed: Listed, evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """The API lists a dispatch of this name, and no job came of it.

    ## What it means
    Somebody asked for the agent, and no worker took the job: the name is not served, every worker of it was too busy or
    said no, or the one that was asked did not answer. The API does not tell which, shows no worker, and the server does
    not try again.

    ## How it is decided
    ListDispatch shows the dispatch without a job, 8.5 s or more after it was made: a cold server takes 5.0 to 5.1 s to
    list a job, and an answer has 3 s (seen on 1.8.4 to 1.13.5). Surest when jobs of this name elsewhere are JT_ROOM
    jobs, or somebody in the room has published a track, so that no type of worker has a reason left to wait. Nobody in
    the room, and no job of the name to learn its type from: a worker for publishers or participants may rightly wait,
    and the finding is only a guess.

    ## How to fix
    Start (or mend) the worker of exactly this name, then dispatch once more; nothing is retried. For the cause give
    lkdoctor the server's log of that time.

    ## When it is not a problem
    A dispatch of a few seconds ago; the unnamed dispatch of a room that named no agent, which nobody need take; a
    dispatch that was taken back. Where jobs of the name are JT_PUBLISHER or JT_PARTICIPANT jobs and nobody has published
    or joined, it waits as it should.
    """
    del listed  # only API evidence can show this
    lives = {id(one): room for room in rooms for one in room.dispatches}
    types: dict[str, set[str]] = {}
    for one in dispatches.ended(Outcome.ASSIGNED):
        types.setdefault(one.agent_name, set()).update(launch.job_type for launch in one.launches if launch.job_id)
    sure: dict[int, Confidence] = {}
    for one in dispatches.ended(Outcome.NOT_ASSIGNED):
        room = lives.get(id(one))
        if words.wanted(one) and room is not None:
            confidence = _sure(one, room, types.get(one.agent_name, set()), wanted)
            if confidence is not None:
                sure[id(one)] = confidence
    for name, group in words.by_name(one for one in dispatches if id(one) in sure).items():
        first, last = words.when(group)
        best = max(sure[id(one)] for one in group)
        yield Finding(
            NOT_ASSIGNED,
            Subject("agent", agent_name=name),
            f"The API lists {words.counted(len(group), 'dispatch', 'dispatches')} of {words.quoted(name)} in "
            f"{words.rooms_of(group)} without a job: no worker took it, and the API does not say why."
            + _or_waits(best, known=bool(types.get(name)) or any(name in pair for pair in wanted.together))
            + ends.now(evidence.facts_of(WorkerEndpoint), name),
            NOT_ASSIGNED.severity,
            best,
            {
                "agent_name": name,
                "rooms": sorted({one.room for one in group})[:20],
                "dispatch_ids": [one.dispatch_id for one in group][:20],
                "job_types_elsewhere": sorted(types.get(name, ())),
            },
            words.spread(place for one in group for place in one.proof[-1:]),
            (seen.cause_fix(group), words.ask_again(group)),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _or_waits(best: Confidence, *, known: bool) -> str:
    """What else may be, for workers of which nothing shows for whom they come."""
    if best is Confidence.LOW:
        return " Or its workers wait for somebody to join or to publish."
    return (
        " Or its workers take publishers only: nobody has published." if best is Confidence.MEDIUM and not known else ""
    )


def _sure(dispatch: Dispatch, room: Room, types: set[str], wanted: Wanted) -> Confidence | None:
    """How sure it is that a job should have come; None when the dispatch waits for something."""
    if rules.JT_ROOM in types:
        return Confidence.HIGH
    people = [one for one in room.people if not one.dependent and seen.here(one)]
    published = any(one.listed[-1][1].tracks for one in people)
    if types:
        joined = rules.JT_PARTICIPANT in types and any(seen.stayed(room, one) >= rules.SETTLE for one in people)
        # A track may have been published a moment ago: listings do not say when.
        return Confidence.MEDIUM if joined or (rules.JT_PUBLISHER in types and published) else None
    if published:
        return Confidence.HIGH
    if people:
        return Confidence.MEDIUM
    # Agents raise no job of either type, so a partner that is to talk to an agent cannot be waiting for a person.
    partners = [group for group in wanted.together if dispatch.agent_name in group]
    if any(seen.agent_of(room, name) is not None for group in partners for name in group):
        return Confidence.MEDIUM
    return Confidence.LOW
