"""What a measured load limit says about the server, and what a number of runs can prove about its workers."""

from __future__ import annotations

from lkdoctor.dispatch.rules import Headroom, headrooms

_HAIR = 1e-9


def matching(accepted: float, refused: float) -> tuple[Headroom, ...]:
    """The versions' own limits that lie between these two loads: above the accepted one, up to the refused one."""
    return tuple(one for one in headrooms(None) if one.limit is not None and accepted < one.limit <= refused + _HAIR)


def expected_limit(version: str | None) -> float | None:
    """The limit that this server version has unless livekit.yaml changes it; None when the version is unknown, or has none."""
    found = headrooms(version)
    return found[0].limit if len(found) == 1 else None


def missed_worker(share: float, runs: int) -> float:
    """The chance that a worker with this share of the jobs (0 to 1) got none in so many runs."""
    return (1.0 - share) ** runs
