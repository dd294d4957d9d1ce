"""Reads a token's claims as a server of one version does: letter case, wrong types, unknown fields, agent entries.

Everything here was seen on 1.13.5, 1.11.0, 1.9.12 and 1.8.4 by joining with such tokens (`tests/live/test_token.py`).
Between two of them, where nothing was run, the reading that finds less fault is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.predict import AgentWanted

SEEN: Final = ("1.13.5", "1.11.0", "1.9.12", "1.8.4")
CASE_BLIND: Final[rules.Version] = (1, 13, 0)  # `RoomConfig` is read as `roomConfig`, `RoomJoin` as `roomJoin` …
SKIPS_UNKNOWN_FIELDS: Final[rules.Version] = (1, 12, 0)  # by source; seen refused on 1.11.0, skipped on 1.13.5

ROOM_CONFIG: Final = "roomConfig"
ROOM_PRESET: Final = "roomPreset"


class _Field(NamedTuple):
    """A field of the room configuration: what it must be, the last version seen without it, the first seen with it."""

    kind: str
    absent: rules.Version | None = None
    present: rules.Version | None = None


_CONFIG: Final = {
    "name": _Field("str"),
    "emptyTimeout": _Field("int"),
    "departureTimeout": _Field("int"),
    "maxParticipants": _Field("int"),
    "egress": _Field("object"),
    "agents": _Field("list"),
    "metadata": _Field("str", (1, 8, 4), (1, 9, 12)),
    "minPlayoutDelay": _Field("int"),
    "maxPlayoutDelay": _Field("int"),
    "syncStreams": _Field("bool"),
    "tags": _Field("map", (1, 9, 12), (1, 11, 0)),
}
_AGENT: Final = {
    "agentName": _Field("str"),
    "metadata": _Field("str"),
    "restartPolicy": _Field("any", (1, 9, 12), (1, 11, 0)),
    "attributes": _Field("map", (1, 11, 0), SKIPS_UNKNOWN_FIELDS),
    "deployment": _Field("str", (1, 11, 0), SKIPS_UNKNOWN_FIELDS),
}
_VIDEO: Final = {
    **dict.fromkeys(
        (
            "roomCreate", "roomList", "roomRecord", "roomAdmin", "roomJoin", "canPublish", "canSubscribe",
            "canPublishData", "canUpdateOwnMetadata", "ingressAdmin", "hidden", "recorder", "agent",
        ),
        "bool",
    ),
    "room": "str",
    "canPublishSources": "list",
}  # fmt: skip
_CLAIMS: Final = {
    "sub": "str",
    "iss": "str",
    "jti": "str",
    "exp": "number",
    "nbf": "number",
    "iat": "number",
    "name": "str",
    "kind": "str",
    "metadata": "str",
    "sha256": "str",
    "attributes": "map",
    "video": "object",
    ROOM_PRESET: "str",
    ROOM_CONFIG: "object",
}
_WORDS: Final = {
    "str": "a text",
    "int": "a whole number",
    "number": "a number",
    "bool": "true or false",
    "object": "an object",
    "map": "an object whose values are texts",
    "list": "a list",
}


class WrongType(NamedTuple):
    """A claim that is not what the server decodes it as: it refuses the whole token for it."""

    path: str
    wanted: str  # in words


class Unknown(NamedTuple):
    """A field of roomConfig that the server does not know."""

    path: str  # `roomConfig.agents[0].deployment`
    field: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One agent entry of a roomConfig, as the server reads it."""

    wanted: AgentWanted
    rest: str  # metadata and attributes, masked: equal ones mean that nothing tells two entries apart


def claim(claims: Mapping[str, Any], name: str, version: str | None) -> Any:
    """The claim as this server finds it; None when it does not. Without a version in any letter case.

    Of several that fit, the last one counts, as in Go's decoder.
    """
    if version is not None and not rules.since(version, CASE_BLIND):
        return claims.get(name)
    found = [value for key, value in claims.items() if key.lower() == name.lower() and value is not None]
    return found[-1] if found else None


def video(claims: Mapping[str, Any], version: str | None) -> dict[str, Any] | None:
    """The grants, None when there are none."""
    found = claim(claims, "video", version)
    return found if isinstance(found, dict) else None


def granted(claims: Mapping[str, Any], grant: str, version: str | None) -> Any:
    """One grant; None when it is absent."""
    grants = video(claims, version)
    return None if grants is None else claim(grants, grant, version)


