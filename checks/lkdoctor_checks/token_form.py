"""Can a server read the token at all: its form, its signature, its times, its size?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import token_claims, token_rules
from lkdoctor.dispatch.token_rules import LEEWAY, LONGEST
from lkdoctor.doctor.codes import TOKEN_MALFORMED, TOKEN_SIGNATURE, TOKEN_TIME, TOKEN_TOO_BIG
from lkdoctor.doctor.evidence import Evidence, Tokens
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _tokens

PROXY_LINE = 8192  # bytes of a request line or header that nginx takes by default
LARGER_PROXY_LINE = 16384  # the same of common load balancers
AROUND = 400  # bytes of such a line that are not the token


@check(TOKEN_MALFORMED)
def token_malformed(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token is no JWT that a server can read.

    ## What it means
    The server refuses it before it looks at anything else. The usual causes: the API secret or the API key was pasted
    where the token belongs, its end was lost in copying, quotes or a line break came with it, or a claim has the wrong
    type (metadata as an object instead of a text, `"true"` in quotes instead of true, agents as a list of names).

    ## How it is decided
    A token has three parts of base64url with dots between; the first two are JSON objects, and every claim that LiveKit
    knows has its type. Seen: 401 `invalid authorization token` for the form and 401 `invalid token … cannot unmarshal`,
    or `proto: syntax error`, for types, on 1.13.5, 1.11.0, 1.9.12 and 1.8.4. `=` at the end of a part is refused by
    1.13.5 only.

    ## How to fix
    Make the token with a LiveKit server SDK, or `lkdoctor token create`, and hand it on unchanged.

    ## When it is not a problem
    `Bearer `, quotes or blanks around a token that was copied are left out, and so is a URL or JSON that it stands in:
    they are no fault of the token. Claims that LiveKit does not know may be anything.
    """
    del tokens
    for token in evidence.tokens:
        fix = _tokens.inspect_again(
            "Make the token anew",
            "Make it with a LiveKit server SDK or `lkdoctor token create`, and copy all of it, unchanged.",
        )
        if token.malformed:
            message = f"is no token that a server can read. {token.malformed}"
            yield _tokens.finding(TOKEN_MALFORMED, token, message, fix, reason=token.malformed)
            continue
        wrong = token_claims.wrong_type(token.claims, _tokens.version_of(token, evidence) or token_claims.SEEN[0])
        if wrong is not None:
            message = f"cannot be read: `{wrong.path}` must be {wrong.wanted}, so the server refuses all of it (401)."
            yield _tokens.finding(
                TOKEN_MALFORMED, token, message, fix, at=wrong.path.split(".")[0], claim=wrong.path, wanted=wrong.wanted
            )
            continue
        refused = _tokens.refusals(token, evidence, token_rules.refused_for_form, "malformed")
        if refused:
            severity, confidence = _tokens.sure(list(refused), token, evidence)
            message = (
                "has `=` at the end of a part, as ordinary base64 has: a server from 1.13.0 on refuses it"
                f"{_tokens.told(list(refused), token, evidence)}."
            )
            yield _tokens.finding(TOKEN_MALFORMED, token, message, fix, severity=severity, confidence=confidence)


