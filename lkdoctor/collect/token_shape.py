"""Takes a JWT apart, or says in words where it breaks and what it may be instead; nothing of it is in the words."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import Any, Final

_LETTERS: Final = re.compile(r"[A-Za-z0-9_-]*")
_API_KEY: Final = re.compile(r"API[A-Za-z0-9]{6,24}")
_SECRET: Final = re.compile(r"[A-Za-z0-9+/=_-]{24,88}")
_PARTS: Final = ("header", "claims", "signature")


@dataclass(frozen=True, slots=True)
class Shape:
    """The parts of a token, or why it has none."""

    malformed: str = ""
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    signature: str = field(default="", repr=False)
    padded: bool = False


class _BrokenError(Exception):
    """Where the token breaks, in words."""


def describe(text: str, key: str = "", secret: str = "") -> Shape:
    """The token's header and claims. `key` and `secret` are the user's own: either may be what was pasted instead."""
    reason = _not_even_close(text, key, secret)
    if reason:
        return Shape(reason)
    parts = text.split(".")
    padded = any(part.endswith("=") for part in parts)
    try:
        header, claims = (_object(part.rstrip("="), name) for part, name in zip(parts, _PARTS[:2], strict=False))
        _bytes(parts[2].rstrip("="), "signature")
    except _BrokenError as broken:
        return Shape(str(broken))
    return Shape("", header, claims, parts[2], padded)


def printable(text: str) -> str:
    """`text` without lone surrogates, which no output can carry."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _not_even_close(text: str, key: str, secret: str) -> str:
    if not text:
        return "It is empty."
    if secret and text == secret:
        return "It is the API secret, not a token made with it. A secret must never leave the server's side."
    if (key and text == key) or _API_KEY.fullmatch(text):
        return "It is an API key, not a token. A token is made with the key and its secret."
    blank = re.search(r"\s", text)
    if blank is not None:
        return (
            f"It has a blank or a line break inside, after character {blank.start():,}: it was wrapped, or more than "
            "the token was copied."
        )
    if "…" in text or "..." in text:
        return "It was shortened: dots stand where a part of it was left out."
    number = text.count(".") + 1
    if number == 3:
        return ""
    if number == 5:
        return "It has five parts, as an encrypted token (JWE) has; LiveKit's are signed ones (JWS) of three."
    if number == 1:
        if text.startswith(("{", "[")):
            return "It is JSON without a token in it; give the token, or JSON with a `token` or `participantToken`."
        likely = " It looks like an API secret: a token is made with it, and it must never be given away."
        return "It has one part; a token has three, with dots between." + (likely if _SECRET.fullmatch(text) else "")
    if number == 2:
        return "It has two parts, a token has three: its end, the signature, was cut off."
    return f"It has {number} parts; a token has three, with dots between."


def _bytes(part: str, name: str) -> bytes:
    wrong = _LETTERS.match(part)
    end = wrong.end() if wrong else 0
    if end != len(part):
        what = "a letter of ordinary base64 instead of base64url" if part[end] in "+/" else "a character no token has"
        raise _BrokenError(f"Its {name} breaks at character {end + 1:,}: {what}.")
    if len(part) % 4 == 1:
        raise _BrokenError(f"Its {name} has a length that base64url cannot have: a character is missing or too many.")
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _object(part: str, name: str) -> dict[str, Any]:
    if not part:
        raise _BrokenError(f"Its {name} is empty.")
    raw = _bytes(part, name)
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise _BrokenError(f"Its {name} is no text: it breaks at byte {error.start + 1:,} of {len(raw):,}.") from None
    except json.JSONDecodeError as error:
        where = "it ends too early" if error.pos >= len(raw) - 1 else f"it breaks at character {error.pos + 1:,}"
        raise _BrokenError(f"Its {name} is no JSON: {where}.") from None
    except (ValueError, RecursionError):
        raise _BrokenError(f"Its {name} is no JSON that a server reads.") from None
    if not isinstance(value, dict):
        raise _BrokenError(f"Its {name} is no JSON object.")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
