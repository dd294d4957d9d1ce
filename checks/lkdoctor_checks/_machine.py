"""The workers that run on a machine, in containers and outside: what each is called, whom it serves, where, and its jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.machine import WORKER, Container, HostProcess
from lkdoctor.dispatch.model import Outcome, WorkerSession
from lkdoctor.dispatch.project import Service
from lkdoctor.dispatch.worker_http import WorkerEndpoint
from lkdoctor.dispatch.worker_model import WorkerRun
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Confidence
from lkdoctor_checks import _words as words

#: Variables that give a worker its name where its code sets none, and one that many programs read themselves.
_NAMES = ("LIVEKIT_AGENT_NAME_OVERRIDE", "LIVEKIT_AGENT_NAME", "AGENT_NAME")
_URLS = ("LIVEKIT_URL", "LIVEKIT_WS_URL")
_ADDRESS = re.compile(
    r"(?:(?P<scheme>[A-Za-z][\w+.-]*)://)?(?:[^@/]*@)?(?P<host>\[[0-9A-Fa-f:]+\]|[^:/?#\s]+)(?::(?P<port>\d+))?(?:[/?#]|$)"
)
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
KILLED: Final = (
    "A worker that is stopped finishes its jobs first, but Docker kills it after 10 s, unless `stop_grace_period` (Compose) or "
    "`docker stop --time` gives it longer."
)


@dataclass(frozen=True, slots=True)
class Placed:
    """One worker that runs now, with where it runs. `name` None: nothing tells what it is called."""

    title: str  # container agent-1, process 4711
    place: Place
    at: float
    since: float | None
    container: Container | None = None
    process: HostProcess | None = None
    name: str | None = None
    told: bool = False  # by itself; else a variable says so, which its code may overrule
    url: str = ""
    deployment: str = ""
    run: WorkerRun | None = None
    sessions: tuple[WorkerSession, ...] = ()  # as a server tells them
    assigned: frozenset[str] = frozenset()  # jobs that the server says it gave to it
    endpoint: WorkerEndpoint | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> int | None:
        """How many jobs it was given, as far as the evidence reaches; None: nothing tells."""
        own = {job.job_id for job in self.run.jobs if job.ran or job.assigned_at is not None} if self.run else set()
        known = len(own | self.assigned)
        if self.sessions:  # healthy dispatches of a long log are counted, not kept
            return max(known, sum(one.jobs for one in self.sessions))
        return known or None

    @property
    def asked(self) -> int:
        """For how many jobs its own log says that it was asked."""
        return sum(1 for job in self.run.jobs if job.asked_at is not None) if self.run is not None else 0

    @property
    def worker_ids(self) -> tuple[str, ...]:
        """Its registrations, the last one last."""
        if self.run is not None and self.run.registered:
            return tuple(worker_id for _, worker_id in self.run.registered if worker_id)
        return tuple(one.worker_id for one in self.sessions)

    @property
    def sdk(self) -> str:
        """`livekit-agents 1.8.9`; empty when nothing tells the version."""
        for one in (self.run, self.endpoint):
            if one is not None and one.version:
                return one.sdk_words
        return ""

    @property
    def where(self) -> str:
        """The container with its service and project, or the process with its folder."""
        if self.container is not None:
            made = self.container.compose
            of = f" (service {made.service} of project {made.project})" if made is not None else ""
            return f"{self.title}{of}"
        if self.process is not None and self.process.folder:
            return f"{self.title} (in {self.process.folder})"
        return self.title

    @property
    def got(self) -> str:
        """`AW_… 3 jobs`, for lists."""
        who = f" as {self.worker_ids[-1]}" if self.worker_ids else ""
        if (jobs := self.jobs) is not None:
            return f"{who} got {words.counted(jobs, 'job') if jobs else 'no job'}"
        return (
            f"{who} was asked for {words.counted(self.asked, 'job') if self.asked else 'no job'}" if self.run else who
        )


def workers_of(evidence: Evidence) -> list[Placed]:
    """All workers that run now, each once: containers first."""
    endpoints = {one.found_in: one for one in evidence.facts_of(WorkerEndpoint) if one.worker and one.found_in}
    containers = evidence.facts_of(Container)
    found = [_of_container(one, evidence, endpoints) for one in containers if one.role == WORKER and one.running]
    outside = (one for one in evidence.facts_of(HostProcess) if not one.container)
    return [*found, *(_of_process(one, endpoints) for one in outside)]


def container_of(run: WorkerRun, evidence: Evidence) -> Container | None:
    """The container whose log tells of this run."""
    source = run.source.removesuffix(" (workers)")
    return next((one for one in evidence.facts_of(Container) if one.log_source == source), None)


def _of_container(one: Container, evidence: Evidence, endpoints: dict[str, WorkerEndpoint]) -> Placed:
    title = f"container {one.name}"
    # Its log holds earlier lives of it, too.
    runs = [run for run in evidence.worker_runs if run.source.removesuffix(" (workers)") == one.log_source]
    run = runs[-1] if runs else None
    servers = {each.stream for each in evidence.runs}
    endpoint = endpoints.get(title)
    name, told = _name(run, endpoint, one.environment)
    return Placed(
        title,
        one.place,
        one.at,
        one.started_at,
        container=one,
        name=name,
        told=told,
        url=_url(run, one.environment),
        deployment=_deployment(run, endpoint, one.environment),
        run=run,
        sessions=tuple(one for one in evidence.workers if run is not None and one.run is run and one.stream in servers),
        assigned=_assigned(run, evidence),
        endpoint=endpoint,
        environment=one.environment,
    )


def _assigned(run: WorkerRun | None, evidence: Evidence) -> frozenset[str]:
    """Jobs that a server's log or API shows with this worker."""
    ids = {worker_id for _, worker_id in run.registered} if run is not None else set()
    return frozenset(
        launch.job_id
        for dispatch in evidence.dispatches
        for launch in dispatch.launches
        if launch.job_id and launch.outcome is Outcome.ASSIGNED and launch.worker_id in ids
    )


