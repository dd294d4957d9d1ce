"""Tokens in a report: what each one says, and in plain sentences what a server will do with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, Final

import msgspec

from lkdoctor.dispatch import token_claims, token_rules
from lkdoctor.dispatch.model import Stories
from lkdoctor.dispatch.predict import AgentWanted
from lkdoctor.dispatch.token_rules import Fate
from lkdoctor.dispatch.tokens import Token
from lkdoctor.redact import Redactor
from lkdoctor.report.screen import Screen

_PURPOSES: Final = {
    "person": "to let a participant join",
    "agent": "to let an agent join",
    "egress": "to let an egress join",
    "recorder": "to let a recorder join",
    "worker": "to register a worker",
    "api": "for the server API",
    "webhook": "to sign a webhook",
}
_SIGNATURES: Final = {
    "right": "right",
    "wrong": "WRONG",
    "unknown": "not checked (no secret given)",
    "other-key": "not checked (signed with another key than the one given)",
}

_REFUSES: Final = "A server refuses it"


class ShownAgent(msgspec.Struct, frozen=True):
    """An agent that a token asks for."""

    agent_name: str
    deployment: str = ""


class ShownFate(msgspec.Struct, frozen=True):
    """What servers of these versions do with a join; `status` is that of a refusal, `agents` come with a new room."""

    versions: list[str]
    admitted: bool
    status: int | None
    refusal: str
    agents: list[ShownAgent]
    preset: str
    implicit: bool
    new_room: str
    existing_room: str


class ShownToken(msgspec.Struct, frozen=True):
    """One token: what it says of itself, what was checked, what becomes of it."""

    name: str
    length: int
    malformed: str
    purpose: str
    key: str
    identity: str
    room: str
    kind: str
    algorithm: str
    signature: str
    not_before: str | None
    expires_at: str | None
    read_at: str | None
    claims: dict[str, Any]
    fates: list[ShownFate]


def version_of(token: Token, stories: Stories) -> str:
    """The one server version that is known for the token, empty when none or several are."""
    return token_rules.version_of(token, stories.runs, stories.server)


def shown(token: Token, version: str, redactor: Redactor) -> ShownToken:
    """The token as it stands in the JSON report. `version` is empty when it is not known."""
    claims = token.claims
    purpose = "" if token.malformed else token_rules.purpose(claims)
    mask = redactor.mask
    return ShownToken(
        name=mask(token.name),
        length=token.length,
        malformed=mask(token.malformed),
        purpose=purpose,
        key=mask(token_claims.text(claims.get("iss"))),
        identity=mask(token_claims.identity(claims)),
        room=mask(token_claims.text(token_claims.granted(claims, "room", None))),
        kind=mask(token_claims.text(token_claims.claim(claims, "kind", None))) or "standard",
        algorithm=mask(str(token.header.get("alg", ""))),
        signature=token.signature,
        not_before=_iso(claims.get("nbf")),
        expires_at=_iso(claims.get("exp")),
        read_at=_iso(token.read_at),
        claims=_plain(redactor.mask_all(claims)),
        fates=[] if purpose in {"worker", "api", "webhook"} else [_fate(*one, mask) for one in _fates(token, version)],
    )


def lines(tokens: Sequence[ShownToken], screen: Screen) -> list[str]:
    """The tokens' section of the text report."""
    found: list[str] = []
    for token in tokens:
        found += [*([""] if found else []), *_token(token, screen)]
    return found


def _fates(token: Token, version: str) -> Iterable[tuple[Fate, tuple[str, ...]]]:
    return token_rules.fates(token, version).items()


def _fate(fate: Fate, versions: tuple[str, ...], mask: Any) -> ShownFate:
    refused = fate.refused
    return ShownFate(
        list(versions),
        refused is None,
        refused.status if refused else None,
        mask(refused.words) if refused else "",
        [ShownAgent(mask(one.agent_name), mask(one.deployment)) for one in fate.agents],
        mask(fate.preset),
        fate.implicit,
        "" if refused else mask(new_room(fate)),
        "" if refused else mask(existing_room(fate)),
    )


