"""The audible code: text as a row of chords that Opus carries, with a checksum, and back; numpy only.

A byte is one chord of 40 ms: its low half one of 16 tones from 700 Hz, its high half one of 16 from 2500 Hz, and a clock
tone that alternates between 350 and 500 Hz. A new clock tone is a new byte, so stretched or squeezed audio (a jitter
buffer does both) reads the same. A frame is: 200 Hz for three chords, a head byte, up to 64 bytes of UTF-8, their
CRC-32, 200 Hz again. A longer text is several frames; the checksum runs on from frame to frame, so that a lost one can
not go unnoticed.

What is heard is the text or nothing: Opus keeps the tones at least 12 dB apart (livekit-server 1.13.5, loopback), all that
goes wrong is stretches of audio that never arrive, and the checksum tells.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

SAMPLE_RATE: Final = 24_000
"""Samples a second, as livekit-agents hands audio to an STT by default."""
CHORD: Final = 0.040
"""Seconds of one chord: 25 bytes a second."""
LONGEST_PIECE: Final = 64
"""Bytes of text in one frame."""
PATIENCE: Final = 2.0
"""Seconds of silence inside of a frame before it is given up: a busy sender stalls and goes on."""

Samples = npt.NDArray[np.int16]

_SYNC: Final = 200.0
_CLOCKS: Final = (350.0, 500.0)
_LOW: Final = tuple(700.0 + 100.0 * half for half in range(16))
_HIGH: Final = tuple(2500.0 + 100.0 * half for half in range(16))
_TONES: Final = np.array([_SYNC, *_CLOCKS, *_LOW, *_HIGH])
_SYNC_CHORDS: Final = 3
_MORE: Final = 0x80  # in the head byte, beside the length: the text goes on in the next frame
_CHECK: Final = 4
_SEED: Final = 0x4C4B  # a checksum that starts at 0 would take a row of zeros for a frame

_HOP: Final = SAMPLE_RATE // 200  # 5 ms
_WINDOW: Final = SAMPLE_RATE // 40  # 25 ms: tones 100 Hz apart lie where a Hann window lets 31 dB less through
_SILENCE: Final = 60  # largest sample of a stretch that is not even looked at (-55 dB)
_FAINT: Final = 1e-6  # power of a control tone that is worth a look; 0.01 as it is encoded
_CLEAR: Final = 4.0  # how much stronger than the other two it must be (6 dB)
_SYNC_HOPS: Final = 8
_CHORD_HOPS: Final = 11  # a stalled chord is one chord up to this length
_GAP_HOPS: Final = 3
_SYNC_STATE: Final = 0


def encode(text: str) -> Samples:
    """`text` as 16-bit samples at SAMPLE_RATE; nothing for an empty text."""
    raw = text.encode("utf-8", "replace")
    parts: list[npt.NDArray[np.float64]] = []
    check = _SEED
    for start in range(0, len(raw), LONGEST_PIECE):
        piece = raw[start : start + LONGEST_PIECE]
        head = len(piece) | (_MORE if start + LONGEST_PIECE < len(raw) else 0)
        framed = bytes([head]) + piece
        check = zlib.crc32(framed, check)
        parts += _frame(framed + check.to_bytes(_CHECK, "big"))
    if not parts:
        return np.zeros(0, np.int16)
    tail = np.zeros(SAMPLE_RATE // 20)  # the last chord has left the encoder when this has
    return np.asarray(np.concatenate([*parts, tail]) * 32767, np.int16)


def seconds(text: str) -> float:
    """How long `text` takes to say."""
    size = len(text.encode("utf-8", "replace"))
    frames = -(-size // LONGEST_PIECE)
    return (size + frames * (1 + _CHECK + 2 * _SYNC_CHORDS)) * CHORD + 0.05


def _frame(content: bytes) -> list[npt.NDArray[np.float64]]:
    sync = _chord([(_SYNC, 0.5)], CHORD * _SYNC_CHORDS)
    chords = [
        _chord([(_CLOCKS[place % 2], 0.2), (_LOW[byte & 15], 0.2), (_HIGH[byte >> 4], 0.2)], CHORD)
        for place, byte in enumerate(content)
    ]
    return [sync, *chords, sync]


def _chord(tones: list[tuple[float, float]], length: float) -> npt.NDArray[np.float64]:
    count = int(length * SAMPLE_RATE)
    at = np.arange(count) / SAMPLE_RATE
    wave = np.sum([strength * np.sin(2 * np.pi * tone * at) for tone, strength in tones], axis=0)
    ramp = SAMPLE_RATE // 250  # 4 ms: hard edges would sound on every tone
    edge = 0.5 - 0.5 * np.cos(np.pi * np.arange(ramp) / ramp)
    wave[:ramp] *= edge
    wave[-ramp:] *= edge[::-1]
    return np.asarray(wave)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the decoder noticed: a voice began, a whole text, or a frame that was lost on the way."""

    what: Literal["began", "text", "lost"]
    text: str = ""
    chords: int = 0  # that arrived of a lost frame


