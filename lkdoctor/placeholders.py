"""Words that a template holds where the user's own value belongs: known exactly, never guessed from how a value begins.

A real key may begin with `my`, a real host with `your`; a wrong guess would call a working project broken.
"""

from __future__ import annotations

import re
from typing import Final

_BRACKETS: Final = re.compile(r"<[^<>]*>")
_ADDRESS: Final = re.compile(r"\w+://.*<[^<>]*>")  # neither bracket may stand in an address
_SCHEME: Final = re.compile(r"(?:wss?|https?)://")
_WORDS: Final = frozenset(
    {
        "change-me",
        "changeme",
        "replace-me",
        "replaceme",
        "todo",
        "your-api-key",
        "your-api-secret",
        "your-key",
        "your-livekit-api-key",
        "your-livekit-api-secret",
        "your-livekit-host",
        "your-livekit-server",
        "your-livekit-url",
        "your-project.livekit.cloud",
        "your-secret",
        "your-server",
        "your-url",
    }
)


def in_brackets(value: str) -> bool:
    """Is it `<your key>`, which no program can use?"""
    return _BRACKETS.fullmatch(value) is not None


def is_placeholder(value: str) -> bool:
    """Is it one of the words that templates hold (`your-api-key`, `changeme`, `<…>`), and nothing else?"""
    plain = _SCHEME.sub("", value.strip().lower(), count=1).rstrip("/")
    return in_brackets(value) or _ADDRESS.match(value) is not None or re.sub(r"[_ ]", "-", plain) in _WORDS
