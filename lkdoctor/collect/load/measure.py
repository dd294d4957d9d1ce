"""Measures for a while: the machine and a worker's cgroup by the kernel's counters, and beside them what SDKs make of these."""

from __future__ import annotations

import asyncio
import glob
import json
import os
import platform
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psutil

from lkdoctor.collect.load import cgroups
from lkdoctor.collect.load.machine import Counted, Meter, Place, environment_of
from lkdoctor.collect.load.sdk import Function, Sample
from lkdoctor.dispatch.load import LoadReading
from lkdoctor.dispatch.metering import Sdk, metering, share_of
from lkdoctor.redact import mask

_LATE: Final = 4.0  # s: Node's first value comes after 2.5
_TICK: Final = 0.1
_CHILDREN: Final = 20


@dataclass(frozen=True, slots=True)
class Known:
    """What the user said of the worker and of its server."""

    agent_name: str | None = None
    threshold: float | None = None
    dev: bool = False
    server_version: str = ""
    target_load: float | None = None


async def readings(
    places: Sequence[Place], functions: Sequence[Function], known: Known, *, seconds: float, windows: int = 1
) -> AsyncIterator[list[LoadReading]]:
    """`windows` times what was measured over `seconds`: one reading for each function here, and one for each other process.

    A function's values are those that it returned within the window.
    """
    meters = [Meter(one) for one in places]
    for _ in range(windows):
        since = time.time()
        await asyncio.sleep(seconds)
        for _ in range(round(_LATE / _TICK)):
            if all(one.ended or _within(one, since) for one in functions):
                break
            await asyncio.sleep(_TICK)
        at = round(time.time(), 3)
        found: list[LoadReading] = []
        for meter in meters:
            counted = meter.since()
            if meter.place.pid is not None:
                found.append(_of_process(meter, counted, known))
            elif functions:
                found += [_of_function(meter, counted, one, _within(one, since), known) for one in functions]
            else:
                found.append(_reading(meter, counted, known))
        yield [msgspec.structs.replace(one, at=at) for one in found]


def _within(one: Function, since: float) -> list[Sample]:
    return [sample for sample in one.samples if sample.at > since]


def _reading(meter: Meter, counted: Counted, known: Known, **more: object) -> LoadReading:
    """What stands for itself: the machine and the group."""
    place, quota = meter.place, meter.quota
    fields: dict[str, object] = {
        "at": 0.0,
        "seconds": round(counted.seconds, 2),
        "where": place.words,
        "agent_name": known.agent_name,
        "system": platform.system(),
        "host_cpus": psutil.cpu_count() or 1,
        "own_cpus": len(place.cpus),
        "host_busy": round(counted.host_busy, 3),
        "contained": cgroups.contained(place.folder, place.own),
        "cgroup": meter.group.version,
        "root_quota": meter.group.quota,
        "quota": None if quota is None else quota.cpus,
        "quota_file": "" if quota is None else _shown(quota.place, place),
        "group_used": _rounded(counted.quota_used if quota is not None else _own_group(meter, counted)),
        "held_back": _rounded(counted.held_back),
        "num_cpus": place.num_cpus,
        "threshold": known.threshold,
        "dev": known.dev,
        "server_version": known.server_version,
        "target_load": known.target_load,
        "cloud": place.cloud,
    }
    return LoadReading(**{**fields, **more})  # type: ignore[arg-type] # checked where they are made


def _own_group(meter: Meter, counted: Counted) -> float | None:
    """Of the group that SDKs find, unless it is the whole host's."""
    return None if meter.group.root else counted.group_used


def _shown(path: str, place: Place) -> str:
    """As the process itself sees it."""
    return path if place.pid is None else path.removeprefix(f"/proc/{place.pid}/root")


