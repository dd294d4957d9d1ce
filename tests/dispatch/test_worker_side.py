"""Workers' logs in the stories: clocks, ids, and what a worker may say beside its server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.collect.worker_log import WorkerLogs
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import After, Outcome, Stories
from lkdoctor.dispatch.stories import join
from lkdoctor.dispatch.worker_facts import DAYTIME, LOCAL, UTC, Said, WorkerEvent, WorkerFields
from lkdoctor.dispatch.worker_side import attach

FIXTURES = Path(__file__).parents[2] / "fixtures"
DAY = 86_400.0


def server(case: str) -> Stories:
    """The stories of a case's server log alone."""
    return join(ServerLogs([FIXTURES / case / "server.log"], jobs=1).events())


def worker(case: str) -> list[WorkerEvent]:
    """The events of a case's worker log."""
    return list(WorkerLogs([FIXTURES / case / "worker-inbound.log"], jobs=1).events())


def told(case: str, events: list[WorkerEvent] | None = None) -> Stories:
    """Both sides of a case."""
    stories = server(case)
    attach(stories, worker(case) if events is None else events)
    return stories


def moved(events: list[WorkerEvent], clock: str, by: float) -> list[WorkerEvent]:
    """The same log on another clock."""
    return [replace(one, clock=clock, at=None if one.at is None else one.at + by) for one in events]


class TestClocks:
    """A clock without a zone is put right by the ids that both logs name; without such ids its times mean nothing."""

    @pytest.mark.parametrize(
        "case", ["worker-job-crashed-dev", "worker-crash-1-5-17-dev", "worker-job-crashed-node-dev"]
    )
    def test_recorded_ones(self, case: str) -> None:
        stories = told(case)
        (run,) = stories.worker_runs
        launch = next(one.deciding for one in stories.dispatches if one.agent_name == "inbound-agent")
        assert run.dated
        assert launch is not None
        assert launch.worker_side is not None
        assert launch.ended_at is not None
        assert launch.worker_side.asked_at == pytest.approx(launch.ended_at, abs=1.5)

    @pytest.mark.parametrize("zone", [-43_200.0, -12_600.0, 0.0, 3600.0, 19_800.0, 45_900.0])
    @pytest.mark.parametrize("clock", [LOCAL, DAYTIME])
    def test_every_zone_is_found(self, clock: str, zone: float) -> None:
        case = "worker-job-crashed-dev"
        (want,) = told(case).worker_runs
        back = -1_795_219_200.0 if clock == DAYTIME else 0.0  # midnight of the recording's day
        (run,) = told(case, moved(worker(case), clock, zone + back)).worker_runs
        assert run.dated
        assert run.jobs[0].crashed_at == pytest.approx(want.jobs[0].crashed_at, abs=0.01)
        assert run.registered[0][0] == pytest.approx(want.registered[0][0], abs=0.01)
        assert run.ahead == pytest.approx(zone + back, abs=0.01)

    def test_a_wrong_clock_in_utc_is_put_right(self) -> None:
        case = "worker-job-crashed"
        (want,) = told(case).worker_runs
        (run,) = told(case, moved(worker(case), UTC, 73.0)).worker_runs
        assert run.jobs[0].asked_at == pytest.approx(want.jobs[0].asked_at, abs=1.5)
        assert run.ahead == pytest.approx(73.0, abs=1.5)

    def test_without_shared_ids_a_zoneless_clock_stays_unknown(self) -> None:
        stories = server("worker-said-full")
        attach(stories, worker("worker-job-crashed-dev"))
        (run,) = stories.worker_runs
        assert not run.dated
        assert all(one.asked_at is None or one.asked_at < 1.9e9 for one in stories.dispatches)

    def test_ids_that_disagree_are_not_believed(self) -> None:
        case = "worker-job-crashed-dev"
        events = [
            replace(one, at=one.at + 500) if one.what is Said.REGISTERED and one.at is not None else one
            for one in worker(case)
        ]
        (run,) = told(case, events).worker_runs
        assert not run.dated


