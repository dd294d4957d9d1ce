"""The load is a share of what this process may use, whatever cgroup it runs in; asking is quick and never NaN."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lkdoctor.collect.load.cgroups import find_quota
from lkdoctor.worker.load import Load, zero


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")


def own(tmp_path: Path, text: str) -> Path:
    (tmp_path / "cgroup").write_text(text, encoding="ascii")
    return tmp_path / "cgroup"


def test_v2_container(tmp_path: Path) -> None:
    """In a container's own namespace its group is the root."""
    write(tmp_path, cpu__max="150000 100000\n", cpu__stat="usage_usec 2500000\nuser_usec 1\n")
    found = find_quota(tmp_path, own(tmp_path, "0::/\n"))
    assert found is not None
    assert found.cpus == 1.5
    assert found.used() == 2.5


def test_v2_the_tightest_of_the_parents_counts(tmp_path: Path) -> None:
    """A systemd service without a quota in a slice with one; the SDK looks at the root only."""
    write(tmp_path / "a.slice", cpu__max="50000 100000\n", cpu__stat="usage_usec 7\n")
    write(tmp_path / "a.slice" / "b.service", cpu__max="max 100000\n", cpu__stat="usage_usec 5\n")
    found = find_quota(tmp_path, own(tmp_path, "0::/a.slice/b.service\n"))
    assert found is not None
    assert (found.cpus, found.used()) == (0.5, 7e-6)


def test_v2_without_a_quota(tmp_path: Path) -> None:
    write(tmp_path, cpu__max="max 100000\n", cpu__stat="usage_usec 7\n")
    assert find_quota(tmp_path, own(tmp_path, "0::/\n")) is None


@pytest.mark.parametrize("together", [True, False])
def test_v1(tmp_path: Path, together: bool) -> None:
    """cpu and cpuacct mounted as one or apart; the path of the host is not to be seen inside of the container."""
    cpu, acct = ("cpu,cpuacct",) * 2 if together else ("cpu", "cpuacct")
    write(tmp_path / cpu, cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n", cpu__shares="1024\n")
    write(tmp_path / acct, cpuacct__usage="3000000000\n")
    lines = "4:memory:/x\n3:cpu,cpuacct:/docker/abc\n" if together else "2:cpuacct:/docker/abc\n1:cpu:/docker/abc\n"
    found = find_quota(tmp_path, own(tmp_path, lines))
    assert found is not None
    assert (found.cpus, found.used()) == (2.0, 3.0)


def test_v1_without_a_quota(tmp_path: Path) -> None:
    """-1 is none. The SDK then takes two CPUs for granted (LKD405); here the host's share counts alone."""
    write(
        tmp_path / "cpu",
        cpu__cfs_quota_us="-1\n",
        cpu__cfs_period_us="100000\n",
        cpu__shares="1024\n",
        cpuacct__usage="1\n",
    )
    assert find_quota(tmp_path, own(tmp_path, "1:cpu:/\n")) is None


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    assert find_quota(tmp_path, tmp_path / "absent") is None


def test_load_of_a_quota(tmp_path: Path) -> None:
    """Half of a quota of one CPU is 0.5 at least, though a host of many CPUs is nearly idle."""
    write(tmp_path, cpu__max="100000 100000\n", cpu__stat="usage_usec 0\n")
    load = Load(tmp_path, own(tmp_path, "0::/\n"))
    began = time.monotonic()
    time.sleep(0.4)
    half = (time.monotonic() - began) / 2
    write(tmp_path, cpu__stat=f"usage_usec {int(half * 1e6)}\n")
    assert 0.4 <= load() <= 1.0
    assert "quota of 1 CPUs" in load.describe()


def test_load_is_quick_bounded_and_sees_work(tmp_path: Path) -> None:
    """One busy CPU of n is 1/n or more; a call takes no time to speak of."""
    load = Load(tmp_path, tmp_path / "absent")
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        sum(range(1000))
    value = load()
    assert 0.5 / len(os.sched_getaffinity(0)) <= value <= 1.0
    began = time.perf_counter()
    for _ in range(1000):
        assert load() == value
    assert time.perf_counter() - began < 0.25


def test_a_group_that_is_gone_leaves_the_hosts_share(tmp_path: Path) -> None:
    write(tmp_path, cpu__max="100000 100000\n", cpu__stat="usage_usec 0\n")
    load = Load(tmp_path, own(tmp_path, "0::/\n"))
    (tmp_path / "cpu.stat").unlink()
    time.sleep(0.3)
    assert 0.0 <= load() <= 1.0
    assert "no quota found" in load.describe()


def test_zero() -> None:
    assert zero() == 0.0
    assert zero(object()) == 0.0


_BURN = """
import pathlib, sys, time
for folder in sys.argv[1:]:
    (pathlib.Path(folder) / "tasks").write_text("0")
from lkdoctor.worker.load import Load
load = Load()
until = time.monotonic() + 1.5
while time.monotonic() < until:
    sum(range(1000))
print(load.quota.cpus, load(), len(load.cpus))
"""


def test_a_real_quota() -> None:
    """A process in a cgroup of this machine with half a CPU that uses all of it: full, though a CPU is half idle."""
    groups = [Path("/sys/fs/cgroup") / name / f"lkdoctor-test-{os.getpid()}" for name in ("cpu", "cpuacct")]
    made: list[Path] = []
    try:
        for group in groups:
            try:
                group.mkdir()
            except OSError as error:
                pytest.skip(f"no cgroup v1 can be made here: {error.strerror}")
            made.append(group)
        (groups[0] / "cpu.cfs_quota_us").write_text("50000", encoding="ascii")
        command = [sys.executable, "-c", _BURN, *map(str, groups)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        quota, load, _ = map(float, ran.stdout.split())
        assert quota == 0.5
        assert load >= 0.85
    finally:
        for group in made:
            group.rmdir()
