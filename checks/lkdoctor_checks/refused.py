"""Was a worker, a participant or an API call turned away at the door, and why?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lkdoctor.dispatch.model import Dispatch, Outcome, Refusal
from lkdoctor.doctor.codes import (
    API_KEY_UNKNOWN,
    API_SECRET_WRONG,
    CLOCK_SKEW,
    GRANT_MISSING,
    UNKNOWN_FIELDS,
    UNKNOWN_PRESET,
)
from lkdoctor.doctor.evidence import Dispatches, Refusals, Workers
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

# The server's texts, by what they mean: 1.8.4 to 1.11.0 and, where it differs, 1.13.5. All seen.
KEY = re.compile(r"invalid API key")
KEY_NAMED = re.compile(r"invalid API key: (\S+)")
MOST_KEYS = 5  # of one door; where more are tried they are one finding
MOST_ERRORS = 20
SECRET = re.compile(r"cryptographic primitive|signature is invalid")
EXPIRED = re.compile(r"token is expired")
EARLY = re.compile(r"not valid yet")
GRANT = re.compile(r"no permissions to access the room|permissions? denied")
FIELD = re.compile(r"unknown field \\?\"(\w+)")
PRESET = re.compile(r"unknown room conf\w*guration")
KNOWN_TEXTS = (KEY, SECRET, EXPIRED, EARLY, GRANT, FIELD, PRESET)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a refusal: how the server words it, how we do, and what to do about it."""

    code: Code
    pattern: re.Pattern[str]
    words: str
    steps: tuple[str, ...]
    lenient: bool = False  # a participant refused for it is worth knowing only
    severe: bool = False  # an error at every door


DOORS = {
    "worker": ("A worker cannot register", "/agent"),
    "client": ("A participant cannot join", "/rtc"),
    "api": ("An API call is refused", "/twirp"),
}


def door_of(path: str) -> str:
    """Who knocked: a worker (`/agent`), a participant (`/rtc`, `/whip`) or an API call (`/twirp`)."""
    if path.startswith("/agent"):
        return "worker"
    return "api" if path.startswith("/twirp") else "client"


