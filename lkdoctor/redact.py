"""Masks secrets in every string that leaves lkdoctor: the same value gets the same token within one run.

LiveKit itself prints whole JWTs into its log and its 401 bodies, `turn_password` into every ListRooms answer, and
what users put into metadata. There is no switch to turn this off.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets as random_source
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}")

# Names whose value is a secret, as JSON key, yaml key, environment variable or query parameter.
_NAMES: Final = (
    r"turn[_-]?password|turnPassword|api[_ -]?secret|apiSecret|LIVEKIT_API_SECRET|LIVEKIT_KEYS|[A-Z0-9_]*_API_KEY|"
    r"access[_-]?token|accessToken|refresh[_-]?token|join[_-]?request|signature|sig|X-Amz-(?:Signature|Credential|"
    r"Security-Token)|X-Goog-(?:Signature|Credential)|password|passwd|credential|secret|secret[_-]?key|secretKey|"
    r"authorization|(?:agent|participant|room|job)?[_-]?metadata|(?:Agent|Participant|Room|Job)Metadata|token"
)
# The value stands in quotes, which may be escaped any number of times: JSON in JSON in a log line.
_QUOTED: Final = re.compile(
    rf"""(?i)(?<![A-Za-z0-9])(?P<name>{_NAMES})(?P<mid>\\*["']?\s*[:=]\s*)(?P<quote>\\*["'])(?P<value>.*?)(?<!\\)(?P=quote)"""
)
# Without quotes only after `=`; after `:` too when the name leaves no doubt ("token: expired" is a sentence).
_SURE: Final = (
    r"turn[_-]?password|turnPassword|api[_ -]?secret|apiSecret|LIVEKIT_API_SECRET|LIVEKIT_KEYS|[A-Z0-9_]*_API_KEY|"
    r"password|passwd|secret[_-]?key|authorization"
)
_VALUE: Final = r"""(?:(?P<scheme>Bearer|Basic)\s+)?(?!(?:Bearer|Basic)\s)(?P<value>[^\s"'\\,;&{}\[\]()<>]+)"""
_BARE: Final = re.compile(rf"""(?i)(?<![A-Za-z0-9])(?P<name>{_NAMES})(?P<mid>=|"\s*:\s*){_VALUE}""")
_BARE_SURE: Final = re.compile(rf"(?i)(?<![A-Za-z0-9])(?P<name>{_SURE})(?P<mid>:\s+){_VALUE}")
_BEARER: Final = re.compile(r"(?i)\b(?P<scheme>Bearer|Basic)\s+(?P<value>[A-Za-z0-9._~+/=-]{8,})")
_URL_PASSWORD: Final = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s/:@\"']*:)(?P<value>[^\s/\"']+)(?=@)")
# What stands for "no value": masking it would hide nothing and confuse the reader.
_EMPTY: Final = frozenset({"", "null", "none", "nil", "true", "false", "0"})
_KEPT: Final = re.compile(r"<secret:[0-9a-f]{4,}>|<[^<>]*>|\*+")
# No secret without one of these in the text, in lower case; looking for words is ten times as quick as the patterns.
_HINTS: Final = (
    "eyj",
    "secret",
    "passw",
    "token",
    "signature",
    "bearer",
    "basic",
    "credential",
    "metadata",
    "_api_key",
    "livekit_keys",
    "authorization",
    "://",
    "join_request",
    "join-request",
    "joinrequest",
)
_SIG: Final = re.compile(r"(?<![a-z0-9])sig(?![a-z])")  # the word stands inside of "assigned" as well
_SHORT: Final = 80
_REMEMBERED: Final = 4096
_SHORTEST: Final = 6  # a shorter run-time secret would mask ordinary words


