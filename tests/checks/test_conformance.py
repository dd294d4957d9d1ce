"""Every built-in check keeps the house rules: a handbook page, one code, evidence that exists, a pure module."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from lkdoctor.dispatch.model import Sampled, Stories
from lkdoctor.doctor.codes import CODES
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.loader import load
from lkdoctor.doctor.registry import Check
from tests.checks.build import T0, ask, stories

LOADED = load()
SECTIONS = ("What it means", "How it is decided", "How to fix", "When it is not a problem")
# Promised for a server's log: everything that the log itself can show.
FROM_A_LOG = (
    104, 105, 106, 107, 109, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 212, 213, 301, 302, 303, 304, 305, 306, 307,
    308, 309, 310, 311, 312, 313, 314, 406, 407, 601, 605, 606, 607, 608, 903, 904, 905,
)  # fmt: skip


def _listed(told: Stories) -> Stories:
    """The same with an API that was asked, and that listed nothing."""
    told.sampled = Sampled(T0, T0 + 30, samples=10)
    return told


def test_all_load() -> None:
    """No module breaks, and no module looks for one code twice."""
    assert [one.message for one in LOADED.findings] == []
    twice = Counter((one.code.id, one.module) for one in LOADED.checks)
    assert {place: n for place, n in twice.items() if n > 1} == {}


def test_every_promised_code_has_a_check() -> None:
    """What a log can show is checked."""
    assert set(FROM_A_LOG) - {one.code.number for one in LOADED.checks} == set()


@pytest.mark.parametrize("check", LOADED.checks, ids=lambda one: one.code.id)
class TestEachCheck:
    """One row a check."""

    def test_code_is_in_the_catalogue(self, check: Check) -> None:
        """Its code is the catalogue's own, not a copy."""
        assert any(check.code is one for one in CODES)

    def test_handbook_page(self, check: Check) -> None:
        """One sentence first, then the four sections, in order, none empty. Where several checks look for one code, one of
        them has the page, and the others say in words what they add to it."""
        if "\n## " not in check.handbook:
            pages = [one for one in LOADED.checks if one.code is check.code and "\n## " in one.handbook]
            assert len(pages) >= 1, f"{check.code.id} has no page"
            assert len(check.handbook.split()) >= 15
            return
        title, _, rest = check.handbook.partition("\n\n")
        assert title.endswith(".")
        assert len(title) < 140
        assert "\n" not in title
        parts = re.split(r"^## (.+)$", rest, flags=re.MULTILINE)
        assert tuple(parts[1::2]) == SECTIONS
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            assert len(text.split()) >= 8, f"{check.code.id}: {name} says too little"

    def test_wants_known_evidence(self, check: Check) -> None:
        """Every parameter is a view that exists, and there is one at least."""
        evidence = Evidence.of(_listed(stories()))
        assert check.wants
        for kind in check.wants:
            assert evidence.view(kind) is not None

    def test_says_nothing_of_nothing(self, check: Check) -> None:
        """A complete log, and listings, in which nothing happened have no finding and leave no question."""
        assert ask(check, Evidence.of(_listed(stories()))) == []

    def test_survives_a_log_without_anything(self, check: Check) -> None:
        """No run, no time, no line: no fault is claimed."""
        empty = stories(runs=())
        empty.first_at = empty.last_at = None
        assert ask(check, Evidence.of(empty)) == []
