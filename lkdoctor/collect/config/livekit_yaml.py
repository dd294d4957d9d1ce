"""Reads livekit.yaml: what dispatch depends on by value, every other key by name only, API keys and secrets as tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lkdoctor.collect.config.nodes import Node, YamlError, parse
from lkdoctor.collect.config.pairs import Pairs
from lkdoctor.collect.config.services import setting, told_value
from lkdoctor.dispatch.settings import KEY, SECRET, Setting

#: Values that may be told; everything else of the file is named without its value.
_SHOWN: Final = frozenset(
    {
        "port",
        "agents.target_load",
        "room.auto_create",
        "room.empty_timeout",
        "room.departure_timeout",
        "room.max_participants",
        "logging.level",
        "logging.sample",
        "logging.json",
        "redis.use_tls",
        "limit.max_room_name_length",
    }
)
_VARIABLE: Final = re.compile(r"\$\{\w{1,64}\}|\$[A-Z_]{2,64}|\{\{ ?[\w.]{1,64} ?\}\}")
_PRESETS: Final = "room.room_configurations"


def read_livekit_yaml(text: str, name: str, service: str = "", pairs: Pairs | None = None) -> tuple[list[Setting], str]:
    """The settings of the file, and why nothing could be read (empty when it could); `pairs` takes its keys with their secrets."""
    try:
        root = parse(text, name)
    except YamlError as error:
        where = f" line {error.line}" if error.line else ""
        broken = setting("server", service, "server.not_yaml", str(error), (name, error.line, 1))
        return [broken], f"{name}{where}: not valid YAML: {error}"
    if not isinstance(root.value, dict):
        return [setting("server", service, "server.not_yaml", "no mapping", (name, 1, 1))], f"{name}: holds no keys"
    for key, secret in (root.get("keys") or Node(name, 0, 0, {})).map.items():
        if pairs is not None and not (_VARIABLE.fullmatch(key) or _VARIABLE.fullmatch(secret.text or "")):
            pairs.add(key, secret.text, f"{name}:{secret.line}", server=True)
    return list(_settings(root, name, service)), ""


def _settings(root: Node, name: str, service: str) -> Iterator[Setting]:
    yield setting("server", service, "server.file", name, (name, 1, 1))
    keys = root.get("keys")
    for key, secret in (keys.map if keys is not None else {}).items():
        line, column = keys.keys.get(key, (secret.line, secret.column)) if keys is not None else (0, 0)
        yield setting("server", service, "keys", told_value(KEY, key), (name, line, column))
        for text, at in ((key, (name, line, column)), (secret.text or "", (name, secret.line, secret.column))):
            if _VARIABLE.fullmatch(text):  # no key and no secret: it is told as it stands
                yield setting("server", service, "keys_unfilled", text, at)
        yield setting(
            "server", service, "secrets", told_value(SECRET, secret.text or ""), (name, secret.line, secret.column)
        )
    for top, block in root.map.items():
        if top == "keys":
            continue
        # No deeper: nothing below is asked for, and aliases can make a small file's tree endless.
        for holder, key, node in [(root, top, block), *((block, key, node) for key, node in block.map.items())]:
            dotted = top if holder is root else f"{top}.{key}"
            line, column = holder.keys.get(key, (node.line, node.column))
            value = told_value("", node.text or "") if dotted in _SHOWN else ""
            yield setting("server", service, dotted, value, (name, line, column))
    for preset, node in (root.get(*_PRESETS.split(".")) or Node(name, 0, 0, {})).map.items():
        yield setting("server", service, "preset", preset, (name, node.line, node.column))
        for entry in (node.get("agents") or Node(name, 0, 0, [])).items:
            agent = entry.get("agent_name") or entry.get("agentName")
            if agent is not None:
                at = (name, agent.line, agent.column)
                yield setting("server", service, f"preset.{preset}.agent", told_value("", agent.text or ""), at)


def looks_like_livekit(text: str) -> bool:
    """Is a file of an everyday name (`config.yaml`) a livekit-server's? It has `keys` or a key file, or `rtc` and `port`."""
    try:
        top = set(parse(text, "").map)
    except YamlError:
        return False
    return bool(top & {"keys", "key_file"}) or {"rtc", "port"} <= top
