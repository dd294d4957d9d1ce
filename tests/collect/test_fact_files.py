"""Files of one fact a line: what is written is read again, and a broken line costs only itself."""

from __future__ import annotations

import re

import jwt

from lkdoctor.collect.fact_files import read_facts, write_facts
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import FILE_KINDS, FileKind, named
from lkdoctor.dispatch.facts import Fact, Place
from lkdoctor.dispatch.model import READ_KINDS, Stories
from lkdoctor.doctor.engine import sources_of
from lkdoctor.doctor.evidence import Evidence, Facts


class Measured(Fact, frozen=True, kw_only=True):
    """A fact for these tests."""

    SOURCES = ("load",)

    load: float
    who: str = ""


KIND = FileKind("load", re.compile(r"load\.jsonl$"), facts=(f"{__name__}:Measured",), file="load.jsonl")


def read(*lines: bytes) -> Gathered:
    gathered = Gathered()
    read_facts(lines, "load.jsonl", gathered, KIND)
    return gathered


def test_written_facts_are_read_again() -> None:
    given = Gathered()
    given.add(Measured(load=0.5, who="a", place=Place("live", path="here")))
    given.add(Measured(load=0.7))
    lines = list(write_facts(given, KIND))
    again = read(*lines)
    assert again.facts == {
        Measured: [
            Measured(load=0.5, who="a", place=Place("load.jsonl", 0)),
            Measured(load=0.7, place=Place("load.jsonl", len(lines[0]))),
        ]
    }
    assert again.notes[0].lines == 2
    assert again.quotes[Place("load.jsonl", 0)].text == "load=0.5 who=a"


def test_a_broken_line_costs_only_itself() -> None:
    gathered = read(
        b"{}\n", b'{"fact":"Measured","load":"high"}\n', b"\n", b'{"fact":"Measured","load":1}\n', b"\xff\n"
    )
    assert [one.load for one in gathered.facts[Measured] if isinstance(one, Measured)] == [1.0]
    assert sum(gathered.notes[0].skipped.values()) == 3
    assert not gathered.notes[0].unusable
    assert "Measured" in read(b"{}\n").notes[0].unusable


def test_a_secret_in_the_file_is_masked() -> None:
    token = jwt.encode({"sub": "x"}, "s" * 40, algorithm="HS256")
    gathered = read(f'{{"fact":"Measured","load":1,"who":"{token}"}}\n'.encode())
    assert token not in repr(gathered)


def test_a_check_sees_them() -> None:
    given = read(b'{"fact":"Measured","load":1}\n')
    evidence = Evidence.of(Stories(facts=given.facts))
    assert list(evidence.view(Facts[Measured])) == given.facts[Measured]  # type: ignore[call-overload]
    assert evidence.facts_of(Measured) == tuple(given.facts[Measured])
    assert sources_of(Facts[Measured]) == ("load",)


def test_every_row_names_what_exists() -> None:
    for row in FILE_KINDS:
        for path in (*row.facts, *filter(None, [row.reader])):
            assert named(path) is not None
        assert not row.read or row.name in READ_KINDS, f"sources of the kind {row.name} would count as unread"
        assert bool(row.file) == bool(row.facts)
        assert not row.file or row.pattern.match(row.file)
