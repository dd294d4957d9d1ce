"""The report's section on probes: every step of the canary, one row for each test call of an agent, and what it proves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from lkdoctor.dispatch.measured import missed_worker
from lkdoctor.dispatch.probes import ProbeRun, StepName
from lkdoctor.report.screen import Screen

_OK: Final = "ok"
_FAILED: Final = "FAILED"
_NOT_TESTED: Final = "not tested"
_STYLES: Final = {_OK: "ok", _FAILED: "bad", _NOT_TESTED: "odd"}


def lines(screen: Screen, probes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The whole section from the report's `probes`; empty without any."""
    runs = [msgspec.convert({**one, "place": {"source": ""}}, ProbeRun) for one in probes]
    flights = [one for one in runs if one.kind == "canary"]
    calls = [one for one in runs if one.kind == "agent"]
    text: list[str] = []
    for one in flights:
        text += [screen.paint("Probe: the canary", "head"), *_steps(screen, one), *_ended(screen, one)]
    if calls:
        text += [*([""] if text else []), screen.paint(f"Probe: test calls ({len(calls)})", "head")]
        text += _calls(screen, calls)
        for name in dict.fromkeys(one.agent_name for one in calls):
            text += _shares(screen, name, [one for one in calls if one.agent_name == name])
        for one in calls:
            text += _ended(screen, one)
    return list(_once(text))


def _steps(screen: Screen, run: ProbeRun) -> list[str]:
    rows = [
        [
            one.name,
            _OK if one.ok else _NOT_TESTED if one.trouble == "not-tested" else _FAILED,
            _took(one.seconds),
            one.detail,
        ]
        for one in run.steps
    ]
    text = screen.table(["step", "", "took", "what"], rows, (), _STYLES)
    if run.server is not None and run.server.is_cloud:
        told = (
            "This is LiveKit Cloud: the limits of the open-source server do not apply, and what lkdoctor knows of its "
            "dispatcher is what was measured here."
        )
        text += screen.wrap(told, "  ")
    return text


def _calls(screen: Screen, runs: list[ProbeRun]) -> list[str]:
    rows = [
        [
            str(one.number),
            one.agent_name,
            _cell(one, "visitor"),
            _cell(one, "assigned"),
            _cell(one, "joined"),
            one.states[-1] if one.states else "",
            _cell(one, "audio"),
            one.job_type.removeprefix("JT_"),
            one.worker_id,
        ]
        for one in runs
    ]
    heads = ["call", "agent", "visitor", "job", "joined", "state", "track", "type", "worker"]
    text = screen.table(heads, rows, ["type", "visitor", "state", "call", "job"], _STYLES)
    failures: dict[tuple[str, str, str], list[str]] = {}
    for one in runs:
        for step in one.steps:
            if not step.ok and step.name != "clean-up" and step.detail:
                failures.setdefault((one.agent_name, step.name, step.trouble), []).append(step.detail)
    for (name, step_name, _), told in failures.items():
        times = f" ({len(told)} calls)" if len(told) > 1 else ""
        text += screen.wrap(f"{name}, {step_name}: {told[0]}{times}", "  - ")
    return text


def _cell(run: ProbeRun, name: StepName) -> str:
    step = run.step(name)
    if step is None:
        return ""
    return _took(step.seconds) if step.ok else _NOT_TESTED if step.trouble == "not-tested" else _FAILED


def _shares(screen: Screen, name: str, runs: list[ProbeRun]) -> list[str]:
    """How many workers were met, and under which assumption that were all."""
    taken = [one.worker_id for one in runs if one.worker_id]
    if not taken:
        if any(one.job_id for one in runs):
            return screen.wrap(
                f"{name}: this server does not tell which worker took a job, so workers were not counted.", "  "
            )
        return []
    if len(runs) < 2 or len(set(taken)) > 1:
        return []
    chances = f"{missed_worker(0.5, len(taken)):.0%} if it shares equally, {missed_worker(0.2, len(taken)):.0%} at a fifth of the jobs"
    told = (
        f"{name}: all {len(taken)} jobs went to {taken[0]}. A second worker would have been missed with a chance of {chances}. "
        "This holds for workers of one node, whose shares follow 1 minus their load; of several nodes the one with more "
        "headroom wins every time, so a worker elsewhere may never be met."
    )
    return screen.wrap(told, "  ")


def _ended(screen: Screen, run: ProbeRun) -> list[str]:
    text: list[str] = []
    if run.interrupted:
        text += screen.wrap("It was interrupted; what it had learned until then is shown.", "  ")
    for room in run.left_over:
        told = f"The room {room} may be left on the server, which closes it by itself within minutes. To remove it now:"
        text += screen.wrap(told, "  ") + screen.command("lkdoctor probe --cleanup", "    ")
    return text


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def _once(text: list[str]) -> list[str]:
    """Sentences that several runs share (a room that was left) stand once."""
    seen: set[str] = set()
    kept = []
    for line in text:
        shared = line.strip().startswith(("The room lkdoctor-", "$ lkdoctor probe"))
        if not shared or line not in seen:
            kept.append(line)
        seen.add(line)
    return kept
