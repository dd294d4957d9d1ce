"""The thresholds of single checks: just enough raises, just too little does not."""

from __future__ import annotations

import pytest

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import (
    After,
    Ask,
    Coverage,
    Launch,
    Origin,
    Outcome,
    Refusal,
    ServerRun,
    SourceNote,
    Stories,
)
from lkdoctor.doctor import codes
from lkdoctor.doctor.finding import Code, Confidence, Inconclusive, Severity
from tests.checks.build import NODE, T0, dispatch, found, line, person, results, room, stories, worker

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


class TestLoad:
    """LKD303, LKD213, LKD406, LKD407."""

    def test_unknown_version_lists_the_limits(self) -> None:
        """Every limit that is possible, and none claimed."""
        told = stories(
            workers=[worker("a")], dispatches=[dispatch("inbound-agent", 10, Outcome.NO_HEADROOM)], version=None
        )
        (one,) = found(codes.NO_HEADROOM, told)
        assert "0.65" in one.message
        assert "target_load" in one.message

    @pytest.mark.parametrize(("number", "answer"), [(1, "Safe to keep? yes"), (2, "Safe to keep? no")])
    def test_zero_load_says_whether_it_is_safe(self, number: int, answer: str) -> None:
        """One worker yes, several no."""
        told = stories(
            workers=[worker(f"w{n}") for n in range(number)],
            dispatches=[dispatch("inbound-agent", 10, Outcome.NO_HEADROOM)],
        )
        (one,) = found(codes.NO_HEADROOM, told)
        caveats = [text for fix in one.fixes for text in fix.caveats]
        assert any(text.startswith(answer) for text in caveats)
        assert any("Cloud" in text for text in caveats)

    def test_unnamed_side_effect_of_create_dispatch(self) -> None:
        """CreateDispatch made the room; its unnamed dispatch was refused, the named agent came: nothing is wrong."""
        life = room(
            "r",
            dispatches=[
                dispatch("", 10, Outcome.NO_HEADROOM, room="r", origin=Origin.IMPLICIT),
                dispatch("inbound-agent", 10, Outcome.ASSIGNED, room="r", worker_id="a"),
            ],
        )
        assert found(codes.NO_HEADROOM, stories(rooms=[life])) == []
        life.dispatches.pop()
        assert len(found(codes.NO_HEADROOM, stories(rooms=[life]))) == 1

    def _draining(self, *, alice_until: float | None = 20.0, closed: float = 21.0) -> Stories:
        first = dispatch("inbound-agent", 2, Outcome.ASSIGNED, room="r1", worker_id="a", job_ended=20)
        second = dispatch("inbound-agent", 10, Outcome.NO_HEADROOM, room="r2")
        return stories(
            workers=[worker("a", until=closed, jobs=1)],
            rooms=[
                room("r1", people=[person("alice", 2, alice_until)], dispatches=[first]),
                room("r2", dispatches=[second]),
            ],
        )

    def test_draining(self) -> None:
        """The call ends by itself, the worker leaves a second later."""
        (one,) = found(codes.WORKER_DRAINING, self._draining())
        assert one.confidence is Confidence.MEDIUM

    def test_stopped_by_hand_is_not_draining(self) -> None:
        """Alice is still in the room when the job ends: somebody stopped the worker, perhaps because of the refusal."""
        assert found(codes.WORKER_DRAINING, self._draining(alice_until=None)) == []

    def test_staying_on_is_not_draining(self) -> None:
        """The worker left long after its last job."""
        assert found(codes.WORKER_DRAINING, self._draining(closed=40)) == []

    def test_server_stop_is_not_draining(self) -> None:
        """Everything closes when the server stops."""
        told = self._draining()
        told.runs[0].stopped_at = T0 + 21
        assert found(codes.WORKER_DRAINING, told) == []

    @pytest.mark.parametrize(("refused", "assigned", "version", "expected"), [
        (5, 0, "1.13.5", 1), (4, 0, "1.13.5", 0), (8, 1, "1.13.5", 0), (8, 0, "1.9.12", 0), (8, 0, None, 1),
    ])  # fmt: skip
    def test_limit_zero(self, refused: int, assigned: int, version: str | None, expected: int) -> None:
        """Five refusals over two names, not one assignment, and a server that knows the key."""
        names = ("inbound-agent", "billing-agent")
        told = stories(
            workers=[worker(name, name) for name in names],
            dispatches=[
                *(dispatch(names[n % 2], 10 + n, Outcome.NO_HEADROOM, room=f"r{n}") for n in range(refused)),
                *(dispatch(names[0], 40, Outcome.ASSIGNED, room="ok", worker_id=names[0]) for _ in range(assigned)),
            ],
            version=version,
        )
        hits = found(codes.LIMIT_ZERO, told)
        assert len(hits) == expected
        assert all(one.confidence is Confidence.LOW and not one.folds for one in hits)

    @pytest.mark.parametrize("outside", [False, True])
    def test_load_not_a_number(self, outside: bool) -> None:
        """A refusal outside the suspect's life clears it."""
        served = [dispatch("inbound-agent", at, Outcome.ASSIGNED, room=f"s{at}", worker_id="ok") for at in (5, 50)]
        refused = [dispatch("inbound-agent", at, Outcome.NO_HEADROOM, room=f"n{at}") for at in (20, 25)]
        if outside:
            refused.append(dispatch("inbound-agent", 60, Outcome.NO_HEADROOM, room="n60"))
        told = stories(
            workers=[worker("ok", jobs=2), worker("nan", since=15, until=40)], dispatches=[*served, *refused]
        )
        assert [one.values["suspect"] for one in found(codes.LOAD_NOT_A_NUMBER, told)] == (
            [] if outside else ["AW_nan"]
        )


