"""A project as its files describe it: which services are workers, under which name each will register, and the server.

The order of a name's sources is the SDKs': `LIVEKIT_AGENT_NAME_OVERRIDE`, the program, `LIVEKIT_AGENT_NAME` (seen with
livekit-agents 1.8.9 and @livekit/agents 1.9.0). A name that cannot be known is None and never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lkdoctor.dispatch.rules import JT_ROOM
from lkdoctor.dispatch.settings import DEPLOYMENT, KEY, NAME, OVERRIDE, SECRET, URL, Setting

#: How a program is started that registers no worker, or waits for no dispatch.
_NO_WORKER = frozenset({"console", "connect", "download-files"})


@dataclass(frozen=True, slots=True)
class Name:
    """The name under which a worker will register. `setting` is the place that decides it."""

    value: str | None  # None: not known
    setting: Setting | None = None
    source: str = ""  # override, program, variable (of the program's own), environment, nothing
    sure: bool = True  # False: the program is not in view, and may have a name of its own
    why: str = ""  # why it is not known


@dataclass(slots=True)
class Service:
    """One service of a Compose file, or one program of a project without."""

    name: str
    settings: dict[str, Setting] = field(default_factory=dict)  # by key; the last one where a key comes twice
    profiles: frozenset[str] = frozenset()
    project: str = ""

    def get(self, key: str) -> Setting | None:
        """The setting, None when no file has it."""
        return self.settings.get(key)

    def text(self, key: str) -> str | None:
        """Its value where it is known."""
        found = self.settings.get(key)
        return found.value if found is not None and found.known else None

    @property
    def program(self) -> str:
        """The file of its program, or what else tells one program from another; empty when nothing does."""
        found = self.get("code.sdk")
        return found.file if found is not None else self.text("service") or ""

    @property
    def first(self) -> Setting:
        """Where the service begins."""
        return self.settings.get("service") or next(iter(self.settings.values()))

    @property
    def is_worker(self) -> bool:
        """Does it run an agent worker, as far as the files show?"""
        if self.text("mode") in _NO_WORKER:
            return False
        if self.get("code.sdk") is not None:
            return True
        if any(self.get(f"env.{name}") is not None for name in (NAME, OVERRIDE, DEPLOYMENT)):
            return True
        named = any(key.startswith("env.") and key.endswith("AGENT_NAME") for key in self.settings)
        return named and self.text("mode") is not None

    @property
    def may_be_worker(self) -> bool:
        """Is it open whether it runs a worker? It is started as one, or its image gets a key and secret, as a worker's does and
        a backend's; and its program, which may have a name of its own, is not in view. What answers requests of the web is a backend."""
        if self.is_worker or self.get("serves") is not None or self.text("mode") in _NO_WORKER:
            return False
        allowed_in = all(self.get(f"env.{name}") is not None for name in (KEY, SECRET))
        return self.text("mode") is not None or (allowed_in and bool(self.text("service")))

    @property
    def is_shown(self) -> bool:
        """Is there more to show a worker than a variable? A backend that makes tokens needs the agent's name as well."""
        return self.get("code.sdk") is not None or self.text("mode") is not None

    @property
    def url(self) -> str | None:
        """The server that it connects to: the program's own word, else the environment's; None when it is not known."""
        own = self.get("code.url")
        return self.text(f"env.{URL}") if own is None else own.value or None if own.known else None

    @property
    def replicas(self) -> int | None:
        """How many of it are started; None when that is computed."""
        found = self.get("replicas")
        if found is None:
            return 1
        return int(found.value) if found.known and found.value.isdigit() else None

    @property
    def job_type(self) -> str | None:
        """What its workers register for; None when the program computes it. Without a word of it: JT_ROOM."""
        found = self.get("code.type")
        return JT_ROOM if found is None else found.value if found.known and found.value else None

    @property
    def deployment(self) -> str | None:
        """`LIVEKIT_AGENT_DEPLOYMENT`; None when it is not known."""
        found = self.get(f"env.{DEPLOYMENT}")
        return "" if found is None else found.value if found.known else None

    @property
    def load(self) -> float | None:
        """The constant that its load function returns; None when it is no constant."""
        return _number(self.text("code.load"))

    @property
    def threshold(self) -> float | None:
        """The threshold that the program sets; None when it sets none, or computes it."""
        return _number(self.text("code.load_threshold"))

    @property
    def agent_name(self) -> Name:
        """The name under which it registers."""
        forced = self.get(f"env.{OVERRIDE}")
        if forced is not None and not forced.known:
            return Name(None, forced, "override", why=forced.why)
        if forced is not None and forced.value:
            return Name(forced.value, forced, "override")
        filled = self._filled()
        if self.get("code.sdk") is None:
            return self._without_program(filled)
        own = self.get("code.agent_name")
        variable = self.get("code.agent_name.variable")
        if variable is not None:
            given = self.get(f"env.{variable.value}")
            if given is not None:
                if not given.known:
                    return Name(None, given, "variable", why=given.why)
                if given.value:
                    return Name(given.value, given, "variable")
            elif self._unread is not None:
                return Name(None, self._unread, "variable", why=f"{self._unread.value} may set {variable.value}")
            if own is not None and own.known and own.value:
                return Name(own.value, own, "program")
            return filled if own is not None and own.known else Name(None, own, "program", why=own.why if own else "")
        if own is None or (own.known and not own.value):
            return filled
        return Name(own.value, own, "program") if own.known else Name(None, own, "program", why=own.why)

    @property
    def _unread(self) -> Setting | None:
        """An env_file that is not here: what it sets is not known."""
        return self.get("env_file.missing")

    def _filled(self) -> Name:
        """What the SDK takes when the program has no name."""
        found = self.get(f"env.{NAME}")
        if found is None and self._unread is not None:
            return Name(None, self._unread, "environment", why=f"{self._unread.value} may set {NAME}")
        if found is None:
            return Name("", None, "nothing")
        return (
            Name(found.value, found, "environment") if found.known else Name(None, found, "environment", why=found.why)
        )

    def _without_program(self, filled: Name) -> Name:
        if filled.setting is not None and filled.value != "":
            return Name(filled.value, filled.setting, filled.source, sure=False, why=filled.why)
        named = [one for key, one in self.settings.items() if key.startswith("env.") and key.endswith("AGENT_NAME")]
        named = [one for one in named if one.key not in {f"env.{NAME}", f"env.{OVERRIDE}"}]
        if len(named) == 1 and named[0].known and named[0].value:
            return Name(named[0].value, named[0], "variable", sure=False)
        return Name(None, None, "", why="its program is not in view, and no variable names it")


