"""Joins facts into stories: which rooms lived, who was registered, what was dispatched, and how each launch ended.

Events come in time order, from any number of nodes. Lines that name a job, a worker or a room are joined by those ids
(`nodes`, `lobby`, `presence`, `endings`); the one line that names no room is left to `pairing`; `judge` decides when all is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lkdoctor.dispatch import aftermath, alike, judge
from lkdoctor.dispatch.confirm import confirm
from lkdoctor.dispatch.coverage import coverage
from lkdoctor.dispatch.endings import Endings
from lkdoctor.dispatch.facts import Event, What
from lkdoctor.dispatch.listings import Snapshot
from lkdoctor.dispatch.lobby import Lobby, started
from lkdoctor.dispatch.model import Outcome, Room, ServerRun, Stories
from lkdoctor.dispatch.nodes import Handler, Nodes
from lkdoctor.dispatch.pairing import Pairing
from lkdoctor.dispatch.presence import Presence
from lkdoctor.dispatch.rules import OWN_PREFIX

KEEP: Final = 10_000  # dispatches kept whole; above it healthy closed ones become counts
LINGER: Final = 20.0  # seconds of log after which nothing more is said of a closed room

_SHOWS_INFO: Final = frozenset(("info", "debug"))


def join(
    events: Iterable[Event], keep: int = KEEP, snapshots: Iterable[Snapshot] = (), server_ahead: float = 0.0
) -> Stories:
    """Read all events once and tell what happened; healthy closed dispatches above `keep` become counts.

    `snapshots` are what the API listed, in any order: they confirm and complete what the log tells, by the ids of rooms,
    dispatches and jobs, and alone they tell what an API can. `server_ahead` is how many seconds the server's clock was
    measured to be ahead of the clock that the snapshots' times are of.
    """
    joiner = Joiner(keep)
    for event in events:
        joiner.feed(event)
    stories = joiner.finish()
    confirm(stories, snapshots, server_ahead)
    return stories


class Joiner:
    """One pass over the events."""

    def __init__(self, keep: int = KEEP) -> None:
        self.stories = Stories()
        self._keep = keep
        self._pairing = Pairing()
        self._nodes = Nodes(self.stories, self._end_run)
        self._lobby = Lobby(self.stories, self._nodes, self._pairing)
        self._endings = Endings(self.stories, self._nodes, self._lobby, self._pairing)
        self._handlers: dict[What, Handler] = {
            **self._nodes.handlers(),
            **self._lobby.handlers(),
            **Presence(self._nodes, self._lobby).handlers(),
            **self._endings.handlers(),
        }
        self._now: float | None = None
        self._kept = 0

    def _end_run(self, run: ServerRun) -> None:
        self._lobby.end_run(run)

    def feed(self, event: Event) -> None:
        """Take the next event."""
        at = event.at
        run = self._nodes.run(event)
        if at is not None:
            run.last_at = at
            if self._now is None or at > self._now:
                if self.stories.first_at is None:
                    self.stories.first_at = at
                self._now = at
                self._let_go(at)
        if event.level in _SHOWS_INFO:
            run.info_seen = True
        elif event.level:
            run.warn_seen = True
        handler = self._handlers.get(event.what)
        if handler is not None:
            handler(event, event.fields)
            self._nodes.mark_busy(event)

    def _let_go(self, now: float) -> None:
        """Pair the lines that have waited long enough; leave rooms that are long closed."""
        self._endings.settle(now)
        leaving = self._lobby.leaving
        while leaving and leaving[0][0] < now - LINGER:
            self._leave(leaving.popleft()[1])

    def _leave(self, room: Room) -> None:
        self._lobby.forget(room)
        self._endings.forget(room)
        if room.name.startswith(OWN_PREFIX):
            return
        if self._kept < self._keep or not aftermath.unremarkable(room):
            self._kept += len(room.dispatches)
            self.stories.rooms.append(room)
            return
        for dispatch in room.dispatches:
            ending = dispatch.launches[0].outcome
            word = (ending if ending is Outcome.ASSIGNED else Outcome.NO_RESPONSE).value
            self.stories.folded[word] = self.stories.folded.get(word, 0) + 1

    def _drop_own(self) -> None:
        """What lkdoctor's own probes did is no story; their lines were needed until here, to tell whose others are not."""
        stories = self.stories
        stories.rooms[:] = [one for one in stories.rooms if not one.name.startswith(OWN_PREFIX)]
        for worker_id, worker in list(stories.workers.items()):
            if (worker.agent_name or "").startswith(OWN_PREFIX):
                del stories.workers[worker_id]

    def finish(self) -> Stories:
        """Everything is read: judge what is left and hand over the stories."""
        self._endings.settle(None)
        self._pairing.settle_contests()
        stories = self.stories
        stories.last_at = self._now
        stories.rooms.extend(self._lobby.all_open())
        self._drop_own()
        stories.coverage = coverage(stories)
        verdicts = judge.Judge(stories, self._nodes.types)
        followed = aftermath.Aftermath(stories, verdicts.run_of, verdicts.one_of_many)
        for room in stories.rooms:
            verdicts.sort_out(room)
            for dispatch in room.dispatches:
                dispatch.room_id = room.room_id  # the call that made the room does not name it
                dispatch.room_closed = room.closed_at is not None
                verdicts.decide(dispatch, room)
            followed.follow(room)
            alike.settle(room, stories.of_name)
            stories.dispatches.extend(room.dispatches)
        strays = [one for one in self._endings.strays if not one.agent_name.startswith(OWN_PREFIX)]
        for dispatch in strays:
            verdicts.decide(dispatch, None)
        stories.dispatches.extend(strays)
        stories.dispatches.sort(key=lambda one: (one.asked_at or started(one) or 0.0, one.room, one.agent_name))
        return stories
