"""livekit-server logs to events: any format and wrapper, any size, one pass."""

from __future__ import annotations

from lkdoctor.collect.server_log.logs import ServerLogs
from lkdoctor.collect.server_log.proof import Proof
from lkdoctor.collect.server_log.source import LogInput, StopReading

__all__ = ["LogInput", "Proof", "ServerLogs", "StopReading"]