def new_room(fate: Fate) -> str:
    """What a join that makes the room does, in one or two sentences."""
    who = f'"{fate.identity}"'
    where = f'room "{fate.room}"' if fate.room else "the room that the URL names (else one without a name)"
    if fate.preset:
        agents = (
            f'the agents of the preset "{fate.preset}" are dispatched (a server without that preset refuses the join)'
        )
    elif fate.implicit:
        agents = "no agent is named, so a worker without a name gets it, and named workers do not"
    elif not fate.agents:
        agents = "none of its agents is dispatched"
    else:
        agents = f"{_agents(fate.agents)} {'is' if len(fate.agents) == 1 else 'are'} dispatched"
    return f"{who} makes {where}: {agents}.{_besides(fate)}"


def existing_room(fate: Fate) -> str:
    """What a join to a room that is there does."""
    ignored = "" if fate.implicit else " What the token says of agents is not read"
    kept = "the agents of the room stay as they are, none is added"
    return f'"{fate.identity}" joins; {kept}.{ignored + "." if ignored else ""}{_besides(fate)}'


def _agents(agents: Sequence[AgentWanted]) -> str:
    words = [
        (f'"{one.agent_name}"' if one.agent_name else "the agent without a name")
        + (f' (deployment "{one.deployment}")' if one.deployment else "")
        for one in agents
    ]
    words = [f"{word}, {words.count(word)} times" if words.count(word) > 1 else word for word in dict.fromkeys(words)]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _besides(fate: Fate) -> str:
    words = ""
    if fate.dependent:
        words += " It counts as a helper: it does not keep the room open and raises no participant job."
    if fate.hidden:
        words += " It is hidden from the other participants."
    return words


def _token(token: ShownToken, screen: Screen) -> list[str]:
    head = "Token" if token.name in {"--token", "TOKEN", "stdin"} else f"Token {token.name}"
    found = [screen.paint(head, "head")]
    if token.malformed:
        return [*found, *screen.wrap(f"No token that a server reads ({token.length:,} characters).", "  ", style="bad")]
    rows = [
        ("made", _PURPOSES[token.purpose] + (f", kind {token.kind}" if token.kind != "standard" else "")),
        (
            "key",
            f"{token.key or 'none'}; {token.algorithm or 'no algorithm'}; signature {_SIGNATURES[token.signature]}",
        ),
        ("times", _times(token)),
        ("identity", token.identity),
        ("room", token.room),
        ("grants", _grants(token.claims)),
        ("size", f"{token.length:,} characters"),
    ]
    for name, value in rows:
        if value:
            found += screen.wrap(value, f"  {name:<9} ", " " * 12)
    for sentence in sentences(token):
        found += screen.wrap(sentence, "  ", style="bad" if sentence.startswith(_REFUSES) else "")
    return found


def sentences(token: ShownToken) -> list[str]:
    """What servers will do with the token, as plain sentences, each with the versions where these differ or are known."""
    every = {version for fate in token.fates for version in fate.versions}
    found = []
    for fate in token.fates:
        where = f" ({', '.join(fate.versions)})" if len(token.fates) > 1 or len(every) == 1 else ""
        if not fate.admitted:
            found.append(f"{_REFUSES}{where}, HTTP {fate.status}: {fate.refusal}")
            continue
        found += [f"New room{where}: {fate.new_room}", f"Existing room{where}: {fate.existing_room}"]
    return found


def _grants(claims: dict[str, Any]) -> str:
    grants = claims.get("video")
    if not isinstance(grants, dict):
        return "none"
    words = [
        key if value is True else f"{key}={{…}}" if isinstance(value, dict) else f"{key}={value}"
        for key, value in grants.items()
        if key != "room"
    ]
    return ", ".join(words) or "none"


def _times(token: ShownToken) -> str:
    begin = f"from {token.not_before}" if token.not_before else "from ever"
    return f"{begin} until {token.expires_at or 'for ever (no exp)'}"


def _iso(at: Any) -> str | None:
    if not isinstance(at, (int, float)) or isinstance(at, bool):
        return None
    try:
        return datetime.fromtimestamp(int(at), timezone.utc).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


def _plain(value: Any) -> Any:
    """Numbers that JSON has no word for (1e999 is one in a hostile token) as text."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, int) and abs(value) >= 1 << 63 else value
