"""Where in the user's files a finding stands: what code hosts accept is a file relative to the repository, and a line.

The first proof that stands in a file of the repository is the place. A finding without one (a live server's answer, a log
outside of the repository, standard input) gets a stand-in, because a code host refuses a result without a place: the
`lkdoctor.toml`, else the first evidence file in the repository, else `lkdoctor.toml` though nobody has written it yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lkdoctor.report.json_v1 import Proof, Source

CONFIG: Final = "lkdoctor.toml"


@dataclass(frozen=True, slots=True)
class Spot:
    """A file relative to the repository, with `/`, and a line from 1; `proof` None: a stand-in."""

    path: str
    line: int
    proof: Proof | None = None


class Repository:
    """The folder that paths are told relative to: the git work tree around the current folder, else that folder."""

    def __init__(self, here: str | None = None) -> None:
        """`here` is the current folder, which sources' names are relative to."""
        self._here = os.path.realpath(here or os.curdir)
        self._root = _work_tree(self._here)

    def spot(self, source: str, line: int | None, proof: Proof | None = None) -> Spot | None:
        """The place of a line of this source; None when the source is no file, or one outside of the repository.

        A member of a zip is told as the first line of the zip: its own lines are none of that file.
        """
        if source in {"", "-"} or "://" in source:
            return None
        name = os.path.join(self._here, source)
        if not os.path.isfile(name):
            line = 1
            while not os.path.isfile(name):
                above = os.path.dirname(name)
                if above == name:
                    return None
                name = above
        relative = os.path.relpath(os.path.realpath(name), self._root)
        if relative.split(os.sep, 1)[0] == os.pardir:
            return None
        return Spot(relative.replace(os.sep, "/"), max(1, line or 1), proof)

    def spots(self, proof: Iterable[Proof]) -> list[Spot]:
        """The places of these proof lines that stand in files of the repository, in their order."""
        return [spot for one in proof if (spot := self.spot(one.source, one.line, one))]

    def stand_in(self, sources: Iterable[Source], config: str = "") -> Spot:
        """The place of what has no file of its own; `config` is the `lkdoctor.toml` that was used."""
        known = (self.spot(name, 1) for name in (config or CONFIG, *(one.name for one in sources)))
        return next((one for one in known if one), Spot(CONFIG, 1))


def _work_tree(here: str) -> str:
    folder = here
    while not os.path.exists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        if above == folder:
            return here
        folder = above
    return folder
