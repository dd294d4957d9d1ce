"""Do the server's nodes know of each other?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from lkdoctor.dispatch.model import Dispatch, Outcome, Room, WorkerSession
from lkdoctor.doctor.codes import NODES_NOT_SHARED
from lkdoctor.doctor.evidence import Dispatches, Rooms, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(NODES_NOT_SHARED)
def nodes_not_shared(
    dispatches: Dispatches, workers: Workers, rooms: Rooms, runs: ServerRuns
) -> Iterator[Finding | Inconclusive]:
    """Several server nodes ran at the same time without a common bus, so each knows only its own workers and rooms.

    ## What it means
    Without `redis:` in its configuration a livekit-server is an island. Behind one address, a worker lands on one node
    and a room on another, and they never meet: agents work by luck, every second or third time.

    ## How it is decided
    Two runs of different nodes overlap in time, and both say `using single-node routing`. It is an error when a
    dispatch on one of them found nobody while a worker of that very name was registered on the other; a warning when
    rooms of one name lived on both at once, so that people who wanted to meet did not; and else only worth knowing, for
    two islands may be two servers on purpose.

    ## How to fix
    Give every node the same `redis:` section and restart it; the log then says `connecting to redis`. Or run one node.

    ## When it is not a problem
    Two servers that have nothing to do with each other (staging and production), given to lkdoctor in one go. A restart
    is not two nodes: its runs follow each other. Neither are two copies of one node's log: they carry one node id.
    """
    islands = [one for one in runs if one.redis is False and not one.config_refused]
    pairs = [
        (one, other)
        for one, other in combinations(islands, 2)
        # The same node id twice is one node's log given twice (LKD904).
        if one.stream != other.stream and not words.same_node(one, other) and words.overlap(one, other)
    ]
    if not pairs:
        return
    streams = sorted({run.stream for pair in pairs for run in pair})
    missed = [(one, away) for one in _unserved(dispatches) if (away := _elsewhere(one, workers, streams)) is not None]
    group = [one for one, _ in missed]
    split = _rooms_on_both(rooms, streams)
    first, last = words.when(group)
    lost = (
        f"; {words.counted(len(group), 'dispatch', 'dispatches')} of "
        f"{words.listed(sorted({words.quoted(one.agent_name) for one in group}))} found nobody on one node while the "
        "worker was registered on the other"
        if group
        else ""
    )
    yield Finding(
        NODES_NOT_SHARED,
        Subject("server"),
        f"{len(streams)} nodes ran at the same time and share no bus ({words.listed(streams)}, both with single-node "
        f"routing){lost}{_split_text(split)}.",
        NODES_NOT_SHARED.severity if group else Severity.WARNING if split else Severity.INFO,
        Confidence.HIGH if group else Confidence.MEDIUM,
        {
            "nodes": streams,
            "agent_names": sorted({one.agent_name for one in group}),
            "rooms_on_both": split[:20],
            "worker_ids": sorted({away.worker_id for _, away in missed})[:20],
        },
        words.spread(
            [
                *(place for pair in pairs[:2] for run in pair for place in run.proof[:1]),
                *words.proof_of(group, (away for _, away in missed), 4),
            ]
        ),
        (
            Fix(
                "Give all nodes one redis",
                steps=(
                    "Put the same `redis: {address: …}` into every node's livekit.yaml and restart them.",
                    "Or run a single node.",
                ),
                verify=("Every node logs `connecting to redis`, none `using single-node routing`.",),
            ),
        ),
        folds=words.folds_of(group),
        count=max(1, len(group)),
        first_at=first,
        last_at=last,
    )


def _rooms_on_both(rooms: Rooms, streams: list[str]) -> list[str]:
    """Names of rooms that lived on two islands at the same time."""
    lives: dict[str, list[Room]] = {}
    for one in rooms:
        if one.stream in streams and one.people and one.first_at is not None:
            lives.setdefault(one.name, []).append(one)
    return sorted(
        name
        for name, group in lives.items()
        if any(one.stream != other.stream and _together(one, other) for one, other in combinations(group[:50], 2))
    )


def _together(one: Room, other: Room) -> bool:
    """Were both open at once?"""
    ends = [life.closed_at if life.closed_at is not None else float("inf") for life in (one, other)]
    return max(one.first_at or 0.0, other.first_at or 0.0) < min(ends)


def _split_text(split: list[str]) -> str:
    """The rooms that people entered on two nodes."""
    if not split:
        return ""
    return f"; {words.listed(words.marked(name) for name in split)} lived on two of them at once"


def _unserved(dispatches: Dispatches) -> list[Dispatch]:
    """Named dispatches that found nobody."""
    return [one for one in dispatches.ended(Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE) if words.wanted(one)]


def _elsewhere(one: Dispatch, workers: Workers, streams: list[str]) -> WorkerSession | None:
    """The open worker of the name on another island."""
    launch = one.deciding
    here = launch.node if launch is not None else None
    for session in words.alive(workers.named(one.agent_name), words.asked(one)):
        if here is not None and session.stream != here and session.stream in streams:
            return session
    return None
