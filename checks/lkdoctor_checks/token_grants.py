"""May the token's bearer join, and as whom?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lkdoctor.dispatch import token_claims, token_rules
from lkdoctor.doctor.codes import TOKEN_GRANT, USER_MARKED_AGENT
from lkdoctor.doctor.evidence import Evidence, Tokens
from lkdoctor.doctor.finding import Finding, Inconclusive
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _tokens

JOINING = frozenset({"person", "agent", "egress", "recorder"})


@check(TOKEN_GRANT)
def token_grant(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token lacks what it takes to join a room: `roomJoin`, the room, or the identity.

    ## What it means
    To join, a token needs three things: `video.roomJoin` true, `video.room` with the room's name, and an identity in
    `sub`. Everything else has defaults. A hand-made token often spells them as its language does (`room_join`).

    ## How it is decided
    Seen on 1.13.5, 1.11.0, 1.9.12 and 1.8.4: no `video` at all is 401 `no permissions to access the room`; no `roomJoin`
    is 401 `permissions denied`; no identity is 400 `identity cannot be empty` (`jti` serves in its place); no room is
    400 `no room name`, except on 1.8.4, which takes the room of the URL or one without a name. `RoomJoin` in other
    letter case is read by 1.13.5 only.

    ## How to fix
    Set the grants with the SDK: `VideoGrants(room_join=True, room="…")` and `with_identity("…")`.

    ## When it is not a problem
    A worker's token has only `agent`, a backend's only `roomCreate`, `roomAdmin` and their like, a webhook's only a
    hash. They are not made to join and are not judged by this.
    """
    del tokens
    for token in _tokens.readable(evidence):
        if token_rules.purpose(token.claims) not in JOINING:
            continue
        refused = _tokens.refusals(token, evidence, token_rules.refused_for_grants, "grant", "identity", "room")
        if not refused:
            continue
        version, first = next(iter(refused.items()))
        severity, confidence = _tokens.sure(list(refused), token, evidence)
        likely = _misspelt(token.claims, version) if first.reason == "grant" else ""
        lacks = f"{first.words[0].lower()}{first.words[1:-1]}"
        message = f"cannot be joined with (HTTP {first.status}): {lacks}{likely}{_tokens.told(list(refused), token, evidence)}."
        yield _tokens.finding(
            TOKEN_GRANT,
            token,
            message,
            _tokens.inspect_again(
                "Give it what a join needs",
                "`video.roomJoin`: true, `video.room`: the room's name, `sub`: the participant's identity (256 bytes at "
                "most), spelt exactly so.",
            ),
            at="sub" if first.reason == "identity" else "video",
            severity=severity,
            confidence=confidence,
            lacks=first.reason,
            status=first.status,
        )


def _misspelt(claims: Mapping[str, Any], version: str) -> str:
    """Where the grant stands instead."""
    grants = token_claims.video(claims, None)
    if grants is not None and token_claims.video(claims, version) is None:
        return " (they stand under a key in other letter case)"
    for key in grants or {}:
        if key.lower().replace("_", "") == "roomjoin" and key != "roomJoin":
            return f" (`{key}` is not read; it is spelt `roomJoin`)"
    if any(key.lower().replace("_", "") == "roomjoin" for key in claims):
        return " (it stands beside `video`, and belongs inside)"
    return " (`roomJoin` is false)" if (grants or {}).get("roomJoin") is False else ""


@check(USER_MARKED_AGENT)
def user_marked_agent(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A person's token carries the grant `agent`.

    ## What it means
    `agent: true` is the grant with which a worker registers. On a person's token it does not bring an agent. It makes
    the person a helper: the room is closed at `empty_timeout` while they are in it, and workers for participants
    (JT_PARTICIPANT) get no job for them.

    ## How it is decided
    The token lets somebody join (`roomJoin`), has `agent: true`, and is not of kind agent. Seen on 1.13.5, 1.11.0, 1.9.12
    and 1.8.4: the participant's kind stays STANDARD, no participant job is launched, and the room was closed 4 s later
    with the person in it (`emptyTimeout` 4).

    ## How to fix
    Leave `agent` out. To bring an agent, name it in `roomConfig.agents`.

    ## When it is not a problem
    A worker's own token has the grant and no `roomJoin`. An agent's token for its room is of kind agent. Recorders
    (`recorder`) are helpers on purpose.
    """
    del tokens
    for token in _tokens.readable(evidence):
        claims = token.claims
        marked = token_claims.granted(claims, "agent", _tokens.version_of(token, evidence) or "1.8.4") is True
        if not marked or token_rules.purpose(claims) != "person":
            continue
        if token_claims.identity(claims).startswith("agent-"):
            continue  # what both SDKs call an agent: a hand-made one, and its maker knows why
        yield _tokens.finding(
            USER_MARKED_AGENT,
            token,
            f'marks "{token_claims.identity(claims)}" as agent: that brings no agent, but the room may be closed while '
            "they are in it, and workers for participants get no job for them.",
            _tokens.inspect_again(
                "Take the grant `agent` out", "To bring an agent, name it in `roomConfig.agents` of the token."
            ),
            at="video",
            identity=token_claims.identity(claims),
        )
