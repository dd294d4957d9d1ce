"""Edges of what the API tells that no recording holds: odd clocks, several lives, stale and incomplete lists, many rooms."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

import msgspec
import pytest

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api.exchanges import read_exchanges
from lkdoctor.dispatch.connection import Step, server_ahead
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.listings import DispatchInfo, ParticipantInfo, Permission, Snapshot, TrackInfo
from lkdoctor.dispatch.model import Stories, Wanted
from lkdoctor.dispatch.stories import join
from lkdoctor.dispatch.tokens import Token
from lkdoctor.doctor import codes
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Code, Confidence, Finding, Inconclusive, Severity
from lkdoctor.doctor.loader import load
from tests.checks.build import ask, found, results
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

AUDIO = (TrackInfo(sid="TR_1", source="MICROPHONE"),)


def told(
    snapshots: Iterable[Snapshot],
    *,
    expect: tuple[str, ...] = (),
    together: tuple[tuple[str, ...], ...] = (),
    server_ahead: float = 0.0,
) -> Stories:
    """The stories of these listings alone."""
    stories = join((), snapshots=snapshots, server_ahead=server_ahead)
    stories.wanted = Wanted(expect, together)
    return stories


def look(
    at: float,
    *present: ParticipantInfo,
    asked: tuple[DispatchInfo, ...] | None = None,
    name: str = ROOM,
    sid: str = "RM_1",
    made: float = 0.0,
    complete: bool = True,
) -> list[Snapshot]:
    """One look at one room: the list of rooms, its dispatches, its participants."""
    listed = (dispatch("AD_1", job(sid=sid), name=name, made=made),) if asked is None else asked
    return [
        rooms(at, room(sid, name, made), complete=complete),
        dispatches(at, *listed, name=name, complete=complete),
        participants(at, *present, name=name, complete=complete),
    ]


def session(
    identity: str = "agent-AJ_1", state: str = "listening", *, tracks: bool = False, joined: float = 0.5
) -> ParticipantInfo:
    """An agent that runs a session."""
    return msgspec.structs.replace(
        agent(identity, joined, f"PA_{identity}"),
        attributes={"lk.agent.state": state},
        permission=Permission(can_publish=True, agent=True),
        tracks=AUDIO if tracks else (),
    )


def speaking(identity: str = "alice", joined: float = 0.0) -> ParticipantInfo:
    """A person with a microphone."""
    return msgspec.structs.replace(person(identity, joined, f"PA_{identity}"), tracks=AUDIO)


def open_questions(code: Code, stories: Stories) -> list[Inconclusive]:
    """What the checks of the code leave open."""
    return [one for one in results(code, stories) if isinstance(one, Inconclusive)]


def without_job(at: float, *present: ParticipantInfo, made: float = 0.0) -> list[Snapshot]:
    """A look at a dispatch that has no job."""
    return look(at, *present, asked=(dispatch("AD_1", made=made),), made=made)


class TestNotAssigned:
    """LKD315."""

    def test_as_sure_as_the_room_allows(self) -> None:
        """With somebody who published nothing is left to wait for; with nobody a publisher's worker may wait."""
        (sure,) = found(codes.NOT_ASSIGNED, told(without_job(20, speaking())))
        (likely,) = found(codes.NOT_ASSIGNED, told(without_job(20, person())))
        (guess,) = found(codes.NOT_ASSIGNED, told(without_job(20)))
        assert [one.confidence for one in (sure, likely, guess)] == [Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW]
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


