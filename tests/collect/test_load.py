"""Cgroups of both versions are read as SDKs and kernels see them, and what SDK versions make of them is what the table says."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from fixtures.lab.paths import cache
from lkdoctor.collect.load import cgroups, machine, measure, sdk
from lkdoctor.dispatch.load import LoadReading
from lkdoctor.dispatch.metering import METERINGS, metering, share_of

Tree = dict[str, str]

V2_CONTAINER: Tree = {"cpu.max": "50000 100000\n", "cpu.stat": "usage_usec 2500000\nnr_periods 10\nnr_throttled 4\n", "cgroup.type": "domain\n"}  # fmt: skip
V2_FREE: Tree = {**V2_CONTAINER, "cpu.max": "max 100000\n"}
V2_HOST: Tree = {"cpu.stat": "usage_usec 7000000\n"}
V1_CONTAINER: Tree = {
    "cpu/cpu.cfs_quota_us": "50000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpu/cpu.shares": "1024\n",
    "cpu/cpu.stat": "nr_periods 40\nnr_throttled 30\nthrottled_time 9\n",
    "cpuacct/cpuacct.usage": "3000000000\n",
}
V1_FREE: Tree = {**V1_CONTAINER, "cpu/cpu.cfs_quota_us": "-1\n"}
V1_HOST: Tree = {**V1_FREE, "cpu/release_agent": "\n", "cpuacct/release_agent": "\n"}
TREES = {
    "v2-quota": V2_CONTAINER,
    "v2": V2_FREE,
    "v2-host": V2_HOST,
    "v1-quota": V1_CONTAINER,
    "v1": V1_FREE,
    "none": {},
}


def plant(folder: Path, tree: Tree) -> Path:
    for name, text in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="ascii")
    return folder


def own(tmp_path: Path, text: str) -> Path:
    (tmp_path / "own").write_text(text, encoding="ascii")
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("tree", "version", "quota", "root"),
    [
        (V2_CONTAINER, 2, 0.5, False),
        (V2_FREE, 2, None, False),
        (V2_HOST, 2, None, True),
        (V1_CONTAINER, 1, 0.5, False),
        (V1_FREE, 1, None, False),
        (V1_HOST, 1, None, True),
        ({}, 0, None, True),
    ],
)
def test_what_sdks_find(tmp_path: Path, tree: Tree, version: int, quota: float | None, root: bool) -> None:
    """The files right under /sys/fs/cgroup, whose root of all groups differs from a container's by files of its own."""
    found = cgroups.seen_by_sdks(plant(tmp_path, tree))
    assert (found.version, found.quota, found.root) == (version, quota, root)


def test_a_container_is_known_by_its_group(tmp_path: Path) -> None:
    """Its path names an engine, or its files are no root's; a machine that is made of an image is none."""
    host = plant(tmp_path / "host", V1_HOST)
    inside = plant(tmp_path / "inside", V2_FREE)
    assert not cgroups.contained(host, own(tmp_path, "4:cpu:/\n0::/\n"))
    assert not cgroups.contained(plant(tmp_path / "v2", V2_HOST), own(tmp_path, "0::/system.slice/worker.service\n"))
    assert cgroups.contained(host, own(tmp_path, "4:cpu:/docker/abc\n"))
    assert cgroups.contained(host, own(tmp_path, "0::/kubepods.slice/kubepods-burstable.slice/x.scope\n"))
    assert cgroups.contained(inside, own(tmp_path, "0::/\n"))
    assert not cgroups.contained(tmp_path / "absent", tmp_path / "absent-too")


def test_periods(tmp_path: Path) -> None:
    plant(tmp_path, {**V1_CONTAINER, "odd": "nr_periods many\n"})
    assert cgroups.periods_of(tmp_path / "cpu" / "cpu.stat") == (40, 30)
    assert cgroups.periods_of(tmp_path / "odd") is None
    assert cgroups.periods_of(tmp_path / "absent") is None
    assert cgroups.periods_of(None) is None