class TestListening:
    """LKD209, LKD302."""

    @pytest.mark.parametrize(("deployment", "version", "expected"), [
        ("staging", "1.13.5", [Confidence.HIGH]), (None, "1.13.5", [Confidence.LOW]), (None, None, [Confidence.LOW]),
        (None, "1.11.0", []), ("", "1.13.5", []),
    ])  # fmt: skip
    def test_deployment(self, deployment: str | None, version: str | None, expected: list[Confidence]) -> None:
        """Sure when a line shows it; suggested when none does; never on servers that do not know it."""
        told = stories(
            workers=[worker("a", deployment=deployment)],
            dispatches=[dispatch("inbound-agent", 10, Outcome.NO_RESPONSE, took=1.0)],
            version=version,
        )
        hits = found(codes.DEPLOYMENT_ISOLATED, told)
        assert [one.confidence for one in hits] == expected
        assert all(bool(one.folds) == (one.confidence is Confidence.HIGH) for one in hits)

    def test_the_unnamed_line_is_harmless(self) -> None:
        """An empty agentName with `no response` is what every plain room leaves beside named workers."""
        told = stories(
            workers=[worker("a")],
            dispatches=[dispatch("", 10, Outcome.NO_RESPONSE, took=1.0, origin=Origin.IMPLICIT)],
        )
        assert found(codes.NO_RESPONSE, told) == []
        assert [one.count for one in found(codes.OTHER_TYPE_NOISE, told)] == [1]


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