class TestAfter:
    """LKD601, LKD606, LKD607 and LKD609."""

    def test_one_look_leaves_it_open(self) -> None:
        """A job that runs and no agent, half a minute later."""
        stories = told(look(40, speaking()))
        assert found(codes.ASSIGNED_NEVER_JOINED, stories) == []
        (one,) = open_questions(codes.ASSIGNED_NEVER_JOINED, stories)
        assert "--watch" in one.how
        assert len(found(codes.STALE_STATUS, stories)) == 1

    def test_a_job_that_has_just_begun(self) -> None:
        """The agent may be on its way: nothing is told, nothing is asked."""
        stories = told(look(15, speaking()))
        assert results(codes.STALE_STATUS, stories) == []
        assert results(codes.ASSIGNED_NEVER_JOINED, stories) == []

    def test_a_watch_with_a_gap(self) -> None:
        """Twelve seconds without a look are enough to come and go."""
        watch = [one for at in (2, 4, 16, 18, 20, 22, 24, 26) for one in look(at, speaking())]
        assert found(codes.ASSIGNED_NEVER_JOINED, told(watch)) == []
        whole = [one for at in range(2, 28, 2) for one in look(at, speaking())]
        assert len(found(codes.ASSIGNED_NEVER_JOINED, told(whole))) == 1

    def test_people_not_listed(self) -> None:
        """The participants were never listed completely: nobody knows who is there."""
        snapshots = [rooms(40, room()), dispatches(40, dispatch("AD_1", job())), participants(40, complete=False)]
        assert results(codes.STALE_STATUS, told(snapshots)) == []
        assert results(codes.ASSIGNED_NEVER_JOINED, told(snapshots)) == []

    def _served(self, number: int) -> list[tuple[str, str, DispatchInfo]]:
        """Rooms with one job each, all of one worker."""
        names = [f"call-{index}" for index in range(number)]
        return [
            (
                name,
                f"RM_{name}",
                dispatch(f"AD_{name}", job(f"AJ_{name}", sid=f"RM_{name}"), name=name),
            )
            for name in names
        ]

    def _at(self, at: float, served: list[tuple[str, str, DispatchInfo]], gone: set[str]) -> Iterator[Snapshot]:
        yield rooms(at, *(room(sid, name) for name, sid, _ in served))
        for name, _, asked in served:
            there = [speaking(f"person-{name}")]
            if name not in gone:
                there.append(agent(f"agent-AJ_{name}", sid=f"PA_agent_{name}"))
            yield dispatches(at, asked, name=name)
            yield participants(at, *there, name=name)

    def _watched(self, *looks: tuple[float, set[str]], number: int = 2) -> Stories:
        served = self._served(number)
        return told(one for at, gone in looks for one in self._at(at, served, gone))

    def test_all_of_a_worker_at_once(self) -> None:
        """Both agents gone between two looks."""
        both = {"call-0", "call-1"}
        (one,) = found(codes.NO_REDISPATCH, self._watched((10, set()), (12, both), (30, both)))
        assert one.confidence is Confidence.MEDIUM
        assert "AW_1" in one.message

    @pytest.mark.parametrize(
        ("looks", "number"),
        [
            (((10, set()), (12, {"call-0"}), (30, {"call-0"})), 2),  # the other one is still there
            (((10, set()), (12, {"call-0"}), (20, {"call-0", "call-1"}), (40, {"call-0", "call-1"})), 2),  # one by one
            (((10, set()), (12, {"call-0", "call-1"}), (20, {"call-0", "call-1"})), 2),  # alone for 8 s only
            (((10, set()), (30, {"call-0", "call-1"}), (60, {"call-0", "call-1"})), 2),  # 20 s unseen
            (((10, set()), (12, {"call-0"}), (40, {"call-0"})), 1),  # a single agent
        ],
        ids=["one-lives", "one-by-one", "too-soon", "unseen", "single"],
    )
    def test_goodbyes(self, looks: tuple[tuple[float, set[str]], ...], number: int) -> None:
        """None of these is a worker that died, as far as anybody saw."""
        stories = self._watched(*looks, number=number)
        assert found(codes.NO_REDISPATCH, stories) == []

    def test_who_left_stays_open(self) -> None:
        """A goodbye and a death look the same."""
        looks = ((10.0, set[str]()), (12.0, {"call-0"}), (40.0, {"call-0"}))
        assert len(open_questions(codes.NO_REDISPATCH, self._watched(*looks, number=1))) == 1

    @pytest.mark.parametrize(("ahead", "number"), [(0.0, 1), (4.0, 1), (8.0, 0)])
    def test_back_in_the_old_room(self, ahead: float, number: int) -> None:
        """Seen together, seen gone, and somebody comes back, by the server's clock. When that was before the agent was seen
        to be gone, the person may have met it: nothing is said."""
        again = msgspec.structs.replace(speaking(joined=18), sid="PA_again")
        watch = [*look(10, agent(), speaking()), *look(12), *look(20, again), *look(30, again)]
        hits = found(codes.REJOIN_OLD_ROOM, told(watch, server_ahead=ahead))
        assert [one.confidence for one in hits] == [Confidence.HIGH] * number

    def test_another_life_of_the_name(self) -> None:
        """The room of that name is a new one, with a new agent."""
        later = dispatch("AD_2", job("AJ_2", started=20.2, sid="RM_2"), made=20.0)
        watch = [
            *look(10, agent(), speaking()),
            rooms(16),
            *look(30, agent("agent-AJ_2", 20.5, "PA_2"), speaking(joined=20), asked=(later,), sid="RM_2", made=20),
        ]
        stories = told(watch)
        for code in (codes.REJOIN_OLD_ROOM, codes.DOUBLED_DISPATCH, codes.STALE_STATUS, codes.NO_REDISPATCH):
            assert found(code, stories) == []


