"""How the way to a server was walked: one `Step` for each thing that was tried, timed, with what came back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from lkdoctor.dispatch.facts import Place

StepName = Literal["url", "dns", "tcp", "tls", "http", "twirp", "upgrade", "clock"]


class Step(msgspec.Struct, frozen=True):
    """One step towards the server. `error` is the other side's or the system's text, masked; `trouble` is its kind in one word.

    `target` says what was tried: `host:port`, a path (`/agent`, `/rtc`), a call (`RoomService/ListRooms`).
    """

    name: StepName
    target: str
    at: float  # Unix seconds
    seconds: float
    ok: bool
    place: Place
    status: int = 0  # HTTP status, where there is one
    trouble: str = (
        ""  # no-address, refused, timeout, unreachable, not-tls, is-tls, certificate, redirect, key, secret …
    )
    error: str = ""
    values: dict[str, Any] = {}


def server_ahead(steps: Iterable[Step]) -> float:
    """Seconds by which the server's clock is ahead of the asking machine's, as the last `clock` step measured it; 0.0 where
    nothing was measured, or no more than its own error."""
    ahead = 0.0
    for one in steps:
        if one.name == "clock" and isinstance(one.values.get("offset"), (int, float)):
            offset, error = float(one.values["offset"]), float(one.values.get("error", 0.0))
            ahead = offset if abs(offset) > error else 0.0
    return ahead
