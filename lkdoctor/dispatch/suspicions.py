"""Which of the usual suspicions holds when agents stand in a room in silence; by what a hidden listener noticed.

The rule that links rest on (livekit-agents 1.8.9): a session publishes its track once it has linked to somebody it listens
to, and an unlinked one publishes nothing. So a session with a track is linked, and where only one other participant is
there, it is known to whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lkdoctor.dispatch.talks import HeardTrack, Presence, Spell, Watch

#: Seconds after its coming in which a session starts, links and publishes; a person's coming included.
SETTLED: Final = 15.0
#: Seconds after a spell of sound in which a listener that understood it says so, or thinks, or answers.
REACTION: Final = 8.0
#: Seconds after the first audio of a track from which on its silence says something.
HEARING: Final = 1.0
#: Seconds of a spell; what is shorter may well be no word.
WORD: Final = 0.3

Answer = Literal["holds", "ruled out", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One suspicion, what became of it, and why in a sentence."""

    name: str
    answer: Answer
    why: str


def starts_nothing(one: Presence) -> bool:
    """No session of its own showed: no state, no track, no word."""
    return not one.states and not one.audio and not one.said()


def links_nobody(one: Presence) -> bool:
    """A session ran, published nothing, and never spoke, not even in writing."""
    return bool(one.states) and not one.audio and not one.was("speaking") and not one.said()


def writes_only(one: Presence) -> bool:
    """It spoke, and never had a track to be heard by."""
    return not one.audio and (one.was("speaking") or bool(one.said()))


def mute(one: Presence) -> bool:
    """It spoke, by its own word, while its track was listened to, and that carried no sound: muted, or fed with silence."""
    if not one.audio or one.sounded():
        return False
    moments = [at for at, state in one.states if state == "speaking"]
    return any(_listened(track, at) for track in one.audio for at in moments)


def _listened(track: HeardTrack, at: float) -> bool:
    """Had the listener the track's audio by then, for a moment, or was the track muted?"""
    if track.muted_now and track.muted[-1][0] <= at:
        return True
    return track.sound_since is not None and at - track.sound_since >= HEARING


def partner_of(watch: Watch, one: Presence) -> Presence | None:
    """Whom a session is linked to: the only other one that was there; None where several were, or it is not linked."""
    others = [each for each in watch.people if each.identity != one.identity and (each.is_agent or each.is_person)]
    linked = one.states and one.audio
    return others[0] if linked and len(others) == 1 else None


def words_of(one: Presence) -> list[Spell]:
    """Spells of sound that are long enough to be words."""
    return [spell for spell in one.sounded() if spell.until - spell.since >= WORD]


def reacted(listener: Presence, spells: Iterable[Spell]) -> bool:
    """Did it think or speak soon after one of these spells had begun?"""
    moments = [at for at, state in listener.states if state in ("thinking", "speaking")]
    return any(spell.since < at <= spell.until + REACTION for spell in spells for at in moments)


def unheard(watch: Watch, speaker: Presence, listener: Presence) -> list[Spell]:
    """Words of `speaker` that nobody understood and `listener` showed no reaction to, though it had the time to; empty
    when anything at all was understood."""
    end = min(watch.run.ended_at, listener.until or watch.run.ended_at)
    spells = [spell for spell in words_of(speaker) if spell.since >= listener.since and end - spell.until >= REACTION]
    if speaker.understood() or reacted(listener, spells):
        return []
    return spells


def suspicions(watch: Watch) -> list[Suspicion]:
    """The four, in the order in which one leads to the next."""
    return [_one_process(watch), _not_published(watch), _not_routed(watch), _not_understood(watch)]


def _one_process(watch: Watch) -> Suspicion:
    name, agents = "only one process", watch.agents
    if len({one.identity for one in agents}) > 1:
        jobs = sum(bool(one.job_id) for one in agents)
        each = ", each by a job of its own" if jobs == len(agents) else ""
        return Suspicion(name, "ruled out", f"{_names(agents)} were in the room{each}")
    if not agents:
        return Suspicion(name, "holds", "no agent was in the room at all")
    voices = f", with {len(agents[0].audio)} audio tracks" if len(agents[0].audio) > 1 else ""
    return Suspicion(name, "holds", f"{agents[0].called} was the only agent in the room{voices}")


