"""The user names agents that should be there (`--expect`): does any worker of the project have the name?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.intentions import PlannedAgent
from lkdoctor.dispatch.model import Wanted
from lkdoctor.dispatch.plan import Plan
from lkdoctor.dispatch.project import Service
from lkdoctor.dispatch.settings import Setting
from lkdoctor.doctor.codes import EXPECTATION_UNMET
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words
from lkdoctor_checks.near_miss import nearest

RUNNING = frozenset(
    {"server_log", "api", "worker_log", "worker_http", "probe", "docker", "host", "talk"}
)  # kinds of source that may show a worker


@check(EXPECTATION_UNMET)
def expected_against_files(
    settings: Facts[Setting], wanted: Wanted, evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """From configuration files: `--expect` names an agent, and every worker that the files start registers under another name.
    It is open where the name of one of them is not known, where no file shows a worker, and where
    nothing but a variable does: a backend that makes tokens has the same. Nothing is said of a name that
    a log shows at work, and a name that lkdoctor.toml has, too, is judged by what stands there."""
    del settings
    plan = _plan.plan_of(evidence)
    for name in expected(wanted, plan):
        yield from unserved(name, "is expected (`--expect`)", plan, evidence)


def unserved(
    name: str, why: str, plan: Plan, evidence: Evidence, planned: PlannedAgent | None = None
) -> Iterator[Finding | Inconclusive]:
    """LKD515 for a name that no worker of the project's files has; `why` says who names it: "is planned (…)"."""
    services = list(plan.project.workers())
    if not name or seen(name, evidence):
        return
    subject = Subject("agent", agent_name=name)
    mine = [one for one in services if one.agent_name.value == name]
    if mine:
        yield from _by_variable(subject, why, mine, planned)
        return
    unclear = [*(one for one in services if one.agent_name.value is None), *plan.project.unseen()]
    if unclear:
        yield Inconclusive(
            subject,
            f"{words.quoted(name)} {why}, and whether a worker registers under it is open: the agent name of "
            f"{words.listed(one.name or one.first.file for one in unclear)} is not known ({unclear[0].agent_name.why or 'its program is not in view'}).",
            "Set LIVEKIT_AGENT_NAME in the service's environment, or check the running system with --url.",
            weighs=planned is None,  # the user asked for this very answer
        )
        return
    if not services:
        if not any(one.kind in RUNNING for one in evidence.sources if not one.unusable):
            yield Inconclusive(
                subject,
                f"{words.quoted(name)} {why}, and no file in view starts a worker.",
                "Name the Compose file that starts it, or the server's log.",
                weighs=planned is None,
            )
        return
    stopped = [one for one in plan.project.services if one.is_worker and one.agent_name.value == name]
    near = nearest(name, [one.agent_name.value for one in services if one.agent_name.value])
    meant = [one for one in services if near is not None and one.agent_name.value == near[0]]
    if stopped:
        told, at = f"its service {_plan.called(stopped)} is started with no replica", stopped
    else:
        told, at = "no worker of the project's files registers under it", meant or services
    unsure = any(not one.agent_name.sure for one in services)
    yield unmet(
        name,
        f"{words.quoted(name)} {why}, and {told}; they register as {_named(services)}."
        + (f" Names are compared letter for letter: is {words.quoted(near[0])} meant?" if near is not None else ""),
        f"Let a service register as {words.quoted(name)}, or correct the name where it is expected.",
        words.spread(
            [
                *(() if planned is None else (planned.place,)),
                *((one.agent_name.setting or one.first).place for one in at),
            ]
        ),
        Confidence.MEDIUM if unsure else Confidence.HIGH,
    )


def _by_variable(
    subject: Subject, why: str, mine: list[Service], planned: PlannedAgent | None
) -> Iterator[Inconclusive]:
    """Nothing but a variable says that these serve the name, and who makes tokens for it has the same one."""
    name = words.quoted(subject.agent_name or "")
    if any(one.is_shown for one in mine):
        return
    web = [one.get("serves") for one in mine]
    told = next((f"{one.value} ({one.where}) answers requests of the web" for one in web if one is not None), "")
    yield Inconclusive(
        subject,
        f"{name} {why}, and only an environment has it: {_plan.called(mine)}. Whether that is a worker or a backend that "
        f"makes tokens for one is open: {told or 'its program is not in view'}.",
        "Name its command in the Compose file (`command: … start`), say in lkdoctor.toml which `service` runs the agent, or check "
        "the running system with --docker or --url.",
        words.spread((one.agent_name.setting or one.first).place for one in mine),
        weighs=planned is None,
    )


def expected(wanted: Wanted, plan: Plan) -> list[str]:
    """The names of `--expect`; those of lkdoctor.toml are held against files and log by what it says of them."""
    return [one for one in dict.fromkeys(wanted.agents) if one and plan.agent(one) is None]


def seen(name: str, evidence: Evidence) -> bool:
    """Does anything that runs have the name?"""
    return bool(evidence.workers.named(name)) or any(one.agent_name == name for one in evidence.worker_runs)


def _named(services: list[Service]) -> str:
    return words.listed(f"{words.quoted(one.agent_name.value or '')} ({_plan.name_place(one)})" for one in services)


def unmet(
    name: str, message: str, step: str, proof: tuple[Place, ...], confidence: Confidence = Confidence.HIGH
) -> Finding:
    """LKD515 for a name that nothing in view serves."""
    return Finding(
        EXPECTATION_UNMET,
        Subject("agent", agent_name=name),
        message,
        Severity.ERROR,
        confidence,
        {"agent_name": name},
        proof,
        (Fix("Let plan and workers say the same", steps=(step,), verify=("`lkdoctor check .` finds nothing.",)),),
    )