class Redactor:
    """Masks by form (JWT, known names, URLs) and by value (secrets that this run was given)."""

    def __init__(self, secrets: Iterable[str] = (), salt: bytes | None = None) -> None:
        """`secrets` are values given at run time; `salt` fixes the tokens (tests, one bundle)."""
        self._salt = random_source.token_bytes(16) if salt is None else salt
        self._values: re.Pattern[str] | None = None  # made of `_known` when it is next needed: tokens come in hundreds
        self._known: dict[str, str] = {}
        self._clean: set[str] = set()  # short texts without a secret: the same names and words come again and again
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask this value too, also where it stands JSON-escaped, URL-quoted or in base64."""
        if len(secret) < _SHORTEST:
            return
        forms = {
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(json.dumps(secret)[1:-1])[1:-1],
            quote(secret, safe=""),
            base64.b64encode(secret.encode()).decode(),
            base64.b64encode(secret.encode()).decode().rstrip("="),
            base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
        }
        self._known |= dict.fromkeys(forms, secret)
        self._clean.clear()
        self._values = None

    @property
    def salt(self) -> bytes:
        """What the tokens of this run are made with; for its other processes only."""
        return self._salt

    @salt.setter
    def salt(self, salt: bytes) -> None:
        self._salt = salt

    def token(self, value: str) -> str:
        """`<secret:3f2a>`: equal for equal values of this run, and nothing can be guessed back from it."""
        digest = hmac.new(self._salt, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"<secret:{digest[:4]}>"

    def mask(self, text: str) -> str:
        """`text` with every secret replaced by its token; masking twice changes nothing more."""
        if text in self._clean:
            return text
        if self._known:
            if self._values is None:
                longest_first = sorted(self._known, key=lambda form: (-len(form), form))
                # A token is passed over: the secret may be the word "secret".
                self._values = re.compile("|".join((r"<secret:[0-9a-f]{4,}>", *map(re.escape, longest_first))))
            text = self._values.sub(
                lambda match: self.token(self._known[match[0]]) if match[0] in self._known else match[0], text
            )
        lower = text.lower()
        if not any(hint in lower for hint in _HINTS) and ("sig" not in lower or not _SIG.search(lower)):
            if len(text) <= _SHORT and len(self._clean) < _REMEMBERED:
                self._clean.add(text)
            return text
        text = _JWT.sub(lambda match: self.token(match[0]), text)
        text = _QUOTED.sub(self._named, text)
        text = _BARE_SURE.sub(self._named, _BARE.sub(self._named, text))
        text = _BEARER.sub(lambda match: f"{match['scheme']} {self._value(match['value'])}", text)
        return _URL_PASSWORD.sub(lambda match: match["head"] + self._value(match["value"]), text)

    def mask_all(self, value: Any) -> Any:
        """`value` with every string in it masked, in dicts, lists and tuples at any depth."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self.mask_all(key): self.mask_all(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.mask_all(item) for item in value)
        return value

    def _value(self, value: str) -> str:
        return value if value.lower() in _EMPTY or _KEPT.fullmatch(value) else self.token(value)

    def _named(self, match: re.Match[str]) -> str:
        found = match.groupdict()
        mark = found.get("quote") or ""
        scheme = f"{found['scheme']} " if found.get("scheme") else ""
        return f"{found['name']}{found['mid']}{mark}{scheme}{self._value(found['value'])}{mark}"


_OF_THIS_RUN: Final = Redactor()


def continue_run(salt: bytes) -> None:
    """In a second process of one run: equal secrets get the tokens that they have in the first, whose salt this is."""
    _OF_THIS_RUN.salt = salt


def of_this_run() -> Redactor:
    """The one redactor of this process, so that equal secrets get equal tokens in all its output."""
    return _OF_THIS_RUN


def is_masked(secret: str) -> bool:
    """True when this value, and nothing but it, is masked by its form alone, so that it need not be remembered."""
    return _JWT.fullmatch(secret) is not None


def mask(text: str) -> str:
    """`text` without secrets, by the redactor of this process."""
    return _OF_THIS_RUN.mask(text)
