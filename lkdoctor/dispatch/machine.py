"""What runs on a machine: containers of its Docker engine and processes outside of them. No logic but what a fact says.

Seen on Docker 20.10 with Compose 2.40.3, livekit-agents 0.12 to 1.8 and @livekit/agents 1.9.0. Environments hold allowed
names only; a secret is a token that is equal for equal values of one run.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from lkdoctor.dispatch.facts import Fact

WORKER: Final = "worker"
SERVER: Final = "server"
LIVE: Final = "docker"  # the source of what was asked of a running engine


class Compose(msgspec.Struct, frozen=True):
    """What Compose wrote on a container: which file and service it was made from."""

    project: str = ""
    service: str = ""
    number: int = 0
    oneoff: bool = False  # made by `docker compose run`
    working_dir: str = ""
    config_files: tuple[str, ...] = ()
    environment_files: tuple[str, ...] = ()  # of the project, not of the service
    version: str = ""


class Port(msgspec.Struct, frozen=True):
    """A port of a container that stands open on the machine."""

    inside: int
    outside: int
    address: str = ""


class Death(msgspec.Struct, frozen=True):
    """One end of a container, as the engine remembers it (its last 256 events)."""

    at: float
    exit_code: int | None = None
    oom: bool = False  # the kernel killed a process of it for memory, just before


class Declared(msgspec.Struct, frozen=True):
    """A variable that the container's Compose file, changed since, sets to another value than the container has."""

    name: str
    says: str
    where: str  # file:line:column
    changed_at: float


class Container(Fact, frozen=True, kw_only=True):
    """One container as the engine describes it."""

    SOURCES: ClassVar[tuple[str, ...]] = ("docker",)

    at: float  # when it was asked
    id: str
    name: str
    image: str = ""  # as it was named when the container was made
    image_id: str = ""
    image_now: str | None = None  # the id that this name means now; None: not known, empty: nothing any more
    status: str = ""  # created, running, paused, restarting, exited, dead
    exit_code: int | None = None  # of its last end; None while it runs
    oom: bool = False
    error: str = ""  # why the engine could not start it
    health: str = ""  # healthy, unhealthy, starting; empty: nobody checks
    restarts: int = 0  # by its restart policy, since somebody last started it
    restart_policy: str = ""
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    role: str = ""  # worker, server; empty: nothing tells what it is
    told_by: tuple[str, ...] = ()  # what told the role: log, processes
    command: str = ""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    cpus: float | None = None  # its quota; None: none
    memory: int | None = None  # its limit in bytes; None: none
    networks: tuple[str, ...] = ()
    host_network: bool = False
    ports: tuple[Port, ...] = ()
    compose: Compose | None = None
    replica_of: str = ""  # the service of a swarm or the workload of a cluster that it is one of
    deaths: tuple[Death, ...] = ()  # within the last minutes, oldest first
    declared: tuple[Declared, ...] = ()  # where its Compose file says something else now
    log: str = ""  # the name of its log among the sources

    @property
    def running(self) -> bool:
        """Is its program there now, or about to be?"""
        return self.status in ("running", "restarting", "paused")

    @property
    def log_source(self) -> str:
        """The source of its log: beside the file that the container stands in, or of the engine itself."""
        if not self.log:
            return ""
        if self.place.source == LIVE:
            return f"{LIVE}/{self.log}"
        folder, slash, _ = self.place.source.rpartition("/")
        return f"{folder}{slash}{self.log}"

    def told(self) -> str:
        """The container in one sentence."""
        parts = [f"container {self.name} ({self.id}): {self.status}"]
        if self.exit_code:
            parts.append(f"exit code {self.exit_code}")
        if self.oom:
            parts.append("killed for memory")
        parts.append(f"image {self.image} {self.image_id[:19]}".rstrip())
        if self.compose is not None:
            parts.append(f"service {self.compose.service} of project {self.compose.project}")
        if self.restarts:
            parts.append(f"{self.restarts} restarts ({self.restart_policy})")
        parts += [f"{name}={value}" for name, value in sorted(self.environment.items())]
        if self.error:
            parts.append(self.error)
        return ", ".join(parts)


class HostProcess(Fact, frozen=True, kw_only=True):
    """One worker's main process on this machine."""

    SOURCES: ClassVar[tuple[str, ...]] = ("host",)

    at: float
    pid: int
    sdk: str = ""  # python, node
    command: str = ""
    folder: str = ""  # in which it was started
    folder_gone: bool = False  # that folder was deleted since
    started_at: float | None = None
    parent: str = ""  # the name of the program that started it
    terminal: str = ""
    container: str = ""  # the id of the container that it is in
    environment: dict[str, str] | None = None  # None: it may not be read
    ports: tuple[int, ...] = ()  # that it listens on
    children: int = 0

    def told(self) -> str:
        """The process in one sentence."""
        parts = [f"process {self.pid}: {self.command}", f"in {self.folder}{' (deleted)' if self.folder_gone else ''}"]
        if self.parent:
            parts.append(f"started by {self.parent}")
        parts += [f"port {port}" for port in self.ports]
        parts += [f"{name}={value}" for name, value in sorted((self.environment or {}).items())]
        return ", ".join(parts)
