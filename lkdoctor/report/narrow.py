"""Leaves out what the user did not ask for: by code, room and agent name. Nothing is lost silently."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import replace

from lkdoctor.dispatch.model import Dispatch, Outcome, Stories
from lkdoctor.dispatch.talks import Presence, TalkRun
from lkdoctor.doctor.catalogue import Catalogue
from lkdoctor.doctor.codes import (
    API_KEY_UNKNOWN,
    API_SECRET_WRONG,
    CLOCK_SKEW,
    CODES,
    GRANT_MISSING,
    INPUT_UNREADABLE,
)
from lkdoctor.doctor.engine import CheckOutcome, Diagnosis, Result
from lkdoctor.doctor.finding import Code, Finding, Subject
from lkdoctor.doctor.gate import OWN
from lkdoctor.report.build import Settings
from lkdoctor.report.suppress import LeftOut, without

# What lkdoctor could not do is told whatever was selected.
ALWAYS = OWN | {INPUT_UNREADABLE.id}
AT_THE_DOOR = frozenset({API_KEY_UNKNOWN, API_SECRET_WRONG, CLOCK_SKEW, GRANT_MISSING})
_NOBODY = frozenset({Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE, Outcome.NOT_ASSIGNED, Outcome.UNKNOWN})


def narrow(stories: Stories, diagnosis: Diagnosis, settings: Settings) -> tuple[Stories, Diagnosis, list[LeftOut]]:
    """The stories and findings that were asked for, and the findings left out by `--ignore`."""
    left: list[LeftOut] = []
    catalogue = Catalogue({*CODES, *(one.code for one in diagnosis.outcomes)})
    if settings.rooms or settings.agents:
        stories, diagnosis = _by_subject(stories, diagnosis, settings)
    if settings.select:
        diagnosis = _selected(diagnosis, _codes(catalogue, settings.select))
    if settings.ignore:
        diagnosis, left = _without(diagnosis, catalogue, settings.ignore)
    return stories, diagnosis, left


def unknown_names(stories: Stories, settings: Settings) -> str:
    """Which of the rooms and agent names asked for the evidence does not hold, and what comes near; "" when it has all.

    A gate on a misspelt room would else be green for ever.
    """
    rooms = {one.name for one in stories.rooms} | {one.room for one in stories.dispatches} | set(_watched(stories))
    agents = {one.agent_name for one in stories.dispatches} | {one.agent_name or "" for one in stories.workers.values()}
    agents |= {name for one in stories.rooms for ask in one.asks for name in ask.names}
    for option, wanted, known in (("--room", settings.rooms, rooms), ("--agent", settings.agents, agents)):
        for name in wanted:
            if name not in known:
                by_low = {one.lower(): one for one in sorted(known) if one}
                near = difflib.get_close_matches(name.lower(), by_low, n=3)
                meant = " or ".join(repr(by_low[one]) for one in near)
                hint = f" Did you mean {meant}?" if meant else " `lkdoctor check` without it lists every dispatch."
                return f"{option}: nothing in this evidence is called {name!r}.{hint}"
    return ""


def _codes(catalogue: Catalogue, words: Iterable[str]) -> frozenset[Code]:
    return frozenset().union(*(catalogue.select(word) for word in words))


def _by_subject(stories: Stories, diagnosis: Diagnosis, settings: Settings) -> tuple[Stories, Diagnosis]:
    rooms, agents = set(settings.rooms), set(settings.agents)

    def wanted(one: Dispatch) -> bool:
        return (not rooms or one.room in rooms) and (not agents or one.agent_name in agents)

    kept = [one for one in stories.dispatches if wanted(one)]
    their_rooms = {one.room for one in kept} | rooms
    # Who is expected is asked about, most of all where no dispatch names it.
    expected = {*stories.wanted.agents, *(name for group in stories.wanted.together for name in group)}
    expected |= {name for room in rooms for name in _watched(stories).get(room, ())}
    their_agents = {one.agent_name for one in kept} | agents | expected

    def about(subject: Subject) -> bool:
        if subject.room and subject.room not in their_rooms:
            return False
        return subject.agent_name is None or subject.agent_name in their_agents

    def keep(one: Finding) -> bool:
        if rooms and one.code in AT_THE_DOOR and not _shut_out(one, kept):
            return False
        # What a token or a call asked for in vain has no dispatch in the room; the finding names the room itself.
        named = one.values.get("rooms")
        mine = isinstance(named, (list, tuple)) and not rooms.isdisjoint(named)
        if mine and (not agents or one.subject.agent_name in agents):
            return True
        # The dispatches say which rooms a finding is about; what else it accounts for has no room.
        placed = [subject for subject in one.folds if subject.room]
        return any(about(subject) for subject in placed or one.folds or (one.subject,))

    stories = replace(stories, dispatches=kept, folded={})
    return stories, replace(
        diagnosis,
        findings=tuple(one for one in diagnosis.findings if keep(one)),
        symptoms=tuple(one for one in diagnosis.symptoms if keep(one)),
        questions=tuple(one for one in diagnosis.questions if about(one.open.subject)),
    )


def _watched(stories: Stories) -> dict[str, set[str]]:
    """Rooms that somebody watched, each with the names of the agents that were seen in it."""
    found: dict[str, set[str]] = {one.room: set() for one in stories.facts.get(TalkRun, ()) if isinstance(one, TalkRun)}
    for one in stories.facts.get(Presence, ()):
        if isinstance(one, Presence) and one.is_agent:
            found.setdefault(one.room, set()).add(one.agent_name)
    return found


def _shut_out(one: Finding, kept: Iterable[Dispatch]) -> bool:
    """May who was turned away be what a room lacks? No line says which room a refused request was for.

    A worker that got in nowhere may, where a dispatch of the room found nobody; a participant or a call has nothing to do
    with the rooms that are there.
    """
    door = one.values.get("door")
    return door is None or (door == "worker" and any(each.came_to in _NOBODY for each in kept))


def _selected(diagnosis: Diagnosis, codes: frozenset[Code]) -> Diagnosis:
    chosen = {one.id for one in codes} | ALWAYS
    beneath = {one.fingerprint: one.code.id for one in diagnosis.symptoms}

    # A selected symptom keeps its cause: asking about LKD301 must not hide that LKD202 is why.
    def keep(one: Finding) -> bool:
        return one.code.id in chosen or any(beneath.get(mark) in chosen for mark in one.explains)

    findings = tuple(one for one in diagnosis.findings if keep(one))
    marks = {mark for one in findings for mark in one.explains}
    return replace(
        diagnosis,
        findings=findings,
        symptoms=tuple(one for one in diagnosis.symptoms if one.fingerprint in marks),
        questions=tuple(one for one in diagnosis.questions if one.code.id in chosen),
        outcomes=tuple(_skipped(one, lambda code: code.id in chosen, "not selected") for one in diagnosis.outcomes),
    )


def _without(diagnosis: Diagnosis, catalogue: Catalogue, words: Iterable[str]) -> tuple[Diagnosis, list[LeftOut]]:
    by_code = {code.id: f"--ignore {word}" for word in words for code in catalogue.select(word)}
    for own in OWN:
        by_code.pop(own, None)
    dropped = {
        one.fingerprint: LeftOut(one, by_code[one.code.id])
        for one in (*diagnosis.findings, *diagnosis.symptoms)
        if one.code.id in by_code
    }
    diagnosis, left = without(diagnosis, dropped)
    return replace(
        diagnosis,
        questions=tuple(one for one in diagnosis.questions if one.code.id not in by_code),
        outcomes=tuple(_skipped(one, lambda code: code.id not in by_code, "ignored") for one in diagnosis.outcomes),
    ), left


def _skipped(one: CheckOutcome, wanted: Callable[[Code], bool], why: str) -> CheckOutcome:
    return one if wanted(one.code) else replace(one, result=Result.SKIPPED, reason=why)
