"""Asks a Docker engine for the containers that matter here: LiveKit servers, agent workers, and what could be one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import msgspec

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.machine import container_logs as logs
from lkdoctor.collect.machine import signs
from lkdoctor.collect.machine.containers import container_of
from lkdoctor.collect.machine.declared import declared
from lkdoctor.collect.machine.endpoints import Address, of_container
from lkdoctor.collect.machine.engine import connect, is_here, product, shown
from lkdoctor.dispatch.machine import LIVE, SERVER, WORKER, Container, Death
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.redact import mask

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container as Running

KIND: Final = "docker"
REMEMBERED: Final = 900.0  # s back in which ends of containers are asked for
_MOST: Final = 2000  # containers


@dataclass(slots=True)
class Engine:
    """What one run asks of the engine. `stop` ends it between two questions."""

    since: float | None = None
    until: float | None = None
    seconds: float = 20.0
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    stop: Event = field(default_factory=Event)
    addresses: list[Address] = field(default_factory=list)  # of workers that run on this machine
    here: bool = True

    def collect(self, gathered: Gathered, say: Callable[[str], None]) -> None:
        """Fill `gathered` with containers, and with the logs of servers and workers among them.

        Raises:
            EngineError: there is no engine, or it cannot be asked.
        """
        client, host = connect(self.environ, self.seconds)
        try:
            self._collect(client, host, gathered, say)
        finally:
            client.close()

    def _collect(self, client: DockerClient, host: str, gathered: Gathered, say: Callable[[str], None]) -> None:
        from docker.errors import APIError, DockerException, NotFound  # noqa: PLC0415

        now = time.time()
        note = SourceNote(LIVE, KIND, first_at=now, last_at=now)
        gathered.notes.append(note)
        note.notes.append(f"{product(client.version())} at {shown(host)}")
        self.here = is_here(host)
        if not self.here:
            note.notes.append("it runs on another machine: its files and ports are not looked at")
        every = client.api.containers(all=True, limit=_MOST)
        deaths = _deaths(client, now)
        images: dict[str, str | None] = {}
        others = 0
        folder = logs.LogFolder()
        for number, listed in enumerate(every, 1):
            if self.stop.is_set():
                note.notes.append(f"{len(every) - number + 1} containers were not asked any more")
                break
            say(f"container {number} of {len(every)}")
            try:
                one = client.containers.get(listed["Id"])
                found = self._one(client, one, deaths, images, gathered, folder, note)
            except NotFound:
                continue  # it went meanwhile
            except (APIError, DockerException, OSError) as error:
                note.notes.append(f"{_name(listed)}: {mask(' '.join(str(error).split()))[:160]}")
                continue
            if found is None:
                others += 1
            else:
                gathered.add(found)
        note.lines = len(every)
        if not every:
            note.notes.append("it has no containers")
        if others:
            note.notes.append(f"{others} of {len(every)} containers have nothing to do with LiveKit")

    def _one(
        self,
        client: DockerClient,
        one: Running,
        deaths: Mapping[str, list[Death]],
        images: dict[str, str | None],
        gathered: Gathered,
        folder: logs.LogFolder,
        note: SourceNote,
    ) -> Container | None:
        from docker.errors import APIError  # noqa: PLC0415

        described: dict[str, Any] = one.attrs
        image = str((described.get("Config") or {}).get("Image") or "")
        if image not in images:
            images[image] = _image_now(client, image)
        found = container_of(
            described, at=time.time(), source=LIVE, image_now=images[image], deaths=deaths.get(str(one.id), ())
        )
        told: dict[str, str] = {}
        if found.status == "running":
            told = _by_processes(one)
        try:
            fetched = logs.fetch(
                one, found.name, folder, since=self.since, until=self.until, go_on=lambda: not self.stop.is_set()
            )
        except APIError as error:
            fetched = logs.Fetched()
            if told or found.environment:
                note.notes.append(
                    f"{found.name}: its log cannot be read: {mask(str(error.explanation or error))[:160]}"
                )
        for kind in fetched.kinds:
            told.setdefault(kind, "log")
        if fetched.kinds:
            gathered.held.append(folder)
            for given, kind in ((fetched.server, "server_log"), (fetched.worker, "worker_log")):
                if given is not None:
                    gathered.logs.append((given, kind))
            note.notes += [f"{found.name}: {one}" for one in fetched.notes]
        if not told and not any(name.startswith("LIVEKIT_") for name in found.environment):
            return None
        if WORKER in told and found.status == "running" and self.here:
            self.addresses.append(of_container(found.name, described))
        role = WORKER if WORKER in told else SERVER if SERVER in told else ""
        says = declared(found) if self.here and found.running else ()
        return msgspec.structs.replace(
            found, role=role, told_by=tuple(sorted(set(told.values()))), declared=says, log=fetched.name
        )


def _by_processes(one: Running) -> dict[str, str]:
    """What the programs that run in it are."""
    from docker.errors import APIError  # noqa: PLC0415

    try:
        top = one.top(ps_args="-eo pid,ppid,args")
    except APIError:  # it ended meanwhile, or the machine has no `ps`
        return {}
    processes = [
        signs.Running(int(row[0]), int(row[1]), str(row[2]))
        for row in top.get("Processes") or []
        if len(row) >= 3 and str(row[0]).isdigit() and str(row[1]).isdigit()
    ]
    found = {}
    if signs.mains(processes):
        found[WORKER] = "processes"
    if any(signs.is_server(each.command) for each in processes):
        found[SERVER] = "processes"
    return found


def _image_now(client: DockerClient, image: str) -> str | None:
    """The id that the name of an image means now; empty when it means nothing any more."""
    from docker.errors import APIError, ImageNotFound  # noqa: PLC0415

    if not image:
        return None
    try:
        return str(client.images.get(image).id or "")
    except ImageNotFound:
        return ""
    except APIError:
        return None


def _deaths(client: DockerClient, now: float) -> dict[str, list[Death]]:
    """Ends of containers within the last minutes, by id; empty when the engine does not tell."""
    from docker.errors import DockerException  # noqa: PLC0415

    found: dict[str, list[Death]] = {}
    killed: dict[str, float] = {}
    try:
        told = client.events(
            since=int(now - REMEMBERED),
            until=int(now) + 1,
            filters={"type": "container", "event": ["die", "oom"]},
            decode=True,
        )
        for one in told:
            who = str((one.get("Actor") or {}).get("ID") or one.get("id") or "")
            at = float(one.get("timeNano") or 0) / 1e9 or float(one.get("time") or 0)
            if one.get("Action") == "oom" or one.get("status") == "oom":
                killed[who] = at
                continue
            code = str(((one.get("Actor") or {}).get("Attributes") or {}).get("exitCode") or "")
            oom = 0 <= at - killed.pop(who, 0.0) < 10
            found.setdefault(who, []).append(Death(at, int(code) if code.isdigit() else None, oom))
    except (DockerException, OSError, ValueError):
        return found
    return found


def _name(listed: Mapping[str, Any]) -> str:
    return str((listed.get("Names") or ["?"])[0]).lstrip("/")
