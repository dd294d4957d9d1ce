"""What a watch of a room adds up to: spells of sound, links, reactions, and which suspicion holds."""

from __future__ import annotations

from typing import Any

import pytest

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.suspicions import links_nobody, mute, partner_of, starts_nothing, suspicions, unheard
from lkdoctor.dispatch.talks import SILENT, HeardTrack, Presence, Saying, TalkRun, Watch, watches

QUIET = (SILENT,) * 10


def track(*levels: int, since: float = 1000.0, **more: Any) -> HeardTrack:
    return HeardTrack(sid="TR_1", since=since, sound_since=since, levels=levels, **more)


def agent(name: str, **more: Any) -> Presence:
    more.setdefault("states", ((1000.0, "listening"),))
    return Presence(
        place=Place("talk", path=name),
        watch="w",
        room="r",
        identity=name,
        sid=f"PA_{name}",
        kind="AGENT",
        since=1000.0,
        **more,
    )


def watch(*people: Presence, seconds: float = 60) -> Watch:
    return Watch(TalkRun(watch="w", room="r", started_at=1000.0, ended_at=1000.0 + seconds), people)


def answers(found: Watch) -> list[str]:
    return [one.answer for one in suspicions(found)]


class TestSpells:
    """From levels to stretches of sound."""

    def test_a_pause_between_words_does_not_end_a_spell(self) -> None:
        (spell,) = track(-20, -20, *(SILENT,) * 5, -30, -30, *QUIET).spells()
        assert (spell.since, spell.until, spell.loudest) == (1000.0, 1000.9, -20)

    def test_a_longer_one_does(self) -> None:
        assert len(list(track(-20, -20, *(SILENT,) * 7, -30, -30).spells())) == 2

    def test_a_click_is_no_sound(self) -> None:
        assert list(track(*QUIET, -10, *QUIET).spells()) == []

    def test_comfort_noise_is_no_sound(self) -> None:
        assert list(track(*(-62,) * 50).spells()) == []

    def test_sound_up_to_the_end_counts(self) -> None:
        assert len(list(track(*QUIET, -20, -20).spells())) == 1

    def test_no_levels(self) -> None:
        assert list(HeardTrack(sid="TR_1").spells()) == []


VOICE = (-15,) * 8
SPEAKS = {
    "tracks": (track(*QUIET, *VOICE, *QUIET),),
    "states": ((1000.0, "listening"), (1001.0, "speaking"), (1002.0, "listening")),
}


class TestWho:
    """One participant."""

    def test_a_session_without_a_track_listens_to_nobody(self) -> None:
        assert links_nobody(agent("a"))
        assert not links_nobody(agent("a", tracks=(track(),)))
        assert not links_nobody(agent("a", states=((1000.0, "listening"), (1003.0, "speaking"))))
        assert not links_nobody(agent("a", states=()))
        assert starts_nothing(agent("a", states=()))

    def test_mute_needs_a_track_that_was_listened_to_when_it_spoke(self) -> None:
        spoke = ((1000.0, "listening"), (1005.0, "speaking"))
        assert mute(agent("a", states=spoke, tracks=(track(*QUIET * 10),)))
        assert not mute(agent("a", states=((1000.2, "speaking"),), tracks=(track(*QUIET * 10),)))
        assert not mute(agent("a", states=spoke, tracks=(HeardTrack(sid="TR_1"),)))
        assert mute(agent("a", states=spoke, tracks=(HeardTrack(sid="TR_1", muted=((1001.0, True),)),)))
        assert not mute(agent("a", **SPEAKS))

    def test_a_partner_is_known_where_there_is_only_one(self) -> None:
        speaker, listener = agent("a", **SPEAKS), agent("b", tracks=(track(),))
        assert partner_of(watch(speaker, listener), listener) is speaker
        assert partner_of(watch(speaker, listener, agent("c")), listener) is None
        assert partner_of(watch(speaker, agent("b")), agent("b")) is None


class TestSuspicions:
    """The four answers: one process, not published, not routed, not understood."""

    def test_nobody(self) -> None:
        assert answers(watch()) == ["holds", "cannot tell", "cannot tell", "cannot tell"]

    def test_one_alone(self) -> None:
        assert answers(watch(agent("a", **SPEAKS)))[:2] == ["holds", "ruled out"]

    def test_both_deaf(self) -> None:
        assert answers(watch(agent("a"), agent("b"))) == ["ruled out", "holds", "cannot tell", "cannot tell"]

    def test_one_deaf(self) -> None:
        assert answers(watch(agent("a", **SPEAKS), agent("b")))[1:3] == ["holds", "holds"]

    def test_not_understood(self) -> None:
        speaker, listener = agent("a", **SPEAKS), agent("b", tracks=(track(),))
        found = watch(speaker, listener)
        assert answers(found) == ["ruled out", "ruled out", "ruled out", "cannot tell"]
        assert len(unheard(found, speaker, listener)) == 1

    def test_understood(self) -> None:
        heard = (Saying(at=1002.0, own=False, length=3, token="t"),)
        found = watch(agent("a", **SPEAKS, sayings=heard), agent("b", tracks=(track(),)))
        assert answers(found)[3] == "ruled out"

    def test_an_answer_without_transcripts(self) -> None:
        answered = agent("b", tracks=(track(),), states=((1000.0, "listening"), (1003.0, "thinking")))
        assert answers(watch(agent("a", **SPEAKS), answered))[3] == "ruled out"

    def test_the_last_words_of_a_watch_prove_nothing(self) -> None:
        speaker, listener = agent("a", **SPEAKS), agent("b", tracks=(track(),))
        assert unheard(watch(speaker, listener, seconds=6), speaker, listener) == []

    def test_somebody_who_has_just_come_is_not_deaf(self) -> None:
        young = agent("b")
        found = watch(agent("a", **SPEAKS), young, seconds=10)
        assert answers(found)[1:3] == ["cannot tell", "cannot tell"]


def test_people_of_no_watch_count_for_nothing() -> None:
    stray = agent("a")
    assert watches([], [stray]) == []
    run = TalkRun(place=Place("talk"), watch="w", room="r", started_at=1.0, ended_at=2.0)
    assert [one.people for one in watches([run], [stray])] == [(stray,)]


@pytest.mark.parametrize("at", [1e18, -1.0, float("nan"), float("inf")])
def test_times_that_are_none_are_refused(at: float) -> None:
    with pytest.raises(ValueError, match="no time"):
        agent("a", joined_at=at)
    with pytest.raises(ValueError, match="no time"):
        agent("a", states=((at, "listening"),))
    with pytest.raises(ValueError, match="no time"):
        TalkRun(watch="w", room="r", started_at=at)
