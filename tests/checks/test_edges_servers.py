"""Edges of checks that no recorded case shows, on stories built by hand: nodes, the door and the evidence."""

from __future__ import annotations

import pytest

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import (
    Launch,
    Origin,
    Outcome,
    Refusal,
    ServerRun,
    SourceNote,
)
from lkdoctor.doctor import codes
from lkdoctor.doctor.finding import Code, Confidence, Inconclusive, Severity
from tests.checks.build import NODE, T0, dispatch, found, line, person, results, room, stories, worker


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

    def test_each_unknown_key_is_a_finding_of_its_own(self) -> None:
        """Two services with two old keys are two faults; somebody who tries keys is one."""

        def knocks(*keys: str) -> list[Refusal]:
            return [
                Refusal(T0, "/agent", 401, f"invalid API key: {key}", line(index)) for index, key in enumerate(keys)
            ]

        two = found(codes.API_KEY_UNKNOWN, stories(refusals=knocks("APIold", "APIolder", "APIold")))
        assert [(hit.subject.id, hit.count) for hit in two] == [("/agent APIold", 2), ("/agent APIolder", 1)]
        many = found(codes.API_KEY_UNKNOWN, stories(refusals=knocks(*(f"API{index}" for index in range(30)))))
        assert [(hit.subject.id, hit.count) for hit in many] == [("/agent", 30)]


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
