"""Edges of checks that no recorded case shows, on stories built by hand: who was there: near misses, presence, pools, times."""

from __future__ import annotations

import pytest

from lkdoctor.dispatch.model import (
    Coverage,
    Origin,
    Outcome,
    Refusal,
    ServerRun,
    Wanted,
)
from lkdoctor.doctor import codes
from lkdoctor.doctor.finding import Confidence, Severity
from tests.checks.build import NODE, T0, dispatch, found, line, person, room, stories, worker

MISSED = Outcome.NAME_NOT_SERVED

MISSED = Outcome.NAME_NOT_SERVED


class TestNearMiss:
    """LKD202."""

    @pytest.mark.parametrize(
        ("asked", "registered", "confidence"),
        [
            ("Inbound Agent", "inbound-agent", Confidence.HIGH),
            ("INBOUND_AGENT", "inbound-agent", Confidence.HIGH),
            ("inbound-agnet", "inbound-agent", Confidence.MEDIUM),
            ("inbuond-agents", "inbound-agent", Confidence.MEDIUM),
        ],
    )
    def test_spelling(self, asked: str, registered: str, confidence: Confidence) -> None:
        """Case, blanks and hyphens are sure; letters are likely."""
        told = stories(workers=[worker("a", registered)], dispatches=[dispatch(asked, 10, MISSED)])
        (one,) = found(codes.NAME_NEAR_MISS, told)
        assert one.confidence is confidence
        assert one.values["registered"] == registered

    @pytest.mark.parametrize(
        ("asked", "registered"),
        [
            ("agent-1", "agent-2"),
            ("room12-agent", "room7-agent"),
            ("agent-a", "agent-b"),
            ("bot", "box"),
            ("inbound-agent", "outbound-agent"),
        ],
    )
    def test_a_series_or_another_word_is_none(self, asked: str, registered: str) -> None:
        """Numbered names are told apart on purpose; short and distant names prove nothing."""
        told = stories(workers=[worker("a", registered)], dispatches=[dispatch(asked, 10, MISSED)])
        assert found(codes.NAME_NEAR_MISS, told) == []

    def test_a_name_that_was_registered_once_is_none(self) -> None:
        """It was spelt right: its worker is only gone."""
        told = stories(
            workers=[worker("a", "inbound-agent"), worker("b", "inbound_agent", 0, 5)],
            dispatches=[dispatch("inbound_agent", 10, MISSED)],
        )
        assert found(codes.NAME_NEAR_MISS, told) == []

    def test_only_suggested_when_both_names_are_in_use(self) -> None:
        """A neighbour with dispatches of its own may be another agent: low confidence, and 301 stays."""
        told = stories(
            workers=[worker("a", "sales-agent")],
            dispatches=[
                dispatch("sales-agent", 5, Outcome.ASSIGNED, worker_id="a"),
                dispatch("sale-agent", 10, MISSED),
            ],
        )
        (one,) = found(codes.NAME_NEAR_MISS, told)
        assert (one.confidence, one.folds) == (Confidence.LOW, ())


