"""lkdoctor.toml against the project's files: do these start what the plan says?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.intentions import PlannedAgent
from lkdoctor.dispatch.plan import Plan, wishes_of
from lkdoctor.dispatch.project import Service
from lkdoctor.dispatch.settings import Setting
from lkdoctor.doctor.codes import EXPECTATION_UNMET
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words
from lkdoctor_checks.expected_workers import unserved
from lkdoctor_checks.foreseen import samples
from lkdoctor_checks.near_miss import nearest


@check(EXPECTATION_UNMET)
def planned_against_files(
    agents: Facts[PlannedAgent], settings: Facts[Setting], evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """From configuration files and lkdoctor.toml: a worker's program registers for another job type than the plan says,
    fewer workers of a name are started than planned, no service registers under a planned name, the service that the plan
    names is not there or has another agent name, or a service starts a worker under a name that no agent of the plan has.
    A name that nobody will serve, though somebody asks for it, is LKD202 or LKD301. Agents with `workers = 0` may be
    started by nothing in view."""
    del settings
    plan = _plan.plan_of(evidence)
    services = list(plan.project.workers())
    if not services:
        return
    asked = {one.name for one in (*wishes_of(plan), *samples(plan, evidence))}
    for agent in agents:
        yield from _one(agent, services, plan)
        served = any(one.agent_name.value == agent.name for one in services)  # by whom is the question then
        if not (agent.service or (agent.name in asked and not served) or agent.workers == 0):
            yield from unserved(agent.name, f"is planned ({agent.where})", plan, evidence, agent)
    known = {one.name for one in agents}
    for one in services:
        name = one.agent_name.value
        if name and name not in known and one.agent_name.sure and not _told_elsewhere(one, name, known, services):
            yield _unmet(
                Subject("env", agent_name=name, id=one.name),
                f"Service {one.name or one.first.file} registers as {words.quoted(name)} ({_plan.name_place(one)}), which is "
                "no agent of the plan.",
                f"Add [[agents]] with name = {words.quoted(name)} to lkdoctor.toml, or change the name.",
                one.agent_name.setting or one.first,
                severity=Severity.WARNING,
            )


def _told_elsewhere(one: Service, name: str, known: set[str], services: list[Service]) -> bool:
    """Is the odd name a slip of one that is planned and that nobody else serves, which is told there, or an override (LKD512)?"""
    own = one.text("code.agent_name")
    if one.agent_name.source == "override" and own and own != name:
        return True
    served = {each.agent_name.value for each in services}
    near = nearest(name, sorted(known - served))
    return near is not None


def _one(agent: PlannedAgent, services: list[Service], plan: Plan) -> Iterator[Finding]:
    subject = Subject("agent", agent_name=agent.name)
    mine = [one for one in services if one.agent_name.value == agent.name]
    for one in mine:
        said = one.get("code.type")
        if one.job_type is not None and one.job_type != agent.job_type:
            at = said or one.first
            yield _unmet(
                subject,
                f"{words.quoted(agent.name)} is planned to take {agent.job_type} ({agent.where}), and its program registers "
                f"for {one.job_type} ({at.where}).",
                f"Change the type in {at.where}, or `type` in {agent.where}.",
                at,
                agent,
            )
    counts = [one.replicas for one in mine]
    started = sum(one for one in counts if one is not None)
    if agent.workers is not None and mine and None not in counts and started < agent.workers:
        yield _unmet(
            subject,
            f"{agent.workers} workers of {words.quoted(agent.name)} are planned ({agent.where}), and the files start "
            f"{started} ({_plan.called(mine)}).",
            "Set `deploy: {replicas: …}` for the service, or change `workers`.",
            mine[0].get("replicas") or mine[0].first,
            agent,
        )
    if agent.service:
        named = next((one for one in plan.project.services if one.name == agent.service), None)
        if named is None:
            yield _unmet(
                subject,
                f"The plan has {words.quoted(agent.name)} run by service {agent.service} ({agent.where}), and no Compose file in "
                "view has a service of that name.",
                "Correct `service`, or name the Compose file on the command line.",
                agent,
            )
        elif named.agent_name.value not in {None, agent.name}:
            value = named.agent_name.value or ""
            yield _unmet(
                subject,
                f"The plan has {words.quoted(agent.name)} run by service {agent.service} ({agent.where}), which registers as "
                f"{words.quoted(value)} ({_plan.name_place(named)}).",
                f"Change the name in {_plan.name_place(named)}, or the plan.",
                named.agent_name.setting or named.first,
                agent,
            )


def _unmet(
    subject: Subject, message: str, step: str, *at: Setting | PlannedAgent, severity: Severity = Severity.ERROR
) -> Finding:
    return Finding(
        EXPECTATION_UNMET,
        subject,
        message,
        severity,
        Confidence.HIGH,
        {"agent_name": subject.agent_name},
        tuple(one.place for one in at),
        (Fix("Let plan and files say the same", steps=(step,), verify=("`lkdoctor check .` finds nothing.",)),),
    )
