"""Which wrappers are around the lines of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from lkdoctor.collect.log.wrappers import WRAPPERS, Form, Peeled, ansi

_DEPTH: Final = 4
Reads = Callable[[bytes], object]


def form_of(line: bytes, reads: Reads) -> tuple[Form, Peeled] | None:
    """The wrappers around this one line, and its inside, when there is a record in it; else None.

    `reads` says whether the inside is what is looked for (a truthy value).
    """
    return _unwrap(Peeled(line), (), reads)


def _unwrap(got: Peeled, form: Form, reads: Reads) -> tuple[Form, Peeled] | None:
    if reads(got.payload):
        return form, got
    if len(form) >= _DEPTH:
        return None
    for wrapper in WRAPPERS:
        if form and wrapper is form[-1]:
            continue
        inner = wrapper(got.payload)
        if inner is None or inner.lost:
            continue
        joined = Peeled(
            inner.payload,
            got.service or inner.service,
            got.more or inner.more,
            got.part_of or inner.part_of,
        )
        found = _unwrap(joined, (*form, wrapper), reads)
        if found is not None:
            return found
        if wrapper is ansi:
            return None  # without its colours it was tried with every other wrapper
    return None


def usual_form(lines: Iterable[bytes], reads: Reads) -> Form | None:
    """The form that most of `lines` have, or None when none of them holds a record."""
    votes: dict[Form, int] = {}
    for line in lines:
        found = form_of(line.rstrip(b"\r"), reads)
        if found is not None:
            votes[found[0]] = votes.get(found[0], 0) + 1
            if votes[found[0]] >= 20:
                break
    return max(votes, key=lambda form: votes[form]) if votes else None
