"""The `/agent` websocket: registers a worker of lkdoctor's own name and answers what the server asks of it.

It never sends `simulate_job`: without a room that message ends the server process (seen on 1.8.4, 1.9.12, 1.11.0, 1.13.5).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lkdoctor.collect.target import Target
from lkdoctor.dispatch.probes import LiveServer
from lkdoctor.dispatch.rules import OWN_PREFIX
from lkdoctor.probe.calls import PATIENCE, ProbeError
from lkdoctor.redact import mask

if TYPE_CHECKING:
    import aiohttp
    from livekit.protocol import agent as pb

#: The answer to `register` is waited for this long, in seconds; the server itself closes after 10 s without one.
REGISTERING: Final = 10.0
_VERSION: Final = "1.0.0"  # what the canary calls its own version; the server only prints it


@dataclass(slots=True)
class Asked:
    """One job that the server offered, and what became of it (times by time.monotonic)."""

    job_id: str
    dispatch_id: str
    agent_name: str
    at: float
    identity: str
    assigned_at: float | None = None


@dataclass(slots=True)
class AgentSocket:
    """One registration of one worker. Every job that is offered is taken, and reported as done by `finish`."""

    target: Target
    http: aiohttp.ClientSession
    agent_name: str
    server: LiveServer = field(init=False)
    worker_id: str = ""
    jobs: list[Asked] = field(default_factory=list)
    _ws: aiohttp.ClientWebSocketResponse[bool] | None = None
    _reader: asyncio.Task[None] | None = None
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _closed: bool = False
    _pongs: int = 0
    _lost: str = ""

    def __post_init__(self) -> None:
        if not self.agent_name.startswith(OWN_PREFIX):  # under a user's name it would take real jobs
            raise ValueError(f"{self.agent_name!r} is no agent name of lkdoctor's")
        self.server = LiveServer(self.target.ws_url)

    @property
    def closed(self) -> bool:
        """True once the connection is gone, whoever ended it."""
        return self._closed

    async def open(self) -> None:
        """Opens the socket.

        Raises:
            ProbeError: nothing answers in time, or the server refuses the upgrade.
        """
        import aiohttp  # noqa: PLC0415 - only for who talks to a server

        address = f"{self.target.ws_url}/agent?protocol=1"
        try:
            self._ws = await asyncio.wait_for(
                self.http.ws_connect(address, headers=self.target.headers(agent=True), heartbeat=None), PATIENCE
            )
        except asyncio.TimeoutError:
            raise ProbeError("timeout", f"/agent: no answer within {PATIENCE:g} s") from None
        except aiohttp.WSServerHandshakeError as error:
            raise ProbeError("refused", f"/agent: HTTP {error.status} {error.message}", error.status) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ProbeError("unreachable", f"/agent: {error}") from None
        self._reader = asyncio.create_task(self._read(self._ws))

    async def register(self) -> None:
        """Registers as a JT_ROOM worker and says that it is available at load 0.

        Raises:
            ProbeError: the server closed the socket, or did not answer.
        """
        from livekit.protocol import agent as pb  # noqa: PLC0415
        from livekit.protocol import models  # noqa: PLC0415

        may = models.ParticipantPermission(can_publish=False, can_subscribe=False, can_publish_data=False, agent=True)
        request = pb.RegisterWorkerRequest(
            type=pb.JobType.JT_ROOM, agent_name=self.agent_name, version=_VERSION, allowed_permissions=may
        )
        await self._send(pb.WorkerMessage(register=request))
        if not await self._until(lambda: bool(self.worker_id), REGISTERING):
            raise ProbeError("timeout", f"/agent: the server did not answer `register` within {REGISTERING:g} s")
        await self.report(0.0)

    async def report(self, load: float) -> None:
        """Reports AVAILABLE at this load, and waits until the server has read it (messages are read in order).

        Raises:
            ProbeError: the socket is gone, or the server no longer answers.
        """
        from livekit.protocol import agent as pb  # noqa: PLC0415

        status = pb.UpdateWorkerStatus(status=pb.WorkerStatus.WS_AVAILABLE, load=load)
        await self._send(pb.WorkerMessage(update_worker=status))
        seen = self._pongs
        await self._send(pb.WorkerMessage(ping=pb.WorkerPing(timestamp=int(time.time() * 1000))))
        if not await self._until(lambda: self._pongs > seen, PATIENCE):
            raise ProbeError("timeout", f"/agent: no answer to a ping within {PATIENCE:g} s")

    async def job_of(self, dispatch_id: str, seconds: float, *, assigned: bool = False) -> Asked | None:
        """The job of this dispatch once it was offered (or `assigned`); None when it was not within `seconds`.

        Raises:
            ProbeError: the socket is gone.
        """

        def found() -> Asked | None:
            return next((one for one in self.jobs if one.dispatch_id == dispatch_id), None)

        def there() -> bool:
            one = found()
            return one is not None and (not assigned or one.assigned_at is not None)

        return found() if await self._until(there, seconds) else None

    async def first_job(self, seconds: float) -> Asked | None:
        """The first job that was ever offered; None when none was within `seconds`.

        Raises:
            ProbeError: the socket is gone.
        """
        return self.jobs[0] if await self._until(lambda: bool(self.jobs), seconds) else None

    async def finish(self, job_id: str) -> None:
        """Reports the job as done; the server forgets it then."""
        from livekit.protocol import agent as pb  # noqa: PLC0415

        done = pb.UpdateJobStatus(job_id=job_id, status=pb.JobStatus.JS_SUCCESS)
        await self._send(pb.WorkerMessage(update_job=done))

    async def close(self, patience: float = 2.0) -> None:
        """Closes the socket; a server that does not answer the close frame is waited for `patience` seconds at most."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._ws is not None and not self._ws.closed:
            closing = asyncio.ensure_future(self._ws.close())
            await asyncio.wait({closing}, timeout=patience)
            closing.cancel()
        self._closed = True

    async def _send(self, message: pb.WorkerMessage) -> None:
        if self._ws is None or self._closed or self._ws.closed:
            raise self._gone()
        try:
            await asyncio.wait_for(self._ws.send_bytes(message.SerializeToString()), PATIENCE)
        except asyncio.TimeoutError:
            raise ProbeError("timeout", f"/agent: nothing could be sent for {PATIENCE:g} s") from None
        except OSError:
            raise self._gone() from None

    def _gone(self) -> ProbeError:
        when = "" if self.worker_id else " before it answered `register`"
        return ProbeError(
            "lost" if self.worker_id else "refused", f"/agent: the server closed the socket{when}{self._lost}"
        )

    async def _until(self, there: Callable[[], bool], seconds: float) -> bool:
        """True once it is there, False after `seconds`; raises ProbeError when the socket goes first."""

        async def wait() -> None:
            async with self._news:
                await self._news.wait_for(lambda: there() or self._closed)

        try:
            await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            return there()
        if there():
            return True
        raise self._gone()

    async def _read(self, ws: aiohttp.ClientWebSocketResponse[bool]) -> None:
        import aiohttp  # noqa: PLC0415
        from google.protobuf.message import DecodeError  # noqa: PLC0415
        from livekit.protocol import agent as pb  # noqa: PLC0415

        try:
            async for frame in ws:
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    continue
                message = pb.ServerMessage()
                try:
                    message.ParseFromString(frame.data)
                except DecodeError:
                    self._lost = "; something that is no livekit-server answered there"
                    break
                await self._take(message)
        except OSError as error:
            self._lost = mask(f": {error}")
        finally:
            self._closed = True
            await self._tell()

    async def _take(self, message: Any) -> None:
        from livekit.protocol import agent as pb  # noqa: PLC0415

        kind = message.WhichOneof("message")
        if kind == "register":
            info = message.register.server_info
            self.server = LiveServer(
                self.target.ws_url,
                mask(info.version),
                "Cloud" if info.edition == info.Edition.Cloud else "Standard",
                info.node_id,
                info.region,
                info.protocol,
                info.agent_protocol,
            )
            self.worker_id = message.register.worker_id
        elif kind == "pong":
            self._pongs += 1
        elif kind == "availability":
            job = message.availability.job
            identity = f"agent-{job.id}"
            self.jobs.append(Asked(job.id, job.dispatch_id, job.agent_name, time.monotonic(), identity))
            answer = pb.AvailabilityResponse(job_id=job.id, available=True, participant_identity=identity)
            await self._send(pb.WorkerMessage(availability=answer))
        elif kind == "assignment":
            for one in self.jobs:
                if one.job_id == message.assignment.job.id:
                    one.assigned_at = time.monotonic()
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