def test_a_meter_counts_what_happened_between(tmp_path: Path) -> None:
    """Used CPU time, and periods in which the quota stopped the group, by the files alone."""
    tree = plant(tmp_path, V1_CONTAINER)
    place = machine.Place("here", tree, own(tmp_path, "4:cpu:/docker/abc\n5:cpuacct:/docker/abc\n"), (0,), None, False)
    meter = machine.Meter(place)
    plant(tmp_path, {"cpu/cpu.stat": "nr_periods 60\nnr_throttled 35\n", "cpuacct/cpuacct.usage": "3200000000\n"})
    counted = meter.since()
    assert counted.held_back == 0.25
    assert counted.quota_used is not None
    assert counted.quota_used == pytest.approx(0.2 / counted.seconds)
    assert meter.since().held_back is None  # no period has gone by since


def test_the_host_is_all_cpus_also_for_a_worker_that_may_run_on_few(tmp_path: Path) -> None:
    """SDKs divide the whole host's busy time by all its CPUs, whichever of them the process is pinned to."""
    tree = plant(tmp_path, V1_CONTAINER)
    none_of_its_own = machine.Place("here", tree, own(tmp_path, "4:cpu:/docker/abc\n"), (), None, False)
    meter = machine.Meter(none_of_its_own)
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    counted = meter.since()
    assert counted.host_busy == 0
    assert counted.all_busy * counted.seconds >= 0.3


def test_number_of_cpus() -> None:
    assert [machine.number_of_cpus(one) for one in (None, "4", "0.5", "many", "")] == [None, 4.0, 0.5, None, None]


def test_a_process_that_is_not_there() -> None:
    with pytest.raises(machine.NoSuchProcessError, match="no such process"):
        machine.of_process(2**22 + 1)


def test_every_version_has_one_row() -> None:
    """The rows of an SDK follow each other without a gap, so that a version is told by exactly one."""
    for name in ("python", "node"):
        rows = [one for one in METERINGS if one.sdk == name]
        assert [one.before for one in rows[:-1]] == [one.first for one in rows[1:]]
        assert rows[-1].before is None
    assert metering("python", "0.12.21") is not metering("python", "1.8.9")
    assert metering("python", "unknown") is None
    assert metering("", "1.8.9") is None


# -- the SDKs' own code on these trees ---------------------------------------------------------------------------------
def _sdks() -> list[tuple[str, Path]]:
    """Each livekit-agents at hand: the installed one, and those that the lab keeps."""
    found = importlib.util.find_spec("livekit")
    folders = [Path(one) for one in (found.submodule_search_locations or [])] if found is not None else []
    folders += cache().glob("python-agents-*/lib/python3*/site-packages/livekit")
    homes = [one / "agents" for one in folders if (one / "agents" / "utils" / "hw" / "cpu.py").is_file()]
    named: dict[str, Path] = {}
    for home in homes:
        scope: dict[str, str] = {}
        exec((home / "version.py").read_text("utf-8"), scope)
        named[scope["__version__"]] = home
    return sorted(named.items())


@pytest.mark.parametrize("num_cpus", [None, "4"])
@pytest.mark.parametrize("tree", list(TREES))
@pytest.mark.parametrize("version", [one for one, _ in _sdks()])
def test_the_table_is_what_livekit_agents_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, tree: str, num_cpus: str | None
) -> None:
    """The SDK's own module, which knows one place only, reads this tree instead: same group, same divisor."""
    source = (dict(_sdks())[version] / "utils" / "hw" / "cpu.py").read_text("utf-8")
    folder = plant(tmp_path, TREES[tree])
    monkeypatch.delenv("NUM_CPUS", raising=False)
    if num_cpus is not None:
        monkeypatch.setenv("NUM_CPUS", num_cpus)
    module = types.ModuleType("cpu")
    source = source.replace("/sys/fs/cgroup", str(folder)).replace("from ...log import logger", "logger = None")
    exec(compile(source, "cpu.py", "exec", dont_inherit=True), module.__dict__)
    monitor = module.get_cpu_monitor()
    host_cpus = module.psutil.cpu_count()
    group = cgroups.seen_by_sdks(folder)
    how = metering("python", version)
    assert how is not None
    told = share_of(
        how,
        cgroup=group.version,
        root_quota=group.quota,
        host_cpus=host_cpus,
        num_cpus=machine.number_of_cpus(num_cpus),
    )
    own_divisor = monitor.cpu_count()
    if told.of == "host":
        assert type(monitor).__name__ == "DefaultCPUMonitor"
        # What the method says there is not what it divides by: psutil's percentage is of all CPUs.
        assert told.cpus == host_cpus
    else:
        assert f"V{group.version}" in type(monitor).__name__
        assert told.cpus == own_divisor


