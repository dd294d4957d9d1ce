"""The report's section on load: what the machine does, what each SDK makes of it, what the server makes of that, and why
the numbers differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from lkdoctor.dispatch.load import APART, LoadReading
from lkdoctor.dispatch.load_rules import Limit, limit_of
from lkdoctor.dispatch.metering import metering, share_of
from lkdoctor.report.screen import Screen

_NARROW: Final = 64  # columns
_STYLES: Final = {"none": "bad", "not a number": "bad"}


def lines(screen: Screen, loads: Sequence[Mapping[str, Any]]) -> list[str]:
    """The whole section from the report's `load`; empty without any."""
    text: list[str] = []
    measured = next((one["measured_limit"] for one in loads if one.get("measured_limit") is not None), None)
    for group in grouped(msgspec.convert(one, LoadReading) for one in loads):
        text += [*([""] if text else []), *_place(screen, group, measured)]
    return text


def grouped(readings: Iterable[LoadReading]) -> list[list[LoadReading]]:
    """One list for each place, in order."""
    places: dict[tuple[str, str | None], list[LoadReading]] = {}
    for one in readings:
        places.setdefault((one.where, one.agent_name), []).append(one)
    return list(places.values())


def _place(screen: Screen, readings: list[LoadReading], measured: float | None) -> list[str]:
    last = readings[-1]
    windows = len({one.at for one in readings})
    named = f', worker of "{last.agent_name}"' if last.agent_name else ""
    often = f", the last of {windows} times" if windows > 1 else ""
    head = f"Load {_of(last)}{named} ({last.seconds:.1f} s{often})"
    text = [screen.paint(line, "head") for line in screen.wrap(head)]
    text += screen.wrap(machine(last), "  ")
    limit = limit_of(last.server_version or None, last.target_load, measured)
    rows = [_row(group, limit) for group in by_function(readings)]
    rows.append(
        ["lkdoctor", f"{last.honest:.2f}", _headroom(last.honest, last, limit), _range([one.honest for one in readings], ""), _own(last)]
    )  # fmt: skip
    if windows == 1:
        rows = [[*row[:3], row[4]] for row in rows]
    heads = ["measured by", "load", "headroom", *(["from … to"] if windows > 1 else []), "is a share of"]
    # On a screen as narrow as a phone the heads alone would not fit; else every column is wanted, and cells are folded.
    spare = ("from … to", "is a share of", "headroom") if screen.width < _NARROW else ()
    text += screen.table(heads, rows, spare, _STYLES)
    text += screen.wrap(_limit(last, limit), "  ")
    for group in by_function(readings):
        for why in apart(group[-1]):
            text += screen.wrap(f"{group[-1].measures}: {why}", "  - ")
    return text


def _of(one: LoadReading) -> str:
    if one.where == "this machine":
        return "in this container" if one.contained else "on this machine"
    return f"of {one.where}"


def machine(one: LoadReading) -> str:
    """What the machine does and what of it the worker may use, in words."""
    of = f" of {one.host_cpus}" if one.own_cpus != one.host_cpus else ""
    parts = [f"{one.own_cpus}{of} CPUs, {one.host_busy:.2f} of them busy ({one.host_share:.0%})."]
    groups = {0: "No cgroup that SDKs read", 1: "cgroup v1", 2: "cgroup v2"}[one.cgroup]
    inside = " of a container" if one.contained else ""
    if one.quota is None:
        parts.append(f"{groups}{inside}, no CPU quota.")
    else:
        parts.append(f"{groups}{inside}, a quota of {one.quota:g} CPUs ({one.quota_file}).")
    if one.group_used is not None:
        share = f" ({one.group_share:.0%} of what it may)" if one.quota is not None else ""
        parts.append(f"The worker's group used {one.group_used:.2f} CPUs{share}.")
    if one.held_back:
        parts.append(f"Its quota stopped it in {one.held_back:.0%} of the scheduler's periods.")
    if one.num_cpus is not None:
        parts.append(f"NUM_CPUS is {one.num_cpus:g}.")
    return " ".join(parts)


