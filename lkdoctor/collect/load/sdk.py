"""Runs the load function that a worker would use (an SDK's own, or the user's) in a process of its own, in the worker's
Python or in Node, and takes down what it returns."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from lkdoctor.dispatch.metering import Sdk
from lkdoctor.redact import mask

_STARTING: Final = 20.0  # s until the first line, on a machine that is busy, which is why one measures
_ENDING: Final = 2.0  # s
_PROGRAM: Final = Path(__file__).with_name("meter.py")

# The SDK's own module does the measuring; it imports nothing but node:fs and node:os. Before 1.0.49 there is none, and the
# worker sums up os.cpus() itself.
_NODE: Final = """
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { pathToFileURL } from 'node:url';
const home = process.argv[1];
const say = (one) => process.stdout.write(JSON.stringify(one) + '\\n');
const { version } = JSON.parse(readFileSync(home + '/package.json', 'utf8'));
const own = home + '/dist/cpu.js';
const sum = () => os.cpus().reduce((all, { times }) => {
  const total = Object.values(times).reduce((a, b) => a + b, 0);
  return [all[0] + total - times.idle, all[1] + total];
}, [0, 0]);
let read, head = { sdk: 'node', version };
if (existsSync(own)) {
  const monitor = (await import(pathToFileURL(own))).getCpuMonitor();
  Object.assign(head, { by: 'sdk', monitor: monitor.constructor.name, divisor: monitor.cpuCount() });
  read = () => monitor.cpuPercent(2500);
} else {
  Object.assign(head, { by: 'rule', monitor: '', divisor: os.cpus().length });
  read = async () => {
    const [busy, total] = sum();
    await new Promise((then) => setTimeout(then, 2500));
    const [later, all] = sum();
    return (later - busy) / (all - total);
  };
}
say(head);
setInterval(() => {}, 1000);
for (;;) {
  const began = Date.now();
  const value = await read();
  say({ at: Date.now() / 1000, value: Number.isFinite(value) ? value : String(value), took: (Date.now() - began) / 1000 - 2.5 });
}
"""


class NoSdkError(Exception):
    """The load function cannot be run; the message says why and what to do."""


class Sample(NamedTuple):
    """One value that the function returned. `value` None: not a number, or none at all; `error` then says more."""

    at: float  # Unix seconds
    value: float | None
    took: float  # s that the call took, besides the time over which it measures
    error: str = ""


@dataclass(slots=True)
class Function:
    """A load function that runs until it is stopped."""

    named: str
    process: asyncio.subprocess.Process
    sdk: Sdk = ""
    version: str = ""
    by: Literal["sdk", "rule", "function"] = "sdk"
    function: str = ""
    monitor: str = ""
    divisor: float | None = None
    takes_worker: bool = False
    window: int = 1  # the mean of how many samples is reported
    samples: list[Sample] = field(default_factory=list)
    ended: str = ""  # why it ended by itself
    _reading: asyncio.Task[None] | None = None

    @property
    def host(self) -> bool:
        """It counts the host's time, whatever cgroup the process is in."""
        return self.by == "rule" or self.monitor.lower().startswith("default")

    async def stop(self) -> None:
        """End the process; nothing that it has started is left."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.process.wait(), _ENDING)
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                self._take(json.loads(line))
        if self.process.returncode is None:
            await self.process.wait()
        self.ended = self.ended or f"it ended with exit code {self.process.returncode}"

    def _take(self, one: Any) -> None:
        if not isinstance(one, dict):
            return
        if "error" in one and "at" not in one:
            self.ended = str(one["error"])
            return
        self.takes_worker = self.takes_worker or bool(one.get("looked"))
        value = one.get("value")
        number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        said = str(one.get("error") or ("" if number is not None else value))
        if number is not None and not math.isfinite(number):
            number, said = None, str(number)
        self.samples.append(Sample(float(one.get("at", time.time())), number, float(one.get("took", 0.0)), said))


async def python(path: str, function: str = "") -> Function:
    """The load function of the livekit-agents in this Python (an interpreter, or the folder of a virtual environment);
    or `function`, `module:name` in the current folder.

    Raises:
        NoSdkError: there is no such Python, no livekit-agents in it, or no such function.
    """
    found = _interpreter(path)
    command = [found, "-u", str(_PROGRAM), *([function] if function else [])]
    # Its own import path, not ours: a PYTHONPATH that leads to our packages would be measured instead.
    dropped = {} if found == sys.executable else {"PYTHONPATH": None}
    return await _start(f"--python {path}" if path else "this Python", command, dropped)


async def node(path: str) -> Function:
    """The load function of the @livekit/agents in this folder (of a project, of node_modules, or of the package).

    Raises:
        NoSdkError: there is none, or no Node.
    """
    program = shutil.which("node")
    if program is None:
        raise NoSdkError(f"--node {path}: there is no `node` on PATH")
    below = ("", "@livekit/agents", "node_modules/@livekit/agents")
    home = next((Path(path) / one for one in below if _is_package(Path(path) / one)), None)
    if home is None:
        raise NoSdkError(f"--node {path}: no @livekit/agents there; name your project's folder, with its node_modules")
    return await _start(f"--node {path}", [program, "--input-type=module", "-e", _NODE, str(home.resolve())], {})


def _is_package(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "package.json").read_text("utf-8"))["name"] == "@livekit/agents")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _interpreter(path: str) -> str:
    if not path:
        return sys.executable
    given = Path(path)
    for one in (given / "bin" / "python", given / "Scripts" / "python.exe", given):
        if one.is_file() and os.access(one, os.X_OK):
            return str(one)
    found = shutil.which(path)
    if found is None:
        raise NoSdkError(
            f"--python {path}: no Python there; name an interpreter or the folder of a virtual environment"
        )
    return found


async def _start(named: str, command: list[str], changed: Mapping[str, None]) -> Function:
    """Start it and wait for its first line, which says what it is."""
    environment = {name: value for name, value in os.environ.items() if name not in changed}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment,
        )  # fmt: skip
    except OSError as error:
        raise NoSdkError(f"{named}: {error.strerror or error}") from None
    made = Function(named, process)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _STARTING)
        head = json.loads(line) if line.strip() else {"error": _last(await process.stderr.read())}
    except (asyncio.TimeoutError, ValueError):
        await made.stop()
        raise NoSdkError(f"{named}: it did not say what it measures within {_STARTING:g} s") from None
    if not isinstance(head, dict) or "error" in head:
        await made.stop()
        raise NoSdkError(f"{named}: {mask(str(head.get('error', head) if isinstance(head, dict) else head))}")
    made.sdk, made.version, made.by = head.get("sdk", ""), str(head.get("version", "")), head.get("by", "sdk")
    made.function, made.monitor = str(head.get("function", "")), str(head.get("monitor", ""))
    made.divisor, made.window = head.get("divisor"), int(head.get("window", 1))
    made._reading = asyncio.ensure_future(made._read())
    # What the function prints there must not fill the pipe and stop it.
    drained = asyncio.ensure_future(process.stderr.read())
    drained.add_done_callback(lambda done: None if done.cancelled() else done.exception())
    return made


def _last(text: bytes) -> str:
    lines = [one for one in text.decode("utf-8", "replace").splitlines() if one.strip()]
    return lines[-1][:300] if lines else "it ended without a word"
