"""lkdoctor tells why there is no LiveKit agent in the room, and who got the job."""

from __future__ import annotations

__version__ = "0.1.0"
