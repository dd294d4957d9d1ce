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


def explained(version: str | None, accepted: float, refused: float) -> str:
    """Whose rule a measured limit is, in words: the version's own, a changed `agents.target_load`, or another version's.

    A load of 1 is refused at any limit above it too: the server then finds its worker without weight and asks nobody
    (`target_load: 1.5` on 1.13.5 asked 0.999 and not 1).
    """
    rules = headrooms(version)
    if len(rules) == 1 and rules[0] in matching(accepted, refused):
        name = "agents.target_load, here at its default" if rules[0].configurable else "built in"
        return f"the limit of this version ({name})"
    if len(rules) == 1 and rules[0].configurable:
        value = "1 or more" if refused >= 1 else f"{refused:g}"
        return f"agents.target_load in livekit.yaml is {value} here, not the default {rules[0].limit:g}"
    found = matching(accepted, refused)
    if len(rules) != 1 and found:
        return f"the limit of livekit-server {'.'.join(map(str, found[0].first))} and its like"
    return "not the limit of this version as lkdoctor knows it"


def missed_worker(share: float, runs: int) -> float:
    """The chance that a worker with this share of the jobs (0 to 1) got none in so many runs."""
    return (1.0 - share) ** runs
