"""The files of a case that are no logs: by which name each kind is known, and what reads and writes it.

A new kind of evidence is one row here. Where the row names classes of facts, the file holds one fact a line, as
`fact_files` reads and writes it; what other tools wrote (a compose file, a token) has a reader of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file. `reader` and `facts` are written `module:name`, and imported when they are needed."""

    name: str
    pattern: re.Pattern[str]  # of the file's name in a folder or zip
    reader: str = ""  # called with (lines or text, the source's name, Gathered); empty: not read by this version
    facts: tuple[str, ...] = ()  # the classes of the facts that stand in it, one a line
    file: str = ""  # the name under which a case that lkdoctor writes holds these facts
    whole: bool = False  # the reader takes the text, and `read_at=`, instead of the lines

    @property
    def read(self) -> bool:
        """Does this version read it?"""
        return bool(self.reader or self.facts)


def _jsonl(stem: str) -> re.Pattern[str]:
    return re.compile(rf"{stem}(?:[.-][\w-]+)?\.jsonl(?:\.gz|\.zst)?$")


FILE_KINDS: Final[tuple[FileKind, ...]] = (
    FileKind("api", _jsonl("api"), "lkdoctor.collect.server_api.exchanges:read_exchanges"),
    FileKind("connection", _jsonl("connection"), "lkdoctor.collect.connection:read_steps"),
    FileKind("probe", _jsonl("probe"), "lkdoctor.collect.probe_file:read_probes"),
    FileKind("load", _jsonl("load"), facts=("lkdoctor.dispatch.load:LoadReading",), file="load.jsonl"),
    FileKind(
        "worker_http",
        _jsonl("worker-http"),
        facts=("lkdoctor.dispatch.worker_http:WorkerEndpoint",),
        file="worker-http.jsonl",
    ),
    FileKind(
        "conversations",
        _jsonl("conversations"),
        facts=("lkdoctor.dispatch.conversations:Conversed",),
        file="conversations.jsonl",
    ),
    FileKind(
        "talk",
        _jsonl("talk"),
        facts=("lkdoctor.dispatch.talks:TalkRun", "lkdoctor.dispatch.talks:Presence"),
        file="talk.jsonl",
    ),
    FileKind(
        "agent_code", _jsonl("agent-code"), facts=("lkdoctor.dispatch.agent_code:CodeTrap",), file="agent-code.jsonl"
    ),
    FileKind(
        "agent_program",
        re.compile(r"(?:.*(?:agent|worker|entrypoint).*|main)\.py$"),
        "lkdoctor.collect.agent_code:read_code",
        whole=True,
    ),
    FileKind("livekit_yaml", re.compile(r"(?:livekit|config)\.ya?ml$")),
    FileKind("compose", re.compile(r"(?:docker-)?compose(?:\.[\w-]+)?\.ya?ml$")),
    FileKind("dotenv", re.compile(r"\.env(?:\..+)?$")),
    FileKind("dockerfile", re.compile(r"Dockerfile$")),
    FileKind(
        "token",
        re.compile(r"token.*\.(?:txt|jwt)$|token-\d+\.json$"),
        "lkdoctor.collect.token:read_token_file",
        whole=True,
    ),
    FileKind("config", _jsonl("config"), facts=("lkdoctor.dispatch.settings:Setting",), file="config.jsonl"),
    FileKind(
        "intentions",
        re.compile(r"lkdoctor\.toml$|" + _jsonl("intentions").pattern),
        "lkdoctor.collect.intentions:read_intentions",
        facts=tuple(f"lkdoctor.dispatch.intentions:Planned{one}" for one in ("Server", "Agent", "Room")),
        file="intentions.jsonl",
        whole=True,
    ),
    FileKind("host", re.compile(r"host\.json$"), facts=("lkdoctor.dispatch.machine:HostProcess",), file="host.json"),
    FileKind(
        "docker",
        re.compile(r"containers\.json$"),
        facts=("lkdoctor.dispatch.machine:Container",),
        file="containers.json",
    ),
)
#: Kinds of a project's configuration, which is read as a whole (`collect.config`), not file by file.
PROJECT: Final = frozenset({"livekit_yaml", "compose", "dotenv", "dockerfile"})
BY_NAME: Final = {one.name: one for one in FILE_KINDS}


def named(path: str) -> Any:
    """What `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def kind_of_name(name: str) -> str:
    """What a file is by its name alone; empty when the name does not say."""
    return next((one.name for one in FILE_KINDS if one.pattern.match(name)), "")
