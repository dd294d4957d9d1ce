"""What was noticed in a room: who was there, whose audio sounded, what was transcribed, by a hidden listener of kind agent.

Times are Unix seconds of the listening machine. No text is in it: of what was said there is its length and a token, equal
for equal texts of one run, so that "what A said is what B understood" can be told without keeping a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import ClassVar, Final, Literal, NamedTuple

import msgspec

from lkdoctor.dispatch.facts import Fact

#: Seconds of audio behind each level.
STEP: Final = 0.1
#: dBFS of a stretch that is digitally silent.
SILENT: Final = -100
#: dBFS from which a stretch counts as sound. Speech lies above -45, comfort noise below -60.
AUDIBLE: Final = -50
#: Seconds of silence that do not end a spell of sound: pauses between words.
PAUSE: Final = 0.6

_LATEST: Final = 253402300799.0  # the last second of the year 9999

Ended = Literal["time", "interrupted", "closed", "deleted", "lost"]


class Spell(NamedTuple):
    """One stretch of sound; the loudest level in dBFS."""

    since: float
    until: float
    loudest: int


class HeardTrack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One published track, and the loudness (RMS) of its audio: a level in dBFS for each STEP from `sound_since` on."""

    sid: str
    kind: str = "AUDIO"
    name: str = ""
    source: str = ""
    since: float = 0.0
    until: float | None = None  # None: it was there at the end
    muted: tuple[tuple[float, bool], ...] = ()  # each change
    sound_since: float | None = None  # None: no audio of it arrived
    levels: tuple[int, ...] = ()

    @property
    def is_audio(self) -> bool:
        """Audio can be listened to; video is only counted."""
        return self.kind == "AUDIO"

    @property
    def muted_now(self) -> bool:
        """At the end of the watch."""
        return bool(self.muted) and self.muted[-1][1]

    def spells(self) -> Iterator[Spell]:
        """Its audible stretches; a single step above AUDIBLE is a click and counts for nothing."""
        start: int | None = None
        last, loudest = 0, SILENT
        quiet, zero = round(PAUSE / STEP), self.sound_since or 0.0
        for at, level in enumerate((*self.levels, *[SILENT] * (quiet + 1))):
            if level >= AUDIBLE:
                start = at if start is None else start
                last, loudest = at, max(loudest, level)
            elif start is not None and at - last > quiet:
                if last > start:
                    yield Spell(round(zero + start * STEP, 3), round(zero + (last + 1) * STEP, 3), loudest)
                start, loudest = None, SILENT