class TestPresence:
    """LKD207, LKD208, LKD201, LKD309."""

    @pytest.mark.parametrize(("closed", "came", "expected"), [(20, 15, 1), (20, 25, 0), (None, 280, 1), (None, 340, 0)])
    def test_too_late_only_while_the_room_lives(self, closed: float | None, came: float, expected: int) -> None:
        """A worker that comes after the room's end (or 5 min, if that is unknown) is not the cause."""
        one = dispatch("inbound-agent", 10, MISSED)
        told = stories(
            workers=[worker("a", since=came)], rooms=[room("support-call-7", until=closed, dispatches=[one])]
        )
        assert len(found(codes.REGISTERED_TOO_LATE, told)) == expected

    def test_another_type_is_not_too_late(self) -> None:
        """A publisher worker that registers later would not have served the JT_ROOM launch."""
        told = stories(
            workers=[worker("a", since=12, job_type="JT_PUBLISHER")],
            dispatches=[dispatch("inbound-agent", 10, MISSED)],
        )
        assert found(codes.REGISTERED_TOO_LATE, told) == []

    def test_gone_and_back_is_one_cause(self) -> None:
        """A worker that left before and came back after is gone, not late."""
        told = stories(
            workers=[worker("a", until=8), worker("b", since=14)],
            dispatches=[dispatch("inbound-agent", 10, Outcome.NO_RESPONSE, took=1.0)],
        )
        assert found(codes.REGISTERED_TOO_LATE, told) == []
        (one,) = found(codes.WORKER_GONE, told)
        assert one.values["returned"] == ["AW_b"]

    @pytest.mark.parametrize(("outcome", "expected"), [(Outcome.NO_RESPONSE, 0), (MISSED, 1)])
    def test_the_memory_of_a_name_ends_after_a_minute(self, outcome: Outcome, expected: int) -> None:
        """Gone for 100 s: `no response` cannot come from the list of names any more."""
        told = stories(workers=[worker("a", until=10)], dispatches=[dispatch("inbound-agent", 110, outcome)])
        assert len(found(codes.WORKER_GONE, told)) == expected

    def test_one_that_is_there_is_not_gone(self) -> None:
        """Another worker of the name was open."""
        told = stories(
            workers=[worker("a", until=8), worker("b")], dispatches=[dispatch("inbound-agent", 10, Outcome.NO_RESPONSE)]
        )
        assert found(codes.WORKER_GONE, told) == []

    @pytest.mark.parametrize(("seen", "stopped", "expected"), [(9, 20, True), (20, 20, False), (20, 19.5, True)])
    def test_gone_with_its_server(self, seen: float, stopped: float, expected: bool) -> None:
        """Killed (no closing line), left by itself just before the end, and closed after the server said that it stops."""
        left = worker("a", until=20)
        left.last_seen_at = T0 + seen
        runs = [
            ServerRun(NODE, "ND_a", "1.13.5", T0, T0, T0 + 20, stopped_at=T0 + stopped, redis=False, proof=[line()]),
            ServerRun(NODE, "ND_b", "1.13.5", T0 + 22, T0 + 22, T0 + 90, redis=False, proof=[line()]),
        ]
        told = stories(
            runs=runs, workers=[left, worker("b", since=27)], dispatches=[dispatch("inbound-agent", 24, MISSED)]
        )
        (one,) = found(codes.WORKER_GONE, told)
        assert (one.values["server_restarted_at"] == T0 + 22) is expected
        assert one.message.startswith("The server restarted at") is expected
        advice = " ".join(step for fix in one.fixes for step in fix.steps)
        assert ("two workers" in advice) is not expected

    @pytest.mark.parametrize(("came", "expected"), [(7, 1), (3, 0)])
    def test_a_request_that_the_log_does_not_show(self, came: float, expected: int) -> None:
        """1.8.4 prints no CreateDispatch: the refusal at 10 s may belong to a request made from 5 s on."""
        one = dispatch("inbound-agent", 10, MISSED, took=0)
        one.asked_at = one.launches[0].asked_at = None
        told = stories(workers=[worker("a", since=came)], dispatches=[one])
        hits = found(codes.REGISTERED_TOO_LATE, told)
        assert [(hit.confidence, "may" in hit.message) for hit in hits] == [(Confidence.MEDIUM, True)] * expected

    def test_names_that_were_there_are_told_apart(self) -> None:
        """No fix names a worker that came later, had left, or sits on a node that shares nothing."""
        told = stories(
            workers=[
                worker("a", "billing", until=50),
                worker("b", "sales", until=5),
                worker("c", "night-shift", since=30),
                worker("d", "elsewhere", stream="other.log"),
            ],
            dispatches=[dispatch("inbound-agent", 10, MISSED)],
        )
        told.runs.append(ServerRun("other.log", "ND_b", "1.13.5", T0, T0, T0 + 600, redis=False, proof=[line()]))
        (one,) = found(codes.NAME_NOT_SERVED, told)
        assert one.values["registered_names"] == ["billing"]
        assert (one.values["registered_later"], one.values["had_left"]) == (["night-shift"], ["sales"])
        advice = " ".join(step for fix in one.fixes for step in fix.steps)
        assert [name in advice for name in ("billing", "sales", "night-shift", "elsewhere")] == [True] + [False] * 3

    def test_refused_workers_count_only_before_the_dispatch(self) -> None:
        """Two before it, for one reason; one long after."""
        told = stories(
            dispatches=[dispatch("inbound-agent", 10, MISSED)],
            refusals=[
                Refusal(T0 + 5, "/agent", 401, "permissions denied", line(7), 2, T0 + 6),
                Refusal(T0 + 60, "/agent", 401, "invalid API key: x", line(8), 1, T0 + 60),
            ],
        )
        (one,) = found(codes.NO_WORKER, told)
        assert one.message.endswith("2 attempts to register were refused: permissions denied.")

    def test_an_excerpt_never_says_no_worker(self) -> None:
        """Workers may have registered before the log begins."""
        told = stories(dispatches=[dispatch("inbound-agent", 10, MISSED)])
        assert len(found(codes.NO_WORKER, told)) == 1
        told.coverage = Coverage(complete=False, starts_late=True, reasons=["it begins in the middle"])
        assert found(codes.NO_WORKER, told) == []

    @pytest.mark.parametrize(
        ("stayed", "explicit_elsewhere", "expected"), [(8, False, 1), (7, False, 0), (60, True, 0)]
    )
    def test_implicit_only(self, stayed: float, explicit_elsewhere: bool, expected: int) -> None:
        """A person has to wait 8 s, and no room of the log may have asked by name."""
        unnamed = dispatch("", 1, Outcome.NO_RESPONSE, origin=Origin.IMPLICIT, room="lobby")
        told = stories(
            workers=[worker("a")],
            rooms=[room("lobby", people=[person("alice", 2, 2 + stayed)], dispatches=[unnamed])],
            dispatches=[dispatch("inbound-agent", 30, Outcome.ASSIGNED, worker_id="a")] if explicit_elsewhere else [],
        )
        assert len(found(codes.IMPLICIT_DISPATCH_ONLY, told)) == expected


