"""How long lkdoctor takes for a log, against `rg -c` with the same literals: `python -m bench.ratio FILE…`.

Everything runs pinned to one core, in turns, several times; the best time of each counts. Prints seconds, the ratio to
`rg -c`, and peak memory. Without FILE a log of `--gb` at `--density` is generated in a temporary folder first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.generate import load, recordings, write
from lkdoctor.collect.server_log.messages import MESSAGES

_READ = "import sys; from lkdoctor.collect.server_log import ServerLogs; [0 for _ in ServerLogs(sys.argv[1:], jobs=1).events()]"


class Measured(NamedTuple):
    """One program's best run."""

    seconds: float
    megabytes: float
    cpu: float = 0.0  # seconds of its own; what other programs of a busy machine take is not in it


def run(command: Sequence[str], core: int | None, stdin: Sequence[str] | None = None) -> Measured:
    """Run `command` to its end, on one core when given; its wall time and its own peak memory.

    Raises:
        SystemExit: it could not be run, or died of a signal or a usage error.
    """
    if core is not None and shutil.which("taskset"):
        command = ["taskset", "-c", str(core), *command]
    began = time.perf_counter()
    feeder = None if stdin is None else subprocess.Popen(stdin, stdout=subprocess.PIPE)
    with subprocess.Popen(
        command, stdin=None if feeder is None else feeder.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        if feeder is not None and feeder.stdout is not None:
            feeder.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
    if feeder is not None:
        feeder.wait()
    if code not in (0, 1, 3):
        raise SystemExit(f"{' '.join(command)} ended with {code}: {said.decode(errors='replace')[-500:]}")
    megabytes = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
    return Measured(time.perf_counter() - began, megabytes, usage.ru_utime + usage.ru_stime)


def best(runs: Sequence[Measured]) -> Measured:
    """The shortest times and the highest memory."""
    return Measured(min(one.seconds for one in runs), max(one.megabytes for one in runs), min(one.cpu for one in runs))


def ripgrep() -> str:
    """The `rg` program: the one beside this Python, else the one on PATH.

    Raises:
        SystemExit: there is none.
    """
    beside = Path(sysconfig.get_path("scripts")) / "rg"
    found = str(beside) if beside.exists() else shutil.which("rg")
    if found is None:
        raise SystemExit("rg is missing: pip install ripgrep")
    return found


def measure(files: Sequence[Path], times: int, core: int | None) -> None:
    """Print the table for one log."""
    names = [str(one) for one in files]
    check = [sys.executable, "-m", "lkdoctor", "check", "--format", "json", "--jobs", "1" if core is not None else "0"]
    if core is None:
        check = check[:-2]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as literals:
        literals.write("\n".join(MESSAGES) + "\n")
        literals.flush()
        commands = {
            "rg -c": [ripgrep(), "-c", "-F", "-f", literals.name, *names],
            "reader alone": [sys.executable, "-c", _READ, *names],
            "lkdoctor check": [*check, *names],
        }
        runs: dict[str, list[Measured]] = {name: [] for name in commands}
        for _ in range(times):
            for name, command in commands.items():
                runs[name].append(run(command, core))
    base = best(runs["rg -c"]).seconds
    size = sum(one.stat().st_size for one in files) / 1e6
    print(f"{size:,.0f} MB in {len(files)} file(s), {'one core' if core is not None else 'all cores'}, best of {times}")
    for name, found in runs.items():
        one = best(found)
        print(f"  {name:16} {one.seconds:7.2f} s   {one.seconds / base:5.2f} x   {one.megabytes:6.0f} MB")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--format", choices=("console", "json"), default="console", dest="form")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--all-cores", action="store_true", help="do not pin; lkdoctor uses its processes")
    parser.add_argument("--stream", action="store_true", help="feed the log through a pipe: time and memory, no disk")
    given = parser.parse_args()
    core = None if given.all_cores else given.core
    if given.stream:
        feed = [sys.executable, "-m", "bench.generate", "--gb", str(given.gb), "--density", str(given.density)]
        feed += ["--format", given.form, "--stream"]
        one = run([sys.executable, "-m", "lkdoctor", "check", "--format", "json", "-"], None, feed)
        print(f"{given.gb * 1000:,.0f} MB through a pipe: {one.seconds:.1f} s, {one.megabytes:.0f} MB")
        return
    if given.files:
        measure(given.files, given.times, core)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.log"
        cases, filler = load(recordings([]), given.form)
        with open(path, "wb") as out:
            write(out, int(given.gb * 1e9), cases, filler, given.density, given.form)
        measure([path], given.times, core)


if __name__ == "__main__":
    main()