class Saying(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transcript of a track, complete. `own`: the speaker's own words; else what somebody else understood."""

    at: float
    track: str = ""
    own: bool = False
    length: int = 0  # characters
    token: str = ""


class Presence(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """One participant of a watched room, from its coming to its going."""

    SOURCES: ClassVar[tuple[str, ...]] = ("talk",)

    watch: str  # the listener's identity: it ties this to its TalkRun
    room: str
    identity: str
    sid: str = ""
    kind: str = "STANDARD"
    agent_name: str = ""
    role: str = ""  # an attribute `role` or `….role`
    job_id: str = ""
    joined_at: float | None = None  # by the server
    since: float = 0.0  # seen from here on
    until: float | None = None  # None: it was there at the end
    reason: str = ""  # why it left
    states: tuple[tuple[float, str], ...] = ()  # lk.agent.state
    tracks: tuple[HeardTrack, ...] = ()
    sayings: tuple[Saying, ...] = ()  # transcripts under its identity, whoever made them

    def __post_init__(self) -> None:
        """Refuse times that are none: a file may hold anything."""
        tracks = [
            at for one in self.tracks for at in (one.since, one.until, one.sound_since, *(at for at, _ in one.muted))
        ]
        moments = [at for at, _ in self.states] + [one.at for one in self.sayings]
        _times(self.since, self.until, self.joined_at, *tracks, *moments)

    @property
    def is_agent(self) -> bool:
        """By its kind: a person whose token has the agent grant keeps STANDARD."""
        return self.kind == "AGENT"

    @property
    def is_person(self) -> bool:
        """Somebody to whom an agent with default options links."""
        return self.kind in ("STANDARD", "SIP", "CONNECTOR")

    @property
    def began(self) -> float:
        """When it came into the room, as far as known."""
        return self.since if self.joined_at is None else min(self.joined_at, self.since)

    @property
    def called(self) -> str:
        """The agent name where it is known, else the identity."""
        return self.agent_name or self.identity

    @property
    def audio(self) -> tuple[HeardTrack, ...]:
        """Its audio tracks."""
        return tuple(one for one in self.tracks if one.is_audio)

    def sounded(self) -> list[Spell]:
        """All its audible stretches, in order."""
        return sorted(spell for one in self.audio for spell in one.spells())

    def was(self, *states: str) -> bool:
        """Was its lk.agent.state one of these at any time?"""
        return any(state in states for _, state in self.states)

    def said(self) -> list[Saying]:
        """Its own words."""
        return [one for one in self.sayings if one.own]

    def understood(self) -> list[Saying]:
        """What others understood of it."""
        return [one for one in self.sayings if not one.own]

    def told(self) -> str:
        """In words that a reader can hold against the room."""
        name = f" ({self.agent_name})" if self.agent_name and self.agent_name != self.identity else ""
        parts = [f"there from {_clock(self.began)}" + (f" to {_clock(self.until)} {self.reason}" if self.until else "")]
        parts.append(
            "lk.agent.state " + ", ".join(f"{state} {_clock(at)}" for at, state in self.states[:8])
            if self.states
            else "no lk.agent.state"
            if self.is_agent
            else ""
        )
        parts += [_track(one) for one in self.audio] or ["no audio track"]
        if self.sayings:
            parts.append(f"{len(self.said())} transcripts of its own, {len(self.understood())} of others that heard it")
        return f"{self.identity}{name}, {self.kind}, in {self.room}: " + "; ".join(part for part in parts if part)


class TalkRun(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """One watch of one room; who was in it are the `Presence`s of the same `watch`."""

    SOURCES: ClassVar[tuple[str, ...]] = ("talk",)

    watch: str  # the listener's own identity
    room: str
    room_id: str = ""
    made_at: float | None = None  # by the server
    empty_timeout: int = 0  # s
    started_at: float = 0.0
    ended_at: float = 0.0
    wanted: float = 0.0  # seconds
    ended: Ended = "time"
    why: str = ""  # in words, where it ended early

    def __post_init__(self) -> None:
        """Refuse times that are none."""
        _times(self.started_at, self.ended_at, self.made_at)

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        return max(0.0, self.ended_at - self.started_at)

    def told(self) -> str:
        """In words."""
        early = f" ({self.why})" if self.why else ""
        return f"watched room {self.room} for {self.seconds:.0f} s from {_clock(self.started_at)} on{early}"


@dataclass(frozen=True, slots=True)
class Watch:
    """A watch with everybody who was seen in it."""

    run: TalkRun
    people: tuple[Presence, ...]

    @property
    def agents(self) -> list[Presence]:
        """Everybody of kind AGENT."""
        return [one for one in self.people if one.is_agent]

    @property
    def persons(self) -> list[Presence]:
        """People and callers."""
        return [one for one in self.people if one.is_person]

    def stayed(self, one: Presence) -> float:
        """Seconds for which it was watched."""
        return max(0.0, (one.until or self.run.ended_at) - max(one.since, self.run.started_at))


def watches(runs: Iterable[TalkRun], people: Iterable[Presence]) -> list[Watch]:
    """The watches with their people, oldest first. A line that belongs to none (a file that was cut) counts for nothing."""
    groups: dict[tuple[str, str], list[Presence]] = {}
    for one in people:
        groups.setdefault((one.place.source, one.watch), []).append(one)
    found = [Watch(run, tuple(groups.get((run.place.source, run.watch), ()))) for run in runs]
    return sorted(found, key=lambda one: one.run.started_at)


def _track(one: HeardTrack) -> str:
    if one.sound_since is None:
        heard = "nothing of it arrived"
    else:
        shown = [f"{_clock(each.since)}-{_clock(each.until)[-2:]} {each.loudest} dBFS" for each in one.spells()]
        more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
        heard = f"sound {', '.join(shown[:5])}{more}" if shown else "silent"
    return f"audio track {one.name or one.sid}{' (muted)' if one.muted_now else ''}: {heard}"


def _times(*moments: float | None) -> None:
    """Refuse what is no time.

    Raises:
        ValueError: one is before 1970, after the year 9999, or no number.
    """
    for at in moments:
        if at is not None and not 0 <= at <= _LATEST:
            raise ValueError(f"{at:g} is no time")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%H:%M:%S")