def text(value: Any) -> str:
    """The value when it is text, else nothing."""
    return value if isinstance(value, str) else ""


def identity(claims: Mapping[str, Any]) -> str:
    """`sub`, else `jti` (seen on all four versions)."""
    return text(claims.get("sub")) or text(claims.get("jti"))


def wrong_type(claims: Mapping[str, Any], version: str | None) -> WrongType | None:
    """The first claim that the server cannot decode."""
    for name, kind in _CLAIMS.items():
        value = claim(claims, name, version)
        if not _is(value, kind):
            return WrongType(name, _WORDS[kind])
    grants = video(claims, version)
    for name, kind in _VIDEO.items() if grants is not None else ():
        if not _is(claim(grants or {}, name, version), kind):
            return WrongType(f"video.{name}", _WORDS[kind])
    config = claim(claims, ROOM_CONFIG, version)
    return _wrong_config(config) if isinstance(config, dict) else None


def _wrong_config(config: dict[str, Any]) -> WrongType | None:
    for key, value in config.items():
        known = _CONFIG.get(_camel(key))
        if known is not None and not _is(value, known.kind):
            return WrongType(f"{ROOM_CONFIG}.{key}", _WORDS[known.kind])
    for number, entry in enumerate(_field(config, "agents") or []):
        at = f"{ROOM_CONFIG}.agents[{number}]"
        if not isinstance(entry, dict):
            return WrongType(at, 'an object such as {"agentName": "…"}')
        for key, value in entry.items():
            known = _AGENT.get(_camel(key))
            if known is not None and not _is(value, known.kind):
                return WrongType(f"{at}.{key}", _WORDS[known.kind])
    return None


def unknown_fields(claims: Mapping[str, Any], version: str | None) -> Iterator[Unknown]:
    """Fields of roomConfig that this server does not know; without a version those that 1.13.5 does not know."""
    config = claim(claims, ROOM_CONFIG, version)
    if not isinstance(config, dict):
        return
    parsed = rules.parse_version(version)
    for key in config:
        if not _knows(_CONFIG.get(_camel(key)), parsed):
            yield Unknown(f"{ROOM_CONFIG}.{key}", key)
    agents = _field(config, "agents")
    for number, entry in enumerate(agents if isinstance(agents, list) else []):
        for key in entry if isinstance(entry, dict) else ():
            if not _knows(_AGENT.get(_camel(key)), parsed):
                yield Unknown(f"{ROOM_CONFIG}.agents[{number}].{key}", key)


def entries(claims: Mapping[str, Any], version: str | None) -> list[Entry]:
    """The agent entries of roomConfig as this server reads them, bad deployments still in."""
    config = claim(claims, ROOM_CONFIG, version)
    agents = _field(config, "agents") if isinstance(config, dict) else None
    found = []
    for one in agents if isinstance(agents, list) else []:
        entry = one if isinstance(one, dict) else {}
        deployment = text(_field(entry, "deployment")) if rules.since(version, rules.DEPLOYMENTS) is not False else ""
        rest = repr((_field(entry, "metadata"), sorted((_field(entry, "attributes") or {}).items())))
        found.append(Entry(AgentWanted(text(_field(entry, "agentName")), deployment), rest))
    return found


def preset(claims: Mapping[str, Any], version: str | None) -> str:
    """The name of the room preset."""
    return text(claim(claims, ROOM_PRESET, version))


def usable_deployment(name: str) -> bool:
    """Whether a server takes an agent entry with this deployment; an entry with another is dropped (seen on 1.13.5)."""
    return len(name.encode()) <= 64 and "_" not in name and not any(letter.isspace() for letter in name)


def _knows(known: _Field | None, version: rules.Version | None) -> bool:
    return known is not None and not (known.absent and version and version <= known.absent)


def _field(message: Mapping[str, Any], name: str) -> Any:
    """A field under its JSON name or its proto name; both are read."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return message.get(name, message.get(snake))


def _camel(name: str) -> str:
    """`agentName` and `agent_name` are one field; a name with capitals and underscores is none."""
    if "_" not in name or name != name.lower():
        return name
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _is(value: Any, kind: str) -> bool:
    if value is None or kind == "any":
        return True
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "str":
        return isinstance(value, str)
    if kind in {"number", "int"}:
        if isinstance(value, str):
            return kind == "int" and value.isdigit()
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "list":
        return isinstance(value, list)
    return isinstance(value, dict) and (kind == "object" or all(isinstance(one, str) for one in value.values()))
