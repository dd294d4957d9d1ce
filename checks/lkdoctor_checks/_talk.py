"""What checks of watched rooms share: the group that should talk, subjects, proof and the time of a finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import Wanted
from lkdoctor.dispatch.talks import Presence, Watch
from lkdoctor.doctor.finding import Subject
from lkdoctor_checks import _words as words

LONGER = "Watch again, and begin before the agents come: `lkdoctor talk ROOM --wait 60`."


def groups(watch: Watch, wanted: Wanted) -> Iterator[list[Presence]]:
    """The agents that should talk to each other: those that `--together` names, else all agents of a room without people.

    Somebody who has a room watched for a talk means that its agents talk; beside a person they may well serve the person.
    """
    if wanted.together:
        for group in wanted.together:
            found = [one for one in watch.agents if one.agent_name in group]
            if len({one.identity for one in found}) > 1:
                yield found
    elif not watch.persons and len({one.identity for one in watch.agents}) > 1:
        yield watch.agents


def names(group: Iterable[Presence]) -> str:
    """`"guide-agent", "driver-agent"`."""
    return words.listed(words.quoted(one.called) for one in group)


def group_subject(group: Sequence[Presence]) -> Subject:
    """A group as findings of every evidence name it."""
    return Subject("agent", id="+".join(sorted({one.called for one in group})))


def agent_subject(one: Presence) -> Subject:
    """One agent; by its identity where its name is not known."""
    return Subject("agent", agent_name=one.agent_name) if one.agent_name else Subject("agent", id=one.identity)


def folds(room: str, group: Iterable[Presence]) -> tuple[Subject, ...]:
    """The agents of the room, as symptoms name them."""
    return tuple(
        dict.fromkeys(Subject("agent", room=room, agent_name=one.agent_name) for one in group if one.agent_name)
    )


def proof(watch: Watch, group: Iterable[Presence]) -> tuple[Place, ...]:
    """The watch, and each of these in it."""
    return words.spread((watch.run.place, *(one.place for one in group)))
