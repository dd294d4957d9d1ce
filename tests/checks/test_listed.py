"""Edges of what the API tells of dispatches that no recording holds: odd clocks, incomplete lists, many rooms."""

from __future__ import annotations

import json
import time

import msgspec
import pytest

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api.exchanges import read_exchanges
from lkdoctor.dispatch.connection import Step, server_ahead
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.listings import DispatchInfo, ParticipantInfo, Permission, Snapshot
from lkdoctor.dispatch.model import Stories
from lkdoctor.dispatch.tokens import Token
from lkdoctor.doctor import codes
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Confidence, Finding, Severity
from lkdoctor.doctor.loader import load
from tests.checks.build import ask, found
from tests.checks.listed import look, open_questions, session, speaking, told, without_job
from tests.dispatch.listing import (
    AGENT,
    ROOM,
    T0,
    agent,
    dispatch,
    dispatches,
    job,
    participants,
    person,
    room,
    rooms,
)


class TestSlow:
    """LKD312."""

    @pytest.mark.parametrize(("kind", "number"), [("JT_ROOM", 1), ("JT_PARTICIPANT", 0), ("JT_PUBLISHER", 0)])
    def test_late_only_by_what_asked_for_it(self, kind: str, number: int) -> None:
        """The room and its dispatch are 30 s old when somebody comes, or publishes: then their job is asked for."""
        asked = (dispatch("AD_1", job(started=30.2, kind=kind)),)
        assert len(found(codes.SLOW_DISPATCH, told(look(40, speaking(joined=30), asked=asked)))) == number


