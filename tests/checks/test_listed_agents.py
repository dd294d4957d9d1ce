"""Edges of what the API tells of agents that no recording holds: gaps in a watch, several lives, agents that are silent."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from lkdoctor.dispatch.listings import DispatchInfo, ParticipantInfo, Permission, Snapshot
from lkdoctor.dispatch.model import Stories
from lkdoctor.doctor import codes
from lkdoctor.doctor.finding import Confidence
from tests.checks.build import found, results
from tests.checks.listed import look, open_questions, session, speaking, told
from tests.dispatch.listing import (
    ROOM,
    agent,
    dispatch,
    dispatches,
    job,
    participants,
    person,
    room,
    rooms,
)


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
        """All agents gone between two looks; two may have said goodbye in one moment, which does not count."""
        for number, sure in ((2, Confidence.LOW), (3, Confidence.MEDIUM)):
            every = {f"call-{index}" for index in range(number)}
            looks = self._watched((10, set()), (12, every), (30, every), number=number)
            (one,) = found(codes.NO_REDISPATCH, looks)
            assert one.confidence is sure
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

    def test_dispatches_taken_back(self) -> None:
        """The backend takes both agents out of their calls by DeleteDispatch; the people go on among themselves."""
        served = self._served(2)
        watch = list(self._at(10, served, set()))
        for at in (12.0, 40.0):
            watch.append(rooms(at, *(room(sid, name) for name, sid, _ in served)))
            for name, _, _ in served:
                watch += [dispatches(at, name=name), participants(at, speaking(f"person-{name}"), name=name)]
        stories = told(watch)
        for code in (codes.NO_REDISPATCH, codes.STALE_STATUS):
            assert results(code, stories) == []

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

    @pytest.mark.parametrize(("last", "number"), [(36, 0), (44, 1)])
    def test_a_session_that_began_late(self, last: float, number: int) -> None:
        """Seen without a session, then with one: it needs some seconds until it publishes."""
        watch = [
            *self._pair(28, one=session(state=""), other=session("agent-AJ_2", tracks=True)),
            *self._pair(30, one=session(), other=session("agent-AJ_2", tracks=True)),
            *self._pair(last, one=session(), other=session("agent-AJ_2", tracks=True)),
        ]
        assert len(found(codes.DEAF_AGENTS, told(watch, together=(self.PAIR,)))) == number

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
        assert "publish" not in cause.message, "an agent is no publisher that a worker would wait for"

    def test_each_room_is_told_its_own(self) -> None:
        """In one room nothing asks for the partner, in the other its dispatch has no job."""
        other = (
            dispatch("AD_8", job("AJ_8", sid="RM_8"), agent="guide-agent", name="other"),
            dispatch("AD_9", agent="driver-agent", name="other"),
        )
        there = look(40, session("agent-AJ_8"), asked=other, name="other", sid="RM_8")
        here = look(40, session(), asked=self.ASKED[:1])
        both = [rooms(40, room(), room("RM_8", "other")), *here[1:], *there[1:]]
        (one,) = found(codes.PARTNER_MISSING, told(both, together=(self.PAIR,)))
        assert one.message.endswith(f': in "{ROOM}" no dispatch names it.')

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
