"""Codes are found by number, name, alias and family; what is unknown gets a suggestion."""

from __future__ import annotations

import pytest

from lkdoctor.doctor.catalogue import Catalogue, UnknownCodeError
from lkdoctor.doctor.codes import CODES, NO_HEADROOM
from lkdoctor.doctor.finding import Code, Severity

OTHER = Code(1, "acme-thing", Severity.INFO, "Something of theirs.", prefix="ACME")


@pytest.mark.parametrize(
    "word", ["LKD303", "lkd303", "303", "no-headroom", "No-Headroom", "no_headroom", "no-servers-available"]
)
def test_find(word: str) -> None:
    assert Catalogue().find(word) is NO_HEADROOM


@pytest.mark.parametrize("word", ["LKD3xx", "LKD3", "lkd3XX"])
def test_select_a_family(word: str) -> None:
    assert {one.number for one in Catalogue().select(word)} == {one.number for one in CODES if one.number // 100 == 3}


def test_select_by_two_digits_and_by_name() -> None:
    assert {one.number for one in Catalogue().select("LKD31")} == {310, 311, 312, 313, 314, 315}
    assert Catalogue().select("no-headroom") == {NO_HEADROOM}


@pytest.mark.parametrize(
    ("word", "suggestion"), [("no-hedroom", "LKD303 (no-headroom)"), ("name-near-mis", "LKD202 (name-near-miss)")]
)
def test_did_you_mean(word: str, suggestion: str) -> None:
    with pytest.raises(UnknownCodeError, match="Did you mean") as caught:
        Catalogue().find(word)
    assert suggestion in str(caught.value)


@pytest.mark.parametrize("word", ["LKD0xx", "LKD999", "", "xx", "LKD3x", "LKDxxx"])
def test_unknown(word: str) -> None:
    with pytest.raises(UnknownCodeError):
        Catalogue().select(word)


def test_other_peoples_codes() -> None:
    catalogue = Catalogue([*CODES, OTHER])
    assert catalogue.find("acme1") is OTHER
    assert catalogue.select("ACME1") == {OTHER}
    assert list(catalogue)[-1] is OTHER
