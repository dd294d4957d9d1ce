"""Many conversations on a real livekit-server of this machine: `python -m bench.conversations --count 100 --shape b`.

Prints one line for bench/README.md: what went well, how often something was said and heard, and the share of the machine's
CPUs that the workers and the server took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import psutil

from fixtures.lab.servers import KEY, SECRET, running


async def play(count: int, parallel: int, shape: str, version: str) -> str:
    """Runs one batch and returns its line."""
    with tempfile.TemporaryDirectory() as scratch:
        async with running(version, Path(scratch)) as server:
            keep = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
            credentials = {"LIVEKIT_URL": server.ws_url, "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
            wish = ("--conversations", str(count), "--parallel", str(parallel), "--shape", shape, "--format", "json")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lkdoctor", "worker", *wish),
                env=keep | credentials,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
            times = psutil.Process(server.process.pid).cpu_times()
    found = json.loads(out)
    sums, run, workers = found["totals"], found["run"], found["workers"]
    server_share = (times.user + times.system) / (run["seconds"] * workers["cpus"])
    columns = (
        shape,
        f"{sums['ok']} of {count}",
        str(parallel),
        f"{run['seconds']:.0f} s",
        f"{sums['words']}",
        f"{sums['said']} / {sums['heard']}",
        f"{sums['lost']}",
        f"{sums['wrong']}",
        f"{sums['joined_median']:.2f} / {sums['joined_p95']:.2f} s",
        f"{sums['round_trip_median']:.2f} / {sums['round_trip_p95']:.2f} s",
        f"{workers['share_of_machine']:.0%} + {server_share:.0%}",
    )
    failed = f"  {sums['failed']}" if sums["failed"] else ""
    return f"| {' | '.join(columns)} |{failed}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--shape", choices=["a", "b", "c"], default="b")
    parser.add_argument("--version", default="1.13.5", help="of livekit-server")
    wish = parser.parse_args()
    print(asyncio.run(play(wish.count, wish.parallel, wish.shape, wish.version)))


if __name__ == "__main__":
    main()