def by_function(readings: Iterable[LoadReading]) -> list[list[LoadReading]]:
    """One list for each SDK or function that measured, in order; readings that nothing but lkdoctor made are left out."""
    found: dict[tuple[str, str, str], list[LoadReading]] = {}
    for one in readings:
        if one.measures:
            found.setdefault((one.sdk, one.version, one.function), []).append(one)
    return list(found.values())


def _row(readings: list[LoadReading], limit: Limit) -> list[str]:
    last = readings[-1]
    how = {"rule": " (by its rule)", "function": " (yours)"}.get(last.by, "")
    loads = [one.load for one in readings if one.load is not None]
    shown = (
        "not a number" if last.not_a_number else (last.error and "failed") if last.load is None else f"{last.load:.2f}"
    )
    return [f"{last.measures}{how}", shown, _headroom(last.load, last, limit), _range(loads, ""), _share(last)]


def _range(loads: list[float], none: str) -> str:
    return f"{min(loads):.2f} … {max(loads):.2f}" if loads else none


def _share(one: LoadReading) -> str:
    if one.by == "function":
        return "what the function says"
    if one.divisor is None or not one.of:
        return "not known for this version"
    whose = "the whole host" if one.of == "host" else "the container" if one.contained else "its cgroup"
    why = _why_divisor(one)
    return f"what {whose} uses / {one.divisor:g} CPUs{f' ({why})' if why else ''}"


def _why_divisor(one: LoadReading) -> str:
    how = metering(one.sdk, one.version)
    if how is None:
        return ""
    share = share_of(how, cgroup=one.cgroup, root_quota=one.root_quota, host_cpus=one.host_cpus, num_cpus=one.num_cpus)
    return share.why if share.cpus == one.divisor else ""


def _own(one: LoadReading) -> str:
    if one.quota is None:
        return f"what everybody uses of {one.own_cpus} CPUs"
    return f"the larger of: what everybody uses of {one.own_cpus} CPUs, what the group uses of its {one.quota:g}"


def _headroom(load: float | None, one: LoadReading, limit: Limit) -> str:
    if load is None or limit.load is None or one.cloud:
        return ""
    return f"{limit.load - load:.2f}" if load < limit.load else "none"


def _limit(one: LoadReading, limit: Limit) -> str:
    if one.cloud:
        return "LiveKit Cloud hosts this worker: its limits are not those of the open-source server, and are not known."
    own = one.own_threshold
    worker = (
        ""
        if own is None
        else " The worker itself never calls itself full (dev mode)."
        if math.isinf(own)
        else f" The worker calls itself full at {own:g}."
    )
    if limit.load is None:
        return f"The load at which the server refuses is {limit.words}; --server-version says it.{worker}"
    return f"The server refuses a worker from {limit.words} on, whatever the worker's own threshold.{worker}"


def apart(one: LoadReading) -> list[str]:
    """Why this function's number is another than the share of what the worker may use, in whole sentences."""
    if one.error and not one.nan:
        return [f"it gave no number: {one.error}"]
    if one.by == "function" or one.divisor is None or not one.of:
        return []
    text = []
    if one.of == "host" and one.usable < one.host_cpus * (1 - APART):
        text.append(
            f"it counts the whole host, {one.host_cpus} CPUs and everybody on them; this worker may use {one.usable:g}."
        )
    counted = one.usable if one.of == "group" else float(one.host_cpus)
    if abs(one.divisor - counted) > APART * counted:
        wrong = "less" if one.divisor > counted else "more"
        text.append(
            f"it divides by {one.divisor:g} CPUs where {counted:g} may be used, so it reads {wrong} than there is: all of them "
            f"in use would read {min(counted / one.divisor, 1.0):.2f}."
        )
    if one.of == "group" and one.group_used is not None and one.host_busy - one.group_used > APART * one.own_cpus:
        text.append(
            f"it counts its own cgroup only; others use {one.host_busy - one.group_used:.2f} of the same CPUs, and it does not "
            "see that."
        )
    if one.highest is not None and one.load is not None and one.highest - one.load > APART:
        text.append(f"it is a mean over 2.5 s; single samples went up to {one.highest:.2f}.")
    return text