class TestRooms:
    """LKD307, LKD308, LKD606, LKD607."""

    @pytest.mark.parametrize(("stayed", "dispatched", "expected"), [(8, False, 1), (6, False, 0), (60, True, 0)])
    def test_token_agents(self, stayed: float, dispatched: bool, expected: int) -> None:
        """Ignored, the person waits 8 s, and nothing of that name is in the room."""
        life = room("r", people=[person("alice", 10, 10 + stayed)])
        life.asks.append(Ask(T0 + 10, Origin.TOKEN, ("inbound-agent",), False, "alice", line(5)))
        if dispatched:
            life.dispatches.append(dispatch("inbound-agent", 1, Outcome.NO_HEADROOM, room="r"))
        assert len(found(codes.TOKEN_AGENTS_IGNORED, stories(rooms=[life]))) == expected

    @pytest.mark.parametrize(
        ("first", "second", "gap", "severity"),
        [
            (Origin.TOKEN, Origin.API, 5, Severity.WARNING),
            (Origin.API, Origin.API, 5, Severity.INFO),
            (Origin.TOKEN, Origin.API, 61, None),
        ],
    )
    def test_doubled(self, first: Origin, second: Origin, gap: float, severity: Severity | None) -> None:
        """Two ways are an accident; the same way twice may be two roles; a minute later is another request."""
        life = room(
            "r",
            dispatches=[
                dispatch("inbound-agent", 1, Outcome.ASSIGNED, room="r", origin=first, worker_id="a"),
                dispatch("inbound-agent", 1 + gap, Outcome.ASSIGNED, room="r", origin=second, worker_id="a"),
            ],
        )
        hits = found(codes.DOUBLED_DISPATCH, stories(rooms=[life]))
        assert [one.severity for one in hits] == ([] if severity is None else [severity])

    def test_a_second_call_after_the_first_ended_is_not_doubled(self) -> None:
        """It brings the agent back."""
        life = room(
            "r",
            dispatches=[
                dispatch("inbound-agent", 1, Outcome.ASSIGNED, room="r", worker_id="a", job_ended=20),
                dispatch("inbound-agent", 30, Outcome.ASSIGNED, room="r", origin=Origin.TOKEN, worker_id="a"),
            ],
        )
        assert found(codes.DOUBLED_DISPATCH, stories(rooms=[life])) == []

    @pytest.mark.parametrize(
        ("agent_left", "alice_left", "expected"), [(30, 45, 1), (30, 44, 0), (25, 90, 0), (None, 90, 0)]
    )
    def test_no_redispatch(self, agent_left: float | None, alice_left: float, expected: int) -> None:
        """The agent goes with its worker (at 30 s) and somebody waits 15 s; one that left before, or stays, is none."""
        one = dispatch("inbound-agent", 1, Outcome.ASSIGNED, room="r", worker_id="a")
        agent = person("agent-AJ_1", 2, agent_left, is_agent=True)
        one.participant, one.after = agent, After.LEFT
        life = room("r", people=[person("alice", 1, alice_left)], agents=[agent], dispatches=[one])
        told = stories(workers=[worker("a", until=30, jobs=1)], rooms=[life])
        assert len(found(codes.NO_REDISPATCH, told)) == expected

    @pytest.mark.parametrize(("back_at", "stays", "agent_left", "expected"), [
        (30, 8, 26, 1), (30, 7, 26, 0), (30, 60, None, 0), (30, 60, 31, 0),
    ])  # fmt: skip
    def test_rejoin(self, back_at: float, stays: float, agent_left: float | None, expected: int) -> None:
        """The agent was gone before she came back, and she waited."""
        one = dispatch("inbound-agent", 1, Outcome.ASSIGNED, room="r", worker_id="a")
        agent = person("agent-AJ_1", 2, agent_left, is_agent=True)
        one.participant = agent
        life = room(
            "r",
            people=[person("alice", 1, 25), person("alice", back_at, back_at + stays)],
            agents=[agent],
            dispatches=[one],
        )
        assert len(found(codes.REJOIN_OLD_ROOM, stories(rooms=[life]))) == expected

    @pytest.mark.parametrize(("version", "severity"), [("1.8.0", Severity.ERROR), ("1.13.5", Severity.WARNING)])
    def test_job_type_never_raised(self, version: str, severity: Severity) -> None:
        """JT_PARTICIPANT exists from 1.8.4 on."""
        one = dispatch("inbound-agent", 1, Outcome.WAITING, room="r", job_type="JT_PARTICIPANT")
        life = room("r", until=60, agents=[person("other", 2, is_agent=True)], dispatches=[one])
        told = stories(workers=[worker("a", job_type="JT_PARTICIPANT")], rooms=[life], version=version)
        assert [hit.severity for hit in found(codes.JOB_TYPE_MISMATCH, told)] == [severity]

    def test_an_open_room_may_still_raise_it(self) -> None:
        """Waiting is normal."""
        one = dispatch("inbound-agent", 1, Outcome.WAITING, room="r", job_type="JT_PUBLISHER")
        life = room("r", people=[person("alice", 2)], dispatches=[one])
        told = stories(workers=[worker("a", job_type="JT_PUBLISHER")], rooms=[life])
        assert found(codes.JOB_TYPE_MISMATCH, told) == []


