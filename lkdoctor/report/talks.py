"""The report's section on watched rooms: who was there, a strip of time for each, what happened, and the four suspicions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

import msgspec

from lkdoctor.dispatch.facts import Fact
from lkdoctor.dispatch.suspicions import suspicions
from lkdoctor.dispatch.talks import Presence, Spell, TalkRun, Watch, watches
from lkdoctor.report.screen import Screen, columns

_STYLES: Final = {"holds": "bad", "ruled out": "ok", "cannot tell": "odd"}
_STRIP: Final = 60  # cells of time, at most
_NAME: Final = 16
_EVENTS: Final = 14
_LEGEND: Final = "# sound   t thinking   . quiet   m muted   - in the room without a session   (blank) not there"


def documents(facts: Mapping[type[Fact], Sequence[Fact]]) -> list[dict[str, Any]]:
    """The watches as JSON has them: each with its people, and what became of the suspicions."""
    return [
        {
            **_plain(one.run),
            "people": [_plain(each) for each in one.people],
            "suspicions": [{"name": each.name, "answer": each.answer, "why": each.why} for each in suspicions(one)],
        }
        for one in _watches(facts)
    ]


def _watches(facts: Mapping[type[Fact], Sequence[Fact]]) -> list[Watch]:
    runs = [one for one in facts.get(TalkRun, ()) if isinstance(one, TalkRun)]
    return watches(runs, [one for one in facts.get(Presence, ()) if isinstance(one, Presence)])


def _plain(one: Fact) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(one)
    return {key: value for key, value in plain.items() if key not in ("place", "fact", "watch")}


def lines(screen: Screen, talks: Sequence[Mapping[str, Any]], *, verbose: bool = False) -> list[str]:
    """The whole section from the report's `talks`; empty without any."""
    text: list[str] = []
    for one in talks:
        run = msgspec.convert({**one, "fact": "TalkRun", "watch": ""}, TalkRun)
        people = tuple(msgspec.convert({**each, "fact": "Presence", "watch": ""}, Presence) for each in one["people"])
        watch = Watch(run, people)
        text += [*([""] if text else []), *_watch(screen, watch, verbose=verbose)]
        text += ["", screen.paint("Four suspicions", "head")]
        for each in one["suspicions"]:
            told = screen.wrap(f"{each['answer']:<11}  {each['name']}: {each['why']}.", "  ", " " * 15)
            text += [
                told[0].replace(each["answer"], screen.paint(each["answer"], _STYLES[each["answer"]]), 1),
                *told[1:],
            ]
    return text


def _watch(screen: Screen, watch: Watch, *, verbose: bool) -> list[str]:
    run = watch.run
    early = f"; {run.why}" if run.why else ""
    text = screen.wrap(
        f"Talk in {run.room} ({run.seconds:.0f} s from {_clock(run.started_at)} UTC on{early})", style="head"
    )
    if not watch.people:
        return text + screen.wrap("Nobody was there but the listener.", "  ")
    rows = [_row(watch, one) for one in watch.people]
    text += screen.table(
        ["who", "kind", "there", "session", "audio", "said", "understood"], rows, ["kind", "there", "session", "audio"]
    )
    text += _strips(screen, watch)
    events = sorted(_events(watch))
    shown = events if verbose else events[:_EVENTS]
    text += [line for at, told in shown for line in screen.wrap(f"{_clock(at)}  {told}", "  ", "            ")]
    if len(shown) < len(events):
        text.append(screen.paint(f"  … and {len(events) - len(shown)} more; -v shows them", "dim"))
    return text


def _row(watch: Watch, one: Presence) -> list[str]:
    there = "all the time" if one.until is None and one.since - watch.run.started_at < 1 else (
        f"{_clock(one.since)}-{'' if one.until is None else _clock(one.until)}"
    )  # fmt: skip
    states = list(dict.fromkeys(state for _, state in one.states))
    session = ", ".join(states) if states else "none" if one.is_agent else ""
    return [one.called, one.kind, there, session, _audio(one), _number(one.said()), _number(one.understood())]


