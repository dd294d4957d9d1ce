"""Runs the real command as a process, and inside this one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from lkdoctor.cli import group
from tests.recorded import case

HEALTHY = case("two-names-one-room")
FAULTY = case("name-near-miss")
OPEN = case("head-cut-after-assignment") / "server.log"  # alone: the API beside it decides what the log leaves open
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """A finished process."""

    status: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would change the output."""
    scrubbed = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "CI", "GITHUB_ACTIONS", "LIVEKIT_URL", "LIVEKIT_API_SECRET"}
    return {key: value for key, value in os.environ.items() if key not in scrubbed} | more


def run(
    *arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None, environ: dict[str, str] | None = None
) -> Ran:
    """`python -m lkdoctor ARGUMENTS`, at most a minute."""
    done = subprocess.run(
        [sys.executable, "-m", "lkdoctor", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env=environment(**(environ or {})),
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def call(*arguments: str | Path) -> Result:
    """The same inside of this process, 140 columns wide: faster, and open to a test's changes."""
    runner = CliRunner(env={"COLUMNS": "140", "NO_COLOR": None, "FORCE_COLOR": None})
    return runner.invoke(group, [str(one) for one in arguments], prog_name="lkdoctor")