class TestPools:
    """LKD203, LKD204, LKD205, LKD212."""

    def test_a_reconnect_is_no_pool(self) -> None:
        """The old socket closes a second after the new one registered."""
        told = stories(workers=[worker("a", until=21), worker("b", since=20)])
        assert found(codes.DUPLICATE_AGENT_NAME, told) == []

    @pytest.mark.parametrize(("jobs", "severity"), [(4, Severity.INFO), (5, Severity.WARNING)])
    def test_starved_only_when_chance_is_small(self, jobs: int, severity: Severity) -> None:
        """1/16 may be bad luck, 1/32 is not taken for it."""
        told = stories(
            workers=[worker("a", jobs=jobs), worker("b")],
            dispatches=[
                dispatch("inbound-agent", 10 + n, Outcome.ASSIGNED, room=f"r{n}", worker_id="a") for n in range(jobs)
            ],
        )
        (one,) = found(codes.DUPLICATE_AGENT_NAME, told)
        assert one.severity is severity

    def test_no_chance_between_nodes(self) -> None:
        """The roomier node wins every time: ten jobs for the other node say nothing."""
        told = stories(
            workers=[worker("a", jobs=10), worker("b", stream="other.log")],
            dispatches=[
                dispatch("inbound-agent", 10 + n, Outcome.ASSIGNED, room=f"r{n}", worker_id="a") for n in range(10)
            ],
        )
        told.runs[0].redis = True
        told.runs.append(ServerRun("other.log", "ND_b", "1.13.5", T0, T0, T0 + 600, redis=True, proof=[line()]))
        (one,) = found(codes.DUPLICATE_AGENT_NAME, told)
        assert one.severity is Severity.INFO

    @pytest.mark.parametrize("redis", [False, None])
    def test_no_pool_over_logs_that_may_be_two_servers(self, redis: bool | None) -> None:
        """Late logs do not say whether their nodes share anything."""
        told = stories(workers=[worker("a"), worker("b", stream="other.log")])
        told.runs.append(ServerRun("other.log", "ND_b", "1.13.5", None, T0, T0 + 600, redis=redis, proof=[line()]))
        told.runs[0].redis = redis
        assert found(codes.DUPLICATE_AGENT_NAME, told) == []

    def test_types_and_deployments_do_not_compete(self) -> None:
        """Another type or deployment is another key."""
        told = stories(workers=[worker("a"), worker("b", job_type="JT_PUBLISHER"), worker("c", deployment="staging")])
        assert found(codes.DUPLICATE_AGENT_NAME, told) == []

    def test_a_rollout_is_no_split(self) -> None:
        """The old version had the jobs before, the new one has them after."""
        told = stories(
            workers=[worker("old", until=60, jobs=2, sdk="1.5.2"), worker("new", since=40, jobs=2, sdk="1.8.9")],
            dispatches=[
                dispatch("inbound-agent", at, Outcome.ASSIGNED, room=f"r{at}", worker_id=who)
                for at, who in ((10, "old"), (20, "old"), (45, "new"), (70, "new"))
            ],
        )
        assert found(codes.VERSION_SPLIT, told) == []

    @pytest.mark.parametrize(("until", "jobs", "expected"), [(345, 1, 1), (335, 1, 0), (60, 2, 1)])
    def test_a_split_is_more_than_a_rollout(self, until: float, jobs: int, expected: int) -> None:
        """One job for each within five minutes may be a rollout; two for each, or five minutes, are none."""
        told = stories(
            workers=[worker("old", until=until, jobs=1, sdk="1.5.2"), worker("new", since=40, jobs=1, sdk="1.8.9")],
            dispatches=[
                dispatch("inbound-agent", 42 + n, Outcome.ASSIGNED, room=f"{who}{n}", worker_id=who)
                for n in range(jobs)
                for who in ("old", "new")
            ],
        )
        assert len(found(codes.VERSION_SPLIT, told)) == expected

    @pytest.mark.parametrize(("lives", "expected"), [(2, 0), (3, 1)])
    def test_flapping_from_three_on(self, lives: int, expected: int) -> None:
        """Two short lives may be a redeployment."""
        told = stories(workers=[worker(f"w{n}", since=20 * n, until=20 * n + 10) for n in range(lives)])
        assert len(found(codes.WORKER_FLAPPING, told)) == expected

    def test_a_pool_of_short_workers_does_not_flap(self) -> None:
        """Side by side they are not one worker that comes back."""
        told = stories(workers=[worker(f"w{n}", since=n, until=30 + n) for n in range(5)])
        assert found(codes.WORKER_FLAPPING, told) == []

    def test_a_server_that_restarts_makes_no_flapping(self) -> None:
        """Its workers come back as often as it stops."""
        runs = [
            ServerRun(
                NODE, f"ND_{n}", "1.13.5", T0 + 20 * n, T0 + 20 * n, T0 + 20 * n + 19, T0 + 20 * n + 19, redis=False
            )
            for n in range(4)
        ]
        told = stories(workers=[worker(f"w{n}", since=20 * n + 1, until=20 * n + 19) for n in range(4)], runs=runs)
        assert found(codes.WORKER_FLAPPING, told) == []

    def test_unnamed_workers_say_who_got_which_room(self) -> None:
        """Story one: two programs, one room each."""
        told = stories(
            workers=[worker("a", "", jobs=1), worker("b", "", jobs=1)],
            dispatches=[
                dispatch("", 5, Outcome.ASSIGNED, room="r1", worker_id="a", origin=Origin.IMPLICIT),
                dispatch("", 6, Outcome.ASSIGNED, room="r2", worker_id="b", origin=Origin.IMPLICIT),
            ],
        )
        (one,) = found(codes.UNNAMED_WORKERS_COMPETE, told)
        assert one.values["rooms"] == {"AW_a": ["r1"], "AW_b": ["r2"]}
        assert one.severity is Severity.INFO

    @pytest.mark.parametrize(
        ("agents", "together", "named", "severity"),
        [
            (("dispatcher", "driver"), (), "", Severity.WARNING),
            ((), (("dispatcher", "driver"),), "", Severity.WARNING),
            (("dispatcher", "driver"), (), "driver", Severity.INFO),  # the names are in use: the pool is another matter
            (("dispatcher",), (), "", Severity.INFO),  # one name is no pair: its worker may simply be down
        ],
    )
    def test_unnamed_workers_where_names_are_expected(
        self, agents: tuple[str, ...], together: tuple[tuple[str, ...], ...], named: str, severity: Severity
    ) -> None:
        more = [worker("c", named)] if named else []
        told = stories(workers=[worker("a", ""), worker("b", ""), *more])
        told.wanted = Wanted(agents, together)
        (one,) = found(codes.UNNAMED_WORKERS_COMPETE, told)
        assert one.severity is severity
        assert ('"dispatcher", "driver" are expected' in one.message) is (severity is Severity.WARNING)


