"""What the checks of intentions and configuration share: the plan of the evidence, and where to change a file."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.intentions import PlannedAgent, PlannedRoom, PlannedServer
from lkdoctor.dispatch.plan import Plan
from lkdoctor.dispatch.project import Service, project_of
from lkdoctor.dispatch.repairs import Repair, repairs_of
from lkdoctor.dispatch.rules import JOB_TYPES
from lkdoctor.dispatch.settings import NAME, Setting
from lkdoctor.dispatch.token_claims import SEEN
from lkdoctor.doctor.codes import THRESHOLD_ABOVE_LIMIT
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Subject
from lkdoctor_checks import _words as words

TYPES = dict(zip(JOB_TYPES, ("room", "participant", "publisher"), strict=True))


def plan_of(evidence: Evidence) -> Plan:
    """Everything that files say of what should be."""
    servers = evidence.facts_of(PlannedServer)
    return Plan(
        servers[0] if servers else None,
        evidence.facts_of(PlannedAgent),
        evidence.facts_of(PlannedRoom),
        project_of(evidence.facts_of(Setting)),
    )


def seen_version(evidence: Evidence) -> str:
    """The server's version by what was observed: the log, or what the server said to a probe; empty without."""
    found = {one.version for one in evidence.runs if one.version}
    if evidence.probes.server is not None and evidence.probes.server.version:
        found = {evidence.probes.server.version}
    return found.pop() if len(found) == 1 else ""


def version_of(plan: Plan, evidence: Evidence) -> str:
    """The one version to judge by: observed before written down; empty when none is known."""
    known = seen_version(evidence) or plan.version
    return known if rules.parse_version(known) else ""


def name_place(service: Service) -> str:
    """Where the service's agent name is to be changed, as `file:line:column`."""
    found = service.agent_name.setting or service.first
    return found.where


def repair_of(plan: Plan, service: Service) -> Repair | None:
    """What `lkdoctor fix` would do to the service by itself; None when it does nothing, or only says what stands against it."""
    return next((one for one in repairs_of(plan) if one.service == service.name and not one.blockers), None)


def set_name(plan: Plan, service: Service, name: str) -> Fix:
    """Give a service an agent name in the place that decides it."""
    repair = repair_of(plan, service)
    found = service.agent_name
    at = name_place(service)
    decides = found.setting or service.first
    variable = (
        found.setting.key.removeprefix("env.") if found.setting and found.setting.key.startswith("env.") else NAME
    )
    if found.source == "program":
        steps: tuple[str, ...] = (f'Change the agent name in {at} to "{name}".',)
    elif found.setting is not None:
        steps = (f"Set {variable}={name} in {at}.",)
    else:
        steps = (f"Set {NAME}={name} in the environment of service {service.name} ({at}).",)
    return Fix(
        f'Let service {service.name} register as "{name}"' if service.name else f'Register as "{name}"',
        steps=steps,
        commands=("lkdoctor fix --dry-run",)
        if repair is not None and repair.name == name and not decides.packed
        else (),
        caveats=(
            anew(service),
            *((words.NAME_VARIABLE,) if found.setting is None else ()),
        ),
        verify=("`lkdoctor check .` finds nothing; `worker registered` in the server's log shows the new name.",),
    )


def anew(service: Service) -> str:
    """How a changed environment gets into the worker: a program that no Compose file starts reads it at its start."""
    if service.get("service") is None:
        return "Start the worker anew: it reads its environment when it starts."
    return "Start it anew with `docker compose up -d --force-recreate`: a restart keeps the old environment."


def called(services: Iterable[Service]) -> str:
    """Services with their places: `agent (docker-compose.yml:12:5)`."""
    return ", ".join(f"{one.name or 'the program'} ({name_place(one)})" for one in services)


def limits(plan: Plan, evidence: Evidence) -> list[tuple[float, str]]:
    """The server's load limit with the version it is of, for the known version or for all that were run, newest first."""
    known = version_of(plan, evidence)
    found: list[tuple[float, str]] = []
    for version in (known,) if known else SEEN:
        rule = rules.headrooms(version)[-1]
        if rule.limit is not None:
            own = plan.target_load if rule.configurable else None
            found.append((rule.limit if own is None else own, version))
    return found


def above_limit(
    subject: Subject, threshold: float, known: list[tuple[float, str]], where: str, place: Place
) -> Finding:
    """LKD402 by what a program or the plan says."""
    over = [(limit, version) for limit, version in known if threshold > limit]
    versions = words.listed(f"{limit:g} on livekit-server {version}" for limit, version in over)
    shown = "infinite" if math.isinf(threshold) else f"{threshold:g}"
    return Finding(
        THRESHOLD_ABOVE_LIMIT,
        subject,
        f"The worker's load threshold is {shown} ({where}), and the server refuses it at {versions}: between the two it looks "
        "available and gets no job.",
        THRESHOLD_ABOVE_LIMIT.severity,
        Confidence.HIGH if len(over) == len(known) else Confidence.MEDIUM,
        {"threshold": shown, "limits": {version: limit for limit, version in known}},
        (place,),
        (
            Fix(
                "Set the worker's threshold to the server's limit or below",
                steps=(
                    f"Change it in {where} to {over[0][0]:g} or less: the worker's log then says when it is full.",
                    "Or raise `agents.target_load` in livekit.yaml (1.11.0 and later), where the machine can do more.",
                ),
                verify=("`lkdoctor check .` finds nothing.",),
            ),
        ),
    )
