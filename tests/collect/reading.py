"""Helpers: read bytes or files as a server log, and say of its events what does not depend on how it was wrapped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.facts import Event

FIXTURES = Path(__file__).parents[2] / "fixtures"
#: Console and JSON, old and new, with joins over 16 KiB, workers that leave, and a start that was refused.
CASES = (
    "busy-afternoon",
    "healthy-call-1-11-0",
    "healthy-call-1-8-4",
    "draining",
    "answer-late",
    "config-refused-1-8-4",
)


def recorded(name: str) -> bytes:
    """The server log of a recorded case."""
    return (FIXTURES / name / "server.log").read_bytes()


def said(events: Iterable[Event]) -> list[Any]:
    """What events say, without where they stand."""
    return [(one.what, one.at, one.level, one.fields, one.retyped) for one in events]


def read(*paths: Path, **options: Any) -> tuple[list[Event], ServerLogs]:
    """All events of these files."""
    logs = ServerLogs(paths, **options)
    return list(logs.events()), logs
