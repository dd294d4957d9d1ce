"""Workers as processes of a batch: started with credentials in their environment, read line by line, stopped by pid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

import lkdoctor
from lkdoctor.redact import mask

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_HOME: Final = Path(lkdoctor.__file__).resolve().parent.parent
_LONGEST_LINE: Final = 1 << 20
Record = dict[str, Any]


class WorkerFailedError(Exception):
    """A worker of the batch did not come up; the message holds its last words."""


class WorkerProcess:
    """One `lkdoctor worker` and the log that it writes; `on_record` gets each JSON line as it comes."""

    def __init__(self, label: str, log: Path, on_record: Callable[[Record], None]) -> None:
        self.label = label
        self.log = log
        self._on_record = on_record
        self._process: asyncio.subprocess.Process | None = None
        self._registered = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._last: list[str] = []

    async def start(self, target: Target, arguments: list[str]) -> None:
        """Returns once the worker is registered.

        Raises:
            WorkerFailedError: it ended, or was not registered in time.
        """
        # Neither its name nor its address comes from an environment that was made for another worker.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
        environ |= {"LIVEKIT_URL": target.ws_url, "LIVEKIT_API_KEY": target.key, "LIVEKIT_API_SECRET": target.secret}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lkdoctor", "worker", "--until-stdin-closes", "--http-port", "0", *arguments),
            env=environ,
            cwd=_HOME,  # `-m` looks into the working folder first, where another lkdoctor may lie
            stdin=asyncio.subprocess.PIPE,  # it stops when this end is gone, even if the batch is killed
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            start_new_session=True,  # Ctrl-C is the batch's to handle; and its job processes can be ended as one group
        )
        self._reading = asyncio.ensure_future(self._read(self._process))
        registered = asyncio.ensure_future(self._registered.wait())
        await asyncio.wait({registered, self._reading}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        registered.cancel()
        if not self._registered.is_set():
            words = "\n".join(self._last[-6:]) or "it said nothing"
            raise WorkerFailedError(f"the worker {self.label} did not register within {_START_SECONDS:g} s:\n{words}")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with self.log.open("ab") as out:
            while True:
                try:
                    line = await process.stdout.readline()
                except ValueError:  # longer than the limit: no line that a marker stands in
                    continue
                if not line:
                    return
                text = mask(line.decode("utf-8", "replace"))
                out.write(text.encode())
                out.flush()
                self._last = [*self._last[-20:], text.rstrip()]
                self._take(text)

    def _take(self, text: str) -> None:
        try:
            record = json.loads(text)
        except ValueError:
            return
        if isinstance(record, dict):
            if record.get("message") == "registered worker":
                self._registered.set()
            self._on_record(record)

    def cpu_seconds(self) -> float:
        """CPU time of the worker and all its processes so far, those that ended included."""
        if self._process is None:
            return 0.0
        used = 0.0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self._process.pid)
            for one in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    times = one.cpu_times()
                    used += times.user + times.system
                    used += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return used

    async def stop(self, patience: float = _STOP_SECONDS) -> None:
        """The worker and its job processes end; what does not within `patience` seconds is killed, by its own group."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), patience)
            except asyncio.TimeoutError:
                process.kill()
                await process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if self._reading is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._reading, 2.0)
