"""What several checks share: how to group dispatches, pick proof, name things, and the fixes that come up again."""

from __future__ import annotations

import bisect
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Final

from lkdoctor.dispatch.facts import NAME_NOT_PRINTED, Place
from lkdoctor.dispatch.model import (
    Certainty,
    Dispatch,
    Launch,
    Outcome,
    Room,
    ServerRun,
    WorkerSession,
)
from lkdoctor.doctor.finding import Confidence, Fix, Subject
from lkdoctor.wording import counted as counted  # noqa: PLC0414 - one of the words that checks use

MAX_PROOF = 6
MAX_LISTED = 5


# -- words ------------------------------------------------------------------------------------------------------------
def quoted(name: str) -> str:
    """The agent name in quotes; the empty name is the unnamed worker, which has no name to quote."""
    if name == NAME_NOT_PRINTED:
        return "an agent that the lines do not name"
    return f'"{name}"' if name else "the unnamed agent"


def marked(text: str) -> str:
    """A room, an identity or a deployment in quotes."""
    return f'"{text}"'


def listed(words: Iterable[str], limit: int = MAX_LISTED) -> str:
    """`a, b and 3 more`; the order is kept."""
    every = list(dict.fromkeys(words))
    if len(every) <= limit:
        return ", ".join(every)
    return f"{', '.join(every[:limit])} and {len(every) - limit} more"


def rooms_of(dispatches: Iterable[Dispatch]) -> str:
    """The rooms of these dispatches, quoted and shortened."""
    names = list(dict.fromkeys(one.room for one in dispatches if one.room))
    if not names:
        return "a room that the lines do not name"
    return f"{'room' if len(names) == 1 else 'rooms'} {listed(marked(name) for name in names)}"


def clock(at: float | None) -> str:
    """A time in UTC as people read it; empty for an unknown one."""
    if at is None:
        return "an unknown time"
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: float) -> str:
    """`0.4 s`, `12 s`, `7 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def between(values: Iterable[float]) -> str:
    """`2.3 s`, or `2.3 s to 8.1 s`."""
    every = list(values)
    low, high = span(max(0.0, min(every))), span(max(0.0, *every))
    return low if low == high else f"{low} to {high}"


# -- grouping ---------------------------------------------------------------------------------------------------------
def by_name(dispatches: Iterable[Dispatch]) -> dict[str, list[Dispatch]]:
    """Dispatches by agent name, names sorted, each list in time order: one cause, one finding."""
    groups: dict[str, list[Dispatch]] = {}
    for one in dispatches:
        groups.setdefault(one.agent_name, []).append(one)
    return {name: sorted(groups[name], key=lambda one: asked(one) or 0.0) for name in sorted(groups)}


def wanted(dispatch: Dispatch) -> bool:
    """True when somebody asked for this agent by name.

    The unnamed dispatch is made for every room that names no agent. Nobody may have meant it, so its failure alone is
    never a fault.
    """
    return dispatch.explicit and dispatch.agent_name != ""


def asked(dispatch: Dispatch) -> float | None:
    """When the dispatch was asked for, else the first time known of it."""
    if dispatch.asked_at is not None:
        return dispatch.asked_at
    launch = dispatch.deciding
    if launch is None:
        return None
    return launch.asked_at if launch.asked_at is not None else launch.ended_at


def when(dispatches: Sequence[Dispatch]) -> tuple[float | None, float | None]:
    """First and last time of these dispatches, in Unix seconds."""
    times = sorted(at for at in (asked(one) for one in dispatches) if at is not None)
    return (times[0], times[-1]) if times else (None, None)


def subject_of(dispatch: Dispatch) -> Subject:
    """The dispatch as a finding's `folds` name it: room and agent name, no server id."""
    return Subject("dispatch", room=dispatch.room, agent_name=dispatch.agent_name)


def folds_of(dispatches: Iterable[Dispatch]) -> tuple[Subject, ...]:
    """Each dispatch once, in order."""
    return tuple(dict.fromkeys(subject_of(one) for one in dispatches))


def sure(dispatches: Iterable[Dispatch]) -> Confidence:
    """How sure the best paired of these dispatches is; one certain case is enough for the cause."""
    best = Certainty.LOW
    for one in dispatches:
        launch = one.deciding
        best = max(best, min(one.certainty, launch.certainty) if launch else one.certainty)
    return Confidence(int(best))


# -- proof ------------------------------------------------------------------------------------------------------------
def spread(places: Iterable[Place], limit: int = MAX_PROOF) -> tuple[Place, ...]:
    """The first, the last and a few between; each place once."""
    every = list(dict.fromkeys(places))
    if len(every) <= limit:
        return tuple(every)
    step = (len(every) - 1) / (limit - 1)
    return tuple(every[round(index * step)] for index in range(limit))