@pytest.mark.parametrize("num_cpus", [None, "4"])
@pytest.mark.parametrize("tree", list(TREES))
def test_the_table_is_what_agents_for_node_does(tmp_path: Path, tree: str, num_cpus: str | None) -> None:
    home = next(iter(sorted(cache().glob("node-agents-*/node_modules/@livekit/agents"))), None)
    node = shutil.which("node")
    if home is None or node is None:
        pytest.skip("@livekit/agents is not in the lab's cache")
    folder = plant(tmp_path / "tree", TREES[tree])
    copied = tmp_path / "cpu.mjs"
    copied.write_text((home / "dist" / "cpu.js").read_text("utf-8").replace("/sys/fs/cgroup", str(folder)), "utf-8")
    ask = "import { getCpuMonitor } from './cpu.mjs'; import os from 'node:os'; const m = getCpuMonitor();"
    ask += "console.log(JSON.stringify([m.constructor.name, m.cpuCount(), os.cpus().length]))"
    (tmp_path / "ask.mjs").write_text(ask, "utf-8")
    variables = {} if num_cpus is None else {"NUM_CPUS": num_cpus}
    ran = subprocess.run(
        [node, "ask.mjs"], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    monitor, divisor, host_cpus = json.loads(ran.stdout)
    group = cgroups.seen_by_sdks(folder)
    how = metering("node", json.loads((home / "package.json").read_text("utf-8"))["version"])
    assert how is not None
    told = share_of(
        how,
        cgroup=group.version,
        root_quota=group.quota,
        host_cpus=host_cpus,
        num_cpus=machine.number_of_cpus(num_cpus),
    )
    assert (told.of == "host") == monitor.startswith("Default")
    if told.of == "group":
        assert told.cpus == divisor


# -- load functions in processes of their own --------------------------------------------------------------------------
FUNCTIONS = """
import math, time
def zero():
    return 0
def nan(worker):
    return math.nan
def idle(worker):
    return 0
def jobs(worker):
    return len(worker.active_jobs) / 8
def slow():
    time.sleep(0.3)
    return 0.25
def text():
    return "0.5"
def raises():
    print("this goes to the user's own stdout")
    raise LookupError("no such meter")
"""


async def taken(module: Path, name: str) -> sdk.Function:
    started = await sdk.python("", f"functions:{name}")
    try:
        for _ in range(300):
            if len(started.samples) >= 2 or started.ended:
                break
            await asyncio.sleep(0.1)
    finally:
        await started.stop()
    return started


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("zero", 0.0, ""),
        ("nan", None, "nan"),
        ("idle", 0.0, ""),
        ("jobs", 0.0, ""),
        ("slow", 0.25, ""),
        ("text", None, "'0.5'"),
        ("raises", None, "LookupError: no such meter"),
    ],
)
def test_a_users_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float | None, error: str
) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = asyncio.run(taken(tmp_path, name))
    assert found.by == "function"
    assert found.takes_worker == (name == "jobs"), (
        "who takes a worker and reads nothing of it is as one that takes none"
    )
    assert len(found.samples) >= 2
    assert {(one.value, one.error) for one in found.samples} == {(value, error)}
    assert (max(one.took for one in found.samples) >= 0.3) == (name == "slow")


