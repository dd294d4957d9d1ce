"""The audible code: what is decoded is what was said, or nothing, whatever happens to the sound on its way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkdoctor.worker.code import CHORD, LONGEST_PIECE, PATIENCE, SAMPLE_RATE, Decoder, Heard, Samples, encode, seconds

END = np.zeros(int(SAMPLE_RATE * (PATIENCE + 0.5)), np.int16)


def decode(*sound: Samples, piece: int = 1200) -> list[Heard]:
    """What one decoder notices in the sounds, given in pieces of `piece` samples as a track delivers them."""
    decoder = Decoder()
    whole = np.concatenate([*sound, END])
    return [one for start in range(0, len(whole), piece) for one in decoder.push(whole[start : start + piece])]


def texts(heard: list[Heard]) -> list[str]:
    return [one.text for one in heard if one.what == "text"]


def test_every_byte_is_told_apart() -> None:
    """All 256 chords, as they come in UTF-8 and in checksums."""
    everything = "".join(map(chr, range(1, 0x800)))
    assert texts(decode(encode(everything))) == [everything]


@pytest.mark.parametrize("text", ["k", "R:8h2mq4xz", "Grüße, 東京 ☎", "x" * LONGEST_PIECE, "y" * (LONGEST_PIECE + 1)])
@pytest.mark.parametrize("piece", [1, 119, 480, 1200, 100_000])
def test_pieces_of_any_size(text: str, piece: int) -> None:
    if piece == 1 and len(text) > 20:
        text = text[:4]
    assert texts(decode(encode(text), piece=piece)) == [text]


def test_it_takes_as_long_as_it_says() -> None:
    for text in ("k", "R:8h2mq4xz", "z" * 200):
        assert len(encode(text)) / SAMPLE_RATE == pytest.approx(seconds(text), abs=0.001)
    assert len(encode("")) == 0


def test_a_text_after_another() -> None:
    assert texts(decode(encode("one"), encode("two"), END, encode("three"))) == ["one", "two", "three"]


@pytest.mark.parametrize("strength", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_quiet_and_noisy(strength: float, noise: float) -> None:
    random = np.random.default_rng(7)
    clean = encode("R:8h2mq4xz").astype(float) * strength
    sound = clean + random.normal(0, noise * strength * 32767, len(clean))
    assert texts(decode(np.asarray(np.clip(sound, -32768, 32767), np.int16))) == ["R:8h2mq4xz"]


@pytest.mark.parametrize("pace", [0.85, 0.95, 1.05, 1.2])
def test_stretched_and_squeezed(pace: float) -> None:
    """A jitter buffer drops or repeats some milliseconds at a time and leaves the pitch as it is."""
    sound = encode("8h2mq4xz")
    step = SAMPLE_RATE // 100
    kept: list[Samples] = []
    owed = 0.0
    for start in range(0, len(sound), step):
        owed += pace
        while owed >= 1:
            kept.append(sound[start : start + step])
            owed -= 1
    assert set(texts(decode(np.concatenate(kept)))) <= {"8h2mq4xz"}
    if 0.9 < pace < 1.1:
        assert texts(decode(np.concatenate(kept))) == ["8h2mq4xz"]


@pytest.mark.parametrize("stall", [0.05, 0.5, 1.8])
def test_a_stalled_voice_goes_on(stall: float) -> None:
    """A busy sender stops between two chords and goes on where it was."""
    sound = encode("8h2mq4xz")
    cut = int((CHORD * 3 + CHORD * 6) * SAMPLE_RATE)
    silence = np.zeros(int(stall * SAMPLE_RATE), np.int16)
    assert texts(decode(sound[:cut], silence, sound[cut:])) == ["8h2mq4xz"]


def test_a_voice_that_stops_is_lost_after_the_patience() -> None:
    heard = decode(encode("8h2mq4xz")[: SAMPLE_RATE // 2])
    assert [one.what for one in heard] == ["began", "lost"]


def test_a_lost_frame_of_a_long_text_loses_the_text() -> None:
    """The second frame alone is whole, but it is not the text."""
    sound = encode("a" * LONGEST_PIECE + "b" * 10)
    first = int(((LONGEST_PIECE + 5 + 6) * CHORD) * SAMPLE_RATE)
    assert texts(decode(sound[first:])) == []
    assert texts(decode(sound[:first], END, encode("new"))) == ["new"]
    assert texts(decode(sound[:first], sound)) == ["a" * LONGEST_PIECE + "b" * 10]


@settings(max_examples=150, deadline=None)
@given(text=st.text(min_size=1, max_size=40).filter(lambda one: one.encode("utf-8", "replace").decode() == one))
def test_any_text(text: str) -> None:
    assert texts(decode(encode(text))) == [text]


@settings(max_examples=200, deadline=None)
@given(
    text=st.text("abcdefghjkmnpqrstuvwxyz23456789", min_size=1, max_size=20),
    holes=st.lists(
        st.tuples(st.floats(0, 1), st.floats(0.005, 0.3), st.sampled_from(["cut", "mute", "noise", "again"])),
        max_size=5,
    ),
    seed=st.integers(0, 1000),
)
def test_never_a_wrong_text(text: str, holes: list[tuple[float, float, str]], seed: int) -> None:
    """Stretches that are lost, silent, replaced by noise or played twice: the text comes whole or not at all."""
    random = np.random.default_rng(seed)
    sound = encode(text)
    for place, length, what in holes:
        start = int(place * len(sound))
        end = min(len(sound), start + int(length * SAMPLE_RATE))
        hole = sound[start:end]
        if what == "cut":
            hole = hole[:0]
        elif what == "mute":
            hole = np.zeros(len(hole), np.int16)
        elif what == "noise":
            hole = np.asarray(random.normal(0, 6000, len(hole)).clip(-32768, 32767), np.int16)
        else:
            hole = np.concatenate([hole, hole])
        sound = np.concatenate([sound[:start], hole, sound[end:]])
    assert set(texts(decode(sound))) <= {text}


@settings(max_examples=60, deadline=None)
@given(
    one=st.text("abcdef23", min_size=1, max_size=8),
    other=st.text("ghjkmn45", min_size=1, max_size=8),
    share=st.floats(0, 1),
)
def test_two_texts_spliced_give_no_third(one: str, other: str, share: float) -> None:
    first, second = encode(one), encode(other)
    spliced = np.concatenate([first[: int(share * len(first))], second[int(share * len(second)) :]])
    assert set(texts(decode(spliced))) <= {one, other}


def test_hours_of_other_sounds_say_nothing() -> None:
    """A voice-like hum, noise and music-like chords: no text, and no endless work."""
    random = np.random.default_rng(3)
    at = np.arange(SAMPLE_RATE * 20) / SAMPLE_RATE
    hum = (
        4000 * np.sin(2 * np.pi * 140 * at)
        + 3000 * np.sin(2 * np.pi * 350 * at + np.sin(at * 5))
        + 800 * np.sin(2 * np.pi * 1200 * at)
    )
    noise = random.normal(0, 4000, len(at))
    tones = 5000 * np.sin(
        2
        * np.pi
        * np.repeat(random.choice([200, 350, 500, 900, 2700], len(at) // 960), 960)[: len(at)]
        * at[: len(at) // 960 * 960]
    )
    for sound in (hum, noise, tones):
        assert texts(decode(np.asarray(sound.clip(-32768, 32767), np.int16))) == []
