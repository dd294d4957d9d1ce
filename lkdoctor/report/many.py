"""The dispatches of a very long report: made when they are looked at, some hundred at a time, and never kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, overload

from lkdoctor.dispatch import model
from lkdoctor.report.json_v1 import Dispatch

CHUNK: Final = 256  # their proof is about a megabyte of text

Make = Callable[[Sequence[model.Dispatch], bool], list[Dispatch]]


class Many(Sequence[Dispatch]):
    """`told`, in their order, as document objects that `make` gives (its second argument: with their proof)."""

    def __init__(self, told: Sequence[model.Dispatch], make: Make) -> None:
        self._told = told
        self._make = make

    def __len__(self) -> int:
        return len(self._told)

    @overload
    def __getitem__(self, index: int) -> Dispatch: ...

    @overload
    def __getitem__(self, index: slice) -> list[Dispatch]: ...

    def __getitem__(self, index: int | slice) -> Dispatch | list[Dispatch]:
        if isinstance(index, slice):
            return self._make(self._told[index], True)
        return self._make([self._told[index]], True)[0]

    def __iter__(self) -> Iterator[Dispatch]:
        return self._each(proved=True)

    def bare(self) -> Iterator[Dispatch]:
        """All of them without their proof, so that no source is read again."""
        return self._each(proved=False)

    def _each(self, *, proved: bool) -> Iterator[Dispatch]:
        for start in range(0, len(self._told), CHUNK):
            yield from self._make(self._told[start : start + CHUNK], proved)


def bare(dispatches: Sequence[Dispatch]) -> Iterable[Dispatch]:
    """The dispatches of a report for those who do not show their proof."""
    return dispatches.bare() if isinstance(dispatches, Many) else dispatches
