"""`lkdoctor why SUBJECT`: the story of one room, agent, worker, job, dispatch or participant, in words, with proof."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from typing import Final

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import Dispatch, Outcome, Stories
from lkdoctor.redact import mask
from lkdoctor.report import containers
from lkdoctor.report.json_v1 import Report
from lkdoctor.report.rows import Quoted, Resolve, iso
from lkdoctor.report.screen import Screen, clean
from lkdoctor.report.text import Text
from lkdoctor.report.timeline import Happening, Tag, happenings, name_of, server_lives
from lkdoctor.report.words import clock, looked_at
from lkdoctor.report.worker_timeline import worker_happenings
from lkdoctor.wording import counted

MOST: Final = 200  # happenings told without -v
CUT: Final = 20  # rooms that a finding's values name at most
FEW: Final = 8  # workers that are all named when nobody served the name asked for
WORDS: Final = {
    "room": "room",
    "agent": "agent name",
    "worker": "worker",
    "job": "job",
    "dispatch": "dispatch",
    "participant": "participant",
}


class UnknownSubjectError(LookupError):
    """Nothing in the evidence goes by this name; the message says what comes near."""


class Story:
    """What the evidence says about one subject."""

    def __init__(self, stories: Stories, subject: str) -> None:
        """Find `subject` among the rooms, agent names, ids and identities of the evidence.

        Raises:
            UnknownSubjectError: it is none of them.
        """
        self.subject = subject
        every = [*happenings(stories), *worker_happenings(stories)]
        known: set[Tag] = {tag for one in every for tag in one.tags}
        self.kinds = [kind for kind in WORDS if (kind, subject) in known and subject]
        if not self.kinds:
            raise UnknownSubjectError(_unknown(subject, known))
        wanted = {(kind, subject) for kind in self.kinds}
        mine = [one for one in every if wanted & one.tags]
        if "room" in self.kinds or "job" in self.kinds or "dispatch" in self.kinds:
            # Who was registered under the names asked for belongs to the story, as far as it matters to these rooms.
            names = {value for one in mine for kind, value in one.tags if kind == "agent"}
            unserved = any(one.outcome is Outcome.NAME_NOT_SERVED for one in stories.dispatches if wanted & _ids(one))
            if unserved and len(stories.workers) <= FEW:
                names = {one.agent_name or "" for one in stories.workers.values()}  # who was there instead
            chosen = {id(one) for one in mine}
            mine += [one for one in every if id(one) not in chosen and _registration(one, names, mine)]
        times = [one.at for one in mine if one.at is not None]
        if times:  # a restart takes workers and rooms away: it belongs to the story of each of them
            mine += [one for one in server_lives(stories) if one.at is not None and min(times) < one.at <= max(times)]
        # Stable: things of one moment stay in the order of cause and effect.
        self.happenings = sorted(mine, key=_time)
        self.dispatches = [one for one in stories.dispatches if wanted & _ids(one)]

    def lines(self, report: Report, resolve: Resolve, screen: Screen, *, verbose: bool = False) -> list[str]:
        """The story as text; `report` is that of the same evidence, narrowed to nothing."""
        lines = screen.wrap(mask(self._headline()), style="head")
        lines += [*screen.wrap(looked_at(report), style="dim"), ""]
        shown = self.happenings if verbose else self.happenings[:MOST]
        quotes = resolve([place for one in shown for place in one.places])
        day, drop = "", 0
        before: Quoted | None = None
        for one in shown:
            at = iso(one.at)
            if at and at[:10] != day:
                day = at[:10]
                lines.append(screen.paint(f"{day} (UTC)", "dim"))
            stamp = at[11:23] if at else "time unknown"
            told = screen.wrap(mask(one.text), f"  {stamp}  ", " " * 16)
            if one.bad:
                told = [screen.paint(line, "bad") for line in told]
            chosen = _chosen(one, quotes)
            if chosen is not None and chosen == before:
                del lines[-drop:]  # one line often tells several things: it stands once, below them
            quote = [] if chosen is None else self._quote(one, chosen, screen, verbose)
            lines += told + quote
            before, drop = chosen, len(quote)
        if len(shown) < len(self.happenings):
            lines.append(screen.paint(f"  … and {len(self.happenings) - len(shown):,} more; -v tells them", "dim"))
        for reason in dict.fromkeys(one.reason for one in self.dispatches if one.reason):
            lines += ["", *screen.wrap(mask(reason), "Not certain: ")]
        ids = {value for one in self.happenings for kind, value in one.tags if kind == "worker"}
        placed = containers.lines([one for one in report.containers if one["worker_id"] in ids], screen)
        return [*lines, *self._findings(report, screen, verbose), *([""] if placed else []), *placed]

    def _headline(self) -> str:
        what = f'{" and ".join(WORDS[kind] for kind in self.kinds).capitalize()} "{self.subject}"'
        if not self.dispatches:
            return f"{what}: {counted(len(self.happenings), 'happening')}."
        if len(self.dispatches) <= 3:
            parts = [f"{name_of(one.agent_name)}{_place(one, self.kinds)} {_outcome(one)}" for one in self.dispatches]
            return f"{what}: {'; '.join(parts)}."
        counts = Counter(one.outcome.value for one in self.dispatches)
        parts = [f"{number:,} {word}" for word, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        return f"{what}: {counted(len(self.dispatches), 'dispatch', 'dispatches')}: {', '.join(parts)}."

    @staticmethod
    def _quote(one: Happening, chosen: Quoted, screen: Screen, verbose: bool) -> list[str]:
        at = chosen.source if chosen.line is None else f"{chosen.source}:{chosen.line}"
        bar = " " * 16 + "| "
        if verbose:
            return screen.wrap(f"{at}  {mask(chosen.text)}", bar, bar, style="dim")
        room = max(20, screen.width - len(bar))
        # The message and its fields say more than time, level and logger, which one line has no room for.
        starts = [chosen.text.find(word) for word in one.says if word and word in chosen.text]
        text = clean(f"{at}  {mask(chosen.text[min(starts, default=0) :])}")
        return [bar + screen.paint(text if len(text) <= room else text[: room - 1] + "…", "dim")]

    def _findings(self, report: Report, screen: Screen, verbose: bool) -> list[str]:
        writer = Text(report, screen, verbose)
        rooms = {one.room for one in self.dispatches}
        names = {one.agent_name for one in self.dispatches}
        placed = bool({"room", "job", "dispatch", "participant"} & set(self.kinds))
        lines: list[str] = []
        for one in report.findings:
            subject = one.subject
            if placed and rooms and _elsewhere(one.values.get("rooms"), rooms):
                continue
            # What names it as its subject belongs here, though its proof (a container, a file) is no happening.
            about = self.subject in {subject.room, subject.agent_name, subject.id}
            told = self.subject in one.message or (subject.agent_name in names and subject.room in rooms | {""})
            if about or (told and any(_touches(proof.offset, proof.source, self) for proof in one.proof)):
                lines += ["", *writer.finding(one)]
        return lines


def _chosen(one: Happening, quotes: Mapping[Place, Quoted]) -> Quoted | None:
    """The line that proves it: the one with the server's message for it."""
    found = [quotes[place] for place in one.places if place in quotes]
    proving = [quote for quote in found if any(word and word in quote.text for word in one.says)]
    return proving[0] if proving else found[0] if found and not one.says else None