class TestNotAssigned:
    """LKD315."""

    def test_as_sure_as_the_room_allows(self) -> None:
        """With somebody who published nothing is left to wait for; with nobody a publisher's worker may wait."""
        (sure,) = found(codes.NOT_ASSIGNED, told(without_job(20, speaking())))
        (likely,) = found(codes.NOT_ASSIGNED, told(without_job(20, person())))
        (guess,) = found(codes.NOT_ASSIGNED, told(without_job(20)))
        assert [one.confidence for one in (sure, likely, guess)] == [Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW]
        assert "nobody has published" in likely.message
        assert "wait" in guess.message

    def test_a_job_elsewhere_shows_the_type(self) -> None:
        """JT_ROOM workers never wait for anybody; JT_PUBLISHER workers do, until somebody publishes."""
        for kind, number in (("JT_ROOM", 1), ("JT_PUBLISHER", 0), ("JT_PARTICIPANT", 0)):
            elsewhere = look(
                20,
                agent(),
                asked=(dispatch("AD_2", job(sid="RM_2", kind=kind), name="other"),),
                name="other",
                sid="RM_2",
            )
            here = without_job(20)
            both = [rooms(20, room(), room("RM_2", "other")), *here[1:], *elsewhere[1:]]
            hits = found(codes.NOT_ASSIGNED, told(both))
            assert len(hits) == number, kind
            if hits:
                assert hits[0].confidence is Confidence.HIGH

    def test_the_unnamed_dispatch_is_nobodys_wish(self) -> None:
        """Every room that names no agent has one."""
        assert found(codes.NOT_ASSIGNED, told(look(60, speaking(), asked=(dispatch("AD_1", agent=""),)))) == []

    @pytest.mark.parametrize(("ahead", "number"), [(-5.0, 0), (0.0, 0), (5.0, 1)])
    def test_a_measured_clock_counts(self, ahead: float, number: int) -> None:
        """A dispatch that looks 7 s old is 12 s old on a server whose clock is 5 s ahead, and 2 s old on one behind."""
        assert len(found(codes.NOT_ASSIGNED, told(without_job(7, speaking()), server_ahead=ahead))) == number

    @pytest.mark.parametrize(("offset", "error", "ahead"), [(5.0, 0.5, 5.0), (-5.0, 0.5, -5.0), (0.4, 0.5, 0.0)])
    def test_the_last_clock_step_counts(self, offset: float, error: float, ahead: float) -> None:
        """A difference within its own error is none."""
        steps = [
            Step("clock", "h", T0, 0.0, True, Place("h", 0), values={"offset": value, "error": error, "answers": 3})
            for value in (99.0, offset)
        ]
        assert server_ahead([Step("dns", "h", T0, 0.0, True, Place("h", 0)), *steps]) == ahead

    def test_taken_back(self) -> None:
        """A dispatch that somebody deleted is over."""
        assert found(codes.NOT_ASSIGNED, told([*without_job(20, speaking()), *look(22, speaking(), asked=())])) == []

    @pytest.mark.parametrize(
        ("server", "command"),
        [
            ("ws://127.0.0.1:7880", "lkdoctor check --url ws://127.0.0.1:7880 server.log"),
            ("wss://sample.livekit.cloud", ""),
        ],
    )
    def test_nobody_is_sent_for_a_log_that_the_cloud_keeps(self, server: str, command: str) -> None:
        """Where the server's log can be had it is asked for; the agent can be called at both."""
        here = [
            msgspec.structs.replace(one, place=msgspec.structs.replace(one.place, source=server))
            for one in without_job(20, speaking())
        ]
        (one,) = found(codes.NOT_ASSIGNED, told(here))
        *others, call = one.fixes[0].commands
        assert others == ([command] if command else [])
        assert call == f"lkdoctor probe --url {server} {AGENT}"

    def test_times_as_text(self) -> None:
        """protojson writes 64-bit numbers as text; the finding is the same."""
        stamp = T0 + 1
        lines = [
            {"at": stamp + 20, "call": "RoomService/ListRooms", "request": {}, "status": 200, "response": {
                "rooms": [{"sid": "RM_1", "name": ROOM, "creationTime": str(int(T0)), "creationTimeMs": str(int(T0 * 1000))}]}},
            {"at": stamp + 20, "call": "AgentDispatchService/ListDispatch", "request": {"room": ROOM}, "status": 200,
             "response": {"agentDispatches": [
                 {"id": "AD_1", "agentName": AGENT, "room": ROOM, "state": {"createdAt": str(int(T0 * 1e9))}}]}},
            {"at": stamp + 20, "call": "RoomService/ListParticipants", "request": {"room": ROOM}, "status": 200,
             "response": {"participants": [{"sid": "PA_1", "identity": "alice", "state": "ACTIVE",
                                            "joinedAtMs": str(int(T0 * 1000)), "tracks": [{"sid": "TR_1"}]}]}},
        ]  # fmt: skip
        gathered = Gathered()
        read_exchanges([json.dumps(one).encode() + b"\n" for one in lines], "api.jsonl", gathered)
        (one,) = found(codes.NOT_ASSIGNED, told(gathered.snapshots))
        assert one.confidence is Confidence.HIGH


class TestDoubled:
    """LKD308."""

    def _two(self, second: float, *, implicit: bool = False) -> tuple[DispatchInfo, ...]:
        every = (
            dispatch("AD_1", job("AJ_1")),
            dispatch("AD_2", job("AJ_2", started=second + 0.2), made=second),
        )
        return (*every, dispatch("AD_0", agent="")) if implicit else every

    def test_one_with_the_room_and_one_later(self) -> None:
        """Made in two ways: hardly ever meant."""
        (one,) = found(codes.DOUBLED_DISPATCH, told(look(30, agent(), _other(), asked=self._two(3))))
        assert (one.severity, one.confidence) == (Severity.WARNING, Confidence.MEDIUM)

    @pytest.mark.parametrize(("second", "implicit"), [(0.0, False), (3.0, True)])
    def test_made_in_one_way(self, second: float, implicit: bool) -> None:
        """Both with the room, or both by calls: perhaps two roles of one program."""
        (one,) = found(
            codes.DOUBLED_DISPATCH, told(look(30, agent(), _other(), asked=self._two(second, implicit=implicit)))
        )
        assert one.severity is Severity.INFO

    def test_jobs_that_run_for_ever_prove_nothing(self) -> None:
        """Two jobs, and one agent: the first has left, the second took its place."""
        assert found(codes.DOUBLED_DISPATCH, told(look(30, _other(), asked=self._two(3)))) == []

    def test_one_after_the_other(self) -> None:
        """The first was gone before the second came."""
        first = (dispatch("AD_1", job("AJ_1")),)
        watch = [
            *look(8, agent(), asked=first),
            *look(10, asked=first),
            *look(30, _other(joined=12), asked=self._two(11)),
        ]
        assert found(codes.DOUBLED_DISPATCH, told(watch)) == []


