"""Requests of one name in one room at once: what differs between the readings is unknown, what holds in all of them is told."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from msgspec.structs import replace

from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch import alike
from lkdoctor.dispatch.facts import Event, Place, What
from lkdoctor.dispatch.listings import DispatchesListed, DispatchInfo, DispatchState, JobInfo, JobState, Snapshot
from lkdoctor.dispatch.model import Dispatch, Launch, Origin, Outcome, Room, Stories, WorkerSession
from lkdoctor.dispatch.stories import join
from tests.recorded import case, report_of

AGENT, ROOM = "inbound-agent", "support-call-7"
ALL = Counter({Outcome.ASSIGNED: 2, Outcome.ANSWER_TIMEOUT: 1})


def recorded(name: str = "asked-thrice-at-once") -> list[Event]:
    return list(ServerLogs([case(name) / "server.log"], jobs=1).events())


def of_agent(stories: Stories) -> list[Dispatch]:
    return [one for one in stories.dispatches if one.agent_name == AGENT]


class TestRecorded:
    def test_nobody_is_told_to_be_the_one_that_timed_out(self) -> None:
        told = of_agent(join(recorded()))
        assert [one.outcome for one in told] == [Outcome.UNKNOWN] * 3
        assert Counter(one.came_to for one in told) == ALL
        assert {one.reason for one in told} == {told[0].reason}
        assert "1 answer-timeout, 2 assigned" in told[0].reason

    def test_the_row_of_such_a_request_names_no_job(self) -> None:
        rows = [one for one in report_of(case("asked-thrice-at-once-listed")).dispatches if one.agent_name == AGENT]
        assert sorted(one.outcome for one in rows) == ["answer-timeout", "assigned", "assigned"]
        from lkdoctor.cli import pipeline

        wish = pipeline.Wish(logs=(str(case("asked-thrice-at-once") / "server.log"),), quiet=True, jobs=1)
        rows = [one for one in pipeline.report(pipeline.collect(wish), wish).dispatches if one.agent_name == AGENT]
        assert {(one.outcome, one.job_id, one.worker_id, one.after, one.certainty) for one in rows} == {
            ("unknown", None, None, None, "low")
        }
        assert {(each.outcome, each.job_id) for one in rows for each in one.launches if each.decides} == {
            ("unknown", None)
        }

    def test_a_request_made_clearly_earlier_cannot_be_the_one_that_timed_out(self) -> None:
        """3 s are 3 s: the timeout comes too late for a request of half a second before."""
        events = recorded()
        calls = [one for one in events if one.what is What.API_CALL and one.fields.method == "CreateDispatch"]
        first = calls[0]
        sooner = replace(first, at=(first.at or 0.0) - 0.5)
        moved = sorted([sooner if one is first else one for one in events], key=lambda one: one.at or 0.0)
        told = of_agent(join(moved))
        assert [one.outcome for one in told] == [Outcome.ASSIGNED, Outcome.UNKNOWN, Outcome.UNKNOWN]
        assert Counter(one.came_to for one in told) == ALL

    def test_without_the_timeouts_lines_it_is_open_whose_jobs_these_are(self) -> None:
        events = [one for one in recorded() if one.what not in (What.ASSIGN_FAILED, What.REQUEST_FAILED)]
        told = of_agent(join(events))
        assert [one.outcome for one in told] == [Outcome.UNKNOWN] * 3


def listing(events: list[Event], jobs: tuple[str | None, ...]) -> Snapshot:
    """ListDispatch at the end of the log: one entry a request in the order of their making, with this job or none."""
    asked = [one.asked_at or 0.0 for one in of_agent(join(events))]
    infos = tuple(
        DispatchInfo(
            id=f"AD_{index}",
            agent_name=AGENT,
            room=ROOM,
            state=DispatchState(() if job is None else (running(job, at),), int(at * 1e9)),
        )
        for index, (at, job) in enumerate(zip(asked, jobs, strict=False))
    )
    end = max(one.at or 0.0 for one in events)
    return Snapshot(end, DispatchesListed(ROOM, infos), Place("ws://127.0.0.1:7880", None, "ListDispatch"), True)


def running(job_id: str, asked: float) -> JobInfo:
    state = JobState(status="JS_RUNNING", started_at=int((asked + 0.2) * 1e9), participant_identity=f"agent-{job_id}")
    return JobInfo(id=job_id, type="JT_ROOM", state=state)


class TestTheListingDecides:
    @pytest.mark.parametrize("order", list(permutations((0, 1, None))))
    def test_each_dispatch_has_the_job_that_it_lists(self, order: tuple[int | None, ...]) -> None:
        events = recorded()
        ids = [one.fields.jobID for one in events if one.what is What.ASSIGNED]
        jobs = tuple(None if index is None else ids[index] for index in order)
        # the log ends 9 s after the requests, when a job must have shown
        told = of_agent(join(events, snapshots=[listing(events, jobs)]))
        assert [one.dispatch_id for one in told] == ["AD_0", "AD_1", "AD_2"]
        assert [one.deciding and one.deciding.job_id for one, job in zip(told, jobs, strict=True) if job] == [
            job for job in jobs if job
        ]
        assert [one.outcome for one in told] == [
            Outcome.ANSWER_TIMEOUT if job is None else Outcome.ASSIGNED for job in jobs
        ]
        assert not any(one.reason or one.missing for one in told)

    def test_an_entry_short_decides_nothing(self) -> None:
        events = recorded()
        ids = [one.fields.jobID for one in events if one.what is What.ASSIGNED]
        told = of_agent(join(events, snapshots=[listing(events, (ids[0], None))]))
        assert Counter(one.came_to for one in told) == ALL
        assert Outcome.ANSWER_TIMEOUT not in {one.outcome for one in told}

    def test_a_listing_that_is_too_young_still_tells_the_jobs(self) -> None:
        events = recorded()
        ids = [one.fields.jobID for one in events if one.what is What.ASSIGNED]
        late = listing(events, (ids[1], ids[0], None))
        young = Snapshot(min(one.asked_at or 0.0 for one in of_agent(join(events))) + 3.5, late.data, late.place, True)
        told = of_agent(join(events, snapshots=[young]))
        assert [one.outcome for one in told] == [Outcome.ASSIGNED, Outcome.ASSIGNED, Outcome.ANSWER_TIMEOUT]


def request(
    at: float, outcome: Outcome, after: float | None = None, *, origin: Origin = Origin.API, deployment: str = "",
    worker: str | None = None, place: int = 0,
) -> Dispatch:  # fmt: skip
    launch = Launch(
        "JT_ROOM", at, outcome=outcome, decides=True, ended_at=None if after is None else at + after, node="n"
    )
    if outcome is Outcome.ASSIGNED:
        launch.job_id, launch.worker_id = f"AJ_{at}_{place}", worker
    asked = [Place("server.log", place)]
    return Dispatch(
        ROOM, "RM_1", AGENT, origin, at, deployment, outcome=outcome, launches=[launch], proof=asked
    )  # fmt: skip


def settled(*dispatches: Dispatch, workers: tuple[WorkerSession, ...] = ()) -> list[str]:
    room = Room(ROOM, "RM_1", "n", dispatches=list(dispatches))
    alike.settle(room, lambda name: (one for one in workers if one.agent_name == name))
    return [one.outcome.value for one in dispatches]


def session(worker_id: str, deployment: str | None) -> WorkerSession:
    return WorkerSession(worker_id, "n", AGENT, job_type="JT_ROOM", deployment=deployment, registered_at=0.0)


class TestReadings:
    def test_served_and_refused_in_one_moment(self) -> None:
        served, refused = request(10, Outcome.ASSIGNED, 0.21), request(10.004, Outcome.NO_HEADROOM, 0.205)
        assert settled(served, refused) == ["unknown", "unknown"]
        assert (served.among, refused.among) == (Outcome.ASSIGNED, Outcome.NO_HEADROOM)

    def test_the_same_for_both_needs_no_telling_apart(self) -> None:
        assert (
            settled(request(10, Outcome.DECLINED, 0.21), request(10.004, Outcome.DECLINED, 0.205)) == ["declined"] * 2
        )

    def test_a_line_that_came_before_the_second_request_is_the_firsts(self) -> None:
        assert settled(request(10, Outcome.NO_HEADROOM, 0.2), request(12, Outcome.ASSIGNED, 0.21)) == [
            "no-headroom",
            "assigned",
        ]

    def test_no_timer_runs_out_early(self) -> None:
        """0.2 s of selection: what ended 0.21 s after the first request is too early for one of 50 ms later."""
        assert settled(request(10, Outcome.ASSIGNED, 0.21), request(10.05, Outcome.NO_HEADROOM, 0.21)) == [
            "assigned",
            "no-headroom",
        ]

    def test_a_slow_answer_may_be_the_earlier_requests(self) -> None:
        """A worker has 3 s to answer: the job of the retry may be the first request's, and the reject the retry's."""
        first, retry = request(10, Outcome.REJECTED_TERMINALLY), request(11, Outcome.ASSIGNED, 0.21)
        assert settled(first, retry) == ["unknown", "unknown"]

    def test_a_retry_after_the_budget_is_another_matter(self) -> None:
        first, retry = request(10, Outcome.REJECTED_TERMINALLY), request(14, Outcome.ASSIGNED, 0.21)
        assert settled(first, retry) == ["rejected-terminally", "assigned"]

    def test_entries_of_one_call_are_not_told_apart_by_anybody(self) -> None:
        """CreateRoom named the agent twice: whichever is which, one was served and one was not."""
        twins = [request(10, outcome, 0.21, origin=Origin.ROOM) for outcome in (Outcome.ASSIGNED, Outcome.NO_HEADROOM)]
        assert settled(*twins) == ["assigned", "no-headroom"]
        third = request(10.001, Outcome.NO_HEADROOM, 0.21, place=1)
        assert settled(*twins, third) == ["unknown"] * 3

    def test_the_workers_deployment_decides(self) -> None:
        green = request(10, Outcome.ASSIGNED, 0.21, worker="AW_1", deployment="")
        blue = request(10.001, Outcome.NO_RESPONSE, 1.0, deployment="blue")
        assert settled(green, blue) == ["unknown", "unknown"]  # the deployments of workers are printed late, if at all
        alike.reopen([green, blue])
        assert settled(green, blue, workers=(session("AW_1", ""),)) == ["assigned", "no-response"]

    def test_other_names_and_other_persons_do_not_mix(self) -> None:
        other = request(10.001, Outcome.NO_HEADROOM, 0.21)
        other.agent_name = "night-agent"
        assert settled(request(10, Outcome.ASSIGNED, 0.21), other) == ["assigned", "no-headroom"]
        alice, bob = request(10, Outcome.ASSIGNED, 0.21), request(10.001, Outcome.DECLINED, 0.21)
        for one, who in ((alice, "alice"), (bob, "bob")):
            one.launches[0].job_type, one.launches[0].participant = "JT_PARTICIPANT", who
        assert settled(alice, bob) == ["assigned", "declined"]

    def test_many_requests_of_one_room_are_settled_at_once(self) -> None:
        """A room that is asked for again and again for an hour: only neighbours are compared."""
        calls = [
            request(float(at), Outcome.ASSIGNED if at % 20 else Outcome.DECLINED, 0.21, place=at)
            for at in range(0, 40_000, 10)
        ]
        assert "unknown" not in settled(*calls)


def test_a_retry_after_a_refusal_gets_its_own_line() -> None:
    """The refusal names no room and waits to be paired; the retry's assignment must not be taken for the first one's."""
    events = recorded("asked-thrice-at-once")
    calls = [one for one in events if one.what is What.API_CALL and one.fields.method == "CreateDispatch"]
    assigned = next(one for one in events if one.what is What.ASSIGNED)
    failed = next(one for one in events if one.what is What.REQUEST_FAILED and one.fields.agentName == AGENT)
    at = calls[0].at or 0.0
    kept = [
        one
        for one in events
        if one not in calls and one.what not in (What.ASSIGNED, What.ASSIGN_FAILED) and one is not failed
    ]
    refusal = replace(
        failed, at=at + 0.2, fields=replace(failed.fields, error="no servers available (received 1 responses)")
    )
    retry = replace(calls[1], at=at + 2.0)
    told = of_agent(
        join(sorted([*kept, calls[0], refusal, retry, replace(assigned, at=at + 2.2)], key=lambda one: one.at or 0.0))
    )
    assert [(one.room, one.outcome) for one in told] == [(ROOM, Outcome.NO_HEADROOM), (ROOM, Outcome.ASSIGNED)]
