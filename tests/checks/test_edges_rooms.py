"""Edges of checks that no recorded case shows, on stories built by hand: load, listening and the life of rooms."""

from __future__ import annotations

import pytest

from lkdoctor.dispatch.model import (
    After,
    Ask,
    Origin,
    Outcome,
    Stories,
)
from lkdoctor.doctor import codes
from lkdoctor.doctor.finding import Confidence, Severity
from tests.checks.build import T0, dispatch, found, line, person, room, stories, worker


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

    @pytest.mark.parametrize(
        ("identity", "asks", "alice_left", "expected"),
        [("colleague", (), None, 0), ("colleague", ("inbound-agent",), None, 1), ("colleague", (), 28, 1), ("bob", (), None, 1)],
        ids=["handed-over", "asks-for-the-agent", "nobody-stayed", "comes-back"],
    )  # fmt: skip
    def test_handed_over(self, identity: str, asks: tuple[str, ...], alice_left: float | None, expected: int) -> None:
        """The agent hands its caller over to a colleague: it leaves, the caller stays, the colleague comes."""
        one = dispatch("inbound-agent", 1, Outcome.ASSIGNED, room="r", worker_id="a")
        agent = person("agent-AJ_1", 2, 26, is_agent=True)
        one.participant = agent
        newcomer = person(identity, 30, 60)
        newcomer.asked_agents = asks
        here = [person("alice", 1, alice_left), person("bob", 3, 20), newcomer]
        life = room("r", people=here, agents=[agent], dispatches=[one])
        assert len(found(codes.REJOIN_OLD_ROOM, stories(rooms=[life]))) == expected
