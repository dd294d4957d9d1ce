"""Containers and programs that only look like a fault, beside those that are one."""

from __future__ import annotations

import pytest

from lkdoctor.dispatch.agent_code import CodeTrap
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.machine import Container, Death
from lkdoctor.dispatch.model import Stories
from lkdoctor.doctor.codes import HOOK_NEVER_CALLED, RESTART_LOOP
from lkdoctor.doctor.finding import Confidence, Finding
from tests.checks.build import T0, results

PLACE = Place("containers.json", 0)


def container(ends: tuple[float, ...], restarts: int, status: str = "running", up: float = 20.0) -> Stories:
    """A worker's container `up` seconds after it was started, with its remembered ends so many seconds ago."""
    one = Container(
        place=PLACE,
        at=T0,
        id="c1",
        name="voice-agent-1",
        status=status,
        restarts=restarts,
        restart_policy="always",
        started_at=T0 - up,
        role="worker",
        deaths=tuple(Death(at=T0 - each, exit_code=1) for each in ends),
    )
    return Stories(facts={Container: [one]})


@pytest.mark.parametrize(
    "told",
    [
        container((400.0, 200.0, 21.0), 3),
        container((81.0, 21.0), 9),
        container((), 9, "restarting"),
    ],
)
def test_a_loop(told: Stories) -> None:
    assert [type(one) for one in results(RESTART_LOOP, told)] == [Finding]


@pytest.mark.parametrize("ends", [(21.0,), ()])
def test_one_restart_now_is_no_loop_however_many_were_counted_over_months(ends: tuple[float, ...]) -> None:
    (one,) = results(RESTART_LOOP, container(ends, 9))
    assert not isinstance(one, Finding)
    assert "not when they were" in one.missing
    assert not one.weighs


@pytest.mark.parametrize("told", [container((), 9, up=600.0), container((700.0, 650.0), 9, up=600.0), container((), 1)])
def test_what_is_up_since_is_well(told: Stories) -> None:
    assert results(RESTART_LOOP, told) == []


def test_a_hook_that_another_file_may_call_fails_no_gate() -> None:
    trap = CodeTrap(
        place=Place("agent.py", path="3"), trap="dead-hook", file="agent.py", line=3, name="on_said", owner="A"
    )
    (one,) = results(HOOK_NEVER_CALLED, Stories(facts={CodeTrap: [trap]}))
    assert isinstance(one, Finding)
    assert one.confidence is Confidence.LOW
