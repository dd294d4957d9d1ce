"""The search for the load limit: right for every limit, in few questions, and honest when a server contradicts itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkdoctor.dispatch.measured import expected_limit, explained, matching, missed_worker
from lkdoctor.dispatch.probes import BELOW_ZERO
from lkdoctor.probe.limit import MOST, find_limit

EXPECTED = [None, 0.65, 0.7, 1.0]


def search(
    asks: Callable[[float], bool], expected: float | None
) -> tuple[tuple[float | None, float | None], list[float]]:
    """What is found with a server that asks by `asks`, and the loads that were tried."""
    tried: list[float] = []

    async def ask(load: float) -> bool:
        tried.append(round(load, 3))
        return asks(load)

    return asyncio.run(find_limit(ask, expected)), tried


@given(limit=st.integers(1, 1000), expected=st.sampled_from(EXPECTED))
def test_every_limit_is_found(limit: int, expected: float | None) -> None:
    """Whatever the version's own limit is: the two loads lie a thousandth apart, around the real one."""
    found, tried = search(lambda load: load < limit / 1000 - 1e-9, expected)
    assert list(found) == pytest.approx([(limit - 1) / 1000, limit / 1000])
    assert len(tried) <= MOST


@pytest.mark.parametrize("expected", EXPECTED)
def test_the_ends_of_the_range(expected: float | None) -> None:
    """Nothing is asked; only below 0; load 1 too."""
    assert search(lambda _: False, expected)[0] == (None, 0.0)
    assert search(lambda load: load < 0, expected)[0] == (BELOW_ZERO, 0.0)
    assert search(lambda _: True, expected)[0] == (1.0, None)


@given(expected=st.sampled_from(EXPECTED), answers=st.lists(st.booleans(), min_size=MOST, max_size=MOST))
def test_a_server_that_contradicts_itself(expected: float | None, answers: list[bool]) -> None:
    """Answers by chance: the search ends in time, and claims two loads only when both answered twice in that way."""
    said: dict[float, list[bool]] = {}

    def asks(load: float) -> bool:
        said.setdefault(round(load, 3), []).append(answers[sum(map(len, said.values()))])
        return said[round(load, 3)][-1]

    (accepted, refused), tried = search(asks, expected)
    assert len(tried) <= MOST
    if accepted is not None and refused is not None and accepted >= 0:
        assert said[accepted][-1]
        assert not any(said[refused])


def test_what_a_limit_says() -> None:
    """Each version's own limit is known again; a changed one, and one of 1 or more, are told apart."""
    assert [one.limit for one in matching(0.649, 0.65)] == [0.65]
    assert [one.limit for one in matching(0.999, 1.0)] == [1.0]
    assert matching(0.899, 0.9) == ()
    assert (expected_limit("1.8.4"), expected_limit("1.13.5"), expected_limit("")) == (0.65, 0.7, None)
    assert "default" in explained("1.13.5", 0.699, 0.7)
    assert "is 0.9 here" in explained("1.13.5", 0.899, 0.9)
    assert "1 or more" in explained("1.13.5", 0.999, 1.0)
    assert "built in" in explained("1.9.12", 0.999, 1.0)
    assert missed_worker(0.5, 4) == pytest.approx(0.0625)
