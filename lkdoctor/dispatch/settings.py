"""Settings: what a project's files say (Compose, `.env`, livekit.yaml, Dockerfile, a worker's program), placed and masked.

A value that a file computes is not known, and says of what it is made; nothing is guessed. Secrets are tokens from the
moment they are read, equal for equal values.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from lkdoctor.dispatch.facts import Fact

#: The variables that say which agent a worker is, and whom it serves (seen in livekit-agents 1.8.9 and Node 1.9.0).
NAME: str = "LIVEKIT_AGENT_NAME"
OVERRIDE: str = "LIVEKIT_AGENT_NAME_OVERRIDE"
DEPLOYMENT: str = "LIVEKIT_AGENT_DEPLOYMENT"
URL: str = "LIVEKIT_URL"
KEY: str = "LIVEKIT_API_KEY"
SECRET: str = "LIVEKIT_API_SECRET"  # noqa: S105 - a variable's name
KEYS: str = "LIVEKIT_KEYS"  # of a server

#: Of an environment, what may be told: what decides whom a worker serves, where, and how much it takes on. Files and running
#: containers are compared by this one list.
SHOWN: frozenset[str] = frozenset(
    {
        NAME,
        OVERRIDE,
        DEPLOYMENT,
        URL,
        "LIVEKIT_DEV_MODE",
        "LIVEKIT_LOG_LEVEL",
        "LIVEKIT_WS_URL",
        "NUM_CPUS",
    }
)
#: What is known as a token only.
TOKENS: frozenset[str] = frozenset({KEY, SECRET, KEYS, "LIVEKIT_WORKER_TOKEN"})
_NAMED = re.compile(r"(?:[A-Z0-9]+_)*AGENT_NAME$")


def shown(name: str) -> bool:
    """May the variable's value be told?"""
    return name in SHOWN or _NAMED.match(name) is not None


def secrets_in(name: str, value: str) -> tuple[str, ...]:
    """Of the value of one of `TOKENS`, what else is a secret by itself: of LIVEKIT_KEYS' `KEY: SECRET` lines each secret."""
    if name != KEYS:
        return (value,)
    pairs = (line.partition(":") for line in value.splitlines())
    return (value, *(secret.strip().strip("'\"") for _, found, secret in pairs if found))


Scope = Literal["compose", "server", "dotenv", "code"]


class Setting(Fact, frozen=True, kw_only=True):
    """One value of one file. `service` is the Compose service that it belongs to; empty for a file of its own.

    `key`: `env.NAME` for a variable, `code.agent_name` for what the program says, `agents.target_load` for livekit.yaml.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ("config",)

    scope: Scope
    service: str = ""
    key: str
    value: str = ""  # a secret's token; empty where nothing is shown
    known: bool = True
    why: str = ""  # of what it is made, where it is not known
    placeholder: bool = False  # a template's word; a secret's token does not show it
    file: str = ""
    line: int = 0
    column: int = 0
    packed: bool = False  # in a zip, where nothing is edited
    project: str = (
        ""  # its first Compose file, or the folder of a project without: two projects may have services of one name
    )

    @property
    def where(self) -> str:
        """`docker-compose.yml:12:7`."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def told(self) -> str:
        """The setting as the file says it."""
        name = self.key.removeprefix("env.")
        value = repr(self.value) if self.known else f"not known ({self.why})"
        word = " (a placeholder)" if self.placeholder else ""
        return f"{self.where}: {f'service {self.service}: ' if self.service else ''}{name} = {value}{word}"