def ending(dispatch: Dispatch) -> list[Place]:
    """The line that ended the deciding launch; failing that, whatever speaks of the dispatch."""
    launch = dispatch.deciding
    if launch is not None and launch.proof:
        return [launch.proof[-1]]
    return dispatch.proof[-1:]


def proof_of(
    dispatches: Sequence[Dispatch], workers: Iterable[WorkerSession] = (), limit: int = MAX_PROOF
) -> tuple[Place, ...]:
    """Lines of the dispatches, with up to two lines of workers kept beside them."""
    beside = spread((place for one in workers for place in one.proof[:1]), 2)
    return spread((place for one in dispatches for place in ending(one)), limit - len(beside)) + beside


# -- who was there ----------------------------------------------------------------------------------------------------
def alive(workers: Iterable[WorkerSession], at: float | None) -> list[WorkerSession]:
    """Sessions whose socket was open at `at`; none when the time is not known."""
    return [] if at is None else [one for one in workers if one.alive_at(at)]


class Attendance:
    """When workers were there, for many questions about many sessions; a refused registration never was."""

    def __init__(self, sessions: Iterable[WorkerSession]) -> None:
        every = [one for one in sessions if not one.refused]
        self._starts = sorted(one.registered_at if one.registered_at is not None else _NEVER for one in every)
        self._ends = sorted(one.closed_at if one.closed_at is not None else -_NEVER for one in every)
        self._came = sorted((one for one in every if one.registered_at is not None), key=_came)
        self._left = sorted((one for one in every if one.closed_at is not None), key=_left)

    def anybody(self, at: float) -> bool:
        """Was a socket open at `at`?"""
        return bisect.bisect_right(self._starts, at) > bisect.bisect_left(self._ends, at)

    def anybody_before(self, at: float) -> bool:
        """Had a worker registered before `at`, alive or gone by then?"""
        return bool(self._starts) and self._starts[0] < at

    def first_came(self, since: float, until: float) -> WorkerSession | None:
        """The first one to register in `since` <= t < `until`."""
        index = bisect.bisect_left(self._came, since, key=_came)
        return self._came[index] if index < len(self._came) and _came(self._came[index]) < until else None

    def last_left(self, at: float) -> WorkerSession | None:
        """The last one whose socket had closed by `at`."""
        index = bisect.bisect_right(self._left, at, key=_left)
        return self._left[index - 1] if index else None

    def first_left(self, since: float, until: float) -> WorkerSession | None:
        """The first one whose socket closed in `since` <= t <= `until`."""
        index = bisect.bisect_left(self._left, since, key=_left)
        return self._left[index] if index < len(self._left) and _left(self._left[index]) <= until else None


_NEVER = float("-inf")


def _came(one: WorkerSession) -> float:
    return one.registered_at or 0.0


def _left(one: WorkerSession) -> float:
    return one.closed_at or 0.0


def launch_type(dispatch: Dispatch) -> str:
    """The deciding job type, empty when nothing decided."""
    launch = dispatch.deciding
    return launch.job_type if launch else ""


def same_type(session: WorkerSession, job_type: str) -> bool:
    """True unless both types are known and differ."""
    return not session.job_type or not job_type or session.job_type == job_type


def run_of(runs: Iterable[ServerRun], launch: Launch | None, at: float | None) -> ServerRun | None:
    """The server run that a launch belongs to: same stream, and alive then; the only run when there is one."""
    every = list(runs)
    if len(every) == 1:
        return every[0]
    here = [one for one in every if launch is not None and one.stream == launch.node]
    for one in here:
        since = one.started_at if one.started_at is not None else one.first_at
        until = one.stopped_at if one.stopped_at is not None else one.last_at
        if at is not None and (since is None or since <= at) and (until is None or at <= until):
            return one
    return here[-1] if here else None


def overlap(one: ServerRun, other: ServerRun) -> bool:
    """Did both run at the same time for at least a second?"""
    since = [run.started_at if run.started_at is not None else run.first_at for run in (one, other)]
    until = [run.stopped_at if run.stopped_at is not None else run.last_at for run in (one, other)]
    starts = [at for at in since if at is not None]
    ends = [at for at in until if at is not None]
    return len(starts) == len(ends) == 2 and min(ends) - max(starts) > 1


def same_node(one: ServerRun, other: ServerRun) -> bool:
    """True when both carry one node id: a server draws a new one at each start, so the logs are of one process."""
    return bool(one.node_id) and one.node_id == other.node_id


