"""What API listings tell alone: every outcome that they can prove, and what they must leave open."""

from __future__ import annotations

import random
from itertools import permutations

import msgspec
import pytest

from lkdoctor.dispatch.facts import AgentAsked
from lkdoctor.dispatch.listings import Called, ParticipantInfo, Permission, Snapshot, TrackInfo
from lkdoctor.dispatch.model import After, Certainty, Dispatch, Origin, Outcome, Stories
from lkdoctor.dispatch.stories import join
from tests.dispatch.listing import (
    AGENT,
    ROOM,
    T0,
    agent,
    dispatch,
    dispatches,
    job,
    nanos,
    participants,
    person,
    room,
    rooms,
    snapshot,
)


def told(*snapshots: Snapshot, server_ahead: float = 0.0) -> Stories:
    return join((), snapshots=snapshots, server_ahead=server_ahead)


def only(stories: Stories) -> Dispatch:
    assert len(stories.dispatches) == 1, stories.dispatches
    return stories.dispatches[0]


def sample(at: float, *jobs: object, present: tuple[ParticipantInfo, ...] = (), made: float = 0.0) -> list[Snapshot]:
    """Everything that one look at one room gives."""
    listed = dispatch("AD_1", *jobs, made=made)  # type: ignore[arg-type] # jobs are JobInfo
    return [rooms(at, room(made=made)), dispatches(at, listed), participants(at, *present)]


class TestOutcome:
    def test_a_job_that_is_listed_is_assigned(self) -> None:
        one = only(told(*sample(6, job(), present=(agent(), person()))))
        assert (one.outcome, one.after, one.certainty) == (Outcome.ASSIGNED, After.JOINED, Certainty.HIGH)
        assert one.deciding is not None
        assert (one.deciding.job_id, one.deciding.worker_id) == ("AJ_1", "AW_1")
        assert one.deciding.ended_at == pytest.approx(T0 + 0.2)
        assert one.origin is Origin.SEEN
        assert one.listed

    @pytest.mark.parametrize(
        ("at", "outcome"), [(1, "pending"), (8, "pending"), (9, "not-assigned"), (500, "not-assigned")]
    )
    def test_no_job_means_something_only_after_the_lag_of_the_list(self, at: float, outcome: str) -> None:
        one = only(told(*sample(at, present=(person(),))))
        assert one.outcome.value == outcome
        assert one.missing

    def test_a_clock_behind_the_servers_does_not_hide_a_fault_for_ever_nor_invent_one(self) -> None:
        # The asking machine is 60 s behind: by its clock the dispatch is not made yet.
        assert only(told(*sample(-58, made=0), *sample(-57, made=0))).outcome is Outcome.PENDING
        watched = [one for at in range(-58, -45, 2) for one in sample(at, made=0)]
        assert only(told(*watched)).outcome is Outcome.NOT_ASSIGNED
        # Measured as 60 s ahead of the server, a look 2 s after the making is no look 62 s after it.
        assert only(told(*sample(62), server_ahead=-60)).outcome is Outcome.PENDING

    def test_a_terminal_reject_is_known_by_its_job_without_identity(self) -> None:
        rejected = job(ended=0.2, identity="", status="JS_SUCCESS")
        assert only(told(*sample(9, rejected))).outcome is Outcome.REJECTED_TERMINALLY

    def test_a_dispatch_that_was_taken_back_is_no_fault(self) -> None:
        taken_back = snapshot(20, Called("AgentDispatchService/DeleteDispatch", ROOM, made_dispatch=dispatch()))
        one = only(told(*sample(3), taken_back))
        assert one.deleted_at == T0 + 20
        assert one.outcome is Outcome.PENDING

    def test_an_unnamed_dispatch_without_job_is_the_implicit_one(self) -> None:
        one = only(told(rooms(20, room()), dispatches(20, dispatch(agent=""))))
        assert (one.origin, one.outcome, one.explicit) == (Origin.IMPLICIT, Outcome.NOT_ASSIGNED, False)

    def test_the_job_of_a_person_is_a_launch_for_that_person(self) -> None:
        served = job(kind="JT_PARTICIPANT")
        one = only(told(*sample(9, served)))
        assert one.deciding is not None
        assert one.deciding.job_type == "JT_PARTICIPANT"