@dataclass(slots=True)
class Server:
    """The server as its files describe it."""

    version: Setting | None = None
    settings: dict[str, Setting] = field(default_factory=dict)  # livekit.yaml's keys
    files: list[Setting] = field(default_factory=list)
    keys: list[Setting] = field(default_factory=list)
    secrets: list[Setting] = field(default_factory=list)
    unfilled: list[Setting] = field(default_factory=list)  # `${NAME}` where a key or a secret belongs
    presets: list[Setting] = field(default_factory=list)
    replicas: Setting | None = None
    dev: bool = False
    services: set[str] = field(default_factory=set)  # of Compose, that run it: their names are its hosts

    def number(self, key: str) -> float | None:
        """A number of livekit.yaml; None when it is absent or none."""
        found = self.settings.get(key)
        return None if found is None else _number(found.value)


@dataclass(slots=True)
class Project:
    """All services and the server of what was given."""

    services: list[Service] = field(default_factory=list)
    servers: dict[str, Server] = field(default_factory=dict)  # by the folder of the project that each belongs to

    @property
    def server(self) -> Server:
        """The only one; of several projects, each with its own, nothing is known that would hold for all."""
        return next(iter(self.servers.values())) if len(self.servers) == 1 else Server()

    def server_of(self, service: Service) -> Server:
        """The server of the service's own project, else the only one."""
        return self.servers.get(home_of(service.project)) or self.server

    def workers(self) -> Iterator[Service]:
        """Services that run a worker, those that are started with no replica left out.

        One that only a variable shows is none beside a worker of that name: it makes the tokens for it.
        """
        found = [one for one in self.services if one.is_worker and one.replicas != 0]
        shown = {(one.project, one.agent_name.value) for one in found if one.is_shown}
        return (one for one in found if one.is_shown or (one.project, one.agent_name.value) not in shown)

    def unseen(self) -> Iterator[Service]:
        """Services that may run a worker of any name."""
        return (one for one in self.services if one.may_be_worker and one.replicas != 0)


