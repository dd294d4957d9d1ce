"""What a worker was told at its start, and what one job is told by its dispatch: roles come from metadata, from nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

OFFLINE: Final = "offline"
"""The name of the voice that needs no key."""
ECHO: Final = "R:"
"""What the offline voice answers: "R:" and what it heard."""
VOICES: Final = {"dispatcher": "alloy", "driver": "echo"}
"""Voices of roles where the command line names none; for models that know voices by these names."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What every job process gets; no secret: the SDK hands on URL, key and secret by the environment."""

    role: str = "agent"  # of jobs whose dispatch names none
    stt: str = OFFLINE
    llm: str = OFFLINE
    tts: str = OFFLINE
    voices: tuple[tuple[str, str], ...] = tuple(VOICES.items())
    turns: int = 6  # what models say to each other before the first speaker leaves
    partner_seconds: float = 30.0  # how long a job waits for its partner
    quiet_seconds: float = 60.0  # without a word from the partner the conversation is over
    log_text: bool = False  # real speech in the log; the offline voice's words always are
    vad: str = ""  # voice detection: empty for what the voice needs, `off`, or the threshold of one (0 to 1)
    manual: bool = False  # turns end only when the program says so, and this one never does
    echo: bool = True  # the offline voice answers

    @property
    def offline(self) -> bool:
        """True when words go by the audible code both ways, and so can be proven."""
        return (self.stt, self.llm, self.tts) == (OFFLINE, OFFLINE, OFFLINE)

    def voice(self, role: str) -> str | None:
        """The voice of `role`; the command line beats VOICES."""
        return dict(self.voices).get(role)


@dataclass(frozen=True, slots=True)
class Part:
    """What one agent is in one room."""

    role: str
    partner: str = ""  # the role of the agent that it talks with; empty: a person
    first: bool = False  # who speaks first is told, never guessed
    lines: tuple[str, ...] = ()  # what the first speaker says (offline voice)
    instructions: str = ""


class MetadataError(ValueError):
    """The job's metadata is not what this worker understands; the message says why."""


def parts(metadata: str, role: str) -> tuple[Part, ...]:
    """The roles that a dispatch's metadata asks for: one, or two for one job with two sessions.

    `{"role": "customer", "partner": "support", "first": true}`, or `{"roles": ["dispatcher", "driver"]}`; empty metadata:
    `role`, for a person.

    Raises:
        MetadataError: it is something else.
    """
    if not metadata.strip():
        return (Part(role),)
    try:
        wish = json.loads(metadata)
    except ValueError:
        raise MetadataError("the metadata is no JSON") from None
    if not isinstance(wish, dict):
        raise MetadataError('the metadata is no JSON object like {"role": "customer"}')
    lines = tuple(_words(wish.get("lines", []), "lines"))
    said = _word(wish, "instructions")
    if "roles" in wish:
        roles = _words(wish["roles"], "roles")
        if len(roles) != 2 or roles[0] == roles[1] or not all(roles):
            raise MetadataError('"roles" must be two different names')
        one, other = roles
        return Part(one, other, first=True, lines=lines, instructions=said), Part(other, one, instructions=said)
    own, partner = _word(wish, "role") or role, _word(wish, "partner")
    if own == partner:
        raise MetadataError(f'"role" and "partner" are both {own!r}')
    return (Part(own, partner, wish.get("first") is True, lines, said),)


def _word(wish: dict[str, Any], key: str) -> str:
    value = wish.get(key, "")
    if not isinstance(value, str):
        raise MetadataError(f'"{key}" is no text')
    return value


def _words(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise MetadataError(f'"{key}" is no list of texts')
    return value
