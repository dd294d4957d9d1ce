"""Every built-in check keeps the house rules: a handbook page, one code, evidence that exists, a pure module."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from lkdoctor.doctor.codes import CODES
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.loader import load
from lkdoctor.doctor.registry import Check
from tests.checks.build import stories

LOADED = load()
SECTIONS = ("What it means", "How it is decided", "How to fix", "When it is not a problem")
# Promised for a server's log: everything that the log itself can show.
FROM_A_LOG = (
    104, 105, 106, 107, 109, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 212, 213, 301, 302, 303, 304, 305, 306, 307,
    308, 309, 310, 311, 312, 313, 314, 406, 407, 601, 605, 606, 607, 608, 903, 904, 905,
)  # fmt: skip


def test_all_load() -> None:
    """No module breaks, no code is claimed twice."""
    assert [one.message for one in LOADED.findings] == []
    assert {code: n for code, n in Counter(one.code.id for one in LOADED.checks).items() if n > 1} == {}


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
        """One sentence first, then the four sections, in order, none empty."""
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
        evidence = Evidence.of(stories())
        assert check.wants
        for kind in check.wants:
            assert evidence.view(kind) is not None

    def test_says_nothing_of_nothing(self, check: Check) -> None:
        """A complete log in which nothing happened has no finding and leaves no question."""
        evidence = Evidence.of(stories())
        assert list(check.function(*(evidence.view(kind) for kind in check.wants))) == []

    def test_survives_a_log_without_anything(self, check: Check) -> None:
        """No run, no time, no line: no fault is claimed."""
        empty = stories(runs=())
        empty.first_at = empty.last_at = None
        evidence = Evidence.of(empty)
        assert list(check.function(*(evidence.view(kind) for kind in check.wants))) == []
