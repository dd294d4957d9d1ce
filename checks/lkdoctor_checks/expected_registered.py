"""The user names agents that should be there (`--expect`): did any worker of the server's log register under the name?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import Coverage, Wanted
from lkdoctor.doctor.codes import EXPECTATION_UNMET
from lkdoctor.doctor.evidence import Evidence, Rooms, Workers
from lkdoctor.doctor.finding import Finding, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words
from lkdoctor_checks.expected_workers import expected, seen, unmet
from lkdoctor_checks.near_miss import nearest


@check(EXPECTATION_UNMET)
def expected_against_log(
    workers: Workers, wanted: Wanted, coverage: Coverage, evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """From the server's log: `--expect` names an agent, and in a complete log (from the server's start, at level info, of every
    node) no worker of that name ever registered, and no agent stood in a room as that role. Where the log or the API shows
    that somebody asked for it, LKD301 or LKD302 tells; where several workers without a name compete, LKD204; where the
    project's files show workers, these are judged."""
    plan = _plan.plan_of(evidence)
    if not coverage.complete or coverage.hides_info or coverage.sampled or any(plan.project.workers()):
        return
    names = list(expected(wanted, plan))
    if len(names) > 1 and len(workers.named("")) > 1 and not any(workers.named(one) for one in names):
        return  # workers without a name compete in their place: LKD204 says so
    for name in names:
        if seen(name, evidence) or any(one.agent_name == name for one in evidence.dispatches):
            continue
        if _came_as_role(name, evidence.rooms):
            continue  # one worker serves several roles, told apart by metadata: what is expected is what came
        there = [one for one in workers.names() if one]
        held = words.listed(words.quoted(one) for one in there) if there else "none with a name"
        near = nearest(name, there)
        meant = f" Is {words.quoted(near[0])} meant?" if near is not None else ""
        proof = [place for one in workers if one.agent_name is not None for place in one.proof[:1]]
        yield unmet(
            name,
            f"{words.quoted(name)} is expected (`--expect`), and no worker of that name ever registered; there were {held}.{meant}",
            f"Start the worker of {words.quoted(name)}, or correct `--expect`.",
            tuple(proof or [place for run in evidence.runs for place in run.proof[:1]]),
        )


def _came_as_role(name: str, rooms: Rooms) -> bool:
    """Did an agent stand in a room under this name, as `driver` or `driver-AJ_…`? lkdoctor's worker calls a role so."""
    return any(one.identity == name or one.identity.startswith(f"{name}-") for room in rooms for one in room.agents)
