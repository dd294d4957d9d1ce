"""Nothing runs yet, and no file shows a worker: will the server bring each agent that lkdoctor.toml plans?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.intentions import PlannedAgent
from lkdoctor.dispatch.model import Wanted
from lkdoctor.dispatch.settings import Setting
from lkdoctor.doctor.codes import EXPECTATION_UNMET
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Finding, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks.expected_workers import expected, unserved
from lkdoctor_checks.foreseen import foresees, judge


@foresees
def foreseen_by_intentions(agents: Facts[PlannedAgent], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From lkdoctor.toml alone: the workers are those that it says there will be, and every way that it says an agent is asked
    for is played against them by the server's rules. A token whose agents nobody would read, a type that no room raises,
    and a limit of 0 show here, before anything runs."""
    plan = _plan.plan_of(evidence)
    if agents.all and not any(plan.project.workers()):
        yield from judge(plan, evidence)


@check(EXPECTATION_UNMET)
def expected_against_intentions(
    agents: Facts[PlannedAgent], wanted: Wanted, evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """From lkdoctor.toml alone: whether `--expect` names an agent that it does not have stays open, as no file in view starts
    a worker."""
    if agents.all and not evidence.facts_of(Setting):
        plan = _plan.plan_of(evidence)
        for name in expected(wanted, plan):
            yield from unserved(name, "is expected (`--expect`)", plan, evidence)
