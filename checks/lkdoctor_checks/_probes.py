"""What the checks of probes share: which runs there are, and where their steps stand."""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.probes import ProbeRun, StepName
from lkdoctor.doctor.evidence import Probes
from lkdoctor.doctor.finding import Subject

SERVER = Subject("server", id="canary")  # the canary's name is another one each time: a finding must not be


def canaries(probes: Probes) -> Iterator[ProbeRun]:
    """The runs of the canary."""
    return (one for one in probes if one.kind == "canary")


def by_name(probes: Probes) -> dict[str, list[ProbeRun]]:
    """The test calls of each agent name, in order."""
    found: dict[str, list[ProbeRun]] = {}
    for one in probes:
        if one.kind == "agent":
            found.setdefault(one.agent_name, []).append(one)
    return found


def proof(run: ProbeRun, *names: StepName) -> tuple[Place, ...]:
    """Where these steps of the run stand, as far as it took them."""
    return tuple(run.place_of(step) for name in names if (step := run.step(name)) is not None)
