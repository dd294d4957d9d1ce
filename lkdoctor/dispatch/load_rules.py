"""At what load a server counts a worker out, in one number and in words."""

from __future__ import annotations

from typing import NamedTuple

from lkdoctor.dispatch.rules import HEADROOMS, headrooms, parse_version
from lkdoctor.dispatch.versions import dotted


class Limit(NamedTuple):
    """At what load a server counts a worker out. `load` None: it depends on what is not known; `low` is then the lowest
    that it can be, and `high` the highest."""

    load: float | None
    low: float
    high: float
    words: str


def limit_of(version: str | None, target_load: float | None = None, measured: float | None = None) -> Limit:
    """The limit of this server version; `target_load` is what its livekit.yaml says, `measured` the lowest load that a probe
    saw refused, where these are known."""
    if target_load is None and measured is not None:
        return Limit(measured, measured, measured, f"{measured:g}, as lkdoctor's canary measured there")
    if target_load is not None and parse_version(version) is None:
        return Limit(target_load, target_load, target_load, f"`agents.target_load: {target_load:g}` in livekit.yaml")
    rules = headrooms(version)
    known = [one.limit for one in rules if one.limit is not None]
    if len(rules) == 1 and rules[0].limit is not None:
        one = rules[0]
        configured = one.configurable and target_load is not None
        load = target_load if configured and target_load is not None else rules[0].limit
        named = (
            f"`agents.target_load: {load:g}` in livekit.yaml"
            if configured
            else f"{load:g}, the default of `agents.target_load`"
            if one.configurable
            else f"{load:g}, fixed"
        )
        return Limit(load, load, load, f"{named} (livekit-server {version})")
    if not known:
        return Limit(None, float("inf"), float("inf"), f"none: livekit-server {version} refuses only full workers")
    each = "; ".join(f"{one.limit:g} from {dotted(one.first)} on" for one in HEADROOMS if one.limit is not None)
    return Limit(None, min(known), max(known), f"not known without the server's version ({each})")
