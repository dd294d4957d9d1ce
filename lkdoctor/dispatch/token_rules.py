"""What a server does with a token, by version: for a room that the join makes, and for one that is there.

Seen on 1.13.5, 1.11.0, 1.9.12 and 1.8.4 by joining with such tokens (`tests/live/test_token.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from lkdoctor.dispatch import rules, token_claims
from lkdoctor.dispatch.model import ServerRun
from lkdoctor.dispatch.predict import AgentWanted
from lkdoctor.dispatch.probes import LiveServer
from lkdoctor.dispatch.token_claims import SEEN
from lkdoctor.dispatch.tokens import Token

LEEWAY: Final = 60.0  # seconds, both ways: 57 s past `exp` is accepted, 63 s is not
LONGEST: Final = (
    1_052_000  # bytes of a request's head: 1 MiB and 4 KiB, answered 431 beyond, less what else stands there
)
LONGEST_IDENTITY: Final = 256  # the default of `limit.max_participant_identity_length`
ROOM_NEEDED: Final[rules.Version] = (1, 9, 1)  # by source; 1.8.4 takes the room of the URL, else one without a name
ISSUED_AT_CHECKED: Final[rules.Version] = (1, 13, 0)  # before this one, `iat` in the future is refused
STRICT_FORM: Final[rules.Version] = (1, 13, 0)  # from here on only HS256, and no `=` at the end of a part
STALE_SURELY: Final = 300.0  # seconds beyond the leeway that no ordinary clock is off

Purpose = Literal["person", "agent", "egress", "recorder", "worker", "api", "webhook"]
Reason = Literal["malformed", "size", "signature", "time", "type", "field", "grant", "identity", "room"]

_API_GRANTS: Final = ("roomCreate", "roomList", "roomRecord", "roomAdmin", "ingressAdmin")
_NO_GRANTS: Final = frozenset({"video", "attributes", "metadata", "roomconfig", "room_config", "roomconfiguration"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a server lets nobody in with the token: the HTTP status and the reason in words."""

    reason: Reason
    status: int
    words: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a join with the token. `agents` are dispatched when the join makes the room, and only then."""

    refused: Refusal | None = None
    identity: str = ""
    room: str = ""
    agents: tuple[AgentWanted, ...] = ()  # the unnamed one is `AgentWanted("")`
    implicit: bool = False  # nobody asked for the unnamed agent: it is what a room without agents gets
    preset: str = ""  # its agents, which stand in the server's configuration, come instead
    dependent: bool = False  # does not keep the room open and raises no participant job
    hidden: bool = False


def version_of(token: Token, runs: Iterable[ServerRun], server: LiveServer | None) -> str:
    """The one server version that is known for the token; empty when none or several are.

    What the user or the case says of the token goes before what the logs (`runs`) and the live `server` say.
    """
    if token.server_version:
        return token.server_version
    if server is not None and server.is_cloud:
        return ""  # its versions are those of another server
    known = {one.version for one in runs if one.version}
    if server is not None and server.version:
        known.add(server.version)
    return known.pop() if len(known) == 1 else ""


def purpose(claims: Mapping[str, Any]) -> Purpose:
    """What the token is for; only one that is meant to let somebody into a room is judged as such.

    Read in any letter case and spelling: a misspelt grant still says what was meant.
    """
    grants = token_claims.video(claims, None) or {}
    if granted(grants, "roomJoin"):
        kind = token_claims.text(token_claims.claim(claims, "kind", None)).lower()
        if kind in {"agent", "egress"}:
            return "agent" if kind == "agent" else "egress"
        return "recorder" if granted(grants, "recorder") else "person"
    if any(key.lower().replace("_", "") in {"roomconfig", "roompreset"} for key in claims):
        return "person"
    if granted(grants, "agent"):
        return "worker"
    if any(granted(grants, one) for one in _API_GRANTS):
        return "api"
    if not grants and claims.get("sha256"):
        return "webhook"
    others = [key for key, value in claims.items() if isinstance(value, dict) and key.lower() not in _NO_GRANTS]
    # Grants of other services (sip, inference, observability) stand beside `video`.
    return "api" if others and not grants.get("room") else "person"


def granted(grants: Mapping[str, Any], name: str) -> bool:
    """Whether a grant is meant to be given, however it is spelt (`room_join`, `RoomJoin`, the text "true")."""
    plain = name.lower()
    return any(
        key.lower().replace("_", "") == plain and (value is True or str(value).lower() == "true")
        for key, value in grants.items()
    )


def fate(token: Token, version: str) -> Fate:
    """What a server of this version does with a join that shows the token, at the time when the token was read.

    `version` is one that was run or any other (`SEEN` for all that were run). A signature that could not be checked
    counts as right.
    """
    refused = _refusal(token, version)
    if refused is not None:
        return Fate(refused)
    claims = token.claims
    given = token_claims.entries(claims, version)
    agents = tuple(one.wanted for one in given if token_claims.usable_deployment(one.wanted.deployment))
    named = token_claims.preset(claims, version)
    implicit = not given and not named
    return Fate(
        None,
        token_claims.identity(claims),
        token_claims.text(token_claims.granted(claims, "room", version)),
        (AgentWanted(""),) if implicit else agents,
        implicit,
        "" if given else named,
        dependent(claims, version),
        token_claims.granted(claims, "hidden", version) is True,
    )


def dependent(claims: Mapping[str, Any], version: str | None) -> bool:
    """Kinds agent and egress, and the grants `agent` and `recorder`: such a participant does not keep a room open, and
    raises no participant job (seen on all four versions)."""
    kind = token_claims.text(token_claims.claim(claims, "kind", version)).lower()
    return kind in {"agent", "egress"} or any(
        token_claims.granted(claims, one, version) is True for one in ("agent", "recorder")
    )


def fates(token: Token, version: str) -> dict[Fate, tuple[str, ...]]:
    """What happens, and on which versions: one entry when the version is known or makes no difference."""
    found: dict[Fate, tuple[str, ...]] = {}
    for one in [version] if rules.parse_version(version) else SEEN:
        what = fate(token, one)
        found[what] = (*found.get(what, ()), one)
    return found


def _refusal(token: Token, version: str) -> Refusal | None:
    if token.malformed:
        return Refusal("malformed", 401, token.malformed)
    if token.length > LONGEST:
        return Refusal("size", 431, "The token is longer than a request's head may be (1 MiB).")
    for check in (refused_for_form, _time, refused_for_content, refused_for_grants):
        refused = check(token, version)
        if refused is not None:
            return refused
    return None


def refused_for_form(token: Token, version: str) -> Refusal | None:
    """Refused for how it is written or signed."""
    strict = rules.since(version, STRICT_FORM)
    algorithm = str(token.header.get("alg"))
    if strict and token.padded:
        return Refusal("malformed", 401, "A part of the token ends in `=`, which this server does not read.")
    if algorithm not in ({"HS256"} if strict else {"HS256", "HS384", "HS512"}):
        return Refusal("signature", 401, f"It is signed by {algorithm}; this server takes HS256.")
    if not token.signed:
        return Refusal("signature", 401, "It has no signature.")
    if not token_claims.text(token.claims.get("iss")):
        return Refusal("signature", 401, "It names no key (`iss`), so no server can check its signature.")
    if token.signature == "wrong":
        return Refusal("signature", 401, "Its signature was not made with the secret of its key.")
    return None


def _time(token: Token, version: str) -> Refusal | None:
    words = time_words(token, version)
    return Refusal("time", 401, words) if words else None


def time_words(token: Token, version: str | None) -> str:
    """Why the token's times refuse it, empty when they do not. Without a version, what every version refuses."""
    now = token.read_at
    if now is None:
        return ""
    values = {name: token_claims.claim(token.claims, name, version) for name in ("exp", "nbf", "iat")}
    times = {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    }
    if "exp" in times and now > times["exp"] + LEEWAY:
        return f"It expired {_span(now - times['exp'])} before it was looked at."
    if "nbf" in times and now < times["nbf"] - LEEWAY:
        return f"It is valid only from {_span(times['nbf'] - now)} after it was looked at{_milliseconds(times['nbf'])}."
    checked = version is not None and rules.since(version, ISSUED_AT_CHECKED) is False
    if checked and "iat" in times and now < times["iat"] - LEEWAY:
        return f"It was issued {_span(times['iat'] - now)} after it was looked at{_milliseconds(times['iat'])}."
    return ""


