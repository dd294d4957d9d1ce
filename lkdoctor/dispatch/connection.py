"""How the way to a server was walked: one `Step` for each thing that was tried, timed, with what came back."""

from __future__ import annotations

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
