"""What became of the agent after the assignment: which participant is the job's, and how it left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import After, AgentParticipant, Dispatch, Launch, Origin, Outcome, Room, ServerRun, Stories

JOIN_PATIENCE: Final = 20.0  # seconds: a cold job process and its connection take up to 10 s each

# What no other type's launch beside a success ends in: `unremarkable` must not count such rooms away.
_REFUSED: Final = frozenset(
    (Outcome.NO_HEADROOM, Outcome.DECLINED, Outcome.ANSWER_TIMEOUT, Outcome.WORKER_CLOSED, Outcome.UNKNOWN)
)


def unremarkable(room: Room) -> bool:
    """True for a closed room in which everything was assigned and came, so that counting it is enough."""
    if room.closed_at is None or any(one.duplicate_removed for one in room.agents):
        return False
    names = [one.agent_name for one in room.dispatches]
    if len(names) != len(set(names)) or room.close_reason == "empty timeout":
        return False
    if any(one.read is False and not set(names).issuperset(one.names) for one in room.asks):
        return False  # a list that was not read
    until = _people_until(room)
    if any(one.left_at is not None and one.left_at + rules.SETTLE < until for one in room.agents):
        return False  # a person stayed without the agent
    assigned = 0
    for dispatch in room.dispatches:
        ended = [one for one in dispatch.launches if one.outcome is Outcome.ASSIGNED]
        if any(one.outcome in _REFUSED for one in dispatch.launches):
            return False
        if dispatch.origin is Origin.IMPLICIT and not ended:
            continue
        if not ended or (ended[0].seconds or 0.0) > 2 or ended[0].ghost or ended[0].late_answer:
            return False
        assigned += len(ended)
        brief = ended[0].ended_at is not None and room.closed_at - ended[0].ended_at < JOIN_PATIENCE
        if len(room.agents) < assigned and not brief:
            return False  # an agent that should have come
    return assigned > 0


@dataclass(slots=True)
class Aftermath:
    """Follows the assigned jobs of a room."""

    stories: Stories
    run_of: Callable[[Room | None], ServerRun | None]
    one_of_many: bool  # this may be one node of several

    def follow(self, room: Room) -> None:
        """Tie each assigned job of the room to its agent participant and say what became of it.

        `assigned` carries no identity: `agent-AJ_…` is only the default. What is left is tied by kind and time, and only
        when every job has one.
        """
        jobs = [
            (dispatch, launch)
            for dispatch in room.dispatches
            for launch in dispatch.launches
            if launch.outcome is Outcome.ASSIGNED and launch.decides
        ]
        own = {one.identity: one for one in room.agents}  # the newest connection of each
        tied: dict[int, AgentParticipant | None] = {}
        for _, launch in jobs:
            agent = own.get(f"agent-{launch.job_id}")
            if agent is not None:
                tied[id(launch)] = agent
        left = [(dispatch, launch) for dispatch, launch in jobs if id(launch) not in tied]
        left.sort(key=lambda pair: pair[1].ended_at or 0.0)
        sessions = [one for one in room.agents if not one.identity.startswith("agent-AJ_")]
        if len(sessions) >= len(left):
            for (_, launch), agent in zip(left, sorted(sessions, key=lambda one: one.joined_at or 0.0), strict=False):
                tied[id(launch)] = agent
        elif not sessions:
            for _, launch in left:
                tied[id(launch)] = None
        until = _people_until(room)
        for dispatch, launch in jobs:
            if id(launch) in tied:
                self._after(dispatch, launch, tied[id(launch)], room, until)

    def _after(
        self, dispatch: Dispatch, launch: Launch, agent: AgentParticipant | None, room: Room, people_until: float
    ) -> None:
        if dispatch.outcome is not Outcome.ASSIGNED:
            return  # one person got an agent, another did not: the dispatch tells of the latter
        if agent is not None:
            dispatch.participant = agent
            if agent.left_at is None:
                dispatch.after = After.ENDED if room.closed_at is not None else After.JOINED
            else:
                # with nobody there, and nobody coming back, its work was over; else the room lives on without it
                over = dispatch.deleted_at is not None or people_until <= agent.left_at + 0.5
                dispatch.after = After.ENDED if over else After.LEFT
            return
        if launch.ended_at is None or not self._shows_sessions(room):
            return
        until = min(at for at in (room.closed_at, self.stories.last_at) if at is not None)
        if until - launch.ended_at >= JOIN_PATIENCE:
            dispatch.after = After.NEVER_JOINED

    def _shows_sessions(self, room: Room) -> bool:
        """Would a join of an agent in this room be in the evidence?"""
        run = self.run_of(room)
        if run is None or not run.info_seen or self.stories.coverage.hides_info or self.stories.coverage.timeless:
            return False
        if rules.since(run.version, rules.SESSIONS_AT_INFO) is not True and not room.people:
            return False
        # the room's node, not only the worker's node, must be in the evidence
        return not self.one_of_many or bool(room.people) or room.closed_at is not None


def _people_until(room: Room) -> float:
    """When the last person left, whenever they came; infinite while one is there."""
    ends = (one.left_at if one.left_at is not None else float("inf") for one in room.people if not one.dependent)
    return max(ends, default=float("-inf"))
