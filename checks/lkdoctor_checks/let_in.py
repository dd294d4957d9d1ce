"""Did the server let lkdoctor itself in: does it know the key and the secret, is the clock right, is it new enough?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from lkdoctor.dispatch.connection import Step
from lkdoctor.doctor.codes import API_KEY_UNKNOWN, API_SECRET_WRONG, CLOCK_SKEW, GRANT_MISSING, SERVER_VERSION
from lkdoctor.doctor.evidence import Steps
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _way as way
from lkdoctor_checks import _words as words

_LEEWAY: Final = 60.0  # s that a server allows on both ends of a token: 60 was taken and 61 refused, 1.8.4 and 1.13.5
_NEAR: Final = 30.0  # s of skew from which half of that is used up
_TOKEN: Final = Subject("token", id="/twirp")


@check(API_KEY_UNKNOWN)
def key_unknown_here(steps: Steps) -> Iterator[Finding | Inconclusive]:
    """lkdoctor's own API call was refused: the key that it found is none of this server's.

    The answer is 401 `invalid API key`. The finding says where the key came from: an option, the environment, a line of a
    `.env` file, a project of `lk`. A worker or a backend may have another key; only their own lines tell. One call is made,
    and none after the refusal.
    """
    for walk, step in _refused(steps, "key"):
        source = way.origin(walk.url, "key") or "its source"
        yield way.finding(
            API_KEY_UNKNOWN,
            _TOKEN,
            f'{walk.shown} does not know the API key of {source} (the server says "{step.error}").{_mixed(walk)}',
            [step],
            {"door": "api", "origin": source, "origins": _origins(walk), "errors": [step.error]},
            (
                Fix(
                    "Use the key of this server",
                    steps=(
                        f"Compare the key of {source} with `keys` in the server's configuration (or LIVEKIT_KEYS).",
                        "Check that the URL is this key's server: the key of another project is unknown here.",
                    ),
                    verify=(f"lkdoctor check --url {words.shell(walk.shown)}",),
                ),
            ),
        )

    for walk, step in _refused(steps, "token"):
        # Hosted servers word it in their own way: which of key, secret and time it is, nobody can tell.
        yield Inconclusive(
            Subject("server", id=walk.shown),
            f'{walk.shown} refuses the token, and its words do not say why ("{step.error}").',
            "Compare key, secret and clock with the server's.",
            (step.place,),
        )


@check(API_SECRET_WRONG)
def secret_wrong_here(steps: Steps) -> Iterator[Finding]:
    """lkdoctor's own API call was refused: the server knows the key, and the secret beside it is another one.

    The answer is 401 with the server's words for a wrong signature. The finding says where key and secret came from; when
    they are from two places, that is the first thing to look at. The secret itself is never shown.
    """
    for walk, step in _refused(steps, "secret"):
        source = way.origin(walk.url, "signed_with") or "its source"
        yield way.finding(
            API_SECRET_WRONG,
            _TOKEN,
            f"{walk.shown} knows the API key, and the secret of {source} is not that key's.{_mixed(walk)}",
            [step],
            {"door": "api", "origin": source, "origins": _origins(walk), "errors": [step.error]},
            (
                Fix(
                    "Use the secret that belongs to the key",
                    steps=(
                        f"Copy the secret again from the server's configuration to {source}.",
                        "Look for blanks, quotes and line ends that a shell or a secret store added.",
                    ),
                    verify=(f"lkdoctor check --url {words.shell(walk.shown)}",),
                ),
            ),
        )


@check(CLOCK_SKEW)
def clocks_differ(steps: Steps) -> Iterator[Finding | Inconclusive]:
    """The clock of this machine and the server's are apart, so that tokens made here are refused, or soon will be.

    The clock is held against the Date of each answer, which is good to a second; the finding tells the offset with its
    bound. A server allows 60 s on both ends of a token (60 s was taken and 61 s refused, on 1.8.4 and 1.13.5), so a refusal
    for time is an error, and more than 30 s a warning. A proxy writes its own Date: when the server refuses tokens for their
    time and the Date fits, the proxy's clock and the server's differ. A second or two are nobody's fault.
    """
    for walk in way.walks(steps):
        measured = walk.clock
        offset = _seconds(measured, "offset")
        bound = _seconds(measured, "error")
        proof = [one for one in walk.calls if one.trouble in {"early", "expired"}]
        clocks = [] if measured is None else [measured]
        if proof:
            how = "not valid yet" if proof[0].trouble == "early" else "expired"
            fits = measured is not None and _fits(proof[0].trouble, offset, bound)
            yield way.finding(
                CLOCK_SKEW,
                Subject("token", id="clock"),
                f"{walk.shown} refuses a token that was made a moment before as {how}: "
                + (
                    f"{_skew(offset, bound)}."
                    if fits
                    else "its clock and this machine's differ, although the Date of its answers, which a proxy may have "
                    "written, fits."
                ),
                [*proof, *clocks],
                {"offset": offset, "bound": bound, "leeway": _LEEWAY, "errors": [one.error for one in proof]},
                (_clock_fix(walk),),
                confidence=Confidence.HIGH if fits else Confidence.MEDIUM,
            )
        elif measured is not None and abs(offset) - bound > _NEAR:
            yield way.finding(
                CLOCK_SKEW,
                Subject("token", id="clock"),
                f"{_skew(offset, bound).capitalize()}; from {_LEEWAY:.0f} s on, tokens made here are refused.",
                clocks,
                {"offset": offset, "bound": bound, "leeway": _LEEWAY},
                (_clock_fix(walk),),
                severity=Severity.WARNING,
                confidence=Confidence.MEDIUM,  # the Date may be a proxy's
            )


def _fits(trouble: str, offset: float, bound: float) -> bool:
    """Does the measured offset explain the refusal? `early` needs a server that is behind, `expired` one ahead."""
    return (offset < 0) == (trouble == "early") and abs(offset) + bound >= _LEEWAY


def _skew(offset: float, bound: float) -> str:
    side = "ahead of" if offset < 0 else "behind"
    return f"this machine's clock is {words.span(abs(offset))} {side} the server's (measured to {bound:.1f} s)"


def _clock_fix(walk: way.Walk) -> Fix:
    return Fix(
        "Synchronise the clocks",
        steps=(
            "Find out which of the two is wrong: compare both with a third.",
            "Start time synchronisation on it; a machine that slept may be minutes late.",
        ),
        commands=("date -u", f"curl -sI {words.shell(walk.base + '/')} | grep -i ^date", "timedatectl set-ntp true"),
        verify=(f"lkdoctor check --url {words.shell(walk.shown)}",),
    )


@check(GRANT_MISSING)
def grant_lost(steps: Steps) -> Iterator[Finding]:
    """lkdoctor's call was refused as if its token lacked the grant, which it has: the token does not arrive.

    Each call is signed with exactly the grant that it needs, and a self-hosted server gives a known key every grant. So a
    proxy takes the Authorization header away (seen with nginx and `proxy_set_header Authorization ""`), or a service before
    the server allows less. On `/agent` and `/rtc` the same: the upgrade came through, the token did not.
    """
    for walk in way.walks(steps):
        lost = [one for one in (*walk.calls, *walk.upgrades) if one.trouble == "grant"]
        if not lost:
            continue
        tried = [one for one in (*walk.calls, *walk.upgrades) if one.values.get("grant") or one.name == "upgrade"]
        every = len(lost) == len(tried)
        named = words.listed(_asked(one) for one in lost)
        yield way.finding(
            GRANT_MISSING,
            _TOKEN,
            f"{walk.shown} refuses {named} as if the token lacked the grant that it has: "
            + ("the Authorization header does not arrive." if every else "on these paths the token does not arrive."),
            lost,
            {
                "door": "api" if any(one.name == "twirp" for one in lost) else "websocket",
                "paths": sorted({one.target for one in lost}),
                "grants": sorted({str(one.values.get("grant", "")) for one in lost} - {""}),
                "errors": sorted({one.error for one in lost}),
            },
            (
                Fix(
                    "Let the Authorization header through the proxy",
                    steps=(
                        (
                            "Look in the proxy for a line that clears or replaces Authorization on these paths (nginx: "
                            "proxy_set_header Authorization; basic auth before the server has the same effect)."
                        ),
                        "On a hosted service look at what the key may do.",
                    ),
                    verify=(f"lkdoctor check --url {words.shell(walk.shown)}",),
                ),
            ),
        )


def _asked(step: Step) -> str:
    grant = step.values.get("grant")
    return f"{step.target} ({grant})" if grant else step.target


@check(SERVER_VERSION)
def server_too_old(steps: Steps) -> Iterator[Finding | Inconclusive]:
    """The server has no agent dispatch service: it is older than what named agents are asked for with.

    ## What it means
    Named agents get their jobs by dispatch: through CreateDispatch, a token's `roomConfig`, or CreateRoom's `agents`. A server
    before that service knows none of it: it offers each room to every worker whatever the name. SDKs' calls answer with 404.

    ## How it is decided
    ListRooms is answered, and the path of AgentDispatchService is not: 404 `page not found`, in the words of livekit-server
    itself. Seen on 1.7.0, which lacks the service; 1.8.4 and later answer `bad_route` to the same GET, which changes nothing.

    ## How to fix
    Update livekit-server to 1.8.4 or later (a token's `roomConfig` is read from 1.8.2 on); 1.12.0 or later knows all that
    today's SDKs send.

    ## When it is not a problem
    Who uses unnamed workers only needs no dispatch service. A 404 in other words comes from a proxy that lets only some
    paths of `/twirp` through: then the server's age stays open.
    """
    for walk in way.walks(steps):
        service = next((one for one in walk.calls if one.target.startswith("AgentDispatchService/")), None)
        rooms = next((one for one in walk.calls if one.target == "RoomService/ListRooms" and one.ok), None)
        if service is None or rooms is None or service.ok or service.trouble != "no-route":
            continue
        if "404 page not found" not in service.error:
            yield Inconclusive(
                Subject("server", id=walk.shown),
                f"A proxy answers 404 for {service.target}, so nobody can tell whether the server has it.",
                "Let all of /twirp through the proxy, or ask past it.",
                (service.place,),
            )
            continue
        yield way.finding(
            SERVER_VERSION,
            Subject("server", id=walk.shown),
            f"The server at {walk.shown} has no agent dispatch service: it is older than 1.8.0, and agents cannot be asked "
            "for by name.",
            [service, rooms],
            {"needed": "1.8.0", "service": "AgentDispatchService", "status": service.status},
            (
                Fix(
                    "Update livekit-server",
                    steps=("Update livekit-server to 1.8.4 or later, better to the newest.",),
                    commands=("livekit-server --version",),
                    caveats=("A restart ends all calls.",),
                    verify=(f"lkdoctor check --url {words.shell(walk.shown)}",),
                ),
            ),
            severity=Severity.WARNING,
        )


def _refused(steps: Steps, trouble: str) -> Iterator[tuple[way.Walk, Step]]:
    """Each address whose API refused for this reason, with the refused call."""
    for walk in way.walks(steps):
        step = next((one for one in walk.calls if one.trouble == trouble), None)
        if step is not None:
            yield walk, step


def _origins(walk: way.Walk) -> dict[str, str]:
    return {what: way.origin(walk.url, what) for what in ("url", "key", "signed_with")}


def _mixed(walk: way.Walk) -> str:
    """A word on a URL and a key that were found in different places."""
    origins = _origins(walk)
    told = [one for one in walk.notes if "another" in one or "belong together" in one]
    if told:
        return f" {told[0]}"
    if origins["url"] and origins["key"] and _home(origins["url"]) != _home(origins["key"]):
        return f" The URL is from {origins['url']}."
    return ""


def _home(origin: str) -> str:
    if origin.startswith("--"):
        return "--"
    return origin.partition(" LIVEKIT_")[0].partition(" line ")[0]


def _seconds(step: Step | None, name: str) -> float:
    values: Mapping[str, object] = step.values if step is not None else {}
    value = values.get(name, 0.0)
    return float(value) if isinstance(value, (int, float)) else 0.0