@check(API_KEY_UNKNOWN)
def api_key_unknown(refusals: Refusals, dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """The server does not know the API key that a request came with.

    ## What it means
    Key and secret come in pairs from the server's configuration (`keys:` in livekit.yaml, or LIVEKIT_KEYS). The caller
    uses a pair of another server or project, an old one, or one that lost characters on its way through a shell. Which
    path was asked tells who is locked out: `/agent` a worker, `/rtc` a participant, `/twirp` a program that calls the
    API.

    ## How it is decided
    `error handling request` (or a refused API call) with status 401 and `invalid API key`; seen on 1.8.4, 1.9.12,
    1.11.0 and 1.13.5.

    ## How to fix
    Copy key and secret again from the server's configuration to whoever is locked out, and restart it.

    ## When it is not a problem
    A client of an old deployment that keeps on trying, after the keys were changed on purpose, stops when it is
    updated. A refused worker is always an error: it serves nobody.
    """
    yield from _findings(
        Reason(
            API_KEY_UNKNOWN,
            KEY,
            "the server does not know its API key",
            (
                "Compare LIVEKIT_API_KEY of the caller with the `keys` of the server's configuration.",
                "Check that it calls the right server: the key of another project is unknown here.",
            ),
        ),
        refusals,
        dispatches,
        workers,
    )


@check(API_SECRET_WRONG)
def api_secret_wrong(refusals: Refusals, dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """The server knows the API key, but the token is not signed with that key's secret.

    ## What it means
    Key and secret do not belong together: an old secret, one with a blank or a quote too many, or the pair of another
    environment that happens to use the same key name (`devkey`).

    ## How it is decided
    Status 401 with `error in cryptographic primitive` (1.8.4, 1.9.12, 1.11.0) or `token signature is invalid` (1.13.5).

    ## How to fix
    Copy the secret again, without blanks, quotes or line ends, and restart the caller.

    ## When it is not a problem
    Right after the secret was changed, browsers come once more with tokens of the old one. A refused worker is always
    an error.
    """
    yield from _findings(
        Reason(
            API_SECRET_WRONG,
            SECRET,
            "its token is not signed with the secret of its API key",
            (
                "Compare LIVEKIT_API_SECRET of the caller with the server's configuration, character by character.",
                "Look for blanks, quotes and line ends that a shell or a secret store added.",
            ),
        ),
        refusals,
        dispatches,
        workers,
    )


@check(CLOCK_SKEW)
def clock_skew(refusals: Refusals, dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """Tokens are refused because of their time: not valid yet, or expired.

    ## What it means
    `not valid yet` can only come from clocks: whoever made the token is ahead of the server. `expired` comes from
    clocks, too, where tokens are made fresh for each use, as a worker's are; a browser simply may have kept an old one.

    ## How it is decided
    Status 401 with `token is expired` or `not valid yet`, in the words of 1.8.4 to 1.11.0 or of 1.13.5. A server allows
    some slack: a token 30 s past its end was accepted. A worker's token is made when it connects, so an expired one on
    `/agent` is an error; on `/rtc` a few expired tokens are worth knowing only.

    ## How to fix
    Synchronise the clocks (NTP, chrony; restart virtual machines that slept). Give tokens a life that fits their use.

    ## When it is not a problem
    A tab that was left open comes back with yesterday's token and is refused: that is how it should be. Therefore
    expired tokens of participants are information, whereas tokens from the future never are.
    """
    for pattern, words_for_it in ((EARLY, "its token is not valid yet"), (EXPIRED, "its token has expired")):
        yield from _findings(
            Reason(
                CLOCK_SKEW,
                pattern,
                words_for_it,
                (
                    "Compare the clocks of the server and of whoever makes the tokens (`date -u` on both).",
                    "Start time synchronisation on both; a machine that slept may be minutes late.",
                ),
                lenient=pattern is EXPIRED,
            ),
            refusals,
            dispatches,
            workers,
        )


@check(GRANT_MISSING)
def grant_missing(refusals: Refusals, dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """The request came with a good token that lacks the grant for what it asks, or with no token at all.

    ## What it means
    On `/agent` the token must carry the `agent` grant, which SDK workers add themselves: a hand-made token forgot it.
    On `/rtc` it must carry `roomJoin`. For the dispatch calls it must carry `roomAdmin` for exactly that room.

    ## How it is decided
    Status 401 with `no permissions to access the room` or `permissions denied`. A missing grant is 401, never 403 (seen
    on 1.8.4, 1.9.12, 1.11.0 and 1.13.5).

    ## How to fix
    Give the token the grant of its path: `agent: true` for `/agent`, `roomJoin` and `room` for `/rtc`, `roomAdmin` and
    the same `room` for CreateDispatch, ListDispatch and DeleteDispatch, `roomCreate` for CreateRoom.

    ## When it is not a problem
    Monitoring and scanners ask for `/rtc/validate` without a token, to see whether the server answers, and leave such a
    line each time. A real client opens `/rtc` first and asks `/rtc/validate` for the reason afterwards; lines of the
    second kind alone are not reported. On `/rtc` it is a warning at most.
    """
    yield from _findings(
        Reason(
            GRANT_MISSING,
            GRANT,
            "its token lacks the grant, or there is no token",
            (
                "/agent: grant `agent`. /rtc: grants `roomJoin` and `room`.",
                (
                    "CreateDispatch, ListDispatch, DeleteDispatch: `roomAdmin` and exactly that `room`. CreateRoom: "
                    "`roomCreate`."
                ),
            ),
        ),
        refusals,
        dispatches,
        workers,
    )


@check(UNKNOWN_FIELDS)
def unknown_fields(refusals: Refusals, dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """The token's roomConfig has a field that this server does not know, so the whole token is refused.

    ## What it means
    A newer SDK writes fields such as `deployment` into the token. Servers up to 1.11.0 refuse the whole token for it;
    from 1.12.0 on they read over it.

    ## How it is decided
    Status 401 with `unknown field` and the field's name (seen on 1.8.4, 1.9.12 and 1.11.0; 1.13.5 accepts it).

    ## How to fix
    Leave the field out, or update the server to 1.12.0 or later.

    ## When it is not a problem
    Never harmless for the one who is refused; a single client of a test build may be the only one.
    """
    yield from _findings(
        Reason(
            UNKNOWN_FIELDS,
            FIELD,
            "its token has a roomConfig field that this server does not know",
            ("Leave the field out of the token's roomConfig.", "Or update livekit-server to 1.12.0 or later."),
        ),
        refusals,
        dispatches,
        workers,
    )


@check(UNKNOWN_PRESET)
def unknown_preset(refusals: Refusals, dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """A token or a call names a room preset that the server's configuration does not have.

    ## What it means
    `roomPreset` is the name of an entry of `room.room_configurations` in livekit.yaml. With an unknown one nobody can
    join, although `/rtc/validate` says that the token is good.

    ## How it is decided
    `could not handle new participant`, or a refused CreateRoom, with `unknown room configuration` (1.8.4 spells it
    `confguration`; seen on 1.8.4 and 1.13.5). The server tries three times for one join.

    ## How to fix
    Correct the preset's name, or add it to livekit.yaml.

    ## When it is not a problem
    Never harmless for whoever wanted to join. A CreateRoom refused for it has done no other damage.
    """
    yield from _findings(
        Reason(
            UNKNOWN_PRESET,
            PRESET,
            "it names a room preset that the server does not have",
            ("Compare `roomPreset` with the keys of `room.room_configurations` in livekit.yaml.",),
            severe=True,
        ),
        refusals,
        dispatches,
        workers,
    )


def _findings(reason: Reason, refusals: Refusals, dispatches: Dispatches, workers: Workers) -> Iterator[Finding]:
    """One finding per door for one reason."""
    doors: dict[tuple[str, str], list[Refusal]] = {}
    keys: dict[str, set[str]] = {}
    for one in refusals:
        if one.status and reason.pattern.search(one.error):
            door, key = door_of(one.path), _key(one)
            doors.setdefault((door, key), []).append(one)
            keys.setdefault(door, set()).add(key)
    for door in [door for door, names in keys.items() if len(names) > MOST_KEYS]:  # somebody tries keys
        doors[door, ""] = [one for key in sorted(keys[door]) for one in doors.pop((door, key))]
    for (door, key), group in sorted(doors.items()):
        if reason.code is GRANT_MISSING and all(one.path.endswith("/validate") for one in group):
            continue  # nobody tried to join: a probe without a token
        number = sum(one.count for one in group)
        head, path = DOORS[door]
        times = [at for one in group for at in (one.at, one.last_at) if at is not None]
        lost = _locked_out(dispatches, workers) if door == "worker" else []
        yield Finding(
            reason.code,
            Subject("token", id=f"{path} {key}" if key else path),
            f"{head}: {reason.words}{f' {key}' if key else ''} ({words.counted(number, 'request')} to {words.listed(one.path for one in group)}; the "
            f'server says "{_text(group[-1])}").',
            _severity(reason, door, group),
            Confidence.HIGH,
            {
                "door": door,
                "paths": sorted({one.path for one in group}),
                "errors": sorted({_text(one) for one in group})[:MOST_ERRORS],
            },
            words.spread(place for one in group for place in (one.proof or [one.place])),
            (
                Fix(
                    f"Mend the credentials of the {'worker' if door == 'worker' else 'caller'}",
                    steps=reason.steps,
                    verify=(
                        "The server logs `worker registered`."
                        if door == "worker"
                        else "No further `error handling request` line on this path.",
                    ),
                ),
            ),
            folds=words.folds_of(lost),
            count=number,
            first_at=min(times, default=None),
            last_at=max(times, default=None),
        )


def _severity(reason: Reason, door: str, group: Sequence[Refusal]) -> Severity:
    """A locked-out worker serves nobody; so does a dispatch that cannot be made. A participant may be a stale tab."""
    if door == "worker" or reason.severe:
        return Severity.ERROR
    if door == "api":
        asks = any("Dispatch" in one.path or "CreateRoom" in one.path for one in group)
        return Severity.ERROR if asks else Severity.WARNING
    return Severity.INFO if reason.lenient else min(reason.code.severity, Severity.WARNING)


def _key(one: Refusal) -> str:
    """The API key that the server says it does not know; empty for other texts."""
    found = KEY_NAMED.search(one.error)
    return found[1] if found else ""


def _text(one: Refusal) -> str:
    """The server's text, short enough for one line."""
    return one.error if len(one.error) <= 160 else one.error[:157] + "..."


def _locked_out(dispatches: Dispatches, workers: Workers) -> list[Dispatch]:
    """Dispatches that found nobody, when no worker at all got in: the refused one is why.

    With any worker registered, nobody can say whose name the refused one would have served.
    """
    if any(not one.refused for one in workers):
        return []
    return [one for one in dispatches.ended(Outcome.NAME_NOT_SERVED) if words.wanted(one)]
