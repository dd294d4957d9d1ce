"""Damages the bytes of a log as disks, cut copies and terminals do."""

from __future__ import annotations

from hypothesis import strategies as st


def damage(draw: st.DrawFn, data: bytearray) -> bytes:
    """What is left of a log after up to six accidents: flipped bits, lost pieces, junk, zeros, repeats, broken lines."""
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        what = draw(st.sampled_from(("flip", "drop", "junk", "nul", "twice", "newline")))
        if what == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "drop":
            del data[at : at + draw(st.integers(1, 3000))]
        elif what == "junk":
            data[at:at] = draw(st.binary(max_size=200))
        elif what == "nul":
            data[at:at] = bytes(draw(st.integers(1, 2000)))
        elif what == "twice":
            data[at:at] = data[at : at + draw(st.integers(1, 3000))]
        else:
            data[at:at] = b"\n"
    return bytes(data)