class TestNodes:
    """LKD109."""

    def _runs(self, redis: bool, second_from: float = 0.0) -> list[ServerRun]:
        return [
            ServerRun("a.log", "ND_a", "1.13.5", T0, T0, T0 + 100, redis=redis, proof=[line()]),
            ServerRun(
                "b.log", "ND_b", "1.13.5", T0 + second_from, T0 + second_from, T0 + 300, redis=redis, proof=[line()]
            ),
        ]

    def test_two_islands_are_worth_knowing(self) -> None:
        """They may be two servers on purpose; a room of one name on both speaks against it."""
        told = stories(runs=self._runs(False))
        (one,) = found(codes.NODES_NOT_SHARED, told)
        assert one.severity is Severity.INFO
        for stream in ("a.log", "b.log"):
            life = room("support-call-7", since=5, people=[person("alice", 5)])
            life.stream = stream
            told.rooms.append(life)
        (one,) = found(codes.NODES_NOT_SHARED, told)
        assert (one.severity, one.values["rooms_on_both"]) == (Severity.WARNING, ["support-call-7"])

    def test_islands_do_not_share_a_pool(self) -> None:
        """One worker of the name on each: no job of one can go to the other."""
        told = stories(runs=self._runs(False), workers=[worker("a", stream="a.log"), worker("b", stream="b.log")])
        assert found(codes.DUPLICATE_AGENT_NAME, told) == []

    def test_with_redis_or_one_after_the_other_they_are_none(self) -> None:
        """A shared bus, or a restart on another host."""
        assert found(codes.NODES_NOT_SHARED, stories(runs=self._runs(True))) == []
        assert found(codes.NODES_NOT_SHARED, stories(runs=self._runs(False, 150.0))) == []

    def test_one_log_given_twice_is_one_node(self) -> None:
        """Two sources with one node id are copies: no islands, but a note."""
        runs = self._runs(False)
        runs[1].node_id = "ND_a"
        assert found(codes.NODES_NOT_SHARED, stories(runs=runs)) == []
        (note,) = found(codes.EVIDENCE_THIN, stories(runs=runs))
        assert note.values["streams"] == ["a.log", "b.log"]
        assert found(codes.EVIDENCE_THIN, stories(runs=self._runs(False))) == []


class TestDoor:
    """LKD104 to LKD107."""

    @pytest.mark.parametrize(("path", "error", "code", "severity"), [
        ("/agent", "invalid API key: APIx", codes.API_KEY_UNKNOWN, Severity.ERROR),
        ("/rtc", "invalid API key: APIx", codes.API_KEY_UNKNOWN, Severity.WARNING),
        ("/twirp/livekit.AgentDispatchService/CreateDispatch", "permissions denied", codes.GRANT_MISSING, Severity.ERROR),
        ("/twirp/RoomService.ListRooms", "permissions denied", codes.GRANT_MISSING, Severity.WARNING),
        ("/rtc", "no permissions to access the room", codes.GRANT_MISSING, Severity.WARNING),
        ("/rtc", "... token has invalid claims: token is expired", codes.CLOCK_SKEW, Severity.INFO),
        ("/agent", "... token has invalid claims: token is expired", codes.CLOCK_SKEW, Severity.ERROR),
        ("/rtc", "... validation failed, token not valid yet (nbf)", codes.CLOCK_SKEW, Severity.WARNING),
        ("/rtc", 'error: proto: (line 1:29): unknown field "deployment"', codes.UNKNOWN_FIELDS, Severity.WARNING),
        ("/rtc", "unknown room confguration in create room request", codes.UNKNOWN_PRESET, Severity.ERROR),
    ])  # fmt: skip
    def test_who_is_locked_out(self, path: str, error: str, code: Code, severity: Severity) -> None:
        """A worker is an error, a participant a warning at most, a stale tab only worth knowing."""
        told = stories(refusals=[Refusal(T0, path, 401, error, line(7), 3, T0 + 9)])
        every = [
            hit
            for each in (codes.API_KEY_UNKNOWN, codes.API_SECRET_WRONG, codes.CLOCK_SKEW, codes.GRANT_MISSING,
                         codes.UNKNOWN_FIELDS, codes.UNKNOWN_PRESET)
            for hit in found(each, told)
        ]  # fmt: skip
        assert [(hit.code, hit.severity, hit.count) for hit in every] == [(code, severity, 3)]