def _other(joined: float = 4.0) -> ParticipantInfo:
    return agent("agent-AJ_2", joined, "PA_second")


class TestExpected:
    """LKD309 and LKD310."""

    UNNAMED = (dispatch("AD_1", agent=""),)

    def test_nothing_is_meant_without_being_said(self) -> None:
        """The same room with and without `--expect`."""
        snapshots = look(20, speaking(), asked=self.UNNAMED)
        assert len(found(codes.IMPLICIT_DISPATCH_ONLY, told(snapshots, expect=(AGENT,)))) == 1
        assert found(codes.IMPLICIT_DISPATCH_ONLY, told(snapshots)) == []

    @pytest.mark.parametrize(
        "who",
        [
            msgspec.structs.replace(person(), permission=Permission(hidden=True)),
            msgspec.structs.replace(person(), permission=Permission(recorder=True)),
            msgspec.structs.replace(person(), permission=Permission(agent=True)),
            msgspec.structs.replace(person(), kind="EGRESS"),
            msgspec.structs.replace(person(), kind="INGRESS"),
            person(joined=15.0),
        ],
        ids=["hidden", "recorder", "marked-agent", "egress", "ingress", "just-came"],
    )
    def test_nobody_waits(self, who: ParticipantInfo) -> None:
        """Observers, recorders, streams, and somebody who came 5 s ago."""
        assert found(codes.IMPLICIT_DISPATCH_ONLY, told(look(20, who, asked=self.UNNAMED), expect=(AGENT,))) == []

    def test_an_incomplete_list_proves_no_absence(self) -> None:
        """Chosen rooms, or an answer that was cut."""
        stories = told(look(20, speaking(), asked=self.UNNAMED, complete=False), expect=(AGENT,))
        assert found(codes.IMPLICIT_DISPATCH_ONLY, stories) == []
        assert found(codes.NEVER_ASKED, stories) == []

    @pytest.mark.parametrize(("joined", "severity"), [(0.0, Severity.WARNING), (15.0, Severity.INFO)])
    def test_a_chosen_room(self, joined: float, severity: Severity) -> None:
        """`--room` with `--expect`: the agent must be asked for there, once somebody waits; the rest of the server is no
        matter."""
        here = look(20, speaking(joined=joined), agent())
        chosen = [rooms(20, room(), complete=False), *here[1:]]
        (one,) = found(codes.NEVER_ASKED, told(chosen, expect=("billing-agent",)))
        assert one.severity is severity
        unnamed = look(20, speaking(joined=joined), asked=self.UNNAMED)
        chosen = [rooms(20, room(), complete=False), *unnamed[1:]]
        assert len(found(codes.IMPLICIT_DISPATCH_ONLY, told(chosen, expect=(AGENT,)))) == (severity is Severity.WARNING)

    def test_an_unnamed_worker_took_it(self) -> None:
        """A room with its unnamed agent has what it should have, or at least somebody to talk to."""
        served = (dispatch("AD_1", job(), agent=""),)
        assert (
            found(codes.IMPLICIT_DISPATCH_ONLY, told(look(20, speaking(), agent(), asked=served), expect=(AGENT,)))
            == []
        )

    def test_without_a_room_it_stays_open(self) -> None:
        """An idle server cannot show whom anybody asks for."""
        stories = told([rooms(20)], expect=(AGENT,))
        assert found(codes.NEVER_ASKED, stories) == []
        assert len(open_questions(codes.NEVER_ASKED, stories)) == 1

    def test_the_other_name_is_told(self) -> None:
        """One of two."""
        (one,) = found(codes.NEVER_ASKED, told(look(20, speaking(), agent()), expect=(AGENT, "billing-agent")))
        assert one.subject.agent_name == "billing-agent"
        assert one.severity is Severity.INFO