class TestTogether:
    """LKD701 and LKD704."""

    PAIR = ("guide-agent", "driver-agent")
    ASKED = (
        dispatch("AD_1", job("AJ_1"), agent="guide-agent"),
        dispatch("AD_2", job("AJ_2"), agent="driver-agent"),
    )

    def _pair(self, at: float, *more: ParticipantInfo, one: ParticipantInfo, other: ParticipantInfo) -> list[Snapshot]:
        return look(at, one, other, *more, asked=self.ASKED)

    def test_deaf(self) -> None:
        """Both listen, none has a track: a fault only when they should talk."""
        snapshots = self._pair(40, one=session(), other=session("agent-AJ_2"))
        (one,) = found(codes.DEAF_AGENTS, told(snapshots, together=(self.PAIR,)))
        assert one.confidence is Confidence.MEDIUM
        assert found(codes.DEAF_AGENTS, told(snapshots)) == []

    def test_one_of_them_is_deaf(self) -> None:
        """The other one listens to agents, and has its track."""
        snapshots = self._pair(40, one=session(tracks=True), other=session("agent-AJ_2"))
        (one,) = found(codes.DEAF_AGENTS, told(snapshots, together=(self.PAIR,)))
        assert one.values["deaf"] == ["driver-agent"]

    @pytest.mark.parametrize(
        ("other", "more"),
        [
            (session("agent-AJ_2", "speaking"), ()),
            (session("agent-AJ_2", ""), ()),
            (session("agent-AJ_2", joined=30.0), ()),
            (session("agent-AJ_2"), (speaking(),)),
        ],
        ids=["writes", "no-session", "just-came", "a-person-is-there"],
    )
    def test_not_deaf(self, other: ParticipantInfo, more: tuple[ParticipantInfo, ...]) -> None:
        """Somebody else's question, or none at all."""
        snapshots = self._pair(40, *more, one=session(tracks=True), other=other)
        assert found(codes.DEAF_AGENTS, told(snapshots, together=(self.PAIR,))) == []

    def test_a_hidden_observer_is_no_person(self) -> None:
        """It is not announced, so no session links to it."""
        hidden = msgspec.structs.replace(person("observer"), permission=Permission(hidden=True))
        snapshots = self._pair(40, hidden, one=session(), other=session("agent-AJ_2"))
        assert len(found(codes.DEAF_AGENTS, told(snapshots, together=(self.PAIR,)))) == 1

    @pytest.mark.parametrize(("at", "number"), [(20, 0), (40, 1)])
    def test_partner_never_asked_for(self, at: float, number: int) -> None:
        """A partner may come later, for a while."""
        snapshots = look(at, session(), asked=self.ASKED[:1])
        assert len(found(codes.PARTNER_MISSING, told(snapshots, together=(self.PAIR,)))) == number

    def test_a_call_with_one_of_them(self) -> None:
        """A person and one agent, the other not asked for: an ordinary call."""
        snapshots = look(40, session(tracks=True), speaking(), asked=self.ASKED[:1])
        assert results(codes.PARTNER_MISSING, told(snapshots, together=(self.PAIR,))) == []

    def test_partner_came_and_went_or_never_came(self) -> None:
        """One look at a job without its agent."""
        stories = told(look(40, session(), asked=self.ASKED), together=(self.PAIR,))
        assert found(codes.PARTNER_MISSING, stories) == []
        assert len(open_questions(codes.PARTNER_MISSING, stories)) == 1

    def test_partner_without_a_job(self) -> None:
        """Told, and folded under the dispatch without a job when that is told."""
        asked = (self.ASKED[0], dispatch("AD_2", agent="driver-agent"))
        stories = told(look(40, session(), asked=asked), together=(self.PAIR,))
        (symptom,) = found(codes.PARTNER_MISSING, stories)
        (cause,) = found(codes.NOT_ASSIGNED, stories)
        assert symptom.code.number in cause.code.explains
        assert set(symptom.folds) <= set(cause.folds)
        assert cause.confidence >= symptom.confidence

    def test_dispatches_not_listed(self) -> None:
        """An incomplete list of dispatches proves no absence."""
        snapshots = look(40, session(), asked=self.ASKED[:1])
        snapshots[1] = dispatches(40, self.ASKED[0], complete=False)
        assert found(codes.PARTNER_MISSING, told(snapshots, together=(self.PAIR,))) == []


