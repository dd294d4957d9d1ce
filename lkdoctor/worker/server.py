"""Starts the reference worker: refuses what could not work, registers, says in one block what it is, stops cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from livekit import api, rtc
from livekit.agents import AgentServer, __version__

from lkdoctor.worker import models
from lkdoctor.worker.agent import entrypoint, on_request
from lkdoctor.worker.load import Load, zero
from lkdoctor.worker.settings import Part, Settings

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target

THRESHOLD: Final = 0.65
"""Below the lowest limit of any livekit-server (0.65 up to 1.8, 0.7 since 1.11): the worker says "full" by itself, in its log."""
_CLOSE_SECONDS: Final = 20.0  # for job processes: the SDK gives each 10 s to end


class RefusedError(Exception):
    """The worker is not started; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """How the worker is registered and run."""

    name: str  # empty: implicit dispatch
    settings: Settings
    zero_load: bool = False
    host: str = "127.0.0.1"
    port: int = 8081  # 0: any free one
    idle: int = 2  # processes kept warm
    drain: int = 60  # seconds that running jobs get when the worker is stopped


def refuse_name_clash(name: str, environ: Mapping[str, str]) -> None:
    """LIVEKIT_AGENT_NAME_OVERRIDE beats the name in code, LIVEKIT_AGENT_NAME fills an empty one (livekit-agents 1.8.9).

    Raises:
        RefusedError: the environment says another name.
    """
    forced, given = environ.get("LIVEKIT_AGENT_NAME_OVERRIDE", ""), environ.get("LIVEKIT_AGENT_NAME", "")
    own = f"--name {name}" if name else "--auto-dispatch (no name)"
    if forced and forced != name:
        raise RefusedError(
            f"LKD512 name-overridden: LIVEKIT_AGENT_NAME_OVERRIDE={forced} in the environment beats {own}: the worker would "
            f"register as {forced!r}, and dispatches to {name or 'every room'!r} would find nobody. "
            f"Unset LIVEKIT_AGENT_NAME_OVERRIDE, or start with --name {forced}."
        )
    if given and given != name:
        would = (
            "is ignored beside --name" if name else f"would fill the empty name: the worker would register as {given!r}"
        )
        raise RefusedError(
            f"LKD512 name-overridden: LIVEKIT_AGENT_NAME={given} in the environment and {own} are two names; the variable "
            f"{would}. Unset LIVEKIT_AGENT_NAME, or start with --name {given}."
        )


def refuse_taken_port(host: str, port: int) -> None:
    """The SDK would find out only after it has started its processes, and fail with a traceback.

    Raises:
        RefusedError: something listens there already, or the address is not this machine's.
    """
    if port == 0:
        return
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise RefusedError(
            f"LKD803 port-in-use: the worker's HTTP endpoint cannot listen on {host}:{port} ({error.strerror or error})"
            f"{_holder(port)}. Stop what listens there, or give another --http-port (0: any free one)."
        ) from None


def _holder(port: int) -> str:
    import psutil  # noqa: PLC0415

    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return f"; pid {one.pid} ({psutil.Process(one.pid).name()}) listens there"
    return ""


def build(target: Target, plan: Deployment) -> tuple[AgentServer, str]:
    """The SDK's server for this deployment, and its load rule in words."""
    measured = None if plan.zero_load else Load()
    server = AgentServer(
        ws_url=target.ws_url,
        api_key=target.key,
        api_secret=target.secret,
        host=plan.host,
        port=plan.port,
        load_fnc=measured or zero,
        # With a threshold, each unanswered request counts as threshold/idle on top of the load: two requests at once
        # would make a worker of two idle processes "full". A zero load means never full.
        load_threshold=math.inf if measured is None else THRESHOLD,
        num_idle_processes=plan.idle,
        drain_timeout=plan.drain,
        log_level="INFO",
    )
    server.rtc_session(
        functools.partial(entrypoint, plan.settings),
        agent_name=plan.name,
        on_request=functools.partial(on_request, plan.settings),
    )
    if measured is None:
        rule = (
            "always 0, never full: right for one worker of this name, which is then never refused by load; with several the "
            "server cannot tell who is busy; LiveKit Cloud ignores it"
        )
    else:
        rule = f"measured {measured.describe()}; full at {THRESHOLD}"
    return server, rule


