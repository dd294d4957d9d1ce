"""What stands in a token where no server looks for it: roomConfig, roomPreset and agents misspelt or misplaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from lkdoctor.dispatch import token_claims
from lkdoctor.dispatch.token_claims import ROOM_CONFIG, ROOM_PRESET

_CONFIG: Final = frozenset({"roomconfig", "roomconfiguration"})
_PRESET: Final = frozenset({"roompreset"})
_AGENTS: Final = frozenset({"agents", "agentname", "agentdispatch", "roomagentdispatch"})
_NAME: Final = frozenset({"agentname", "name", "agent", "agentid"})


class Lost(NamedTuple):
    """One thing that is not read. `case_only`: read from 1.13.0 on, where letter case does not count. `inside`: a field of
    roomConfig itself, for which servers up to 1.11.0 refuse the whole token."""

    path: str
    right: str  # where it belongs
    case_only: bool = False
    inside: bool = False


def lost(claims: Mapping[str, Any]) -> list[Lost]:
    """Everything in the token that was meant for the room and is not read; nothing that also stands in its right place."""
    named = any(one.wanted.agent_name for one in token_claims.entries(claims, None))
    preset = bool(claims.get(ROOM_PRESET))
    config = isinstance(claims.get(ROOM_CONFIG), dict)
    found = [*_top(claims), *_in_video(claims), *_in_config(claims.get(ROOM_CONFIG))]
    return [
        one
        for one in found
        if not (one.right == ROOM_PRESET and preset)
        and not (one.right != ROOM_PRESET and named and config and not one.inside)
    ]


def _plain(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def _top(claims: Mapping[str, Any]) -> Iterator[Lost]:
    for key, value in claims.items():
        plain = _plain(key)
        if key in {ROOM_CONFIG, ROOM_PRESET} or not value:
            continue
        if plain in _CONFIG:
            yield Lost(key, ROOM_CONFIG, key.lower() == ROOM_CONFIG.lower())
        elif plain in _PRESET:
            yield Lost(key, ROOM_PRESET, key.lower() == ROOM_PRESET.lower())
        elif plain in _AGENTS:
            yield Lost(key, f"{ROOM_CONFIG}.agents")


def _in_video(claims: Mapping[str, Any]) -> Iterator[Lost]:
    for key, value in (token_claims.video(claims, None) or {}).items():
        plain = _plain(key)
        if not value:
            continue
        if plain in _CONFIG:
            yield Lost(f"video.{key}", ROOM_CONFIG)
        elif plain in _PRESET:
            yield Lost(f"video.{key}", ROOM_PRESET)
        elif plain in _AGENTS:
            yield Lost(f"video.{key}", f"{ROOM_CONFIG}.agents")


def _in_config(config: Any) -> Iterator[Lost]:
    if not isinstance(config, dict):
        return
    for key in config:
        plain = _plain(key)
        if key != "agents" and plain in _AGENTS | _CONFIG | {"agent"}:
            yield Lost(f"{ROOM_CONFIG}.{key}", f"{ROOM_CONFIG}.agents", inside=True)
        elif plain in _PRESET:
            yield Lost(f"{ROOM_CONFIG}.{key}", ROOM_PRESET, inside=True)
    agents = config.get("agents")
    for number, entry in enumerate(agents if isinstance(agents, list) else []):
        at = f"{ROOM_CONFIG}.agents[{number}]"
        if isinstance(entry, dict) and not {"agentName", "agent_name"} & entry.keys():
            yield from (Lost(f"{at}.{key}", f"{at}.agentName", inside=True) for key in entry if _plain(key) in _NAME)
