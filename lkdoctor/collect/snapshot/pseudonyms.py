"""Pseudonyms for people: the same person has the same one in every file of a case, and nobody can be guessed back.

Identities are told by the field that they stand in (`"participant": "…"`, at any depth of JSON in JSON), phone numbers and
e-mail addresses by their form, wherever they stand. What LiveKit made is no person: `agent-AJ_…`, ids of egress and
ingress, agent names. A room's name is kept, for a report without it would say little; only phone numbers and e-mail
addresses in it are replaced.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from typing import Final

_PEOPLE: Final = (
    "participant|identity|participantIdentity|participant_identity|participantName|participant_name|userIdentity|"
    "user_identity|displayName|display_name|callerName|caller_name|linked_participant|sub"
)
# livekit-server prints a joiner's claims with capital letters; a room's name there is `name`, a person's `Name`.
_CLAIMS: Final = "Identity|Name"
_ROOMS: Final = "room|Room|roomName|room_name|RoomName|DestinationRoom|name"
# It begins with a plain quote: what begins with a choice is looked for ten times as slowly.
_FIELD: Final = re.compile(
    rf'"(?P<mark>lk\.pii\.)?(?P<name>{_PEOPLE}|{_CLAIMS}|{_ROOMS})(?P<depth>\\*)"(?P<mid>\s*:\s*)(?P=depth)"'
    r'(?P<value>(?:[^"\\]|\\.)*?)(?P<end>(?P=depth)")'
)
_IS_ROOM: Final = frozenset(_ROOMS.split("|"))
# The same fields as Python programs log them: participant=alice, 'identity': 'alice'.
_BARE: Final = re.compile(rf"(?P<head>(?<![A-Za-z0-9_\"])(?:{_PEOPLE})=)(?P<value>[^\s\"',;&)\]}}]+)")
_SINGLE: Final = re.compile(rf"(?P<head>(?<![A-Za-z0-9_])'(?:{_PEOPLE})':\s*')(?P<value>(?:[^'\\]|\\.)*?)(?P<end>')")

_PHONE: Final = re.compile(
    r"(?<![\w+])\+\d{7,15}(?!\d)|(?<=sip_)\+?\d{5,15}(?!\d)|(?<=sip:)\+?\d{5,15}|(?<=tel:)\+?\d{5,15}"
)
_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9])\d{10,15}(?![A-Za-z0-9])")
_UNIX: Final = re.compile(r"1[5-9]\d{8}(?:\d{3})?")  # seconds or milliseconds, which room names often carry
_MAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]+\.)+(?!service\b)[A-Za-z]{2,24}(?![\w-])")

_NOBODY: Final = re.compile(
    r"|agent-AJ_\w+|lkdoctor-.*|(?:EG|IN|CA|AJ|PA|RM|AW)_[A-Za-z0-9]{8,}|<secret:[0-9a-f]{4,}>|(?:person|phone|mail)-[0-9a-f]{8}"
)
_REMEMBERED: Final = 4096


class Pseudonyms:
    """Those of one case. `counts` says how often each kind was put in, by `identity`, `phone number`, `e-mail address`."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._marks: dict[str, str] = {}
        self.counts: Counter[str] = Counter()

    def text(self, text: str) -> str:
        """`text` with every person in it replaced; doing it twice changes nothing more."""
        text = _FIELD.sub(self._field, text)
        if "=" in text:
            text = _BARE.sub(self._loose, text)
        if "'" in text:
            text = _SINGLE.sub(self._loose, text)
        if "@" in text:
            text = _MAIL.sub(self._mail, text)
        if "+" in text or "sip" in text or "tel:" in text:
            text = _PHONE.sub(self._phone, text)
        return text

    def identity(self, identity: str) -> str:
        """The pseudonym of this identity or person's name; what is no person is given back as it is."""
        if _NOBODY.fullmatch(identity):
            return identity
        self.counts["identity"] += 1
        return f"person-{self._mark(identity)}"

    def _mark(self, value: str) -> str:
        known = self._marks.get(value)
        if known is None:
            known = hmac.new(self._salt, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:8]
            if len(self._marks) < _REMEMBERED:
                self._marks[value] = known
        return known

    def _field(self, match: re.Match[str]) -> str:
        mark, name, depth, mid, value, end = match.group("mark", "name", "depth", "mid", "value", "end")
        if name in _IS_ROOM:
            chosen = _NUMBER.sub(lambda one: one[0] if _UNIX.fullmatch(one[0]) else self._phone(one), value)
            if chosen == value:
                return match[0]
        else:
            plain = _plain(value, depth)
            chosen = self.identity(plain)
            if chosen == plain:
                return match[0]
        return f'"{mark or ""}{name}{depth}"{mid}{depth}"{chosen}{end}'

    def _loose(self, match: re.Match[str]) -> str:
        found = match.groupdict()
        return f"{found['head']}{self.identity(found['value'])}{found.get('end') or ''}"

    def _mail(self, match: re.Match[str]) -> str:
        self.counts["e-mail address"] += 1
        return f"mail-{self._mark(match[0])}"

    def _phone(self, match: re.Match[str]) -> str:
        self.counts["phone number"] += 1
        return f"phone-{self._mark(match[0].lstrip('+'))}"


def _plain(value: str, depth: str) -> str:
    """The value that is meant: JSON in JSON is escaped once more at each depth (0, 1, 3, 7 backslashes before a quote)."""
    if "\\" not in value:
        return value
    times = len(depth).bit_length() + 1
    for _ in range(times):
        try:
            value = json.loads(f'"{value}"')
        except ValueError:
            break
    return value
