"""Logs of agent workers (livekit-agents, @livekit/agents) to events: any version, form and wrapper, any size, one pass."""

from __future__ import annotations

from lkdoctor.collect.worker_log.logs import WorkerLogs, is_worker_log
from lkdoctor.collect.worker_log.marking import Marker

__all__ = ["Marker", "WorkerLogs", "is_worker_log"]