def copies(runs: Iterable[ServerRun]) -> dict[str, list[str]]:
    """Streams that hold the same node's lines of the same time, by node id."""
    found: dict[str, list[str]] = {}
    by_id: dict[str, list[ServerRun]] = {}
    for one in runs:
        if one.node_id:
            by_id.setdefault(one.node_id, []).append(one)
    for node_id, group in by_id.items():
        for index, one in enumerate(group):
            for other in group[index + 1 :]:
                if one.stream != other.stream and overlap(one, other):
                    found.setdefault(node_id, []).extend((one.stream, other.stream))
    return {node_id: sorted(set(streams)) for node_id, streams in sorted(found.items())}


def end_of(runs: Iterable[ServerRun]) -> float | None:
    """The last time that any run was seen: the end of the evidence."""
    times = [one.last_at for one in runs if one.last_at is not None]
    return max(times) if times else None


def present(joined: float | None, left: float | None, since: float, until: float) -> float:
    """Seconds of `since`..`until` during which somebody was there; an unknown arrival counts as not there."""
    if joined is None:
        return 0.0
    return max(0.0, min(until, left if left is not None else until) - max(since, joined))


def rooms_by_id(rooms: Iterable[Room]) -> dict[str, Room]:
    """Rooms by `RM_`; a life without a known id is left out."""
    return {one.room_id: one for one in rooms if one.room_id}


def assigned_jobs(dispatches: Iterable[Dispatch]) -> list[tuple[Dispatch, Launch]]:
    """Every assigned launch with a known worker and time, oldest first."""
    found = [
        (one, launch)
        for one in dispatches
        for launch in one.launches
        if launch.outcome is Outcome.ASSIGNED and launch.worker_id and launch.ended_at is not None
    ]
    return sorted(found, key=lambda pair: pair[1].ended_at or 0.0)


# -- fixes ------------------------------------------------------------------------------------------------------------
def shell(text: str) -> str:
    """The text as one word of a command line."""
    return shlex.quote(text)


# By the sources of both SDKs; livekit-agents 1.3.12 does not read it, 1.5.17 and @livekit/agents 1.9.0 do.
NAME_VARIABLE: Final = (
    "LIVEKIT_AGENT_NAME is read from livekit-agents 1.5.7 and @livekit/agents 1.3.2 on, where the code has no name."
)
# CreateRoom alone would bring LKD307: whoever joins a room that is there brings no agent.
ROOM_FIRST: Final = (
    "Name the agents in that call (`agents`; `lk room create --agents-file`), or dispatch them into the room afterwards: agents "
    "of a token do not count in a room that is there."
)


def dispatch_command(room: str, agent_name: str, deployment: str = "") -> str:
    """The command line that asks for the agent in a live room; without a room in one that the reader names."""
    agent_name = "AGENT" if agent_name == NAME_NOT_PRINTED else agent_name
    place = f" --deployment {shlex.quote(deployment)}" if deployment else ""
    return f"lk dispatch create --room {shlex.quote(room or 'ROOM')} --agent-name {shlex.quote(agent_name)}{place}"


def open_name(room: Room) -> str:
    """The room's name while it lives, else nothing: a dispatch to one that has closed would make it anew, without its people."""
    return room.name if room.closed_at is None else ""


def worker_command(agent_name: str) -> str:
    """The command line that lets the reference worker stand in: never refused by load, on any free HTTP port."""
    agent_name = "AGENT" if agent_name == NAME_NOT_PRINTED else agent_name
    called = f"--name {shlex.quote(agent_name)}" if agent_name else "--auto-dispatch"
    return f"lkdoctor worker {called} --zero-load --http-port 0"


def ask_again(dispatches: Sequence[Dispatch], deployment: str | None = None) -> Fix:
    """Nothing is retried by an open-source server, so rooms that still live need a new dispatch. One that has closed needs
    none: CreateDispatch would make it anew. `deployment`: another one than the lost dispatch named."""
    still = [one for one in dispatches if not one.room_closed]
    if not still:
        return Fix(
            "Nothing to ask again: the rooms have closed",
            steps=(
                "An open-source server never retries a launch; once the cause is gone, the next room gets its agent.",
            ),
            verify=(
                "The server logs `assigned job to worker` with this agentName about 0.2 s after the next dispatch.",
            ),
        )
    last = still[-1]
    return Fix(
        "Ask again for the rooms that are still open",
        steps=(
            "An open-source server never retries a launch, and a worker that registers later does not pick up earlier rooms.",
            "Make a new dispatch for each room that still waits, or let its users leave until it closes and rejoin.",
        ),
        commands=(dispatch_command(last.room, last.agent_name, last.deployment if deployment is None else deployment),),
        caveats=(
            (
                "Where an agent came after all, a new dispatch brings a second one. Metadata of the first is to be given again: "
                "`--metadata`."
            ),
        ),
        verify=("The server logs `assigned job to worker` with this agentName about 0.2 s later.",),
    )
