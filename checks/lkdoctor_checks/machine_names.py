"""Do workers that run on this machine compete for one name: containers of two deploys, two services, a process beside?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.machine import Container, HostProcess
from lkdoctor.dispatch.project import sharing
from lkdoctor.doctor.codes import COMPOSE_SAME_NAME, DUPLICATE_CONTAINERS, STRAY_PROCESS
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words
from lkdoctor_checks._machine import (
    KILLED,
    Placed,
    deploy_of,
    described,
    groups,
    proof_of,
    runs,
    stop,
    sure,
    up,
    workers_of,
)

_NAME_BY_VARIABLE = (
    "The names are those of the variables; code that sets a name of its own overrules LIVEKIT_AGENT_NAME, and SDKs read it "
    "from livekit-agents 1.5.7 and @livekit/agents 1.3.2 on. Check `registered worker` in each container's log."
)


@check(DUPLICATE_CONTAINERS)
def duplicate_containers(containers: Facts[Container], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """Containers of two deploys run a worker of the same name, so each gets a part of the jobs.

    ## What it means
    Staging beside production, an old project that was renamed and never stopped, a container started by hand for a test:
    the server knows no difference between them. Each job goes to one of them, by load; a container that idles takes most
    of them. Seen: two projects of one name, 8 of 8 jobs to the idle one.

    ## How it is decided
    Two containers that run now are workers (their own log or the SDK's helper processes say so), have one agent name and
    deployment, and are at one server: both registered in one server log, or their address means the same from both
    (a bare host name only within one Docker network, `localhost` only on the host's network). And they were started as
    different things: two Compose projects, or one by hand with another image or environment.

    ## How to fix
    Stop the one that is not meant, or give it a name of its own and use that name where it is dispatched. A changed
    variable needs a new container: `docker compose up -d --force-recreate`, as `restart` keeps the old environment.

    ## When it is not a problem
    Copies of one service (`--scale`, `replicas`, a swarm's or a cluster's), containers of one image and one environment,
    `docker compose run`, and projects at different servers are not reported. A blue-green deploy looks like this for its
    minutes.
    """
    del containers  # that there are some is what counts; `workers_of` has them with all that is known besides
    for group in groups([one for one in workers_of(evidence) if one.container is not None]):
        if len({deploy_of(one) for one in group}) < 2:
            continue
        name = group[0].name or ""
        yield Finding(
            DUPLICATE_CONTAINERS,
            Subject("container", agent_name=name),
            f"{len(group)} containers of different deploys serve {words.quoted(name)} at one server, so each job goes to one "
            f"of them: {_listed(group)}.",
            DUPLICATE_CONTAINERS.severity,
            sure(group),
            {"agent_name": name, "containers": [described(one) for one in group]},
            proof_of(group),
            (_apart(group, name),),
            count=len(group),
            first_at=min((one.since for one in group if one.since is not None), default=None),
        )


@check(COMPOSE_SAME_NAME)
def compose_same_name_running(containers: Facts[Container], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """Two services of one Compose project run workers of the same name.

    ## What it means
    Each job of the name goes to one of the two services, by load, whatever they were built for.

    ## How it is decided
    Containers of two services of one project run now, are workers, and have one agent name and deployment at one server,
    as for LKD801.

    ## How to fix
    Give each service a name of its own (`LIVEKIT_AGENT_NAME` under `environment:`), use these names where they are
    dispatched, and make the containers anew.

    ## When it is not a problem
    Two services of one program on purpose (one with a GPU, one without) that may each do any job. With `workers = N` in
    lkdoctor.toml, N at least the number of them, it is only worth knowing. Where the project's files say it already, that
    finding names the containers, and this one is left out.
    """
    del containers
    plan = _plan.plan_of(evidence)
    by_files = [one for _, group in sharing(plan.project.workers()) for one in group]
    for group in groups([one for one in workers_of(evidence) if one.container is not None]):
        projects: dict[str, list[Placed]] = {}
        for one in group:
            made = one.container.compose if one.container is not None else None
            if made is not None and not made.oneoff:
                projects.setdefault(made.project, []).append(one)
        for project, members in sorted(projects.items()):
            services = sorted({_service(one) for one in members})
            if len(services) < 2 or all(runs(one, by_files) for one in members):
                continue
            name = members[0].name or ""
            planned = plan.agent(name)
            meant = planned is not None and planned.workers is not None and planned.workers >= len(members)
            yield Finding(
                COMPOSE_SAME_NAME,
                Subject("container", agent_name=name, id=project),
                f"The services {words.listed(services)} of the Compose project {project} run workers of one name, "
                f"{words.quoted(name)}, so each job goes to one of them: {_listed(members)}.",
                Severity.INFO if meant else COMPOSE_SAME_NAME.severity,
                sure(members),
                {
                    "agent_name": name, "project": project, "services": services,
                    "containers": [described(one) for one in members],
                },
                proof_of(members),
                (_apart(members, name),),
                count=len(members),
            )  # fmt: skip


@check(STRAY_PROCESS)
def stray_process(processes: Facts[HostProcess], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A worker process outside of the deploy serves the same name, or goes on in a folder that was deleted.

    ## What it means
    A worker that somebody started in a terminal, or that an earlier deploy left behind, is as good as any other to the
    server: it takes its share of the jobs with the code of its day.

    ## How it is decided
    The process is an agent worker: it started the helpers that only the SDKs start, or its own HTTP endpoint says so. And
    either the folder that it was started in has been deleted since, or a worker of the same name and deployment at the
    same server runs in a container, or from another folder or with other arguments.

    ## How to fix
    Stop it with SIGTERM: it finishes its jobs first, unless it runs in dev mode. Find out what started it (its parent, its
    unit), or it comes back.

    ## When it is not a problem
    Copies of one program, started from one folder with the same arguments. A process in a container belongs to that
    container. Whose name nothing tells (an old SDK, another user's process) is not judged.
    """
    del processes
    every = workers_of(evidence)
    told: set[int] = set()
    for group in groups(every):
        if len({deploy_of(one) for one in group}) < 2:
            continue
        for one in group:
            if one.process is None:
                continue
            others = [each for each in group if deploy_of(each) != deploy_of(one)]
            # Of two processes the later one may be the new deploy; beside a container the process is the odd one.
            beside = [each for each in others if each.container is not None]
            elder = [each for each in others if each.process is not None and (each.since or 0.0) > (one.since or 0.0)]
            if beside or elder:
                told.add(one.process.pid)
                yield _stray(one, beside or elder)
    for one in every:
        if one.process is not None and one.process.folder_gone and one.process.pid not in told:
            yield _stray(one, [])


def _stray(one: Placed, others: Sequence[Placed]) -> Finding:
    process = one.process
    assert process is not None
    serves = f"serves {words.quoted(one.name)}" if one.name is not None else "is a worker"
    gone = f" and runs on in a folder that was deleted ({process.folder})" if process.folder_gone else ""
    beside = f" beside {words.listed(each.where for each in others)}" if others else ""
    started = f" since {words.clock(one.since)}" if one.since else ""
    return Finding(
        STRAY_PROCESS,
        Subject("worker", agent_name=one.name, id=process.folder or str(process.pid)),
        f"Process {process.pid} {serves}{beside}{gone}{started}: {process.command}",
        STRAY_PROCESS.severity,
        sure([one, *others]) if others else Confidence.HIGH,
        {
            "pid": process.pid, "agent_name": one.name, "command": process.command, "folder": process.folder,
            "folder_deleted": process.folder_gone, "started_by": process.parent,
            "beside": [described(each) for each in others],
        },
        proof_of([one, *others]),
        (
            Fix(
                "Stop the process when it is not meant",
                steps=(
                    f"It was started by {process.parent or 'a program that has gone'}: stop it there, or it may come back.",
                    "SIGTERM lets it finish its jobs (not in dev mode); SIGKILL drops them.",
                ),
                commands=(f"kill {process.pid}",),
                verify=("`lkdoctor check --docker --host` no longer lists it.",),
            ),
        ),
        first_at=one.since,
    )  # fmt: skip


def _service(one: Placed) -> str:
    return one.container.compose.service if one.container is not None and one.container.compose is not None else ""


def _listed(group: Sequence[Placed]) -> str:
    return words.listed(f"{one.where}{one.got}" for one in group)


def _apart(group: Sequence[Placed], name: str) -> Fix:
    """The other one stopped, or a name for each."""
    newest = max(group, key=lambda one: one.since or 0.0)
    last = newest.container
    assert last is not None
    made = last.compose
    projects = {one.container.compose.project for one in group if one.container is not None and one.container.compose}
    apart = (made.project if len(projects) > 1 else made.service) if made is not None else last.name
    stops = [f"`{stop(one.container)}` ({one.title})" for one in group if one.container is not None]
    recreate = up(last)
    anew = ":" if recreate else ": remove it, and run it with the other variable."
    return Fix(
        "Stop the container that is not meant, or give it a name of its own",
        steps=(
            f"Stop the one that is not meant: {words.listed(stops)}.",
            (
                f"Or keep all: where the environment of {newest.title} is written, set LIVEKIT_AGENT_NAME={name or 'agent'}-{apart} "
                "(or the variable that its code reads), and dispatch to that name."
            ),
            f"Make that container anew, for `restart` keeps the old environment{anew}",
        ),
        commands=(recreate,) if recreate else (),
        caveats=(KILLED, *(() if all(one.told for one in group) else (_NAME_BY_VARIABLE,))),
        verify=(
            "`lkdoctor check --docker --url URL` after the next dispatch: the job went to the worker that is meant.",
        ),
        undo=("Set the old name again and make the container anew.",),
    )
