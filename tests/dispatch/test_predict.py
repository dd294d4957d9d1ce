"""What `predict_room` says for situations that were watched on real servers."""

from __future__ import annotations

import math

import pytest

from lkdoctor.dispatch.model import Origin, Outcome
from lkdoctor.dispatch.predict import AgentWanted, Ignored, PlannedWorker, Step, predict_room

A = AgentWanted("inbound")


def outcomes(
    steps: list[Step], workers: list[PlannedWorker], version: str = "1.13.5", **kw: float
) -> list[set[Outcome]]:
    predictions, _ = predict_room(steps, workers, version, **kw)
    return [set(one.outcomes) for one in predictions]


def test_create_dispatch_on_a_new_room_also_fires_the_unnamed_dispatch() -> None:
    predictions, ignored = predict_room([Step("create-dispatch", (A,))], [PlannedWorker("w", "inbound")], "1.13.5")
    assert [(one.agent_name, one.origin) for one in predictions] == [("", Origin.IMPLICIT), ("inbound", Origin.API)]
    assert predictions[0].outcomes == {Outcome.NO_RESPONSE}  # only named workers are there
    assert predictions[1].outcomes == {Outcome.ASSIGNED}
    assert predictions[1].workers == {"w"}
    assert not ignored


def test_token_agents_are_ignored_when_the_room_exists() -> None:
    steps = [Step("create-room"), Step("join", (A,))]
    predictions, ignored = predict_room(steps, [PlannedWorker("w", "inbound")], "1.13.5")
    assert [one.agent_name for one in predictions] == [""]
    assert ignored == [Ignored("inbound", Origin.TOKEN)]


def test_unknown_name_and_known_name_of_another_type() -> None:
    steps = [Step("create-room", (A,))]
    assert outcomes(steps, []) == [{Outcome.NAME_NOT_SERVED}]
    publisher = PlannedWorker("p", "inbound", "JT_PUBLISHER")
    assert outcomes(steps, [publisher]) == [{Outcome.WAITING}]
    joined = [Step("create-room", (A,)), Step("join", publishes=True)]
    assert outcomes(joined, [publisher]) == [{Outcome.ASSIGNED}]


def test_a_deployment_isolates_from_1_12_on() -> None:
    staged = PlannedWorker("w", "inbound", deployment="staging")
    assert outcomes([Step("create-room", (A,))], [staged], "1.13.5") == [{Outcome.NO_RESPONSE}]
    assert outcomes([Step("create-room", (A,))], [staged], "1.11.0") == [{Outcome.ASSIGNED}]


@pytest.mark.parametrize(("load", "version"), [(0.65, "1.8.4"), (1.0, "1.9.12"), (0.7, "1.11.0"), (0.7, "1.13.5")])
def test_no_headroom_at_the_limit(load: float, version: str) -> None:
    step = [Step("create-room", (A,))]
    assert outcomes(step, [PlannedWorker("w", "inbound", load=load)], version) == [{Outcome.NO_HEADROOM}]
    assert outcomes(step, [PlannedWorker("w", "inbound", load=load - 0.01)], version) == [{Outcome.ASSIGNED}]


def test_one_nan_switches_the_name_off_and_a_full_worker_is_left_out() -> None:
    step = [Step("create-room", (A,))]
    healthy = PlannedWorker("a", "inbound")
    assert outcomes(step, [healthy, PlannedWorker("b", "inbound", load=math.nan)]) == [{Outcome.NO_HEADROOM}]
    predictions, _ = predict_room(step, [healthy, PlannedWorker("b", "inbound", full=True)], "1.13.5")
    assert predictions[0].workers == {"a"}


def test_target_load_zero_refuses_all_and_above_one_ends_without_anybody_asked() -> None:
    step = [Step("create-room", (A,))]
    assert outcomes(step, [PlannedWorker("a", "inbound")], target_load=0) == [{Outcome.NO_HEADROOM}]
    assert outcomes(step, [PlannedWorker("a", "inbound", load=1.2)], target_load=1.5) == [{Outcome.NO_HEADROOM}]


def test_answers() -> None:
    step = [Step("create-room", (A,))]
    silent = PlannedWorker("s", "inbound", answer="silent")
    assert outcomes(step, [silent, PlannedWorker("a", "inbound")]) == [{Outcome.ANSWER_TIMEOUT, Outcome.ASSIGNED}]
    assert outcomes(step, [PlannedWorker("d", "inbound", answer="decline")]) == [{Outcome.DECLINED}]
    assert outcomes(step, [PlannedWorker("d", "inbound", answer="drop")]) == [{Outcome.WORKER_CLOSED}]
    terminate = PlannedWorker("t", "inbound", answer="terminate")
    assert outcomes(step, [terminate]) == [{Outcome.REJECTED_TERMINALLY}]
    assert outcomes(step, [terminate], "1.8.4") == [{Outcome.DECLINED}]