def block(
    target: Target, plan: Deployment, rule: str, registered: str, endpoint: str, environ: Mapping[str, str]
) -> list[str]:
    """What is said once at the start: what is registered, where, with which load rule. Never a secret."""
    origins = ", ".join(f"{what} from {origin}" for what, origin in sorted(target.origins.items()))
    settings = plan.settings
    lines = [
        f"agent name   {plan.name}" if plan.name else "agent name   none: implicit dispatch, to every new room",
        f"server       {target.url} ({registered})",
        f"credentials  {origins}",
        f"load         {rule}",
        f"voice        stt {settings.stt}, llm {settings.llm}, tts {settings.tts}",
        f"endpoint     {endpoint}",
        f"role         from the job's metadata; {settings.role!r} where it names none",
    ]
    if environ.get("LIVEKIT_WORKER_TOKEN"):
        lines.append("hosted       by LiveKit Cloud (LIVEKIT_WORKER_TOKEN): the SDK replaces the load rule by its own")
    deployment = environ.get("LIVEKIT_AGENT_DEPLOYMENT")
    if deployment:
        lines.append(f"deployment   {deployment}: only dispatches that name it come here (LKD209)")
    if plan.name:
        lines.append(f"ask for it   lk dispatch create --room ROOM --agent-name {plan.name}")
    else:
        lines += [
            "caveats      a new room goes to one worker without a name, whichever (LKD204): run no other; a dispatch or",
            "             token that names an agent never comes here; a room that exists already is not asked again;",
            "             without a dispatch there is no metadata, so every job has the role above",
        ]
    return lines


async def run(target: Target, plan: Deployment, say: Callable[[str], None], *, until_stdin_closes: bool = False) -> int:
    """Run until a signal comes: the first drains (running jobs get `plan.drain` seconds), the second ends at once.

    Raises:
        RefusedError: it cannot be started as it was asked for.
    """
    refuse_name_clash(plan.name, os.environ)
    refuse_taken_port(plan.host, plan.port)
    try:
        models.refuse_inference_without_key(plan.settings, target.http_url, os.environ)
        arguments = models.session_arguments(plan.settings, Part(plan.settings.role))
    except models.ModelError as error:
        raise RefusedError(str(error)) from None
    del arguments  # made once to learn that they can be made; each job makes its own
    if plan.settings.offline:
        # Half a minute of CPU and 240 MB for models that the offline voice does not use.
        os.environ.setdefault("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")
    server, rule = build(target, plan)
    told = False

    def on_registered(worker_id: str, info: Any) -> None:
        nonlocal told
        edition = api_edition(info)
        here = f"http://{plan.host}:{server.worker_info.http_port}/worker"
        lines = block(target, plan, rule, f"{edition} {info.version}, worker {worker_id}", here, os.environ)
        say("registered" if not told else f"registered again as {worker_id}")
        for line in lines if not told else ():
            say(f"  {line}")
        told = True

    server.on("worker_registered", on_registered)
    say(f"starting: livekit-agents {__version__}, livekit-rtc {rtc.__version__}; registers at {target.url}")
    running = asyncio.ensure_future(server.run(devmode=False))
    stop = asyncio.Event()
    hurry = asyncio.Event()
    _on_signals(stop, hurry)
    if until_stdin_closes:
        _on_stdin_closed(stop, hurry)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        say(f"stopping: no new jobs; running ones get {plan.drain} s (once more: at once)")
        if not (
            await asyncio.wait({asyncio.ensure_future(_close(server, hurry))}, timeout=plan.drain + _CLOSE_SECONDS)
        )[0]:
            # A worker that hangs while it closes must not keep its deployment from starting the next one.
            say("it does not close: its processes are ended")
            _end_at_once()
    try:
        await running
    except Exception as error:
        raise RefusedError(f"the worker ended: {str(error) or type(error).__name__}") from error
    return 0


async def _close(server: AgentServer, hurry: asyncio.Event) -> None:
    draining = asyncio.ensure_future(server.drain())
    hurrying = asyncio.ensure_future(hurry.wait())
    await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    for one in (draining, hurrying):
        one.cancel()
    await asyncio.gather(draining, hurrying, return_exceptions=True)
    await server.aclose()


def _end_at_once() -> None:
    """End this process and those that it started, by their pids."""
    import psutil  # noqa: PLC0415

    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            one.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def api_edition(info: Any) -> str:
    """livekit-server or LiveKit Cloud, as the server says when it registers a worker."""
    return "LiveKit Cloud" if info.edition == api.ServerInfo.Edition.Cloud else "livekit-server"


def _on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    def caught() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(one, caught)
        except NotImplementedError:  # Windows
            signal.signal(one, lambda *_: loop.call_soon_threadsafe(caught))


def _on_stdin_closed(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """Who started this worker is gone, whatever became of it: then the worker goes, too."""

    def look() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            stop.set()
            hurry.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), look)
