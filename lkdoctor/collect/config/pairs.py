"""API keys with the secrets that a project's own files give them, for the while in which sample tokens are held against them.

Neither a fact nor a report has them: what is told of a secret is its token (`services.told_value`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.placeholders import is_placeholder

_MARK: Final = re.compile(r"<secret:[0-9a-f]{4,}>")


@dataclass(slots=True)
class Pairs:
    """What was found. The server's own file says which secret a key has; others only what they use."""

    _servers: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)  # by key: secrets, with their places
    _others: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    def add(self, key: str | None, secret: str | None, where: str, *, server: bool = False) -> None:
        """Remember a pair, unless one half is not known, a template's word, or a mark that stands for a secret."""
        if not key or not secret or any(is_placeholder(one) or _MARK.fullmatch(one) for one in (key, secret)):
            return
        found = self._servers if server else self._others
        found.setdefault(key, {}).setdefault(secret, where)

    def of(self, key: str) -> dict[str, str]:
        """The secrets that this key may have, each with where it stands: the server's where its file has the key."""
        return self._servers.get(key) or self._others.get(key, {})