class TestFailedCalls:
    """LKD514 beyond the refused configuration."""

    @pytest.mark.parametrize(("method", "status", "error", "number"), [
        ("CreateDispatch", 503, "twirp error unknown: no response from servers", 1),
        ("CreateDispatch", 400, "twirp error unknown: deployment contains reserved character '_'", 1),
        ("CreateDispatch", 401, "permissions denied", 0),
        ("ListDispatch", 503, "twirp error unknown: no response from servers", 0),
        ("DeleteDispatch", 503, "twirp error unknown: no response from servers", 0),
    ])  # fmt: skip
    def test_only_calls_that_should_have_dispatched(self, method: str, status: int, error: str, number: int) -> None:
        """Lists and deletions of a room that is gone lose nothing; credentials have codes of their own."""
        path = f"/twirp/AgentDispatchService.{method}"
        told = stories(refusals=[Refusal(T0, path, status, error, line(7), 2, T0 + 9)])
        hits = found(codes.SERVER_CONFIG, told)
        assert [one.count for one in hits] == [2] * number
        assert all(("auto_create" in one.message) == (status == 503) for one in hits)

    def test_with_redis_a_silent_node_is_possible_too(self) -> None:
        """The node that holds the room may not have answered: less sure."""
        failed = Refusal(T0, "/twirp/AgentDispatchService.CreateDispatch", 503, "no response from servers", line(7))
        told = stories(refusals=[failed])
        assert [one.confidence for one in found(codes.SERVER_CONFIG, told)] == [Confidence.HIGH]
        told.runs[0].redis = True
        assert [one.confidence for one in found(codes.SERVER_CONFIG, told)] == [Confidence.MEDIUM]


class TestEvidence:
    """LKD903, LKD904, LKD905."""

    def test_undecided_is_asked_once_per_name(self) -> None:
        """Ten rooms with the same question are one question; the unnamed dispatch is none."""
        told = stories(
            dispatches=[
                *(dispatch("inbound-agent", 10 + n, Outcome.UNKNOWN, room=f"r{n}") for n in range(10)),
                dispatch("", 30, Outcome.UNKNOWN, origin=Origin.IMPLICIT),
            ]
        )
        for one in told.dispatches:
            one.reason, one.missing = "no line tells how it ended", "the log of the other node"
        (question,) = results(codes.EVIDENCE_THIN, told)
        assert isinstance(question, Inconclusive)
        assert "10 dispatches" in question.missing
        assert question.how == "Fetch the log of the other node."

    def test_unusable_source_and_skipped_records(self) -> None:
        """A file of another kind is a warning, cut records are worth knowing."""
        told = stories()
        told.sources = [
            SourceNote("worker.log", "server_log", unusable="It looks like a worker's log."),
            SourceNote("server.log", "server_log", skipped={"cut off": 2}),
        ]
        assert [one.severity for one in found(codes.INPUT_UNREADABLE, told)] == [Severity.WARNING, Severity.INFO]

    def test_an_empty_file_has_no_first_lines_to_look_at(self) -> None:
        """It says how to catch standard error instead."""
        told = stories()
        told.sources = [SourceNote("server.log", "server_log", unusable="empty (standard error is not in it)")]
        (one,) = found(codes.INPUT_UNREADABLE, told)
        assert one.message == "server.log is empty."
        assert one.fixes[0].commands == ("docker logs NAME >server.log 2>&1",)


def test_one_cause_is_one_finding_with_samples_of_its_proof() -> None:
    """Nine thousand refusals: one finding, with count, first, last, and six lines."""
    many = [dispatch("inbound-agent", n, Outcome.NO_HEADROOM, room=f"r{n}") for n in range(9000)]
    (one,) = found(codes.NO_HEADROOM, stories(workers=[worker("a")], dispatches=many, last=9100))
    assert (one.count, one.first_at, one.last_at) == (9000, T0, T0 + 8999)
    assert len(one.proof) == 6
    assert one.proof[0] == Place(NODE, 2)
    assert len(one.folds) == 9000


def test_an_undecided_group_takes_its_confidence_from_the_launch() -> None:
    """A line that two rooms compete for is not sure."""
    told = stories(dispatches=[dispatch("inbound-agent", 10, Outcome.NO_HEADROOM)])
    launch: Launch = told.dispatches[0].launches[0]
    launch.certainty = type(launch.certainty).LOW
    (one,) = found(codes.NO_HEADROOM, told)
    assert one.confidence is Confidence.LOW
