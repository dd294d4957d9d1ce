"""By the project's files: does a program set a threshold that the server does not honour, or report no load at all?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.addresses import on_cloud
from lkdoctor.dispatch.plan import Plan
from lkdoctor.dispatch.project import Service
from lkdoctor.dispatch.settings import Setting
from lkdoctor.doctor.codes import THRESHOLD_ABOVE_LIMIT, ZERO_LOAD
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words


@check(THRESHOLD_ABOVE_LIMIT)
def threshold_in_program(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files: the program sets a load threshold above the limit of the server's version (0.65 for 1.8,
    1 for 1.9 and 1.10, `agents.target_load`, 0.7 unless livekit.yaml says otherwise, from 1.11.0 on). Between the two the
    worker calls itself available and gets nothing. Mode `dev` alone, whose threshold is infinite, is left alone here, and so
    is a worker whose URL is LiveKit Cloud's, whose limits are not known."""
    del settings
    plan = _plan.plan_of(evidence)
    for one in plan.project.workers():
        found, threshold = one.get("code.load_threshold"), one.threshold
        if found is None or threshold is None or _hosted(one, plan):
            continue
        limits = _plan.limits(plan, evidence)
        if not any(threshold > limit for limit, _ in limits[:1]):
            continue
        name = one.agent_name.value
        yield _plan.above_limit(
            Subject("env", agent_name=name, id=one.name), threshold, limits, found.where, found.place
        )


@check(ZERO_LOAD)
def load_is_constant(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files: the program's load function returns a constant 0. With one worker of the name that is a
    cure for a load that is measured wrongly; with several the server can no longer tell the busy one from the idle one, and
    it is a warning. A worker whose URL is LiveKit Cloud's is left alone: how Cloud deals with its load is not known."""
    del settings
    plan = _plan.plan_of(evidence)
    workers, unclear = plan.workers()
    for one in plan.project.workers():
        found, name = one.get("code.load"), one.agent_name.value
        if found is None or one.load is None or one.load > 0 or _hosted(one, plan):
            continue
        rivals = sum(each.agent_name == name for each in workers) if name is not None and not unclear else 1
        yield Finding(
            ZERO_LOAD,
            Subject("env", agent_name=name, id=one.name),
            f"{f'Service {one.name}' if one.name else 'The program'} reports the load {one.load:g} whatever happens "
            f"({found.where})."
            + (
                f" {rivals} workers serve {words.quoted(name or '')}: the server cannot tell the busy one from the idle one."
                if rivals > 1
                else " With one worker of the name that does no harm; with several it hides which one is busy."
            ),
            Severity.WARNING if rivals > 1 else ZERO_LOAD.severity,
            Confidence.HIGH,
            {"agent_name": name, "load": one.load, "workers": rivals},
            (found.place,),
            (
                Fix(
                    "Report the load as it is",
                    steps=(
                        f"Take the load function out of {found.where}, or let it return jobs divided by the most that fit.",
                    ),
                    verify=("`lkdoctor load` shows a load that moves with the jobs.",),
                ),
            ),
        )


def _hosted(one: Service, plan: Plan) -> bool:
    return plan.cloud if one.url is None else on_cloud(one.url)