def home_of(project: str) -> str:
    """The folder of a project: of its first Compose file, or the one that it is named by."""
    return project.rpartition("/")[0] if project.endswith((".yml", ".yaml")) else project


def at_once(one: Service, other: Service) -> bool:
    """May both be started by one `docker compose up`? Services of different profiles are alternatives."""
    if one.project != other.project:  # `-f dev.yml` and `-f prod.yml`: whether both are up, no file says
        return False
    return not one.profiles or not other.profiles or bool(one.profiles & other.profiles)


def sharing(services: Iterable[Service]) -> Iterator[tuple[str, list[Service]]]:
    """Names (also the empty one) that two Compose services or more register under, of one type and deployment, started together."""
    groups: dict[tuple[str, str, str], list[Service]] = {}
    for one in services:
        name = one.agent_name.value if one.is_shown and one.get("service") is not None else None
        if name is not None and one.job_type is not None and one.deployment is not None:
            groups.setdefault((name, one.job_type, one.deployment), []).append(one)
    for (name, _, _), group in sorted(groups.items()):
        together = [one for one in group if any(one is not other and at_once(one, other) for other in group)]
        if len(together) > 1:
            yield name, together


def project_of(settings: Iterable[Setting]) -> Project:
    """Sorts settings into services and the server."""
    project = Project()
    services: dict[tuple[str, str], Service] = {}
    servers: set[tuple[str, str]] = set()
    profiles: dict[tuple[str, str], set[str]] = {}
    loose: dict[str, Service] = {}
    settings = list(settings)
    # A server without a file of its own is the one whose file is in view, wherever that lies.
    apart = len({home_of(one.project) for one in settings if one.key in {"server.file", "server.not_yaml"}}) > 1
    for one in settings:
        key = (one.project, one.service)
        if one.scope == "server" or one.key.startswith("server."):
            _to_server(project.servers.setdefault(home_of(one.project) if apart else "", Server()), one)
            servers.add(key)
        elif one.scope == "dotenv":
            loose.setdefault(one.project, Service("", project=one.project)).settings[one.key] = one
        elif one.key == "profile":
            profiles.setdefault(key, set()).add(one.value)
        else:
            services.setdefault(key, Service(one.service, project=one.project)).settings[one.key] = one
    for (home, name), service in services.items():
        service.profiles = frozenset(profiles.get((home, name), ()))
        if (home, name) in servers and name:
            server = project.servers[home_of(home) if apart else ""]
            server.services.add(name)
            server.replicas = service.get("replicas")
            continue
        if service.get("service") is None:  # a program beside `.env`: that is its environment
            service.settings = {**(loose[home].settings if home in loose else {}), **service.settings}
        project.services.append(service)
    if not services:
        project.services += loose.values()
    return project


def _to_server(server: Server, one: Setting) -> None:
    if one.key == "server.version":
        server.version = one
    elif one.key == "server.dev":
        server.dev = True
    elif one.key in {"server.file", "server.not_yaml"}:
        server.files.append(one)
    elif one.key == "keys" and one.value:
        server.keys.append(one)
    elif one.key == "keys_unfilled":
        server.unfilled.append(one)
    elif one.key == "secrets":
        server.secrets.append(one)
    elif one.key == "preset" or one.key.startswith("preset."):
        server.presets.append(one)
    else:
        server.settings[one.key] = one


def _number(text: str | None) -> float | None:
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        return None
    return None if math.isnan(found) else found
