"""How long lkdoctor takes for a worker's log, against `rg -c` with the same literals: `python -m bench.workers --gb 0.3`.

The log is a recorded one of each form, again and again with ids of its own; between its lines stand recorded lines of no
interest, so that `--density` of all lines are relevant. The ratio is of CPU seconds, which other programs hardly change.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from bench.generate import rewrite
from bench.ratio import Measured, best, ripgrep, run
from lkdoctor.collect.worker_log.messages import AUTOMATON, LITERALS

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
FORMS = {
    "python start": "worker-job-crashed",
    "python dev": "worker-job-crashed-dev",
    "python table": "worker-crash-1-5-17-dev",
    "node start": "worker-job-crashed-node",
    "node dev": "worker-job-crashed-node-dev",
}
#: Where a recording has no line of no interest: what agents of this form write most.
SPARE = {"node start": "worker-name-overridden-node"}
_READ = "import sys; from lkdoctor.collect.worker_log import WorkerLogs; [0 for _ in WorkerLogs(sys.argv[1:], jobs=1).events()]"


def write(path: Path, form: str, size: int, density: float) -> None:
    """A log of `size` bytes."""
    lines = (FIXTURES / FORMS[form] / "worker-inbound.log").read_bytes().splitlines(keepends=True)
    other = (FIXTURES / SPARE.get(form, FORMS[form]) / "worker-inbound.log").read_bytes().splitlines(keepends=True)
    filler = [one for one in (*lines, *other) if not AUTOMATON.find_matches_as_indexes(one) and one[:1] in b"{2[ "]
    relevant = sum(bool(AUTOMATON.find_matches_as_indexes(one)) for one in lines)
    spare = b"".join(itertools.islice(itertools.cycle(filler), int(relevant / density)))
    done = 0
    with path.open("wb") as out:
        for copy in itertools.count():
            if done >= size:
                return
            block = rewrite(b"".join(lines), copy)
            out.write(block)
            out.write(spare)
            done += len(block) + len(spare)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=0.3)
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--form", choices=[*FORMS], action="append")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        literals = Path(folder) / "literals.txt"
        literals.write_bytes(b"\n".join(LITERALS) + b"\n")
        for form in given.form or FORMS:
            path = Path(folder) / "worker.log"
            write(path, form, int(given.gb * 1e9), given.density)
            commands = {
                "rg -c": [ripgrep(), "-c", "-F", "-f", str(literals), str(path)],
                "reader alone": [sys.executable, "-c", _READ, str(path)],
                "lkdoctor check": [
                    sys.executable,
                    "-m",
                    "lkdoctor",
                    "check",
                    "--format",
                    "json",
                    "--jobs",
                    "1",
                    str(path),
                ],
            }
            runs: dict[str, list[Measured]] = {name: [] for name in commands}
            for _ in range(given.times):
                for name, command in commands.items():
                    runs[name].append(run(command, given.core))
            megabytes = path.stat().st_size / 1e6
            base = best(runs["rg -c"]).cpu
            print(f"{form}: {megabytes:,.0f} MB, one core, best of {given.times}")
            for name, found in runs.items():
                one = best(found)
                print(
                    f"  {name:16} {one.seconds:7.2f} s   {one.cpu:7.2f} s CPU   {megabytes / one.cpu:6.0f} MB/s"
                    f"   {one.cpu / base:5.2f} x   {one.megabytes:6.0f} MB"
                )


if __name__ == "__main__":
    main()
