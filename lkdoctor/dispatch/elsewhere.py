"""Is the log of the server that was asked? Room ids (`RM_…`) never repeat, so a room that only one of the two knows tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from lkdoctor.dispatch.model import Room, Stories
from lkdoctor.dispatch.samples import Life

FETCH_OWN: Final = "the log of the server that was asked, of all its nodes"
MARGIN: Final = 5.0  # s by which a room must lie within both, so that neither a lag nor a clock explains its absence


def elsewhere(stories: Stories, lives: Iterable[Life], server: Callable[[float], float]) -> str:
    """Why the log cannot be (all of) the log of the server whose API was asked, as a part of a sentence; "" when it may be.

    Args:
        stories: what the log alone tells.
        lives: the rooms that the API listed.
        server: a time of the asking machine on the server's clock.

    Only a log that would hold a line of every room is held against the API: at level info, unsampled, of all nodes. A log
    that ends before the first of these rooms was made may be an older one of the same server: nothing is said then.
    """
    found = stories.coverage
    if (
        found.hides_info
        or found.sampled
        or found.nodes_missing
        or found.timeless
        or any(one.redis for one in stories.runs)
    ):
        return ""
    first, last = stories.first_at, stories.last_at
    if first is None or last is None:
        return ""
    known = {room.room_id for room in stories.rooms} | {room.name for room in stories.rooms}
    lives = list(lives)
    for life in lives:
        made = life.info.created_at if life.info is not None else None
        if made is None or life.sid in known or life.name in known or life.gone_by is not None:
            continue
        if first + MARGIN < made < last - MARGIN:
            return f'the server that was asked lists room "{life.name}" ({life.sid}), made while this log was written, and no line is about it'
    return _unlisted(stories, {life.sid for life in lives}, last, server)


def _unlisted(stories: Stories, listed: set[str], last: float, server: Callable[[float], float]) -> str:
    """Rooms that the log shows open at a time at which the API listed all rooms, and not these."""
    sampled = stories.sampled
    if sampled is None or not sampled.every_room:
        return ""
    asked = server(sampled.first_at)
    if last < asked:
        return ""  # it ends before: they may have closed meanwhile
    for room in stories.rooms:
        if room.room_id and room.room_id not in listed and _open_at(room, asked):
            return f'the server that was asked does not list room "{room.name}" ({room.room_id}), which is open by this log'
    return ""


def _open_at(room: Room, at: float) -> bool:
    begun = room.first_at is not None and room.first_at < at - MARGIN
    return begun and (room.closed_at is None or room.closed_at > at + MARGIN)