@pytest.mark.parametrize("named", ["functions:absent", "absent:zero", "functions", "functions:"])
def test_a_function_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sdk.NoSdkError, match=r"cannot be loaded|is no load function"):
        asyncio.run(sdk.python("", named))


def test_what_is_no_sdk(tmp_path: Path) -> None:
    """Each says what to name instead."""
    with pytest.raises(sdk.NoSdkError, match="no Python there"):
        asyncio.run(sdk.python(str(tmp_path)))
    with pytest.raises(sdk.NoSdkError, match=r"node"):
        asyncio.run(sdk.node(str(tmp_path)))
    (tmp_path / "python").write_text("#!/bin/sh\necho nonsense\n", encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(sdk.NoSdkError):
        asyncio.run(sdk.python(str(tmp_path / "python")))


def test_the_installed_sdk_is_measured_as_it_measures() -> None:
    """Its own object, with what it divides by; the whole SDK is not imported, which would load the machine for seconds."""
    pytest.importorskip("livekit.agents.version")

    async def run() -> list[list[LoadReading]]:
        started = await sdk.python("")
        try:
            known = measure.Known(agent_name="inbound-agent", server_version="1.13.5")
            found = measure.readings([machine.here()], [started], known, seconds=1.5)
            return [one async for one in found]
        finally:
            await started.stop()

    ((one,),) = asyncio.run(run())
    assert one.by == "sdk"
    assert one.measures.startswith("livekit-agents ")
    assert one.load is not None
    assert 0 <= one.load <= 1
    assert one.samples >= 2
    assert (one.agent_name, one.server_version) == ("inbound-agent", "1.13.5")
    assert 0 <= one.host_busy <= one.own_cpus * 1.2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_another_process_is_seen_as_it_sees_itself(tmp_path: Path) -> None:
    """A worker's process from outside: its SDK's version by its files, NUM_CPUS by its environment."""
    pytest.importorskip("livekit.agents.version")
    code = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"NUM_CPUS": "3", "OTHER": "x"}
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        async def run() -> list[list[LoadReading]]:
            place = machine.of_process(process.pid)
            return [one async for one in measure.readings([place], [], measure.Known(), seconds=1)]

        ((one,),) = asyncio.run(run())
    finally:
        process.communicate(b"", timeout=20)
    assert one.where == f"process {process.pid}"
    assert (one.sdk, one.by, one.num_cpus) == ("python", "rule", 3.0)
    assert one.load is not None
    assert "OTHER" not in one.told()


@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="one CPU is to be left out")
def test_a_pinned_process_s_host_load_is_of_all_cpus(tmp_path: Path) -> None:
    """An SDK that counts the host's time counts that of CPUs on which its process may not run, too."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    (tmp_path / "lib" / "python3.11" / "site-packages" / "livekit_agents-0.10.2.dist-info").mkdir(parents=True)
    every = sorted(os.sched_getaffinity(0))
    program = f"import os, sys; os.sched_setaffinity(0, [{every[0]}]); print('ready', flush=True); sys.stdin.read()"
    spin = "import os, sys; os.sched_setaffinity(0, [int(sys.argv[1])])\nwhile os.getppid() != 1: pass"
    worker = subprocess.Popen(
        [str(tmp_path / "bin" / "python3"), "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    spinners = [subprocess.Popen([sys.executable, "-c", spin, str(cpu)]) for cpu in every]
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"

        async def run() -> list[list[LoadReading]]:
            await asyncio.sleep(1)  # until all of them spin
            places = [machine.of_process(worker.pid)]
            return [one async for one in measure.readings(places, [], measure.Known(), seconds=2)]

        ((one,),) = asyncio.run(run())
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
        worker.communicate(b"", timeout=20)
    assert (one.version, one.of, one.divisor, one.own_cpus) == ("0.10.2", "host", one.host_cpus, 1)
    assert one.load is not None
    assert one.load > 0.75 * len(every) / one.host_cpus
