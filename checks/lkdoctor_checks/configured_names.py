"""By the project's files: do two services take one name, and does the environment name a worker otherwise than its program?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.plan import Plan
from lkdoctor.dispatch.project import Service, at_once, sharing
from lkdoctor.dispatch.settings import NAME, OVERRIDE, Setting
from lkdoctor.doctor.codes import (
    COMPOSE_SAME_NAME,
    DUPLICATE_AGENT_NAME,
    NAME_OVERRIDDEN,
    PORT_IN_USE,
    UNNAMED_WORKERS_COMPETE,
)
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words
from lkdoctor_checks._machine import described, groups, proof_of, runs, workers_of

DEFAULT_PORT = "8081"


@check(COMPOSE_SAME_NAME)
def compose_same_name(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """Two services of the project register under one agent name, so each job goes to one of them.

    ## What it means
    The server makes no difference between two workers of one name: it draws one of them for each job, by load. When the
    services are different programs, or one of them is a copy for tests, users meet now the one and now the other.

    ## How it is decided
    Both names are known from the files: `LIVEKIT_AGENT_NAME_OVERRIDE`, else the program's own name, else
    `LIVEKIT_AGENT_NAME` (the order of livekit-agents 1.8.9 and @livekit/agents 1.9.0). Job type and deployment are the
    same, and one `docker compose up` starts both: services of different profiles are alternatives. It is a warning when
    they are different programs, or when lkdoctor.toml plans fewer workers of the name than the files start; else it is
    worth knowing. A name that is computed, or that stands in an image which is not built here, is not known.
    A service that shows neither a worker's program nor its mode (`start`, `dev`) is not counted: a backend that makes tokens
    has the same variables.

    ## How to fix
    Give each service a name of its own, and ask for that name where the agent is dispatched. `lkdoctor fix --dry-run`
    shows the change to the file.

    ## When it is not a problem
    Two services of one program are scale-out, as replicas are. Say so with `workers = N` in lkdoctor.toml.

    Where the containers of these services are in view too, the finding names them with what each one got.
    """
    del settings
    plan = _plan.plan_of(evidence)
    for name, group in sharing(plan.project.workers()):
        if not name:
            continue  # LKD204
        planned = plan.agent(name)
        total = sum(one.replicas or 1 for one in group)
        programs = {one.program for one in group}
        meant = planned is not None and planned.workers is not None and planned.workers >= total
        mistaken = len(programs) > 1 or (
            planned is not None and planned.workers is not None and planned.workers < total
        )
        what = "they are different programs" if len(programs) > 1 else "the plan has fewer workers"
        running = [
            one for each in groups(workers_of(evidence)) for one in each if one.name == name and runs(one, group)
        ]
        sure = all(one.agent_name.sure for one in group) or (bool(running) and all(one.told for one in running))
        shown = f" They run now: {words.listed(f'{one.title}{one.got}' for one in running)}." if running else ""
        yield Finding(
            COMPOSE_SAME_NAME,
            Subject("agent", agent_name=name),
            f"{len(group)} services register as {words.quoted(name)}, so each job goes to one of them, by load: "
            f"{_plan.called(group)}."
            + (f" What speaks for a mistake: {what}." if mistaken and not meant else "")
            + shown,
            COMPOSE_SAME_NAME.severity if mistaken and not meant else Severity.INFO,
            Confidence.HIGH if sure else Confidence.MEDIUM,
            {
                "agent_name": name,
                "services": [one.name for one in group],
                "planned": planned.workers if planned else None,
                **({"containers": [described(one) for one in running]} if running else {}),
            },
            (*_proof(group), *proof_of(running)),
            (_another_name(plan, name, group),),
            folds=(Subject("agent", agent_name=name),),
            count=len(group),
        )


def _another_name(plan: Plan, name: str, group: Sequence[Service]) -> Fix:
    """The change that `lkdoctor fix` would make, else the last service under a name of its own."""
    for one in group:
        repair = _plan.repair_of(plan, one)
        if repair is not None:
            return _plan.set_name(plan, one, repair.name)
    return _plan.set_name(plan, group[-1], f"{name}-{group[-1].name}")


def _a_name(plan: Plan, service: Service) -> Fix:
    repair = _plan.repair_of(plan, service)
    return _plan.set_name(plan, service, repair.name if repair is not None else service.name or "my-agent")


def _proof(group: Sequence[Service]) -> tuple[Place, ...]:
    return words.spread((one.agent_name.setting or one.first).place for one in group)


@check(DUPLICATE_AGENT_NAME)
def more_replicas_than_planned(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files and lkdoctor.toml: one service starts more replicas under a name than the plan has workers.
    Without a number in the plan replicas are taken for scale-out, and nothing is said."""
    del settings
    plan = _plan.plan_of(evidence)
    for agent in plan.agents:
        mine = [one for one in plan.project.workers() if one.agent_name.value == agent.name]
        if agent.workers is None or len(mine) != 1 or (mine[0].replicas or 0) <= agent.workers:
            continue
        found = mine[0].get("replicas") or mine[0].first
        yield Finding(
            DUPLICATE_AGENT_NAME,
            Subject("agent", agent_name=agent.name),
            f"Service {mine[0].name} starts {mine[0].replicas} workers as {words.quoted(agent.name)} ({found.where}), and the "
            f"plan has {agent.workers} ({agent.where}): each job goes to one of them, by load.",
            Severity.WARNING,
            Confidence.HIGH,
            {"agent_name": agent.name, "replicas": mine[0].replicas, "planned": agent.workers},
            (found.place, agent.place),
            (
                Fix(
                    "Let both say one number",
                    steps=(f"Change the replicas in {found.where}, or `workers` in {agent.where}.",),
                    verify=("`lkdoctor check .` finds nothing.",),
                ),
            ),
        )


