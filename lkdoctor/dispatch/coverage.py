"""What the evidence as a whole cannot show, and what to fetch to see it."""

from __future__ import annotations

from typing import Final

from lkdoctor.dispatch.model import Coverage, Launch, Stories

FETCH_START: Final = (
    "the server's log from its start (`starting LiveKit server`) on, or at least from before the workers registered"
)
FETCH_LEVEL: Final = "the same log at `logging.level: info`"
FETCH_NODES: Final = "the logs of all nodes that share this redis, for the same time"
FETCH_ALL: Final = "the whole log, without sampling (`logging.sample`), of all nodes"
FETCH_LATER: Final = "a log that goes on for at least 10 s after the dispatch"


def coverage(stories: Stories) -> Coverage:
    """What the evidence as a whole cannot show."""
    runs = [run for run in stories.runs if not run.config_refused]
    found = Coverage()
    found.timeless = stories.last_at is None and bool(runs)
    streams = {run.stream for run in runs}
    late = [run for run in runs if not run.start_seen]
    if late and not found.timeless:
        found.starts_late = True
        found.reasons.append(f"the evidence of {late[0].stream} starts after the server did: fetch {FETCH_START}")
    if any(run.warn_seen and not run.info_seen for run in runs):
        found.hides_info = True
        found.reasons.append(f"the level hides info lines, which carry most endings of a dispatch: fetch {FETCH_LEVEL}")
    known = {run.node_id for run in runs if run.node_id}
    placed = set().union(*(run.placed_on for run in runs)) if runs else set()
    most_refusing = max((one.nodes_refusing for one in all_launches(stories)), default=0)
    if any(run.redis for run in runs) and (placed - known or most_refusing > len(streams)):
        found.nodes_missing = True
        found.reasons.append(f"other nodes took part whose logs are not here: fetch {FETCH_NODES}")
    if not late and _jobs_unseen(stories):
        found.sampled = True
        found.reasons.append(f"agents joined for jobs that no line assigns, so lines are missing: fetch {FETCH_ALL}")
    if found.timeless:
        found.reasons.append("the lines carry no time, so their order and what lies between is not known")
    found.complete = not (
        found.starts_late or found.hides_info or found.nodes_missing or found.timeless or found.sampled
    )
    return found


def _jobs_unseen(stories: Stories) -> bool:
    """Did an agent of the default identity, which is its job's id, come into a room for a job that no line assigns?"""
    jobs = {launch.job_id for launch in all_launches(stories)}
    return any(
        one.identity.startswith("agent-AJ_") and one.joined_at is not None and one.identity[6:] not in jobs
        for room in stories.rooms
        for one in room.agents
    )


def all_launches(stories: Stories) -> list[Launch]:
    """Every launch of every room; what only a line without a room tells of is left out."""
    return [launch for room in stories.rooms for one in room.dispatches for launch in one.launches]