class TestBesideTheServer:
    """The server's word stands; the worker adds causes."""

    def test_sessions_gain_what_only_the_worker_knows(self) -> None:
        stories = told("worker-said-full")
        (session,) = stories.workers.values()
        assert session.sdk == "1.8.9"
        assert session.run is not None
        assert session.run.url.startswith("ws://127.0.0.1:")
        assert [(one.load, one.threshold) for one in session.run.full] == [(0.9, 0.7)]

    def test_outcomes_are_the_servers(self) -> None:
        for folder in sorted(FIXTURES.glob("worker-*/worker-inbound.log")):
            case = folder.parent.name
            if not (folder.parent / "server.log").exists():
                continue
            alone, both = server(case), told(case)
            assert [(one.room, one.agent_name, one.outcome) for one in both.dispatches] == [
                (one.room, one.agent_name, one.outcome) for one in alone.dispatches
            ]
            before = [one.after for one in alone.dispatches]
            assert all(was is None or was is one.after for was, one in zip(before, both.dispatches, strict=True)), case

    def test_a_node_job_learns_its_room_from_the_server(self) -> None:
        (run,) = told("worker-job-crashed-node").worker_runs
        assert [(job.room, job.known) for job in run.jobs] == [("support-call-7", True)]

    def test_an_agent_that_came_late_came(self) -> None:
        (run,) = told("worker-connects-late").worker_runs
        assert [(job.not_connected_at is not None, job.came) for job in run.jobs] == [(True, True)]

    def test_returned_without_connecting_settles_what_a_short_log_leaves_open(self) -> None:
        (dispatch,) = [one for one in told("worker-returns").dispatches if one.agent_name == "inbound-agent"]
        assert dispatch.after is After.NEVER_JOINED

    def test_a_strangers_log_changes_nothing(self) -> None:
        alone, both = server("worker-said-full"), server("worker-said-full")
        attach(both, worker("worker-job-crashed"))
        assert both.dispatches == alone.dispatches
        assert both.workers == alone.workers
        assert len(both.worker_runs) == 1


class TestAlone:
    """A worker's log without its server's."""

    def test_jobs_are_dispatches(self) -> None:
        stories = Stories()
        attach(stories, worker("worker-job-crashed"))
        (dispatch,) = stories.dispatches
        assert (dispatch.room, dispatch.agent_name, dispatch.outcome) == (
            "support-call-7",
            "inbound-agent",
            Outcome.ASSIGNED,
        )
        assert dispatch.asked_at is not None
        assert [one.agent_name for one in stories.workers.values()] == ["inbound-agent"]

    def test_a_request_with_nothing_after_it_stays_open(self) -> None:
        stories = Stories()
        attach(stories, worker("worker-rejects"))
        assert [(one.outcome, bool(one.missing)) for one in stories.dispatches] == [(Outcome.PENDING, True)]

    def test_a_zoneless_log_has_no_times(self) -> None:
        stories = Stories()
        attach(stories, worker("worker-crash-1-3-12-dev"))
        assert [one.asked_at for one in stories.dispatches] == [None]
        assert stories.first_at is None

    def test_two_lives_in_one_log_are_two_runs(self) -> None:
        events = worker("worker-job-crashed")
        later = [replace(one, at=None if one.at is None else one.at + 900) for one in events]
        stories = Stories()
        attach(stories, [*events, *later])
        assert len(stories.worker_runs) == 2

    def test_own_workers_are_in_no_story(self) -> None:
        events = [
            replace(one, fields=replace(one.fields, agent_name="lkdoctor-canary")) if one.fields.agent_name else one
            for one in worker("worker-job-crashed")
        ]
        stories = Stories()
        attach(stories, events)
        assert (stories.worker_runs, stories.dispatches, stories.workers) == ([], [], {})


def test_a_long_row_of_failures_keeps_few_places() -> None:
    stories = Stories()
    attach(stories, worker("worker-prewarm-raises"))
    (run,) = stories.worker_runs
    assert run.failing is not None
    assert run.failing.count > 50
    assert len(run.failing.proof) <= 6


_EVENT = st.builds(
    WorkerEvent,
    what=st.sampled_from(Said),
    at=st.none() | st.floats(0, 2e9),
    clock=st.sampled_from([UTC, LOCAL, DAYTIME]),
    place=st.builds(Place, st.just("worker.log"), st.integers(0, 999)),
    stream=st.sampled_from(["a", "b"]),
    level=st.just("info"),
    sdk=st.sampled_from(["python", "node", ""]),
    fields=st.builds(
        WorkerFields,
        job_id=st.sampled_from(["", "AJ_1", "AJ_2"]),
        room=st.sampled_from(["", "support-call-7"]),
        agent_name=st.sampled_from([None, "", "inbound-agent"]),
        worker_id=st.sampled_from(["", "AW_1"]),
        error=st.sampled_from(["", "KeyError: 'X'", "Errno 98"]),
        load=st.none() | st.floats(0, 1),
        threshold=st.none() | st.floats(0, 1),
    ),
)


@settings(max_examples=200, deadline=None)
@given(events=st.lists(_EVENT, max_size=25))
def test_any_order_of_events_is_survived(events: list[WorkerEvent]) -> None:
    from lkdoctor.dispatch.model import SourceNote
    from lkdoctor.doctor import engine
    from lkdoctor.doctor.evidence import Evidence
    from lkdoctor.doctor.loader import load

    stories = Stories()
    attach(stories, events)
    stories.sources = [SourceNote("worker.log", "worker_log")]
    diagnosis = engine.run(load().checks, Evidence.of(stories))
    assert [one.reason for one in diagnosis.outcomes if one.result is engine.Result.CRASHED] == []
