"""Joins what the API listed into the stories: it confirms what a log tells, and alone tells what an API can.

Rooms are joined by `RM_`, dispatches by `AD_` and `AJ_`, agents by the identity that their job's state names. What a log has
decided stays: an API knows less of the past. Only two things in a listing are firmer than a log's story: a job that is there,
and a participant that is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.dispatch import rules, waiting
from lkdoctor.dispatch.aftermath import JOIN_PATIENCE
from lkdoctor.dispatch.coverage import FETCH_START
from lkdoctor.dispatch.elsewhere import FETCH_OWN, elsewhere
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.listings import Called, JobInfo, ParticipantInfo, Snapshot
from lkdoctor.dispatch.model import (
    After,
    AgentParticipant,
    Ask,
    Certainty,
    Dispatch,
    Launch,
    Origin,
    Outcome,
    Room,
    Stories,
)
from lkdoctor.dispatch.samples import Life, Present, Samples, Seen
from lkdoctor.dispatch.told_apart import SAME_REQUEST, jobless, tell_apart

BLINK: Final = 5.0  # s between two listings within which an agent could come and go unseen

FETCH_WATCH: Final = "the same command with `--watch 30`, or the server's log"

# What says by itself why no agent came: the API, which shows only that, agrees.
_REFUSED: Final = frozenset(
    {
        Outcome.NAME_NOT_SERVED,
        Outcome.NO_RESPONSE,
        Outcome.NO_HEADROOM,
        Outcome.DECLINED,
        Outcome.ANSWER_TIMEOUT,
        Outcome.WORKER_CLOSED,
    }
)
_OPEN: Final = frozenset({Outcome.UNKNOWN, Outcome.PENDING})


def confirm(stories: Stories, snapshots: Iterable[Snapshot], server_ahead: float = 0.0) -> None:
    """Complete `stories` by what the API listed.

    `server_ahead` is how many seconds the server's clock is ahead of the asking machine's, where that was measured.
    """
    samples = Samples.of(snapshots)
    if samples.sampled is None and not samples.lives:
        return
    Confirmation(stories, samples, server_ahead).run()


@dataclass(slots=True)
class Confirmation:
    """One run of `confirm`."""

    stories: Stories
    samples: Samples
    server_ahead: float
    alone: bool = False  # no server log is in the evidence
    _by_id: dict[str, list[Room]] = field(default_factory=dict)
    _by_name: dict[str, list[Room]] = field(default_factory=dict)

    def run(self) -> None:
        """Do it."""
        stories, sampled = self.stories, self.samples.sampled
        self.alone = not stories.runs
        if sampled is not None:
            stories.sampled = sampled
            # A time that the server named after it was asked proves that its clock is ahead by so much at least.
            self.server_ahead = max(self.server_ahead, self.samples.latest - sampled.last_at)
        if not self.alone and (why := elsewhere(stories, self.samples.lives, self._server)):
            stories.coverage.complete = False
            stories.coverage.reasons.append(f"{why}: it is not, or not all of, that server's log: fetch {FETCH_OWN}")
        for room in stories.rooms:
            self._by_id.setdefault(room.room_id, []).append(room)
            self._by_name.setdefault(room.name, []).append(room)
        for life in self.samples.lives:
            self._tell(life)
        waiting.tell(stories)
        if self.alone:
            stories.coverage.complete = False
            stories.coverage.reasons.append(
                f"there is no server log, and the API tells neither why no job came nor which workers there are: fetch {FETCH_START}"
            )
            if sampled is not None:
                stories.first_at, stories.last_at = sampled.first_at, sampled.last_at
        stories.dispatches.sort(key=lambda one: (one.asked_at or 0.0, one.room, one.agent_name))

    def _server(self, at: float) -> float:
        """A time of the asking machine on the server's clock, which log lines and answers use."""
        return at + self.server_ahead

    # -- rooms --------------------------------------------------------------------------------------------------------

    def _tell(self, life: Life) -> None:
        room = self._room(life)
        room.room_id = room.room_id or life.sid
        room.info = life.info
        room.listed_last_at = life.last_at
        room.looked_at = self._server(life.looks[-1].at) if life.looks else None
        room.dispatches_at = None if life.dispatches_at is None else self._server(life.dispatches_at)
        if life.place is not None and not room.proof:
            room.proof.append(life.place)
        if self.alone:
            room.first_at = self._made_at(life)
            room.opened_at = room.first_at if life.info is not None else None
            room.last_at = self._server(life.last_at)
            room.closed_at = None if life.gone_by is None else self._server(life.gone_by)
            self._creations(room, life)
        for present in life.participants.values():
            self._participant(room, present)
        tell_apart(room, life.dispatches.values(), self.stories.of_name, self._server)
        for seen in sorted(life.dispatches.values(), key=lambda one: one.info.created or one.first_at):
            self._dispatch(room, life, seen)
        for one in room.dispatches:
            one.room_closed = life.gone_by is not None

    def _room(self, life: Life) -> Room:
        if life.sid:
            # With redis a room is rebuilt under its id after its node died: the listing is of the last of these lives.
            found = self._by_id.get(life.sid)
        else:
            found = [one for one in self._by_name.get(life.name, ()) if self._open_then(one, life)]
        if not found and life.sid:
            found = [one for one in self._by_name.get(life.name, ()) if not one.room_id]
        if found:
            return found[-1]
        room = Room(life.name, life.sid, "")
        self.stories.rooms.append(room)
        self._by_name.setdefault(life.name, []).append(room)
        if life.sid:
            self._by_id.setdefault(life.sid, []).append(room)
        return room

    def _open_then(self, room: Room, life: Life) -> bool:
        """Was this life of the room going on when it was listed? A log may go on after the last listing."""
        return room.closed_at is None or (
            self._server(life.last_at) < room.closed_at
            and (room.first_at is None or room.first_at <= self._server(life.last_at))
        )

    def _made_at(self, life: Life) -> float:
        at = life.info.created_at if life.info is not None else None
        return at if at is not None else self._server(life.first_at)

    def _creations(self, room: Room, life: Life) -> None:
        """CreateRoom calls that were recorded; only the first one of a life has its agents read."""
        for index, one in enumerate(life.creations):
            called = one.data
            if not isinstance(called, Called) or called.made_room is None:
                continue
            made = called.made_room.created_at
            at = self._server(one.at)
            read: bool | None = None
            if index or life.first_at < one.at:
                read = False  # listed, or made, before this call
            elif made is not None and abs(made - at) <= 1.5:
                read = True
            elif made is not None and at - made > 60:
                read = False
            names = tuple(agent.agentName for agent in called.agents)
            room.asks.append(Ask(at, Origin.ROOM, names, read, "", one.place))
            if called.preset:
                room.presets = (*room.presets, called.preset)

    # -- participants -------------------------------------------------------------------------------------------------

    def _participant(self, room: Room, present: Present) -> None:
        info = present.info
        own = next((one for one in (*room.agents, *room.people) if one.sid and one.sid == info.sid), None)
        if own is None:
            own = AgentParticipant(
                info.identity, info.sid, info.is_agent, dependent(info), info.permission.hidden, info.joined,
                active_at=info.joined if info.state == "ACTIVE" else None, proof=[present.place],
            )  # fmt: skip
            (room.agents if info.is_agent else room.people).append(own)
        own.listed = present.changes
        own.listed_last_at = present.last_at
        own.gone_by = present.gone_by
        if own.left_at is None and present.gone_by is not None:
            own.left_at = self._server(present.gone_by)
        if own.published_at is None and info.tracks:
            own.published_at = next(self._server(at) for at, one in present.changes if one.tracks)

    # -- dispatches ---------------------------------------------------------------------------------------------------

    def _dispatch(self, room: Room, life: Life, seen: Seen) -> None:
        info = seen.info
        dispatch = self._known(room, seen)
        fresh = dispatch is None
        if dispatch is None:
            origin = Origin.SEEN if info.agent_name else Origin.IMPLICIT
            dispatch = Dispatch(room.name, room.room_id, info.agent_name, origin, info.created, info.deployment)
            room.dispatches.append(dispatch)
            self.stories.dispatches.append(dispatch)
        dispatch.listed = True
        dispatch.dispatch_id = info.id
        dispatch.asked_at = dispatch.asked_at if dispatch.asked_at is not None else info.created
        if seen.place not in dispatch.proof:
            dispatch.proof.append(seen.place)
        taken_back = seen.deleted_at if seen.deleted_at is not None else seen.gone_by
        if dispatch.deleted_at is None and taken_back is not None:
            dispatch.deleted_at = self._server(taken_back)  # the room lives on, and does not list it any more
        jobs = [job for job in info.state.jobs if job.id]
        if jobs:
            self._assigned(dispatch, jobs, seen.place)
            self._after(dispatch, room, life, jobs)
        else:
            self._without_job(dispatch, seen, fresh=fresh)

    def _known(self, room: Room, seen: Seen) -> Dispatch | None:
        """The log's dispatch that this is: by its id, by a job's id, else by name, deployment and moment."""
        info = seen.info
        jobs = {job.id for job in info.state.jobs}
        for one in room.dispatches:
            if one.dispatch_id == info.id:
                return one
            if any(launch.job_id in jobs for launch in one.launches if launch.job_id):
                return self._apart(room, one, jobs) if one.listed else one
        for one in room.dispatches:
            if one.listed or one.agent_name != info.agent_name or one.deployment != info.deployment:
                continue
            if jobs and any(launch.job_id for launch in one.launches):
                continue  # it has a job of its own
            if one.asked_at is None or info.created is None or abs(one.asked_at - info.created) <= SAME_REQUEST:
                return one
        return None

    def _apart(self, room: Room, one: Dispatch, jobs: set[str]) -> Dispatch:
        """The request of its own that `jobs` belong to: `one`, which another entry lists, had them by name and person.

        A log without lines on requests (seen on 1.8.4: two entries of one name in a token) shows jobs, not how many asked.
        """
        moved = [launch for launch in one.launches if launch.job_id in jobs]
        one.launches = [launch for launch in one.launches if launch not in moved]
        lines = {place for launch in moved for place in launch.proof}
        one.proof = [place for place in one.proof if place not in lines]
        asked = Dispatch(room.name, room.room_id, one.agent_name, one.origin, one.asked_at, one.deployment)
        asked.launches, asked.proof = moved, [place for launch in moved for place in launch.proof]
        room.dispatches.append(asked)
        self.stories.dispatches.append(asked)
        return asked

    def _assigned(self, dispatch: Dispatch, jobs: list[JobInfo], place: Place) -> None:
        known = {one.job_id for one in dispatch.launches}
        # One person got an agent and another one was refused: the dispatch tells of the refusal, the job is no news.
        persons = all(one.job_type != rules.JT_ROOM for one in dispatch.launches if one.decides)
        refused = dispatch.outcome in _REFUSED and (persons or all(job.id in known for job in jobs))
        for job in jobs:
            outcome = _outcome(job)
            own = next((one for one in dispatch.launches if one.job_id == job.id), None)
            if own is None:
                # A job that the log left open: its launch is there, without an end that was seen.
                own = next(
                    (one for one in dispatch.launches if one.job_type == job.type and one.outcome in _OPEN and not one.job_id),
                    None,
                )  # fmt: skip
            if own is None:
                # A job for a participant or a publisher is asked for when they come, which no listing says.
                asked_at = dispatch.asked_at if job.type == rules.JT_ROOM else None
                own = Launch(job.type, asked_at, participant=_of(job), outcome=outcome, decides=True)
                dispatch.launches.append(own)
            if own.outcome in _OPEN or own.outcome is Outcome.REJECTED_TERMINALLY:
                own.outcome = outcome
            own.certainty = Certainty.HIGH
            own.decides = True
            own.job_id = job.id
            own.worker_id = own.worker_id or job.state.worker_id or None
            own.ended_at = own.ended_at if own.ended_at is not None else job.state.started
            own.job_status = own.job_status or job.state.status
            own.job_error = own.job_error or job.state.error
            if own.job_ended_at is None:
                own.job_ended_at = job.state.ended
            if place not in own.proof:
                own.proof.append(place)
        if refused:
            return
        outcomes = {_outcome(job) for job in jobs}
        if Outcome.ASSIGNED in outcomes:
            # A job is there: whatever lines of other launches say, the dispatch brought one.
            dispatch.outcome = Outcome.ASSIGNED
        elif dispatch.outcome in _OPEN or dispatch.outcome is Outcome.REJECTED_TERMINALLY:
            dispatch.outcome = Outcome.REJECTED_TERMINALLY
        dispatch.certainty = Certainty.HIGH
        dispatch.reason = dispatch.missing = ""

    def _without_job(self, dispatch: Dispatch, seen: Seen, *, fresh: bool) -> None:
        """Listed without a job: for some seconds that is the lag of the list, after that no job came."""
        old = jobless(seen, self._server)
        if dispatch.outcome in _REFUSED and old:
            if not any(one.rivals for one in dispatch.launches if one.decides):
                dispatch.certainty = max(dispatch.certainty, Certainty.HIGH)
            return
        if dispatch.outcome not in _OPEN or dispatch.among is not None:
            return
        if dispatch.deleted_at is not None:
            return  # taken back: that it has no job says nothing
        if not old:
            if fresh:
                dispatch.outcome = Outcome.PENDING
                dispatch.reason = "the listing was made before a job must have shown in it"
                dispatch.missing = FETCH_WATCH
            return
        if fresh or dispatch.outcome is Outcome.PENDING or not dispatch.launches:
            dispatch.reason = "the API lists the dispatch, no job came of it, and the API does not say why"
            dispatch.missing = FETCH_START
        # What the log could not decide keeps the log's own words on what is missing.
        dispatch.outcome = Outcome.NOT_ASSIGNED
        dispatch.certainty = Certainty.HIGH

    # -- what became of it --------------------------------------------------------------------------------------------

    def _after(self, dispatch: Dispatch, room: Room, life: Life, jobs: list[JobInfo]) -> None:
        """Follow the newest job; its state names the identity of its agent, so nothing is guessed."""
        running = [job for job in jobs if _outcome(job) is Outcome.ASSIGNED]
        if dispatch.outcome is not Outcome.ASSIGNED or dispatch.after in (After.LEFT, After.ENDED):
            return
        if not running or not life.looks:
            return
        job = max(running, key=lambda one: one.state.started_at)
        identity = job.state.participant_identity
        agents = [one for one in room.agents if one.identity == identity and one.listed]
        if agents:
            newest = max(agents, key=lambda one: one.joined_at or 0.0)
            dispatch.participant = dispatch.participant or newest
            if newest.gone_by is None:
                dispatch.after = After.JOINED
            elif dispatch.after in (None, After.JOINED, After.NEVER_JOINED):
                dispatch.after = self._how_left(dispatch, room, life, newest)
            return
        if dispatch.after is After.JOINED and dispatch.participant is not None:
            # The log saw it come; a later listing does not show it any more.
            gone = next(
                (at for at, _ in life.looks if self._server(at) > (dispatch.participant.joined_at or 0.0)), None
            )
            if gone is not None and dispatch.participant.sid not in life.participants:
                dispatch.participant.gone_by = gone
                dispatch.participant.left_at = self._server(gone)
                dispatch.after = self._how_left(dispatch, room, life, dispatch.participant)
            return
        if dispatch.after is None and self._watched(life, job):
            dispatch.after = After.NEVER_JOINED

    def _how_left(self, dispatch: Dispatch, room: Room, life: Life, agent: AgentParticipant) -> After:
        gone = agent.gone_by if agent.gone_by is not None else 0.0
        stayed = any(
            not one.dependent and one.listed_last_at is not None and one.listed_last_at >= gone for one in room.people
        )
        # A dispatch that was taken back only afterwards did not end the agent: that is how people tidy up after a loss.
        taken_back = dispatch.deleted_at is not None and dispatch.deleted_at <= self._server(gone)
        over = taken_back or life.gone_by is not None or not stayed
        return After.ENDED if over else After.LEFT

    def _watched(self, life: Life, job: JobInfo) -> bool:
        """Was the room looked at from the assignment on, for long enough and so often that the agent cannot have come?

        One look long afterwards cannot tell an agent that never came from one that has gone again.
        """
        started = job.state.started
        if started is None or job.state.ended is not None:
            return False
        looks = [one for one in life.looks if self._server(one.at) >= started]
        if not looks or self._server(looks[-1].at) - started < JOIN_PATIENCE:
            return False
        waited = self._server(looks[0].at) - started
        unseen = waited if looks[0] is life.looks[0] else min(waited, looks[0].gap)
        return max(unseen, *(one.gap for one in looks)) <= BLINK


def dependent(info: ParticipantInfo) -> bool:
    """True for who neither raises jobs nor keeps a room open: agents, egress and recorders."""
    permission = info.permission
    return info.kind in ("AGENT", "EGRESS") or permission.agent or permission.recorder


def _outcome(job: JobInfo) -> Outcome:
    """What a listed job says: one that ended as it began, without an identity, is a terminal reject."""
    state = job.state
    if not state.participant_identity and state.ended_at and state.ended_at == state.started_at:
        return Outcome.REJECTED_TERMINALLY
    return Outcome.ASSIGNED


def _of(job: JobInfo) -> str | None:
    return job.participant.identity if job.participant is not None else None