class TestTime:
    """LKD312, LKD314."""

    @pytest.mark.parametrize(("took", "expected"), [(3.1, 0), (3.3, 1)])
    def test_slow(self, took: float, expected: int) -> None:
        """Within the budget it is the worker's own time."""
        told = stories(dispatches=[dispatch("inbound-agent", 10, Outcome.ASSIGNED, took=took, worker_id="a")])
        assert len(found(codes.SLOW_DISPATCH, told)) == expected

    @pytest.mark.parametrize(("stuck", "victim_took", "expected"), [(25, 3.2, 1), (24, 3.2, 0), (30, 0.3, 0)])
    def test_jammed(self, stuck: int, victim_took: float, expected: int) -> None:
        """25 at once, and somebody else who waited."""
        told = stories(
            dispatches=[
                *(
                    dispatch("slow-agent", 10 + n / 100, Outcome.ANSWER_TIMEOUT, room=f"s{n}", took=3.0)
                    for n in range(stuck)
                ),
                dispatch("billing-agent", 10.5, Outcome.ASSIGNED, room="b", took=victim_took, worker_id="b"),
            ]
        )
        hits = found(codes.NODE_JAMMED, told)
        assert len(hits) == expected
        assert all(subject.agent_name == "billing-agent" for one in hits for subject in one.folds)