def _of_function(meter: Meter, counted: Counted, one: Function, samples: list[Sample], known: Known) -> LoadReading:
    values = [sample.value for sample in samples]
    numbers = [value for value in values if value is not None]
    last = values[-one.window :]
    mean = [value for value in last if value is not None]
    load = sum(mean) / len(mean) if mean and len(mean) == len(last) else None
    of = "" if one.by == "function" else "host" if one.host or meter.group.root else "group"
    return _reading(
        meter, counted, known,
        sdk=one.sdk, version=one.version, by=one.by, function=one.function, of=of, divisor=one.divisor,
        load=_rounded(load), lowest=_rounded(min(numbers, default=None)), highest=_rounded(max(numbers, default=None)),
        takes_worker=one.takes_worker, samples=len(samples), nan=any(sample.error == "nan" for sample in samples),
        error=next((mask(sample.error)[:300] for sample in samples if sample.value is None), ""), slowest=round(max((sample.took for sample in samples), default=0.0), 3),
    )  # fmt: skip


def _of_process(meter: Meter, counted: Counted, known: Known) -> LoadReading:
    """Of another process, whose SDK cannot be called from here: what the SDK's rule makes of the same counters."""
    assert meter.place.pid is not None
    sdk, version = sdk_of_process(meter.place.pid)
    how = metering(sdk, version)
    if how is None:
        return _reading(meter, counted, known, sdk=sdk, version=version)
    share = share_of(
        how,
        cgroup=meter.group.version,
        root_quota=meter.group.quota,
        host_cpus=psutil.cpu_count() or 1,
        num_cpus=meter.place.num_cpus,
    )
    host = share.of == "host"
    used = counted.all_busy if host else counted.group_used
    load = None if used is None or share.cpus <= 0 else min(used / share.cpus, 1.0)
    of = "host" if host or meter.group.root else "group"
    return _reading(
        meter, counted, known,
        sdk=sdk, version=version, by="rule", of=of, divisor=share.cpus, load=_rounded(load), lowest=_rounded(load),
        highest=_rounded(load), samples=0 if load is None else 1,
    )  # fmt: skip


def sdk_of_process(pid: int) -> tuple[Sdk, str]:
    """Which SDK a worker's process runs, and its version, by the files that it sees; empty where they do not tell. A shell or
    another program that only starts the worker is passed over."""
    try:
        every = [pid, *(one.pid for one in psutil.Process(pid).children(recursive=True)[:_CHILDREN])]
    except psutil.Error:
        return "", ""
    return next((found for one in every if (found := _sdk_of(one))[1]), ("", ""))


def _sdk_of(pid: int) -> tuple[Sdk, str]:
    root = Path(f"/proc/{pid}/root")
    try:
        process = psutil.Process(pid)
        words, name = process.cmdline(), os.path.basename(process.exe()).lower()  # Node names its thread otherwise
        cwd = os.readlink(f"/proc/{pid}/cwd")
        path = environment_of(pid).get("PATH", "")
    except (psutil.Error, OSError):
        return "", ""
    if not words:
        return "", ""
    if name.startswith("python"):
        program = words[0]
        folders = [os.path.dirname(os.path.join(cwd, program))] if "/" in program else path.split(":")
        homes = [
            os.path.dirname(one) for one in folders if (root / one.lstrip("/") / os.path.basename(program)).exists()
        ]
        return "python", next((found for home in homes if (found := _python_sdk(root, home))), "")
    if name.startswith(("node", "bun")):
        scripts = [os.path.join(cwd, one) for one in words[1:] if one.endswith((".js", ".mjs", ".cjs", ".ts"))]
        return "node", next((found for one in (*scripts, cwd) if (found := _node_sdk(root, Path(one)))), "")
    return "", ""


def _python_sdk(root: Path, home: str) -> str:
    found = sorted(glob.glob(f"{root}{home}/lib/python3*/*-packages/livekit_agents-*.dist-info"))
    return os.path.basename(found[-1]).removeprefix("livekit_agents-").removesuffix(".dist-info") if found else ""


def _node_sdk(root: Path, start: Path) -> str:
    for folder in (start, *start.parents):
        package = Path(f"{root}{folder}/node_modules/@livekit/agents/package.json")
        try:
            return str(json.loads(package.read_text("utf-8"))["version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ""


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
