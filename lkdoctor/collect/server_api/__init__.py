"""What the server's API lists: asked live (`collect`), or read back from `api.jsonl` (`exchanges`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lkdoctor.collect.gathered import Gathered

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target


async def collect(
    target: Target,
    gathered: Gathered,
    say: Callable[[str], None],
    *,
    rooms: tuple[str, ...] = (),
    watch: float = 0.0,
    record: Callable[[bytes], object] | None = None,
) -> None:
    """See `sweep.collect`, which brings aiohttp and livekit-api."""
    from lkdoctor.collect.server_api import sweep  # noqa: PLC0415 - heavy

    await sweep.collect(target, gathered, say, rooms=rooms, watch=watch, record=record)