def _of_process(one: HostProcess, endpoints: dict[str, WorkerEndpoint]) -> Placed:
    title = f"process {one.pid}"
    endpoint = endpoints.get(title)
    environment = one.environment or {}
    name, told = _name(None, endpoint, environment)
    return Placed(
        title,
        one.place,
        one.at,
        one.started_at,
        process=one,
        name=name,
        told=told,
        url=_url(None, environment),
        deployment=_deployment(None, endpoint, environment),
        endpoint=endpoint,
        environment=environment,
    )


def _name(
    run: WorkerRun | None, endpoint: WorkerEndpoint | None, environment: dict[str, str]
) -> tuple[str | None, bool]:
    if run is not None and run.registered and run.agent_name is not None:
        return run.agent_name, True
    if endpoint is not None and endpoint.agent_name is not None:
        return endpoint.agent_name, True
    return next((environment[one] for one in _NAMES if environment.get(one)), None), False


def _url(run: WorkerRun | None, environment: dict[str, str]) -> str:
    if run is not None and run.url:
        return run.url
    return next((environment[one] for one in _URLS if environment.get(one)), "")


def _deployment(run: WorkerRun | None, endpoint: WorkerEndpoint | None, environment: dict[str, str]) -> str:
    for one in (run, endpoint):
        if one is not None and one.deployment is not None:
            return one.deployment
    return environment.get("LIVEKIT_AGENT_DEPLOYMENT", "")


# -- who competes with whom -------------------------------------------------------------------------------------------
def rivals(one: Placed, other: Placed) -> bool:
    """Do both serve one name at one server, by what can be shown? Two URLs that only read alike are no proof."""
    return one.name is not None and one.name == other.name and one.deployment == other.deployment and _met(one, other)