@check(UNNAMED_WORKERS_COMPETE)
def unnamed_services(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files: services whose program is in view and that no file gives a name. Two different programs
    without one share the unnamed dispatch of each room. One alone is a stray when lkdoctor.toml names the agents and has none
    without a name: it comes, uninvited, into every room whose creation names no agent."""
    del settings
    plan = _plan.plan_of(evidence)
    unnamed = [one for one in plan.project.workers() if one.agent_name.value == ""]
    programs = {one.program for one in unnamed}
    stray = bool(plan.agents) and plan.agent("") is None
    if not unnamed or (len(programs) < 2 and not stray):
        return
    rivals = (
        f"{len(unnamed)} services have no agent name"
        if len(unnamed) > 1
        else f"Service {unnamed[0].name} has no agent name"
    )
    what = (
        "share the one unnamed dispatch of each room" if len(unnamed) > 1 else "gets the unnamed dispatch of every room"
    )
    planned = " The plan has no agent without a name." if stray else ""
    yield Finding(
        UNNAMED_WORKERS_COMPETE,
        Subject("agent", agent_name=""),
        f"{rivals} and {what}: {_plan.called(unnamed)}.{planned}",
        Severity.WARNING,
        Confidence.HIGH,
        {"services": [one.name for one in unnamed], "planned": not stray},
        _proof(unnamed),
        tuple(_a_name(plan, one) for one in unnamed[:3]),
        count=len(unnamed),
    )


@check(NAME_OVERRIDDEN)
def named_by_environment(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files: the program has a name of its own, and the environment says another one.
    `LIVEKIT_AGENT_NAME_OVERRIDE` beats the program; `LIVEKIT_AGENT_NAME` is not even read beside a name in the program (seen
    with livekit-agents 1.8.9 and @livekit/agents 1.9.0). Where lkdoctor.toml or a token asks for the name that wins, an
    override is left alone."""
    del settings
    plan = _plan.plan_of(evidence)
    asked = {one.name for one in plan.agents}
    for one in plan.project.workers():
        own = one.get("code.agent_name")
        if own is None or not own.known or not own.value or one.get("code.agent_name.variable") is not None:
            continue
        forced, filled = one.get(f"env.{OVERRIDE}"), one.get(f"env.{NAME}")
        if forced is not None and forced.known and forced.value not in {"", own.value}:
            if forced.value in asked:
                continue
            wins, told = forced, f"{OVERRIDE} wins: the worker registers as {words.quoted(forced.value)}"
        elif forced is None and filled is not None and filled.known and filled.value not in {"", own.value}:
            wins, told = filled, f"{NAME} is not read beside it: the worker registers as {words.quoted(own.value)}"
        else:
            continue
        yield Finding(
            NAME_OVERRIDDEN,
            Subject("env", agent_name=own.value, id=one.name),
            f"Service {one.name} has two names: {words.quoted(own.value)} in its program ({own.where}) and "
            f"{words.quoted(wins.value)} in its environment ({wins.where}). {told}.",
            NAME_OVERRIDDEN.severity,
            Confidence.HIGH,
            {"agent_name": own.value, "from_environment": wins.value, "variable": wins.key.removeprefix("env.")},
            (own.place, wins.place),
            (
                Fix(
                    "Let one of them name it",
                    steps=(
                        f"Take the name out of the program ({own.where}), so that {NAME} names it;",
                        f"or take the variable out of {wins.where}.",
                    ),
                    verify=("`lkdoctor check .` finds nothing.",),
                ),
            ),
        )


@check(PORT_IN_USE)
def one_port_for_two(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files: two workers started with `start` share the host's network (`network_mode: host`), and
    both open the same HTTP port, 8081 unless the program says another. The second one ends with
    `address already in use` (seen with livekit-agents 1.8.9). In `dev` the port is a free one."""
    del settings
    plan = _plan.plan_of(evidence)
    mine = [
        one
        for one in plan.project.workers()
        if one.text("network_mode") == "host" and one.text("mode") == "start" and one.get("code.sdk") is not None
    ]
    groups: dict[str, list[Service]] = {}
    for one in mine:
        own = one.get("code.port")
        if own is None or (own.known and own.value not in {"", "0"}):
            groups.setdefault(own.value if own is not None else DEFAULT_PORT, []).append(one)
    for port, group in sorted(groups.items()):
        pairs = [(one, other) for one, other in combinations(group, 2) if at_once(one, other)]
        replicas = [one for one in group if (one.replicas or 1) > 1]
        if not pairs and not replicas:
            continue
        names = list(dict.fromkeys([one.name for pair in pairs for one in pair] + [one.name for one in replicas]))
        yield Finding(
            PORT_IN_USE,
            Subject("server", id=f"port {port}"),
            f"{words.listed(names)} {'share' if len(names) > 1 else 'has several replicas on'} the host's network, and each "
            f"opens port {port} for its HTTP endpoint: only the first one starts.",
            PORT_IN_USE.severity,
            Confidence.HIGH,
            {"port": int(port) if port.isdigit() else port, "services": names},
            words.spread((one.get("network_mode") or one.first).place for one in group),
            (
                Fix(
                    "Give each worker a port of its own",
                    steps=(
                        "Set another `port` in the program (Python: 0 takes a free one; Node takes 0 for the default).",
                        (
                            "Or leave `network_mode: host` out: each container then has its own port 8081, and `localhost` in "
                            "LIVEKIT_URL no longer means the host."
                        ),
                    ),
                    verify=("Both workers print `registered worker`.",),
                ),
            ),
        )
