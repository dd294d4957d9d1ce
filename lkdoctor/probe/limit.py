"""Finds the two loads between which a server stops asking a worker, with a bounded number of questions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from lkdoctor.dispatch.probes import BELOW_ZERO, GRAIN

#: Questions at most: the expected limit (2), bisecting 0 to 1 by 0.001 (10), once again both ends (2), and 0 and below (3).
MOST: Final = 16
_STEPS: Final = round(1 / GRAIN)

Ask = Callable[[float], Awaitable[bool]]


async def find_limit(ask: Ask, expected: float | None) -> tuple[float | None, float | None]:
    """The highest load that was asked and the lowest that was not; `expected` is the version's own limit, tried first.

    `ask(load)` says whether a worker at this load is asked. Loads 0 and 1 bound the search: (None, 0.0) when nothing is
    asked at all, (-1.0, 0.0) when only a load below 0 is, (1.0, None) when load 1 is asked too. A limit above 1 cannot be
    seen: at load 1 the server finds its worker without weight and asks nobody (`target_load: 1.5` refused 1.0 on 1.13.5).
    """
    if expected is not None:
        low, high = round(expected / GRAIN) - 1, round(expected / GRAIN)
        if not await ask(high * GRAIN):
            if await ask(low * GRAIN):
                return await _again(ask, low, high)
            return await _between(ask, 0, low)
        return await _between(ask, high, _STEPS, low_known=True)
    return await _between(ask, 0, _STEPS)


async def _between(ask: Ask, low: int, high: int, *, low_known: bool = False) -> tuple[float | None, float | None]:
    """Bisect in steps of GRAIN; `high` is known to be refused unless it is the whole range's end."""
    if high == _STEPS and (low == _STEPS or await ask(1.0)):
        return 1.0, None
    if not low_known and not await ask(low * GRAIN):
        return (BELOW_ZERO if await ask(BELOW_ZERO) else None), 0.0
    while high - low > 1:
        middle = (low + high) // 2
        if await ask(middle * GRAIN):
            low = middle
        else:
            high = middle
    return await _again(ask, low, high)


async def _again(ask: Ask, low: int, high: int) -> tuple[float | None, float | None]:
    """Both ends once more: one slow answer must not pass for a limit."""
    if await ask(high * GRAIN):
        return await _loose(ask, high)
    if not await ask(low * GRAIN):
        return None, None
    return round(low * GRAIN, 3), round(high * GRAIN, 3)


async def _loose(ask: Ask, low: int) -> tuple[float | None, float | None]:
    """A load that was refused once was asked now: the measurement contradicts itself, and nothing is claimed above it."""
    return (round(low * GRAIN, 3) if await ask(low * GRAIN) else None), None
