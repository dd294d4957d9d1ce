"""What a LiveKit URL says of its server: the host that is named, and whether LiveKit Cloud, which judges otherwise, is there."""

from __future__ import annotations

import re
from typing import Final

_HOST: Final = re.compile(r"\w+://(?:[^@/\s]*@)?(\[[0-9a-fA-F:.]+\]|[^:/?#\s]+)")
_OWN_MACHINE: Final = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0")


def host_of(url: str) -> str:
    """The host, in lower case; empty where the URL has none."""
    found = _HOST.match(url)
    return found[1].lower().rstrip(".") if found is not None else ""


def is_loopback(host: str) -> bool:
    """Does it mean the machine, or the container, that says it?"""
    return _OWN_MACHINE.fullmatch(host) is not None


def on_cloud(url: str) -> bool:
    """Is LiveKit Cloud there? It runs another, closed dispatcher: no rule of the open-source server is claimed of it."""
    return host_of(url).endswith(".livekit.cloud")
