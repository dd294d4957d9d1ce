"""What the checks of tokens share: which server versions to hold a token against, and how to name what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lkdoctor.dispatch import rules, token_rules
from lkdoctor.dispatch.token_claims import SEEN
from lkdoctor.dispatch.token_rules import Refusal
from lkdoctor.dispatch.tokens import Token
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Severity, Subject

_NAMELESS = frozenset({"TOKEN", "--token", "stdin"})


def readable(evidence: Evidence) -> Iterator[Token]:
    """Tokens that are JWTs."""
    return (one for one in evidence.tokens if not one.malformed)


def version_of(token: Token, evidence: Evidence) -> str:
    """The one server version that is known for the token; empty when none or several are."""
    return token_rules.version_of(token, evidence.runs, evidence.probes.server)


def versions(token: Token, evidence: Evidence) -> tuple[str, ...]:
    """The known version, or all that were run."""
    known = version_of(token, evidence)
    return (known,) if rules.parse_version(known) else SEEN


def refusals(
    token: Token, evidence: Evidence, judge: Callable[[Token, str], Refusal | None], *reasons: str
) -> dict[str, Refusal]:
    """Which of the possible versions refuse it for one of these reasons."""
    found = {one: judge(token, one) for one in versions(token, evidence)}
    return {version: one for version, one in found.items() if one is not None and one.reason in reasons}


def sure(refused: Sequence[str], token: Token, evidence: Evidence) -> tuple[Severity, Confidence]:
    """An error when the known version, or every one that may be meant, refuses; else a warning of medium confidence."""
    if len(refused) == len(versions(token, evidence)):
        return Severity.ERROR, Confidence.HIGH
    # The newest one refuses and only old ones do not: that is the server that most have.
    return (Severity.ERROR if SEEN[0] in refused else Severity.WARNING), Confidence.MEDIUM


def told(refused: Sequence[str], token: Token, evidence: Evidence) -> str:
    """` (1.11.0, 1.9.12 and 1.8.4 do, 1.13.5 does not)`, empty when all do or the version is known."""
    others = [one for one in versions(token, evidence) if one not in refused]
    if not others:
        return ""
    return f" (livekit-server {', '.join(refused)}; not {', '.join(others)})"


def finding(
    code: Code,
    token: Token,
    message: str,
    fix: Fix,
    *,
    at: str = "",
    severity: Severity | None = None,
    confidence: Confidence = Confidence.HIGH,
    **values: Any,
) -> Finding:
    """A finding about one token; `at` is the claim that proves it."""
    return Finding(
        code,
        subject(token),
        f"{_name(token)} {message}",
        code.severity if severity is None else severity,
        confidence,
        {"token": token.name, **values},
        (token.at(at),),
        (fix,),
    )


def subject(token: Token) -> Subject:
    """The token by its name; the only one that was given has none."""
    return Subject("token", id="" if token.name in _NAMELESS else token.name)


def _name(token: Token) -> str:
    return "The token" if token.name in _NAMELESS else f"The token {token.name}"


def inspect_again(title: str, *steps: str) -> Fix:
    """A fix that ends with a look at the new token."""
    return Fix(title, steps=steps, verify=("`lkdoctor token inspect` on the new token finds nothing.",))
