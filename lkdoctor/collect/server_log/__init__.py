"""livekit-server logs to events: any format and wrapper, any size, one pass."""

from __future__ import annotations

from lkdoctor.collect.log.proof import Proof
from lkdoctor.collect.log.source import LogInput, StopReading
from lkdoctor.collect.server_log.logs import ServerLogs

__all__ = ["LogInput", "Proof", "ServerLogs", "StopReading"]
