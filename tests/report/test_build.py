"""The report of very many dispatches lists those at fault and counts all; nothing was judged is never called healthy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import jsonschema
import msgspec
import pytest
from msgspec.structs import replace as replace_fields

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import After, Dispatch, Launch, Origin, Outcome, Stories
from lkdoctor.doctor.engine import Diagnosis
from lkdoctor.report.build import LISTED, RunFacts, Settings, build
from lkdoctor.report.json_v1 import Report, encode, pieces, schema
from lkdoctor.report.many import CHUNK
from lkdoctor.report.rows import Quoted, iso
from lkdoctor.report.screen import Screen
from lkdoctor.report.text import ROWS, write


def stories(healthy: int, lost: int, never_joined: int = 0) -> Stories:
    """Dispatches of rooms that only this test knows."""

    def one(number: int, outcome: Outcome, after: After | None) -> Dispatch:
        launch = Launch("JT_ROOM", float(number), outcome=outcome, decides=True, ended_at=number + 0.2)
        return Dispatch(
            f"r{number}", "", "a", Origin.API, float(number), outcome=outcome, after=after, launches=[launch]
        )

    every = [one(number, Outcome.ASSIGNED, After.JOINED) for number in range(healthy)]
    every += [one(healthy + number, Outcome.NO_HEADROOM, None) for number in range(lost)]
    every += [one(healthy + lost + number, Outcome.ASSIGNED, After.NEVER_JOINED) for number in range(never_joined)]
    return Stories(dispatches=every)


def report(of: Stories, settings: Settings | None = None, errors: tuple[str, ...] = ()) -> Report:
    nothing = Diagnosis((), (), (), ())
    return build(of, nothing, resolve=lambda _: {}, run=RunFacts(0.0, 0.1, errors=errors), settings=settings)


def test_up_to_the_limit_every_dispatch_is_listed() -> None:
    found = report(stories(LISTED - 1, 1))
    assert (found.totals.dispatches, found.totals.listed, len(found.dispatches)) == (LISTED, LISTED, LISTED)


def test_above_it_those_at_fault_and_the_totals() -> None:
    found = report(stories(LISTED, 2, never_joined=1))
    assert (found.totals.dispatches, found.totals.listed) == (LISTED + 3, 3)
    assert found.totals.by_outcome == {"assigned": LISTED + 1, "no-headroom": 2}
    assert {(one.outcome, one.after) for one in found.dispatches} == {
        ("no-headroom", None),
        ("assigned", "never-joined"),
    }
    assert f"and {LISTED:,} more; --all lists them" in write(found, Screen(100))


def test_all_lists_all() -> None:
    assert len(report(stories(LISTED, 2), Settings(list_all=True)).dispatches) == LISTED + 2


def test_healthy_ones_that_the_joiner_only_counted_are_in_the_totals() -> None:
    of = stories(3, 0)
    of.folded = {"assigned": LISTED}
    found = report(of)
    assert (found.totals.dispatches, found.totals.by_outcome["assigned"], found.totals.listed) == (
        LISTED + 3,
        LISTED + 3,
        0,
    )


def test_what_was_not_judged_is_not_healthy() -> None:
    assert report(Stories()).verdict == "healthy"
    assert report(Stories(), errors=("nothing could be read",)).verdict == "inconclusive"


def test_a_long_document_written_in_pieces_is_the_one_that_is_encoded_at_once() -> None:
    calls: list[int] = []

    class Quote(NamedTuple):
        source: str
        offset: int | None
        line: int | None
        text: str

    def resolve(places: Iterable[Place]) -> dict[Place, Quote]:
        every = list(places)
        calls.append(len(every))
        return {one: Quote(one.source, one.offset, 1, f"at {one.offset}") for one in every}

    of = stories(LISTED, 300)
    of.dispatches = [replace(one, proof=[Place("a.log", int(one.asked_at or 0))]) for one in of.dispatches]
    prepared: list[int] = []
    found = build(
        of,
        Diagnosis((), (), (), ()),
        resolve=resolve,
        run=RunFacts(0.0, 0.1),
        settings=Settings(list_all=True),
        prepare=lambda places: prepared.append(len(list(places))),
    )
    calls.clear()
    document = encode(found)
    assert (max(calls), sum(calls), prepared) == (CHUNK, LISTED + 300, [LISTED + 300])
    assert max(len(piece) for piece in pieces(found)) < len(document) / 30
    at_once = replace_fields(found, dispatches=list(found.dispatches))
    assert document == msgspec.json.format(msgspec.json.encode(at_once, order="deterministic"), indent=2) + b"\n"
    some = json.loads(document)
    some["dispatches"] = some["dispatches"][::100]  # the validator is slow
    jsonschema.Draft202012Validator(json.loads(schema())).validate(some)
    assert len(msgspec.json.decode(document, type=Report).dispatches) == LISTED + 300


def test_the_text_of_a_long_report_reads_no_proof_of_its_rows() -> None:
    of = stories(LISTED, 300)

    def resolve(places: Iterable[Place]) -> dict[Place, Quoted]:
        assert not list(places)
        return {}

    run = RunFacts(0.0, 0.1)
    found = build(of, Diagnosis((), (), (), ()), resolve=resolve, run=run, settings=Settings(list_all=True))
    lines = write(found, Screen(100)).splitlines()
    assert sum("no-headroom" in line for line in lines) == ROWS
    assert f"and {LISTED + 300 - ROWS:,} more; -v shows them" in "\n".join(lines)


@pytest.mark.parametrize(
    ("at", "text"),
    [(None, None), (0.0, "1970-01-01T00:00:00.000Z"), (1769860800.0006, "2026-01-31T12:00:00.001Z")],
)
def test_times(at: float | None, text: str | None) -> None:
    assert iso(at) == text