def _audio(one: Presence) -> str:
    if not one.audio:
        return "no track"
    spells = one.sounded()
    tracks = f"{len(one.audio)} tracks, " if len(one.audio) > 1 else ""
    if any(track.muted_now for track in one.audio) and not spells:
        return f"{tracks}muted"
    if all(track.sound_since is None for track in one.audio):
        return f"{tracks}none arrived"
    if not spells:
        return f"{tracks}silent"
    return f"{tracks}{len(spells)} times, {sum(each.until - each.since for each in spells):.0f} s"


def _number(found: Sequence[object]) -> str:
    return str(len(found)) if found else ""


# -- a strip of time ---------------------------------------------------------------------------------------------------


def _strips(screen: Screen, watch: Watch) -> list[str]:
    """One row each: what its audio or its session did in every slice of the watch."""
    run = watch.run
    cells = max(1, min(_STRIP, screen.width - _NAME - 5, round(run.seconds) or 1))
    each = max(run.seconds, 1.0) / cells
    text = [""]
    for one in watch.people:
        strip = "".join(_cell(one, run.started_at + at * each, run.started_at + (at + 1) * each) for at in range(cells))
        name = one.called if columns(one.called) <= _NAME else one.called[: _NAME - 1] + "…"
        text += screen.wrap(name, "  ", "  ")[:1]
        text[-1] += " " * max(1, _NAME + 3 - columns(text[-1])) + f"|{strip}|"
    span = f"one sign is {each:.1f} s" if each < 9.95 else f"one sign is {each:.0f} s"
    return text + screen.wrap(f"{_LEGEND}; {span}", "  ", "  ", style="dim") + [""]


def _cell(one: Presence, since: float, until: float) -> str:
    if until <= one.since or (one.until is not None and one.until <= since):
        return " "
    if any(spell.since < until and since < spell.until for spell in one.sounded()):
        return "#"
    if any(_muted(track.muted, since) for track in one.audio):
        return "m"
    state = next((state for at, state in reversed(one.states) if at < until), "")
    if state == "thinking":
        return "t"
    return "." if state or one.audio or not one.is_agent else "-"


def _muted(changes: Sequence[tuple[float, bool]], at: float) -> bool:
    return next((muted for since, muted in reversed(changes) if since <= at), False)


# -- what happened -----------------------------------------------------------------------------------------------------


def _events(watch: Watch) -> Iterator[tuple[float, str]]:
    run = watch.run
    for one in watch.people:
        who = one.called if one.called == one.identity else f"{one.called} ({one.identity})"
        if one.since - run.started_at >= 1:
            yield one.since, f"{who} came"
        if one.until is not None:
            yield one.until, f"{who} left{f': {one.reason}' if one.reason else ''}"
        if one.states and one.states[0][0] - run.started_at >= 1:
            yield one.states[0][0], f"{one.called}: its session began ({one.states[0][1]})"
        for track in one.tracks:
            name = f"{track.kind.lower()} track {track.name or track.sid}"
            if track.since - run.started_at >= 1:
                yield track.since, f"{one.called} published {name}"
            for at, muted in track.muted:
                yield at, f"{one.called} {'muted' if muted else 'unmuted'} {name}"
            if track.until is not None and track.until != one.until:
                yield track.until, f"{one.called} took {name} away"
        yield from ((each.since, f"{one.called} sounded for {_span(each)}") for each in one.sounded())
        for each in one.sayings:
            if not each.own:
                exact = any(own.token == each.token for own in one.said())
                yield (
                    each.at,
                    f"{each.length} characters of {one.called} were understood{', word for word' if exact else ''}",
                )


def _span(spell: Spell) -> str:
    return f"{spell.until - spell.since:.1f} s, {spell.loudest} dBFS at most"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%H:%M:%S")