class TestTokens:
    """LKD307."""

    def _with_token(self, snapshots: list[Snapshot], sub: str = "alice", name: str = ROOM) -> Stories:
        claims = {
            "sub": sub,
            "video": {"roomJoin": True, "room": name},
            "roomConfig": {"agents": [{"agentName": AGENT}, {}]},
        }
        stories = told(snapshots)
        stories.tokens.append(Token("--token", Place("--token", 0), 400, claims=claims))
        return stories

    UNNAMED = (dispatch("AD_1", agent=""),)

    def test_the_owner_waits(self) -> None:
        """An error; before the owner comes it is worth knowing."""
        (one,) = found(codes.TOKEN_AGENTS_IGNORED, self._with_token(look(40, speaking(joined=10), asked=self.UNNAMED)))
        assert one.severity is Severity.ERROR
        (one,) = found(codes.TOKEN_AGENTS_IGNORED, self._with_token(look(40, asked=self.UNNAMED)))
        assert one.severity is Severity.INFO

    @pytest.mark.parametrize("present", [(), (agent(),), (agent("somebody"),)], ids=["gone", "there", "unknown-agent"])
    def test_the_agent_was_asked_for(self, present: tuple[ParticipantInfo, ...]) -> None:
        """A dispatch of the name is there, whatever became of it; nor is an agent that nobody knows passed over."""
        asked = self.UNNAMED if present and present[0].identity == "somebody" else None
        assert found(codes.TOKEN_AGENTS_IGNORED, self._with_token(look(40, speaking(), *present, asked=asked))) == []

    def test_another_room(self) -> None:
        """The token's room does not live."""
        assert found(codes.TOKEN_AGENTS_IGNORED, self._with_token(look(40, asked=self.UNNAMED), name="new")) == []


def test_two_thousand_rooms_take_no_time() -> None:
    """Every check of listings, over 2,000 rooms with two agents, a person and two looks each."""
    snapshots: list[Snapshot] = []
    infos = [room(f"RM_{index}", f"call-{index}") for index in range(2000)]
    for at in (30.0, 60.0):
        snapshots.append(rooms(at, *infos))
        for index in range(2000):
            name, sid = f"call-{index}", f"RM_{index}"
            first, second = f"AJ_a{index}", f"AJ_b{index}"
            there = [
                msgspec.structs.replace(session(f"agent-{first}"), sid=f"PA_a{index}"),
                msgspec.structs.replace(speaking(), sid=f"PA_p{index}"),
            ]
            asked = (
                dispatch(f"AD_a{index}", job(first, sid=sid), agent="guide-agent", name=name),
                dispatch(f"AD_b{index}", job(second, sid=sid), agent="driver-agent", name=name),
            )
            snapshots += [dispatches(at, *asked, name=name), participants(at, *there, name=name)]
    stories = told(snapshots, expect=("guide-agent", "billing-agent"), together=(("guide-agent", "driver-agent"),))
    evidence = Evidence.of(stories)
    wanted = {307, 308, 309, 310, 315, 601, 606, 607, 609, 701, 702, 704}
    begun = time.process_time()
    said = [one for check in load().checks if check.code.number in wanted for one in ask(check, evidence)]
    assert time.process_time() - begun < 5.0
    stale = [one for one in said if isinstance(one, Finding) and one.code is codes.STALE_STATUS]
    assert [one.count for one in stale] == [2000]