@check(TOKEN_SIGNATURE)
def token_signature(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token is not signed as the server wants it.

    ## What it means
    The server knows the key that the token names, but not this signature: the token was made with another secret (an
    old one, one with a blank too many, that of another environment with the same key name), was changed after it was
    made, has no signature, or has one of another kind (`alg`).

    ## How it is decided
    With the secret of the token's key at hand (given, or in the project's own files: livekit.yaml's where it has the key, else
    what an environment has) the signature is made again and compared. Without it only what no server
    takes is reported: no signature, `none`, RS256 and the like; HS384 and HS512 are refused by 1.13.5 and taken by
    1.11.0, 1.9.12 and 1.8.4. A token of another key than the one given cannot be judged and is said to be open.

    ## How to fix
    Make the token with the secret of the key that it names, and let nobody change it afterwards.

    ## When it is not a problem
    A server may have several keys: a token of another key than the one at hand may be right.
    """
    del tokens
    fix = _tokens.inspect_again(
        "Sign it with the right secret",
        "Compare LIVEKIT_API_KEY and LIVEKIT_API_SECRET of the program that makes the token with the server's `keys`.",
        "Use HS256, which is what every LiveKit SDK does.",
    )
    for token in _tokens.readable(evidence):
        refused = _tokens.refusals(token, evidence, token_rules.refused_for_form, "signature")
        if refused:
            words = next(iter(refused.values())).words
            severity, confidence = _tokens.sure(list(refused), token, evidence)
            wrong = token.signature == "wrong" and token.checked_in
            held = f' The secret of key "{token.checked_with}" stands in {token.checked_in}.' if wrong else ""
            message = f"is refused (401): {words[0].lower()}{words[1:-1]}{_tokens.told(list(refused), token, evidence)}.{held}"
            yield _tokens.finding(
                TOKEN_SIGNATURE,
                token,
                message,
                fix,
                at="iss" if token.signature == "wrong" else "header",
                severity=severity,
                confidence=confidence,
                key=str(token.claims.get("iss", "")),
                algorithm=str(token.header.get("alg")),
            )
        elif token.signature == "other-key":
            yield Inconclusive(
                _tokens.subject(token),
                f'Its signature was not checked: it is of key "{token.claims.get("iss", "")}", and the secret at hand '
                f'belongs to "{token.checked_with}".',
                "Give key and secret of the token's key (--api-key, --api-secret, or the environment).",
                (token.at("iss"),),
            )


@check(TOKEN_TIME)
def token_time(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token has expired, or is not valid yet.

    ## What it means
    A token counts from `nbf` to `exp`. A page that was open for long, a token from a cache, or one that was pasted into
    a configuration has expired; one from the future comes from a clock that is ahead, or from milliseconds where
    seconds belong.

    ## How it is decided
    The times are held against the clock of this machine (in a saved case: of when it was saved). A server allows 60 s
    both ways: 57 s beyond is accepted and 63 s is not, on 1.13.5, 1.11.0, 1.9.12 and 1.8.4. `iat` in the future is
    refused by the last three only. A token without `exp` is accepted by all four.

    ## How to fix
    Make a new token for each join, shortly before it, with a life that covers the time until the join; who is in the
    room stays in, for the server renews the token of a participant.

    ## When it is not a problem
    Within the 60 s nothing is wrong. An old token in an old bug report was good in its time.
    """
    del tokens
    for token in _tokens.readable(evidence):
        refused = {one: token_rules.time_words(token, one) for one in _tokens.versions(token, evidence)}
        refused = {one: words for one, words in refused.items() if words}
        if not refused:
            continue
        severity, confidence = _tokens.sure(list(refused), token, evidence)
        words = next(iter(refused.values()))
        claim = "exp" if "expired" in words else "nbf" if "valid only" in words else "iat"
        message = (
            f"is refused (401) for its time: {words[0].lower()}{words[1:-1]}; a server allows {LEEWAY:.0f} s"
            f"{_tokens.told(list(refused), token, evidence)}."
        )
        yield _tokens.finding(
            TOKEN_TIME,
            token,
            message,
            _tokens.inspect_again(
                "Make a fresh token",
                "Make the token when somebody joins, not in advance.",
                "If it was fresh: compare the clocks (`date -u`) of the machine that made it and of this one.",
            ),
            at=claim,
            severity=severity,
            confidence=_by_clock(confidence, token.claims.get(claim), token.read_at),
            **{claim: token.claims.get(claim)},
        )


def _by_clock(confidence: Confidence, at: object, now: float | None) -> Confidence:
    """Close to the border the clock of this machine, not the server's, may be what is off."""
    near = isinstance(at, (int, float)) and now is not None and abs(now - at) < token_rules.STALE_SURELY
    return min(confidence, Confidence.MEDIUM) if near else confidence


@check(TOKEN_TOO_BIG)
def token_too_big(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token is longer than what a proxy, or the server, takes in one line.

    ## What it means
    A browser sends the token in the URL of `/rtc`, programs send it in a header. Much metadata in the token makes that
    line too long: the proxy answers 400, 414 or 431, and the server never hears of it.

    ## How it is decided
    By length. livekit-server itself takes heads of up to 1 MiB and 4 KiB and answers 431 beyond, in the URL and in the
    header alike (seen on 1.13.5, 1.11.0, 1.9.12 and 1.8.4; so a token of 1,052,000 characters or more is an error).
    Proxies take less: nginx 8 KiB unless `large_client_header_buffers` says otherwise, several load balancers 16 KiB.
    Whether such a proxy is there the token does not tell: below 16 KiB this is shown and not counted.

    ## How to fix
    Keep metadata small: put an id into the token, and let the agent fetch the rest by it.

    ## When it is not a problem
    Without a proxy, or with one that takes longer lines, a token of some ten thousand characters works.
    """
    del tokens
    fix = Fix(
        "Make the token smaller",
        steps=(
            "Put an id into the metadata of the participant or the agent, and let the agent fetch the rest by it.",
            "Or raise the proxy's limit (nginx: `large_client_header_buffers`).",
        ),
        verify=("`lkdoctor token inspect` says its size.",),
    )
    for token in evidence.tokens:
        line = token.length + AROUND
        if token.malformed or line <= PROXY_LINE:
            continue
        size = f"has {token.length:,} characters"
        if token.length > LONGEST:
            message = f"{size}: livekit-server takes a request's head of at most 1 MiB and 4 KiB and answers 431."
            yield _tokens.finding(TOKEN_TOO_BIG, token, message, fix, severity=Severity.ERROR, length=token.length)
            continue
        larger = line > LARGER_PROXY_LINE
        message = (
            f"{size}: livekit-server takes that, but a proxy before it may not (nginx takes lines of 8 KiB by default"
            f"{', load balancers often 16 KiB' if larger else ''})."
        )
        confidence = Confidence.MEDIUM if larger else Confidence.LOW
        yield _tokens.finding(TOKEN_TOO_BIG, token, message, fix, confidence=confidence, length=token.length)