def _not_published(watch: Watch) -> Suspicion:
    name, agents = "audio is not published", watch.agents
    if not agents:
        return Suspicion(name, "cannot tell", "there was no agent")
    bare = [one for one in agents if not one.audio]
    young = [one for one in bare if watch.stayed(one) < SETTLED]
    if len(young) == len(bare) and bare:
        return Suspicion(name, "cannot tell", f"{_names(young)} had been there for a moment only")
    why = [f"{_names(group)} {words}" for group, words in (
        ([one for one in bare if starts_nothing(one)], "started no session"),
        ([one for one in bare if links_nobody(one)], "published no audio track: a session publishes once it has somebody to listen to"),
        ([one for one in bare if writes_only(one)], "spoke without an audio track: audio output is off"),
        ([one for one in agents if mute(one)], "spoke, and its track was muted or carried silence"),
    ) if group]  # fmt: skip
    if why:
        return Suspicion(name, "holds", "; ".join(why))
    loud = [one for one in agents if one.sounded()]
    heard = f", and {_names(loud)} sounded" if loud else ", and none of them sounded"
    return Suspicion(name, "ruled out", f"{_names(agents)} had an audio track{heard}")


def _pairs(watch: Watch) -> list[tuple[Presence, Presence]]:
    """Who had words to say, and who should have heard them."""
    speakers = [one for one in watch.people if words_of(one) and (one.is_agent or one.is_person)]
    return [(one, other) for one in speakers for other in watch.agents if other.identity != one.identity]


def _not_routed(watch: Watch) -> Suspicion:
    name = "speech is not routed to the other"
    pairs = _pairs(watch)
    if not pairs:
        return Suspicion(name, "cannot tell", "nobody spoke that another agent could have heard")
    bare = [other for _, other in pairs if links_nobody(other) or starts_nothing(other)]
    deaf = [one for one in bare if watch.stayed(one) >= SETTLED]
    if bare and not deaf:
        return Suspicion(name, "cannot tell", f"{_names(bare)} had been there for a moment only")
    if deaf:
        return Suspicion(name, "holds", f"{_names(deaf)} listened to nobody")
    open_ = [pair for pair in pairs if not pair[0].understood() and partner_of(watch, pair[1]) is not pair[0]]
    if open_:
        one, other = open_[0]
        return Suspicion(
            name, "cannot tell", f"{other.called} listened to somebody, and not only {one.called} was there"
        )
    return Suspicion(name, "ruled out", "who listened was linked to who spoke")


def _not_understood(watch: Watch) -> Suspicion:
    name = "voice detection never fires"
    pairs = _pairs(watch)
    if not pairs:
        return Suspicion(name, "cannot tell", "nobody spoke that another agent could have heard")
    lost = [(one, other) for one, other in pairs if partner_of(watch, other) is one and unheard(watch, one, other)]
    if lost:
        one, other = lost[0]
        told = (
            f"{other.called} was linked to {one.called}, whose words sounded, and it neither understood nor thought: voice "
            "detection, speech recognition or audio input; which, only its worker knows"
        )
        return Suspicion(name, "cannot tell", told)
    heard = [one for one, _ in pairs if one.understood()]
    if heard:
        silent = sorted(
            {other.called for one, other in pairs if one.understood() and not reacted(other, words_of(one))}
        )
        rest = f"; {' and '.join(silent)} understood and did not answer" if silent else ""
        return Suspicion(name, "ruled out", f"what {_names(heard)} said was understood{rest}")
    if any(reacted(other, words_of(one)) for one, other in pairs):
        return Suspicion(name, "ruled out", "who listened thought or answered when the other had spoken")
    return Suspicion(name, "cannot tell", "nothing was understood, and who listened to whom is not known")


def _names(group: Sequence[Presence]) -> str:
    names = list(dict.fromkeys(one.called for one in group))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nobody"