def _milliseconds(value: float) -> str:
    return " (the number is in milliseconds; it must be in seconds)" if value > 1e11 else ""


def _span(seconds: float) -> str:
    for unit, size in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}s"
    return f"{seconds:.0f} s"


def refused_for_content(token: Token, version: str) -> Refusal | None:
    """Refused for a claim of a wrong type, or for a field of roomConfig that is not known."""
    wrong = token_claims.wrong_type(token.claims, version)
    if wrong is not None:
        return Refusal("type", 401, f"`{wrong.path}` must be {wrong.wanted}, so the server cannot read the token.")
    if rules.since(version, token_claims.SKIPS_UNKNOWN_FIELDS):
        return None
    unknown = next(token_claims.unknown_fields(token.claims, version), None)
    if unknown is None:
        return None
    return Refusal("field", 401, f"`{unknown.path}` is a field that this server does not know.")


def refused_for_grants(token: Token, version: str) -> Refusal | None:
    """Refused as a token to join with: no grants, no roomJoin, no identity, no room."""
    claims = token.claims
    if token_claims.video(claims, version) is None:
        return Refusal("grant", 401, "It has no `video` grants.")
    if token_claims.granted(claims, "roomJoin", version) is not True:
        return Refusal("grant", 401, "It has no `roomJoin` grant.")
    who = token_claims.identity(claims)
    if not who:
        return Refusal("identity", 400, "It has no identity (`sub`).")
    if len(who.encode()) > LONGEST_IDENTITY:
        return Refusal("identity", 400, f"Its identity has more than {LONGEST_IDENTITY} bytes.")
    if not token_claims.granted(claims, "room", version) and rules.since(version, ROOM_NEEDED):
        return Refusal("room", 400, "It names no room.")
    return None
