"""How a number of things is said, for reports, checks and collectors alike."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """`1 dispatch`, `3 dispatches`, `2,000 rooms`; `many` where an s does not make the plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