class TestAudio:
    """LKD702."""

    def _two_rooms(self, mute: ParticipantInfo, *more: ParticipantInfo, at: float = 60) -> list[Snapshot]:
        voice = look(
            at,
            session("agent-AJ_9", "speaking", tracks=True),
            asked=(dispatch("AD_9", job("AJ_9", sid="RM_9"), name="other"),),
            name="other",
            sid="RM_9",
        )
        here = look(at, mute, *more)
        return [rooms(at, room(), room("RM_9", "other")), *voice[1:], *here[1:]]

    @pytest.mark.parametrize("state", ["listening", "initializing", ""])
    def test_it_has_a_track_elsewhere(self, state: str) -> None:
        """Whether its session runs or was never started."""
        (one,) = found(codes.NO_AUDIO_TRACK, told(self._two_rooms(session(state=state), speaking())))
        assert one.confidence is Confidence.MEDIUM
        assert [subject.room for subject in one.folds] == [ROOM]

    def test_it_may_not_publish(self) -> None:
        """The listing shows why."""
        mute = msgspec.structs.replace(session(), permission=Permission(agent=True))
        (one,) = found(codes.NO_AUDIO_TRACK, told(self._two_rooms(mute, speaking())))
        assert "permissions" in one.message

    def test_it_lost_its_track(self) -> None:
        """A track that was there is not there any more."""
        watch = [*look(20, session(tracks=True), speaking()), *look(40, session(), speaking())]
        assert len(found(codes.NO_AUDIO_TRACK, told(watch))) == 1

    def test_nothing_shows_that_it_should_speak(self) -> None:
        """It may be an agent that writes: left open."""
        stories = told(look(40, session(), speaking()))
        assert found(codes.NO_AUDIO_TRACK, stories) == []
        assert len(open_questions(codes.NO_AUDIO_TRACK, stories)) == 1

    @pytest.mark.parametrize(
        "more",
        [
            (),
            (speaking(joined=50.0),),
            (msgspec.structs.replace(speaking(), kind="INGRESS"),),
            (
                speaking(),
                msgspec.structs.replace(
                    agent("avatar", sid="PA_avatar"), attributes={"lk.publish_on_behalf": "agent-AJ_1"}
                ),
            ),
        ],
        ids=["alone", "person-just-came", "stream-only", "avatar"],
    )
    def test_nobody_to_speak_to_or_somebody_speaks_for_it(self, more: tuple[ParticipantInfo, ...]) -> None:
        """Not looked at."""
        assert results(codes.NO_AUDIO_TRACK, told(self._two_rooms(session(), *more))) == []


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
