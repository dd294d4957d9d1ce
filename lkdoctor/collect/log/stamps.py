"""Times of server records to Unix seconds, fast: the date and hour part is worked out once and remembered."""

from __future__ import annotations

import calendar
from typing import Final

_base: dict[bytes, int] = {}  # b"2026-01-01T00:00" + zone -> seconds; a log has few of them at a time
_LIMIT: Final = 4096


def _minute(date: bytes, zone: bytes) -> int:
    """Seconds of `2026-01-01T00:00` in zone `Z`, `+0200` or `+02:00`.

    Raises:
        ValueError: not such a date or zone.
    """
    text = date.decode("ascii")
    if len(text) != 16 or text[4] != "-" or text[7] != "-" or text[13] != ":":
        raise ValueError(text)
    year, month, day, hour, minute = (
        int(text[:4]),
        int(text[5:7]),
        int(text[8:10]),
        int(text[11:13]),
        int(text[14:]),
    )
    if not (1970 <= year < 2200 and 1 <= month <= 12 and 1 <= day <= 31 and 0 <= hour < 24 and 0 <= minute < 60):
        raise ValueError(text)
    seconds = calendar.timegm((year, month, day, hour, minute, 0))
    if zone == b"Z":
        return seconds
    digits = zone[1:].replace(b":", b"")
    if zone[:1] not in b"+-" or len(digits) != 4 or not digits.isdigit():
        raise ValueError(zone)
    offset = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return seconds - offset if zone[:1] == b"+" else seconds + offset


def console_stamp(text: bytes) -> float | None:
    """Unix seconds of `2026-01-01T01:00:00.123+0100` (or `Z`, or `+01:00`); None when it is no such stamp."""
    key = text[:16] + text[23:]
    base = _base.get(key)
    try:
        if base is None:
            if text[16:17] != b":" or text[19:20] != b".":
                return None
            base = _minute(text[:16], text[23:])
            if len(_base) >= _LIMIT:
                _base.clear()
            _base[key] = base
        # Whole milliseconds first: the sum is then the nearest float, the same for every zone of writing.
        return base + int(text[17:19]) + int(text[20:23]) / 1000
    except ValueError:
        return None