def _elsewhere(named: object, rooms: set[str]) -> bool:
    """Is a finding about other rooms only, though the same worker stands in its proof? A full list may have been cut."""
    return isinstance(named, list) and 0 < len(named) < CUT and not rooms.intersection(named)


def _touches(offset: int | None, source: str, story: Story) -> bool:
    return any(place.offset == offset and place.source == source for one in story.happenings for place in one.places)


def _time(one: Happening) -> float:
    return one.at if one.at is not None else float("-inf")


def _registration(one: Happening, names: set[str], mine: list[Happening]) -> bool:
    kinds = {kind for kind, _ in one.tags}
    if kinds != {"worker", "agent"} or not any(kind == "agent" and value in names for kind, value in one.tags):
        return False
    times = [item.at for item in mine if item.at is not None]
    return one.at is None or not times or one.at <= max(times)


def _ids(one: Dispatch) -> set[Tag]:
    ids = {("room", one.room), ("room", one.room_id), ("agent", one.agent_name), ("dispatch", one.dispatch_id or "")}
    for launch in one.launches:
        ids |= {("job", launch.job_id or ""), ("worker", launch.worker_id or "")}
        ids |= {("worker", worker) for worker in launch.asked_workers}
    if one.participant is not None:
        ids |= {("participant", one.participant.identity), ("participant", one.participant.sid)}
    return ids


def _place(one: Dispatch, kinds: list[str]) -> str:
    return "" if "room" in kinds else f' in room "{one.room}"'


def _outcome(one: Dispatch) -> str:
    word = "was assigned" if one.outcome.value == "assigned" else f"got no agent ({one.outcome.value})"
    if one.outcome.value in {"unknown", "pending", "waiting"}:
        word = f"is {one.outcome.value}"
    at = f" at {clock(iso(one.asked_at))} UTC" if one.asked_at is not None else ""
    after = {"never-joined": " and its agent never joined", "joined": " and its agent joined"}
    later = {"left": " and its agent left later", "ended": " and its job has ended"}
    return f"{word}{({**after, **later}).get(one.after.value, '') if one.after else ''}{at and f' (asked{at})'}"


def _unknown(subject: str, known: set[Tag]) -> str:
    values = sorted({value for _, value in known if value})
    folded = {value.lower(): value for value in values}
    near = difflib.get_close_matches(subject.lower(), list(folded), n=3, cutoff=0.6)
    if near:
        kinds = {value: kind for kind, value in sorted(known)}
        meant = " or ".join(f"{folded[one]!r} ({WORDS[kinds[folded[one]]]})" for one in near)
        return f"nothing in this evidence is called {subject!r}. Did you mean {meant}?"
    rooms = [value for kind, value in sorted(known) if kind == "room" and not value.startswith("RM_") and value]
    names = [value for kind, value in sorted(known) if kind == "agent" and value]
    return (
        f"nothing in this evidence is called {subject!r}. "
        f"Rooms in it: {_few(rooms)}. Agent names: {_few(names)}. `lkdoctor check` lists every dispatch."
    )


def _few(values: list[str]) -> str:
    return ", ".join(values[:5]) + (f" and {len(values) - 5} more" if len(values) > 5 else "") if values else "none"
