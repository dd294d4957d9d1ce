"""Reading logs of any program: sources, wrappers, rotation, chunks, streams, order and proof; a dialect says what is in them."""

from __future__ import annotations
