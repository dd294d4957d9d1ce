"""Multiplies recorded cases into a log of any size: `python -m bench.generate --gb 1 --density 0.01 --out FILE`.

Every copy is a story of its own: ids, room names, identities and times are rewritten. Between its lines stands filler:
recorded lines that belong to no story (debug and transport lines), so that `--density` of all lines are relevant.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lkdoctor.collect.server_log.messages import AUTOMATON
from lkdoctor.collect.server_log.records import read_head

_IDS = re.compile(rb"\b((?:RM|PA|AJ|AW|AD|TR|ND|CO|AR)_[A-Za-z0-9]{4,})\b")
_NAMED = re.compile(rb'("(?:room|name|participant|Identity|identity)": ?")((?:[^"\\]|\\.)+)(")')
_TS = re.compile(rb'"ts":[0-9.]+')
_MAX_FILLER = 1024
_GAP = 5.0


class Line(NamedTuple):
    """A recorded line: its time, and its bytes in front of and behind the stamp."""

    at: float
    before: bytes
    after: bytes


class Case(NamedTuple):
    """The relevant lines of one recording."""

    lines: list[Line]
    first: float
    seconds: float


def split(raw: bytes) -> Line | None:
    """A record cut at its stamp; None for what is no record (stack traces)."""
    head = read_head(raw)
    if head is None:
        return None
    if raw[:1] == b"{":
        match = _TS.search(raw)
        if match is None:
            return None
        return Line(head.at, raw[: match.start()] + b'"ts":', raw[match.end() :] + b"\n")
    return Line(head.at, b"", raw[raw.index(b"\t") :] + b"\n")


def load(paths: list[Path], form: str) -> tuple[list[Case], list[Line]]:
    """Cases and filler of the recordings that are in the wanted format.

    Raises:
        SystemExit: they hold no case or no filler in this format.
    """
    cases: list[Case] = []
    filler: list[Line] = []
    for path in paths:
        relevant = []
        for raw in path.read_bytes().splitlines():
            if (raw[:1] == b"{") != (form == "json"):
                continue
            line = split(raw)
            if line is None:
                continue
            if AUTOMATON.find_matches_as_indexes(raw):
                relevant.append(line)
            elif len(raw) <= _MAX_FILLER:
                filler.append(line)
        if relevant:
            first = min(line.at for line in relevant)
            cases.append(Case(relevant, first, max(line.at for line in relevant) - first))
    if not cases or not filler:
        raise SystemExit(f"no {form} recording with both relevant and other lines among {len(paths)} files")
    return cases, filler


def stamp(at: float, form: str) -> bytes:
    """`at` as the server prints it in this format."""
    if form == "json":
        return b"%.7f" % at
    moment = datetime.fromtimestamp(at, timezone.utc)
    return (moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z").encode()


def rewrite(text: bytes, copy: int) -> bytes:
    """The line of another story: ids of the same length, names with the number of the copy."""
    tag = b"%X" % copy
    text = _IDS.sub(lambda match: match[1][: -len(tag)] + tag, text)
    return _NAMED.sub(lambda match: match[1] + match[2] + b"-" + tag + match[3], text)


def blocks(cases: list[Case], filler: list[Line], density: float, form: str) -> Iterator[bytes]:
    """The log, without end, in pieces of some lines each."""
    spare = itertools.cycle(filler)
    owed = 0.0
    start = cases[0].first
    for copy in itertools.count():
        case = cases[copy % len(cases)]
        for line in case.lines:
            now = stamp(start + line.at - case.first, form)
            owed += 1 / density - 1
            count = int(owed)
            owed -= count
            parts = [rewrite(line.before, copy), now, rewrite(line.after, copy)]
            for other in itertools.islice(spare, count):
                parts += (other.before, now, other.after)
            yield b"".join(parts)
        start += case.seconds + _GAP


def write(
    out: BinaryIO,
    size: int,
    cases: list[Case],
    filler: list[Line],
    density: float,
    form: str,
) -> int:
    """Write at least `size` bytes; the number written."""
    done = 0
    for block in blocks(cases, filler, density, form):
        out.write(block)
        done += len(block)
        if done >= size:
            return done
    return done


def recordings(given: list[Path]) -> list[Path]:
    """The files to multiply: those given, else the server logs of all recorded cases."""
    return given or sorted(Path(__file__).parent.parent.glob("fixtures/*/server*.log"))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "recordings",
        nargs="*",
        type=Path,
        help="server logs; default: those of fixtures/",
    )
    parser.add_argument("--gb", type=float, default=1.0, help="size in units of 1000 MB")
    parser.add_argument("--density", type=float, default=0.01, help="share of relevant lines")
    parser.add_argument("--format", choices=("console", "json"), default="console", dest="form")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path)
    where.add_argument(
        "--stream",
        action="store_true",
        help="to standard output, for sizes that no disk should hold",
    )
    given = parser.parse_args()
    cases, filler = load(recordings(given.recordings), given.form)
    size = int(given.gb * 1e9)
    try:
        if given.stream:
            write(sys.stdout.buffer, size, cases, filler, given.density, given.form)
        else:
            with open(given.out, "wb") as out:
                write(out, size, cases, filler, given.density, given.form)
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