class TestAfter:
    def test_one_look_cannot_tell_never_came_from_gone_again(self) -> None:
        one = only(told(*sample(60, job(), present=(person(),))))
        assert (one.outcome, one.after) == (Outcome.ASSIGNED, None)

    def test_an_agent_that_was_watched_for_and_never_came(self) -> None:
        looks = [look for at in range(1, 32, 2) for look in sample(at, job(), present=(person(),))]
        assert only(told(*looks)).after is After.NEVER_JOINED

    def test_a_watch_with_a_gap_leaves_it_open(self) -> None:
        looks = [look for at in (1, 3, 5, 20, 22, 24, 31) for look in sample(at, job(), present=(person(),))]
        assert only(told(*looks)).after is None

    def test_looks_that_said_the_same_count_by_the_longest_pause_between_them(self) -> None:
        def looks(gap: float) -> list[Snapshot]:
            last = msgspec.structs.replace(participants(31, person()), repeats=10, gap=gap)
            return [*sample(1, job(), present=(person(),)), last]

        assert only(told(*looks(2))).after is After.NEVER_JOINED
        assert only(told(*looks(11))).after is None

    def test_a_watch_that_began_too_late_leaves_it_open(self) -> None:
        looks = [look for at in range(30, 62, 2) for look in sample(at, job(), present=(person(),))]
        assert only(told(*looks)).after is None

    def test_an_agent_that_still_may_come(self) -> None:
        looks = [look for at in range(1, 18, 2) for look in sample(at, job(), present=(person(),))]
        assert only(told(*looks)).after is None

    def test_came_and_left_while_the_person_stays(self) -> None:
        one = only(told(*sample(6, job(), present=(agent(), person())), *sample(10, job(), present=(person(),))))
        assert one.after is After.LEFT
        assert one.participant is not None
        assert one.participant.gone_by == T0 + 10

    def test_came_and_left_with_the_person(self) -> None:
        one = only(told(*sample(6, job(), present=(agent(), person())), *sample(10, job())))
        assert one.after is After.ENDED

    def test_a_hidden_recorder_that_stays_keeps_nobody_waiting(self) -> None:
        recorder = ParticipantInfo(sid="PA_r", identity="EG_1", kind="EGRESS", permission=Permission(hidden=True))
        one = only(told(*sample(6, job(), present=(agent(), recorder)), *sample(10, job(), present=(recorder,))))
        assert one.after is After.ENDED

    def test_an_incomplete_listing_proves_no_absence(self) -> None:
        one = only(
            told(
                *sample(6, job(), present=(agent(), person())),
                participants(10, person(), complete=False),
            )
        )
        assert one.after is After.JOINED

    def test_the_custom_identity_of_a_job_is_followed(self) -> None:
        one = only(told(*sample(6, job(identity="support-voice"), present=(agent("support-voice"), person()))))
        assert one.after is After.JOINED

    def test_an_agent_of_another_job_is_not_mistaken_for_it(self) -> None:
        one = only(told(*sample(60, job(identity="support-voice"), present=(agent("agent-AJ_9"), person()))))
        assert one.after is None


class TestWaiting:
    @pytest.mark.parametrize(
        ("kind", "present", "outcome"),
        [
            ("JT_PUBLISHER", (), "waiting"),
            ("JT_PUBLISHER", (person(),), "waiting"),
            ("JT_PUBLISHER", (msgspec.structs.replace(person(), tracks=(TrackInfo(sid="TR_1"),)),), "not-assigned"),
            ("JT_PARTICIPANT", (agent("agent-AJ_7"),), "waiting"),
            ("JT_PARTICIPANT", (person(),), "not-assigned"),
            ("JT_ROOM", (), "not-assigned"),
        ],
    )
    def test_for_whom_its_jobs_are_made(self, kind: str, present: tuple[ParticipantInfo, ...], outcome: str) -> None:
        """What type the workers of the name take shows in the job that one of them has in another room."""
        stories = told(
            rooms(20, room(), room("RM_2", "other")),
            dispatches(20, dispatch("AD_1")),
            participants(20, *present),
            dispatches(20, dispatch("AD_2", job("AJ_2", sid="RM_2", kind=kind), name="other"), name="other"),
        )
        assert [one.outcome.value for one in stories.dispatches if one.room == ROOM] == [outcome]

    def test_who_is_there_must_be_listed(self) -> None:
        """Somebody may have published."""
        stories = told(
            rooms(20, room(), room("RM_2", "other")),
            dispatches(20, dispatch("AD_1")),
            dispatches(20, dispatch("AD_2", job(sid="RM_2", kind="JT_PUBLISHER"), name="other"), name="other"),
        )
        assert [one.outcome for one in stories.dispatches if one.room == ROOM] == [Outcome.NOT_ASSIGNED]

    def test_without_a_job_elsewhere_nothing_is_known(self) -> None:
        """Any type of worker may be missing, or wait."""
        assert only(told(*sample(20))).outcome is Outcome.NOT_ASSIGNED