def _met(one: Placed, other: Placed) -> bool:
    """Are both at the same server? Registered in one log; or one address that means the same from both places."""
    if {each.stream for each in one.sessions} & {each.stream for each in other.sessions}:
        return True
    mine, theirs = _server(one.url), _server(other.url)
    if not mine or mine != theirs:
        return False
    host = mine.rpartition(":")[0].strip("[]")
    if host in _HERE:  # a container's own loopback is its own, unless it shares the machine's
        return _on_host(one) and _on_host(other)
    if "." in host or ":" in host:
        return True
    # A bare name is looked up in the networks of its container: `livekit` is another server in another project.
    if one.container is None or other.container is None:
        return one.container is other.container
    return bool(set(one.container.networks) & set(other.container.networks))


def _server(url: str) -> str:
    """`host:port` of an address; empty when it has no such form."""
    match = _ADDRESS.match(url)
    if match is None:
        return ""
    usual = "443" if (match["scheme"] or "").lower() in ("wss", "https") else "80"
    return f"{match['host'].lower()}:{match['port'] or usual}"


def _on_host(one: Placed) -> bool:
    return one.container is None or one.container.host_network


def runs(one: Placed, services: Iterable[Service]) -> bool:
    """Is it a container of one of these services, by the name and the file that Compose wrote on it?"""
    made = one.container.compose if one.container is not None else None
    files = set() if made is None else {each.rpartition("/")[2] for each in made.config_files}
    return made is not None and any(
        each.name == made.service and each.first.file.rpartition("/")[2] in files for each in services
    )


def deploy_of(one: Placed) -> tuple[str, ...]:
    """What was started as one thing: a Compose project, a swarm's service, equal containers, a folder's processes."""
    if one.container is not None:
        if one.container.compose is not None:
            return ("compose", one.container.compose.project)
        if one.container.replica_of:
            return ("replica", one.container.replica_of)
        # Two containers of one image and one environment that somebody started by hand are copies on purpose.
        return ("plain", one.container.image_id, *(f"{key}={value}" for key, value in sorted(one.environment.items())))
    assert one.process is not None
    return ("process", one.process.folder, one.process.command)


def groups(workers: Sequence[Placed]) -> list[list[Placed]]:
    """Workers that compete, in groups of two or more; each in one group."""
    found: list[list[Placed]] = []
    for one in workers:
        for group in found:
            if any(rivals(one, other) for other in group):
                group.append(one)
                break
        else:
            found.append([one])
    return [group for group in found if len(group) > 1]


def sure(group: Iterable[Placed]) -> Confidence:
    """High when each says its name itself; a variable alone may be overruled by the code."""
    return Confidence.HIGH if all(one.told for one in group) else Confidence.MEDIUM


def described(one: Placed) -> dict[str, object]:
    """A worker as a finding's values show it."""
    made = one.container.compose if one.container is not None else None
    return {
        "where": one.title,
        "project": made.project if made is not None else None,
        "service": made.service if made is not None else None,
        "image": one.container.image if one.container is not None else None,
        "since": one.since,
        "worker_ids": list(one.worker_ids),
        "jobs": one.jobs,
        "url": one.url or None,
        "sdk": one.sdk or None,
    }


def proof_of(group: Iterable[Placed]) -> tuple[Place, ...]:
    """Each container or process, with the line of its registration."""
    return words.spread(
        place for one in group for place in (one.place, *(one.run.proof[:1] if one.run is not None else ()))
    )


def stop(container: Container) -> str:
    """The command that stops it; for its jobs see KILLED."""
    made = container.compose
    if made is None:
        return f"docker stop {words.shell(container.name)}"
    return f"docker compose -p {words.shell(made.project)} stop {words.shell(made.service)}"


def up(container: Container, *, build: bool = False) -> str:
    """The command that makes a Compose container anew, on request of an image that is built again: `restart` keeps the old
    image and environment."""
    made = container.compose
    if made is None:
        return ""
    how = "--build --force-recreate" if build else "--force-recreate"
    files = "".join(f" -f {words.shell(one)}" for one in made.config_files)
    return f"docker compose -p {words.shell(made.project)}{files} up -d {how} {words.shell(made.service)}"
