"""Which inputs are one rotated set (`server.log.2.gz server.log.1 server.log`), and their order, oldest first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lkdoctor.collect.log.source import LogInput

_PACKED: Final = re.compile(r"\.(?:gz|zst)$")
_NUMBER: Final = re.compile(r"^(?P<base>.+)\.(?P<number>\d{1,4})$")
_DATE: Final = re.compile(
    r"^(?P<base>.+?)[.-](?P<date>\d{4}-?\d\d-?\d\d(?:[-T_.]?\d\d[-:]?\d\d(?:[-:]?\d\d(?:\.\d+)?)?|-\d{10})?)(?P<end>\.log)?$"
)

#: Sorts before every number and date of its set's older files: the file that is still written to is the newest.
_Key = tuple[int, int, str]


def _parts(name: str) -> tuple[str, _Key]:
    """The set that a name belongs to, and its place in it (smaller is older)."""
    plain = _PACKED.sub("", name)
    match = _NUMBER.match(plain)
    if match:
        return match["base"], (1, -int(match["number"]), "")
    match = _DATE.match(plain)
    if match:
        return match["base"] + (match["end"] or ""), (
            0,
            0,
            re.sub(r"\D", "", match["date"]),
        )
    return plain, (2, 0, "")


def streams_of(inputs: Sequence[LogInput]) -> list[tuple[str, tuple[LogInput, ...]]]:
    """The inputs as streams: (name, inputs oldest first). A rotated set goes by the name of its newest file."""
    sets: dict[str, list[tuple[_Key, LogInput]]] = {}
    for one in inputs:
        base, key = _parts(one.name)
        where = "-" if one.path is None else base
        sets.setdefault(where, []).append((key, one))
    streams = []
    for members in sets.values():
        members.sort(key=lambda item: item[0])
        ordered = tuple(item[1] for item in members)
        streams.append((ordered[-1].name, ordered))
    return streams