class Decoder:
    """Listens to samples at SAMPLE_RATE, in pieces of any size."""

    def __init__(self) -> None:
        at = np.arange(_WINDOW) / SAMPLE_RATE
        window = np.hanning(_WINDOW) / (_WINDOW / 2)
        turns = 2 * np.pi * np.outer(at, _TONES)
        self._basis = np.hstack([np.cos(turns) * window[:, None], np.sin(turns) * window[:, None]]).astype(np.float32)
        self._rest = np.zeros(0, np.int16)
        self._state: int | None = None  # the control tone of the run that goes on
        self._hops = 0  # length of that run, gaps left out
        self._gap = 0  # hops since a control tone was clear
        self._low = np.zeros(16)
        self._high = np.zeros(16)
        self._frame: bytearray | None = None  # None: no sync was heard
        self._text = b""  # earlier frames of a long text
        self._check = _SEED  # theirs

    def push(self, samples: Samples) -> list[Heard]:
        """What is noticed in these samples, in order."""
        self._rest = np.concatenate([self._rest, samples])
        count = (len(self._rest) - _WINDOW) // _HOP + 1
        if count <= 0:
            return []
        taken, self._rest = self._rest[: (count - 1) * _HOP + _WINDOW], self._rest[count * _HOP :]
        heard: list[Heard] = []
        if int(np.abs(taken.astype(np.int32)).max()) < _SILENCE:
            self._silent(count, heard)
            return heard
        views = np.lib.stride_tricks.sliding_window_view(taken, _WINDOW)[::_HOP]
        found = (views.astype(np.float32) / 32768) @ self._basis
        power = found[:, : len(_TONES)] ** 2 + found[:, len(_TONES) :] ** 2
        for hop in power:
            self._hop(hop, heard)
        return heard

    def _hop(self, power: npt.NDArray[np.float32], heard: list[Heard]) -> None:
        control = power[:3]
        state = int(control.argmax())
        best = float(control[state])
        if best < _FAINT or best < _CLEAR * float(np.partition(control, 1)[1]):
            self._silent(1, heard)
            return
        same_chord = self._gap < _GAP_HOPS or self._hops < _CHORD_HOPS // 2
        if state != self._state or not same_chord:
            self._end_run(heard)
            self._state = state
        self._gap = 0
        self._hops += 1
        if state == _SYNC_STATE:
            if self._hops == _SYNC_HOPS:
                self._give_up(heard)
                self._frame = bytearray()
        else:
            self._low += power[3:19]
            self._high += power[19:35]

    def _silent(self, hops: int, heard: list[Heard]) -> None:
        self._gap += hops
        if self._gap * _HOP > PATIENCE * SAMPLE_RATE and self._frame is not None:
            self._end_run(heard)
            self._give_up(heard)

    def _end_run(self, heard: list[Heard]) -> None:
        """The chord that went on is over: it is a byte, unless it was too short to be one."""
        state, hops = self._state, self._hops
        byte = int(self._low.argmax()) | int(self._high.argmax()) << 4
        self._state, self._hops = None, 0
        self._low[:] = 0
        self._high[:] = 0
        if self._frame is None or state in {None, _SYNC_STATE} or hops < 2:
            return
        if not self._frame:
            heard.append(Heard("began"))
        self._frame.append(byte)
        if len(self._frame) == 1 + (self._frame[0] & ~_MORE) + _CHECK:
            self._complete(bytes(self._frame), heard)

    def _complete(self, frame: bytes, heard: list[Heard]) -> None:
        self._frame = None
        framed, wanted = frame[:-_CHECK], int.from_bytes(frame[-_CHECK:], "big")
        if zlib.crc32(framed, _SEED) == wanted:  # the first frame of a text, whatever came before it
            self._text, self._check = b"", _SEED
        check = zlib.crc32(framed, self._check)
        if check != wanted or len(framed) == 1:
            heard.append(Heard("lost", chords=len(frame)))
            self._text, self._check = b"", _SEED
            return
        self._text, self._check = self._text + framed[1:], check
        if not framed[0] & _MORE:
            text, self._text, self._check = self._text, b"", _SEED
            heard.append(Heard("text", text.decode("utf-8", "replace")))

    def _give_up(self, heard: list[Heard]) -> None:
        if self._frame:
            heard.append(Heard("lost", chords=len(self._frame)))
            self._text, self._check = b"", _SEED
        self._frame = None
