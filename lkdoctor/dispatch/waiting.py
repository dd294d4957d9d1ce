"""Tells dispatches that wait for somebody to come, or to publish, from those of which no job came."""

from __future__ import annotations

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Certainty, Outcome, Room, Stories


def tell(stories: Stories) -> None:
    """Set `waiting` where listings show it: the name's jobs elsewhere are all for people or publishers, and none has come.

    The API lists no worker, but a listed job has the type that its worker registered. Workers of the same name and of
    another type may be meant to run and be gone, so the certainty is medium.
    """
    types: dict[str, set[str]] = {}
    for one in stories.dispatches:
        if one.outcome is Outcome.ASSIGNED:
            types.setdefault(one.agent_name, set()).update(each.job_type for each in one.launches if each.job_id)
    for room in stories.rooms:
        if room.looked_at is None:
            continue  # who is there was not listed
        for one in room.dispatches:
            known = types.get(one.agent_name, set())
            if (
                one.outcome is Outcome.NOT_ASSIGNED
                and known
                and rules.JT_ROOM not in known
                and not _raised(known, room)
            ):
                one.outcome, one.certainty = Outcome.WAITING, Certainty.MEDIUM
                one.reason = one.missing = ""


def _raised(types: set[str], room: Room) -> bool:
    """Did somebody come, or publish, for whom a job of one of these types is made?"""
    people = [one for one in room.people if not one.dependent]
    published = any(one.published_at is not None for one in people)
    return (rules.JT_PARTICIPANT in types and bool(people)) or (rules.JT_PUBLISHER in types and published)
