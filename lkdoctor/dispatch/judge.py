"""Decides outcomes: which launch counts, and what silence means.

A dispatch is tried for every job type; only the launch of a type that the name's workers register decides. Silence means
something only when the evidence would have shown a line; otherwise the outcome is `unknown`, with what to fetch.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.coverage import FETCH_ALL, FETCH_LATER, FETCH_LEVEL, FETCH_NODES, FETCH_START, all_launches
from lkdoctor.dispatch.model import (
    Certainty,
    Dispatch,
    Launch,
    Origin,
    Outcome,
    Room,
    ServerRun,
    Stories,
)
from lkdoctor.dispatch.pairing import LATE_JAMMED

SILENCE: Final = rules.SETTLE + 0.5  # a launch that ended without a line has certainly ended by then


@dataclass(slots=True)
class Judge:
    """Decides each dispatch by the whole evidence."""

    stories: Stories
    types: Mapping[str, set[str]]  # agent name -> job types that its workers register, as far as seen

    silence: float = SILENCE
    _runs: dict[str, list[ServerRun]] = field(default_factory=dict)  # by stream, oldest first
    _versions: set[str | None] = field(default_factory=set)
    one_of_many: bool = False  # redis is in use and this may be one node of several

    def __post_init__(self) -> None:
        """A node that waits for hung workers, or surveys many unknown names, starts its launches late, in waves."""
        for run in self.stories.runs:
            if not run.config_refused:
                self._runs.setdefault(run.stream, []).append(run)
                self._versions.add(run.version)
        self.one_of_many = self._may_be_one_of_many()
        endings = Counter(one.outcome for one in all_launches(self.stories))
        waves = rules.ANSWER_BUDGET * (endings[Outcome.ANSWER_TIMEOUT] // rules.IN_FLIGHT)
        surveys = rules.SURVEY * (endings[Outcome.NAME_NOT_SERVED] // rules.SURVEY_SLOTS)
        self.silence = min(SILENCE + waves + surveys, LATE_JAMMED)

    def sort_out(self, room: Room) -> None:
        """Give launches to the dispatch of their worker's deployment.

        No launch line names a deployment; the worker's is printed only when it closes or a job ends (from 1.13.0 on), long
        after two requests of one name and different deployments had their lines.
        """
        by_name: dict[str, list[Dispatch]] = {}
        for dispatch in room.dispatches:
            by_name.setdefault(dispatch.agent_name, []).append(dispatch)
        for group in by_name.values():
            if len({one.deployment for one in group}) < 2:
                continue
            for dispatch in group:
                wanted = self._deployment(dispatch)
                if wanted is None or wanted == dispatch.deployment:
                    continue
                for other in group:
                    if other.deployment == wanted and self._deployment(other) != wanted:
                        dispatch.launches, other.launches = other.launches, dispatch.launches
                        break

    def _deployment(self, dispatch: Dispatch) -> str | None:
        """The deployment of the worker that had or refused the dispatch's job, where it was printed."""
        for launch in dispatch.launches:
            for worker_id in (launch.worker_id, *launch.asked_workers):
                worker = self.stories.workers.get(worker_id or "")
                if worker is not None and worker.deployment is not None:
                    return worker.deployment
        return None

    # -- outcome ------------------------------------------------------------------------------------------------------

    def decide(self, dispatch: Dispatch, room: Room | None) -> None:
        """Fill outcome, certainty, reason and noise of a dispatch."""
        types = self._types_at(dispatch.agent_name, dispatch.asked_at)
        self._cut_off(dispatch)
        if types:
            deciding = [
                one
                for one in dispatch.launches
                if one.outcome is Outcome.ASSIGNED or one.job_type in self._types_at(dispatch.agent_name, one.asked_at)
            ]
        else:
            deciding = self._of_unseen_name(dispatch)
        if deciding:
            for one in deciding:
                one.decides = True
            best = decisive(deciding)
            if best.outcome is Outcome.PENDING:
                self._silent(dispatch, best, room)
            elif best.outcome is Outcome.ANSWER_TIMEOUT and not best.asked_workers and self._sees_workers():
                self._unknown(
                    dispatch,
                    "the request ran out of time and no line says that a worker was asked: it may never have reached one, "
                    "as when redis does not answer",
                    "redis' own log for that time",
                )
            else:
                dispatch.outcome = best.outcome
                dispatch.certainty = best.certainty
                if best.outcome is Outcome.UNKNOWN:
                    self._explain_unknown(dispatch, best)
        elif dispatch.outcome is Outcome.PENDING:
            self._undecided(dispatch, types, room)
        if self.stories.coverage.timeless and dispatch.outcome is not Outcome.UNKNOWN:
            dispatch.certainty = min(dispatch.certainty, Certainty.MEDIUM)
        if types or dispatch.outcome is not Outcome.UNKNOWN:
            # the type that counts is known, so lines of the others are harmless, whatever became of the dispatch
            for one in dispatch.launches:
                if not one.decides and one.outcome in (Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE):
                    dispatch.noise_lines += 1
                    dispatch.noise = (*dispatch.noise, *one.proof[:1])
        launch = dispatch.deciding
        if launch is not None:
            dispatch.proof.extend(place for place in launch.proof if place not in dispatch.proof)

    def _types_at(self, name: str, at: float | None) -> set[str]:
        """Job types that the name's workers register: where they differ, those of the workers that were there then."""
        types = self.types.get(name, set())
        if len(types) < 2 or at is None:
            return types
        return {one.job_type for one in self.stories.of_name(name) if one.job_type and one.alive_at(at)} or types

    def _cut_off(self, dispatch: Dispatch) -> None:
        """A JT_ROOM launch that was never seen to start or end is none; drop what only a guess had opened."""
        if dispatch.origin is Origin.SEEN:
            dispatch.launches = [
                one for one in dispatch.launches if one.outcome is not Outcome.PENDING or one.proof or one.job_id
            ] or dispatch.launches

    def _of_unseen_name(self, dispatch: Dispatch) -> list[Launch]:
        """No worker of this name was ever seen: B of every type, or of any type in a complete log, decides."""
        ended = [one for one in dispatch.launches if one.outcome is not Outcome.PENDING]
        refused = {one.job_type for one in ended if one.outcome is Outcome.NAME_NOT_SERVED}
        rooms = [one for one in dispatch.launches if one.job_type == rules.JT_ROOM]
        if self._complete() and refused:
            return rooms or ended
        if refused >= set(rules.raised_types(self._version())):
            return rooms
        if self._complete() and rooms and rooms[0].outcome is Outcome.NO_RESPONSE:
            return rooms
        return []

    def _undecided(self, dispatch: Dispatch, types: set[str], room: Room | None) -> None:
        """No launch of the deciding type is in the evidence."""
        if types and rules.JT_ROOM not in types:
            if dispatch.origin is not Origin.SEEN or self._complete():
                dispatch.outcome = Outcome.WAITING
                return
            wanted = " or ".join(sorted(types))
            self._unknown(
                dispatch, f"the name is served for {wanted}; no launch of that type is in the evidence", FETCH_START
            )
            return
        if types:
            self._unknown(
                dispatch,
                "the JT_ROOM launch, which decides, is not in the evidence; the lines of other job types say nothing about it",
                "the log from the moment the room was made (CreateRoom, CreateDispatch or the first join) on",
            )
            return
        if self._early(dispatch):
            dispatch.outcome = Outcome.PENDING
            return
        silent_room = [
            one for one in dispatch.launches if one.job_type == rules.JT_ROOM and one.outcome is Outcome.PENDING
        ]
        if dispatch.agent_name == "" and silent_room and self._complete() and not self._unsettled(dispatch, room):
            # Nobody serves unnamed jobs: this ending alone leaves no line at all.
            dispatch.outcome = Outcome.NAME_NOT_SERVED
            silent_room[0].outcome = Outcome.NAME_NOT_SERVED
            silent_room[0].decides = True
            return
        lines = sorted({one.job_type for one in dispatch.launches if one.outcome is not Outcome.PENDING})
        if lines:
            self._unknown(
                dispatch,
                f"no worker of this name was seen, so it is not known which job type it registers; only {', '.join(lines)} is told of",
                self._fetch()
                or "the worker's own log (its `registered worker` line), or the server's `worker registered` line of this name",
            )
        else:
            self._unknown(
                dispatch,
                "no line tells how it ended, and no worker of this name was seen",
                self._fetch() or FETCH_NODES,
            )

    def _silent(self, dispatch: Dispatch, launch: Launch, room: Room | None) -> None:
        """The deciding launch has no ending line."""
        if launch.rivals:
            self._unknown(
                dispatch,
                "a refusal line that names no room fits this and another room alike",
                "the worker's log, or ListDispatch of the room",
            )
            return
        if self._early(dispatch) or (launch.asked_at is None and not self._complete()):
            if launch.asked_at is None:
                self._unknown(dispatch, "its launch is not in the evidence", self._fetch() or FETCH_START)
            else:
                dispatch.outcome = Outcome.PENDING
                dispatch.reason = "the evidence ends before the launch must have ended"
                dispatch.missing = FETCH_LATER
            return
        if room is not None and room.not_stored:
            self._unknown(
                dispatch,
                f"the server did not store an agent that the room's making named ({room.not_stored}), so nothing was launched "
                "for it",
                "ListDispatch of the room, which shows the agents that were stored",
            )
            return
        run = self.run_of(room)
        if self._unsettled(dispatch, room):
            self._unknown(dispatch, "the server stopped before the launch ended", FETCH_LATER)
            return
        if launch.asked_workers and (not self._complete() or self.one_of_many):
            self._unknown(
                dispatch,
                "a worker was asked and did not take the job; how it went on is not in the evidence",
                FETCH_LEVEL if self.stories.coverage.hides_info else FETCH_LATER,
            )
            return
        if not self._complete() or self.one_of_many:
            self._unknown(
                dispatch,
                "no line tells how the launch ended, and the evidence could miss that line",
                self._fetch() or FETCH_NODES,
            )
            return
        if any(launch.asked_at is not None and 0 <= at - launch.asked_at <= self.silence for at in _surveys(run)):
            self._unknown(
                dispatch,
                "the node could not ask who serves the name (`failed to check enabled`), which ends a launch without a line",
                "redis' own log for that time",
            )
            return
        served = [
            one
            for one in self.stories.of_name(dispatch.agent_name)
            if one.job_type == launch.job_type and launch.asked_at is not None and one.alive_at(launch.asked_at)
        ]
        terminal = rules.since(run.version if run else None, rules.TERMINAL_REJECT)
        if served and terminal:
            dispatch.outcome = Outcome.REJECTED_TERMINALLY
            dispatch.certainty = Certainty.MEDIUM
            launch.outcome = Outcome.REJECTED_TERMINALLY
            launch.certainty = Certainty.MEDIUM
            return
        if dispatch.agent_name == "" and not served:
            dispatch.outcome = Outcome.NAME_NOT_SERVED
            launch.outcome = Outcome.NAME_NOT_SERVED
            return
        self._unknown(dispatch, "no line tells how the launch ended", "ListDispatch of the room, and the worker's log")

    def _explain_unknown(self, dispatch: Dispatch, launch: Launch) -> None:
        if launch.rivals:
            self._unknown(
                dispatch,
                "a refusal line that names no room fits this and another room alike",
                "the worker's log, or ListDispatch of the room",
            )
        elif "capacity" in launch.error:
            self._unknown(
                dispatch,
                "the worker's node did not say whether a worker declined or had no headroom: both end in these words",
                FETCH_NODES if self.one_of_many or self.stories.coverage.nodes_missing else FETCH_START,
            )
        else:
            self._unknown(
                dispatch, f"the server ended it with a text that says nothing of dispatch: {launch.error}", FETCH_START
            )

    def _unknown(self, dispatch: Dispatch, reason: str, missing: str) -> None:
        dispatch.outcome = Outcome.UNKNOWN
        dispatch.certainty = Certainty.LOW
        dispatch.reason = reason
        dispatch.missing = missing

    # -- what the evidence covers -------------------------------------------------------------------------------------

    def _complete(self) -> bool:
        return self.stories.coverage.complete

    def _sees_workers(self) -> bool:
        """Would the evidence hold what the workers' nodes say? They name each worker that was asked in vain."""
        found = self.stories.coverage
        return not (self.one_of_many or found.nodes_missing or found.timeless)

    def _fetch(self) -> str:
        found = self.stories.coverage
        if found.hides_info:
            return FETCH_LEVEL
        if found.starts_late or found.timeless:
            return FETCH_START
        if found.sampled:
            return FETCH_ALL
        return FETCH_NODES if found.nodes_missing else ""

    def _may_be_one_of_many(self) -> bool:
        """Redis is in use and this may be one node of several: an ending may stand in a log that is not here."""
        runs = self.stories.runs
        if not any(run.redis for run in runs):
            return False
        known = {run.node_id for run in runs if run.node_id}
        placed = set().union(*(run.placed_on for run in runs))
        return len({run.stream for run in runs}) < 2 and not (placed and placed <= known)

    def _version(self) -> str | None:
        return next(iter(self._versions)) if len(self._versions) == 1 else None

    def run_of(self, room: Room | None) -> ServerRun | None:
        """The run that a room lived in: the last one of its stream that began before it."""
        runs = self._runs.get(room.stream) if room is not None else next(iter(self._runs.values()), None)
        if not runs:
            return None
        at = room.first_at if room is not None else None
        if at is None:
            return runs[0]
        index = bisect.bisect_right(runs, at, key=lambda run: run.first_at or 0.0)
        return runs[max(index - 1, 0)]

    def _early(self, dispatch: Dispatch) -> bool:
        """True when the evidence ends before the launch must have ended."""
        last = self.stories.last_at
        return dispatch.asked_at is not None and last is not None and last - dispatch.asked_at < self.silence

    def _unsettled(self, dispatch: Dispatch, room: Room | None) -> bool:
        """True when the server stopped before the launch must have ended."""
        at = dispatch.asked_at
        run = self.run_of(room)
        return (
            at is not None
            and run is not None
            and run.stopped_at is not None
            and at <= run.stopped_at < at + self.silence
        )


def decisive(launches: list[Launch]) -> Launch:
    """The launch that tells how the dispatch ended.

    Several types may be registered for one name: an assigned JT_ROOM launch wins. Launches for persons are one try each,
    so one that found nobody counts, though another person got an agent.
    """
    order = {Outcome.ASSIGNED: 1, Outcome.PENDING: 2}
    in_room = [one for one in launches if one.job_type == rules.JT_ROOM]
    if any(one.outcome is Outcome.ASSIGNED for one in launches) and in_room:
        order[Outcome.ASSIGNED] = -1
    return min(launches, key=lambda one: (order.get(one.outcome, 0), one.job_type != rules.JT_ROOM))


def _surveys(run: ServerRun | None) -> tuple[float, ...]:
    return run.surveys_failed if run is not None else ()
