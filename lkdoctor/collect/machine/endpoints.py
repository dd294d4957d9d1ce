"""The HTTP endpoints of workers that were found on this machine: where each could be, and what it says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from lkdoctor.collect.gathered import Gathered
from lkdoctor.dispatch.machine import HostProcess
from lkdoctor.dispatch.model import SourceNote

USUAL: Final = 8081  # both SDKs after `start`; a free one after `dev`
_MOST: Final = 64  # workers that are asked
_TRIES: Final = 3  # ports of each


class Address(NamedTuple):
    """Where the endpoint of one worker could be. `found_in` names the worker: `container agent-1`, `process 4711`."""

    found_in: str
    urls: tuple[str, ...]


def of_container(name: str, described: Mapping[str, Any]) -> Address:
    """Candidates for a container of this machine's own engine."""
    state = described.get("State") or {}
    settings = described.get("NetworkSettings") or {}
    on_host = (described.get("HostConfig") or {}).get("NetworkMode") == "host"
    listening = _listening(int(state.get("Pid") or 0))
    hosts = [
        str(one.get("IPAddress")) for one in (settings.get("Networks") or {}).values() if (one or {}).get("IPAddress")
    ]
    if on_host:
        hosts = ["127.0.0.1"]
    inside = listening or (USUAL,)
    urls = [f"http://{host}:{port}" for host in hosts[:1] for port in inside]
    for bound, places in (settings.get("Ports") or {}).items():
        number = str(bound).partition("/")[0]
        if places and number.isdigit() and int(number) in inside:
            urls.insert(0, f"http://127.0.0.1:{places[0].get('HostPort')}")
    return Address(f"container {name}", tuple(urls[:_TRIES]))


def of_process(process: HostProcess) -> Address:
    """Candidates for a process of this machine; none for one whose network, a container's mostly, is not this one's.

    There the same port on 127.0.0.1 would be another program's.
    """
    if not _same_network(process):
        return Address(f"process {process.pid}", ())
    return Address(f"process {process.pid}", tuple(f"http://127.0.0.1:{port}" for port in process.ports[:_TRIES]))


def _same_network(process: HostProcess) -> bool:
    """Is 127.0.0.1 the same to it as to lkdoctor? Where that cannot be seen, it is unless a container holds the process."""
    try:
        return os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net")
    except OSError:
        return not process.container


def _listening(pid: int) -> tuple[int, ...]:
    """Ports that a process and its children listen on; empty where they may not be looked at."""
    import psutil  # noqa: PLC0415 - for who asks only

    if not pid:
        return ()
    found: set[int] = set()
    try:
        main = psutil.Process(pid)
        for one in (main, *main.children(recursive=True)):
            found |= {each.laddr.port for each in one.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    except (psutil.Error, OSError):
        return tuple(sorted(found))
    return tuple(sorted(found))


async def read(addresses: Iterable[Address], gathered: Gathered, seconds: float) -> None:
    """Ask each, and keep what answers as a worker does; what else listens there was not meant."""
    from lkdoctor.collect.worker_http import KIND, add, read_endpoint, unforeseen  # noqa: PLC0415 - aiohttp

    async def one(address: Address) -> None:
        for url in address.urls:
            try:
                found = await read_endpoint(url, seconds=min(seconds, 5.0), found_in=address.found_in)
            except Exception as error:  # noqa: BLE001 - an answer of an unforeseen form costs only itself
                gathered.notes.append(SourceNote(url, KIND, notes=[unforeseen(error)]))
                continue
            if found.worker:
                add(found, gathered)
                return

    await asyncio.gather(*(one(each) for each in list(addresses)[:_MOST] if each.urls))
