"""Versions of servers and SDKs: as numbers that can be compared, and as words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

Version = tuple[int, int, int]
PACKAGES: Final = {"python": "livekit-agents", "node": "@livekit/agents"}


def parse_version(text: str | None) -> Version | None:
    """`1.13.5` or `v1.13.5-rc1` as numbers; None when it is not a version."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text or "")
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def dotted(version: Version) -> str:
    """`1.13.5`."""
    return ".".join(map(str, version))


def sdk_words(sdk: str, version: str) -> str:
    """`livekit-agents 1.8.9` of `python` and `1.8.9`; empty when neither is known."""
    return f"{PACKAGES.get(sdk, '')} {version}".strip()


def oldest_first(told: Iterable[str]) -> list[str]:
    """Each of `1.8.9` or `livekit-agents 1.8.9` once, by its numbers: 1.10.0 is younger than 1.9.2."""

    def age(one: str) -> tuple[str, Version, str]:
        name, _, version = one.rpartition(" ")
        return name, parse_version(version) or (0, 0, 0), one

    return sorted(set(told), key=age)