class TestLives:
    def test_a_name_that_lives_twice_is_two_rooms(self) -> None:
        first = dispatches(6, dispatch("AD_1", job()))
        second = dispatches(60, dispatch("AD_2", job("AJ_2", 50.2, sid="RM_2"), made=50))
        stories = told(rooms(5, room()), first, rooms(59, room("RM_2", made=50)), second)
        assert [one.room_id for one in stories.rooms] == ["RM_1", "RM_2"]
        assert [one.room_id for one in stories.dispatches] == ["RM_1", "RM_2"]
        assert stories.rooms[0].closed_at == T0 + 59

    def test_a_room_left_out_once_keeps_who_is_in_it(self) -> None:
        """One listing of all rooms did not have it; the next ones show the room and the same connections."""
        here = (agent(), person())
        stories = told(*sample(10, job(), present=here), rooms(12), *sample(14, job(), present=here))
        (one,) = stories.dispatches
        assert one.after is After.JOINED
        assert one.deleted_at is None
        assert [each.gone_by for each in (*stories.rooms[0].agents, *stories.rooms[0].people)] == [None, None]

    @pytest.mark.parametrize(("deleted", "after"), [(12, After.ENDED), (20, After.LEFT)], ids=["before", "afterwards"])
    def test_a_dispatch_that_is_listed_no_more_was_taken_back(self, deleted: float, after: After) -> None:
        """Its agent leaves because of that; deleted only when the agent had gone already, it changes nothing."""
        watch = [*sample(10, job(), present=(agent(), person()))]
        for at in (12, 20, 40):
            listed = (dispatch("AD_1", job()),) if at < deleted else ()
            watch += [rooms(at, room()), dispatches(at, *listed), participants(at, person())]
        one = only(told(*watch))
        assert (one.after, one.deleted_at) == (after, T0 + deleted)

    def test_a_room_that_is_listed_no_more_is_closed(self) -> None:
        stories = told(*sample(5, job()), rooms(9))
        assert stories.rooms[0].closed_at == T0 + 9

    def test_a_chosen_room_says_nothing_of_the_others(self) -> None:
        stories = told(*sample(5, job()), rooms(9, complete=False))
        assert stories.rooms[0].closed_at is None
        assert stories.sampled is not None
        assert stories.sampled.every_room

    def test_a_missing_room_that_lists_nobody_makes_no_room(self) -> None:
        assert told(participants(5)).rooms == []

    def test_a_room_of_another_name_space_keeps_its_own_life(self) -> None:
        """Two servers' listings in one run: what one does not list is not gone from the other."""
        here = sample(5, job())
        there = snapshot(6, rooms(6).data, source="ws://127.0.0.1:7999")
        assert told(*here, there).rooms[0].closed_at is None

    def test_rooms_of_probes_are_left_out(self) -> None:
        stories = told(
            rooms(5, room(name="lkdoctor-probe-1"), room("RM_2", "call")),
            dispatches(5, dispatch(name="lkdoctor-probe-1"), name="lkdoctor-probe-1"),
            dispatches(5, dispatch("AD_2", agent="lkdoctor-canary-1"), name="call"),
        )
        assert [one.name for one in stories.rooms] == ["call"]
        assert stories.dispatches == []

    def test_only_the_first_creation_has_its_agents_read(self) -> None:
        def created(at: float) -> Snapshot:
            agents = (AgentAsked(AGENT),)
            return snapshot(at, Called("RoomService/CreateRoom", ROOM, agents=agents, made_room=room()))

        stories = told(created(0.01), created(5))
        assert [one.read for one in stories.rooms[0].asks] == [True, False]
        assert [one.read for one in told(created(100)).rooms[0].asks] == [False]
        assert [one.read for one in told(created(30)).rooms[0].asks] == [None]


def test_the_order_of_snapshots_does_not_matter() -> None:
    looks = [*sample(6, job(), present=(agent(), person())), *sample(10, job(), present=(person(),))]
    dice = random.Random(7)
    stories = {repr(told(*dice.sample(looks, len(looks))).dispatches) for _ in range(20)}
    assert len(stories) == 1
    assert len({repr(told(*order).dispatches) for order in permutations(looks[:3])}) == 1


def test_without_a_log_nothing_is_complete() -> None:
    stories = told(*sample(6, job()))
    assert not stories.coverage.complete
    assert stories.coverage.reasons
    assert (stories.first_at, stories.last_at) == (T0 + 6, T0 + 6)


def test_times_of_the_api_are_nanoseconds() -> None:
    assert dispatch(made=1.5).created == pytest.approx(T0 + 1.5)
    assert nanos(0) == 1_800_000_000_000_000_000
