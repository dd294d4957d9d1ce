"""Did the server refuse its own configuration, or does the configuration make dispatch calls fail?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.model import Refusal
from lkdoctor.doctor.codes import SERVER_CONFIG
from lkdoctor.doctor.evidence import Refusals, ServerRuns
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks.refused import KNOWN_TEXTS

NO_ROOM = ("no response from servers", "requested room does not exist")


@check(SERVER_CONFIG)
def server_config(runs: ServerRuns, refusals: Refusals) -> Iterator[Finding | Inconclusive]:
    """The server could not parse its configuration, or it is set up so that dispatch calls fail.

    ## What it means
    Either livekit.yaml holds a key that this version does not know, or is not valid YAML: the server prints one bare
    line on standard output and ends, with exit status 0, which a supervisor that restarts on failure takes for a clean
    end. Or CreateDispatch itself failed, so that no dispatch was made and no worker was asked: mostly
    `room.auto_create` is off, and nobody had made the room.

    ## How it is decided
    The line `could not parse config: …` (seen on 1.8.4, 1.9.12, 1.11.0 and 1.13.5). `agents.target_load` exists from
    1.11.0 on; the whole `agents` section is unknown to 1.8.4. Or an API line of CreateDispatch with another status than
    200: with `room.auto_create: false` and a room that is in no node's memory the call takes 3 s and answers 503
    `no response from servers` (seen on 1.13.5). Calls refused for their credentials are LKD104 to LKD107.

    ## How to fix
    Take the named key out, or update the server to a version that knows it. For a failed call: make the room first, or
    set `room.auto_create: true`, and dispatch again.

    ## When it is not a problem
    Never harmless at that moment; if the same log shows the server running afterwards, it was mended. ListDispatch
    and DeleteDispatch answer 503 in the same words for a room that is gone or not there yet; nothing is lost by that,
    and it is not reported.
    """
    for run in runs:
        if not run.config_refused:
            continue
        yield Finding(
            SERVER_CONFIG,
            Subject("server", id=run.stream),
            f"The server did not start: it could not parse its configuration ({run.config_refused}).",
            SERVER_CONFIG.severity,
            Confidence.HIGH,
            {"error": run.config_refused},
            words.spread(run.proof),
            (
                Fix(
                    "Correct livekit.yaml",
                    steps=(
                        "Take out the key that the message names, or update the server.",
                        "The server exits with status 0 here: let its supervisor restart always, not on failure only.",
                    ),
                    verify=("`starting LiveKit server` appears.",),
                ),
            ),
            first_at=run.first_at,
            last_at=run.last_at,
        )
    yield from _failed_calls(refusals, runs)


def _failed_calls(refusals: Refusals, runs: ServerRuns) -> Iterator[Finding]:
    """CreateDispatch calls that failed, one finding for those without a room and one for each other text."""
    groups: dict[str, list[Refusal]] = {}
    for one in refusals:
        known = any(pattern.search(one.error) for pattern in KNOWN_TEXTS)
        if one.status and one.path.endswith("CreateDispatch") and not known:
            roomless = any(text in one.error for text in NO_ROOM)
            groups.setdefault("" if roomless else one.error, []).append(one)
    shared = any(run.redis is not False for run in runs)
    for text, group in sorted(groups.items()):
        number = sum(one.count for one in group)
        times = [at for one in group for at in (one.at, one.last_at) if at is not None]
        first = group[0]
        yield Finding(
            SERVER_CONFIG,
            Subject("server", id="CreateDispatch" if not text else f"CreateDispatch {first.status}"),
            f"{words.counted(number, 'CreateDispatch call')} failed ({first.status}, "
            f'"{first.error}"), so no dispatch was made and no worker was asked.{_why(group, shared)}',
            SERVER_CONFIG.severity,
            # With redis the room's node may have been silent; that looks the same to the caller.
            Confidence.HIGH if text or not shared else Confidence.MEDIUM,
            {"path": first.path, "status": first.status, "errors": sorted({one.error for one in group})},
            words.spread(place for one in group for place in (one.proof or [one.place])),
            (_correct_the_call(first) if text else _make_the_room(),),
            count=number,
            first_at=min(times, default=None),
            last_at=max(times, default=None),
        )


def _why(group: Sequence[Refusal], shared: bool) -> str:
    """What a failure for want of a room means; nothing for other texts, which speak for themselves."""
    if not any(text in group[0].error for text in NO_ROOM):
        return ""
    other = ", or the node that holds the room did not answer" if shared else ""
    return f" The room did not exist, and the server does not make it: `room.auto_create` is off{other}."


def _make_the_room() -> Fix:
    """The room first, the dispatch afterwards."""
    return Fix(
        "Let the room exist before the dispatch",
        steps=(
            "Make the room first (CreateRoom, or `lk room create ROOM`), then dispatch.",
            "Or name the agent in CreateRoom's `agents`: that makes room and dispatch in one call.",
            "Or set `room: {auto_create: true}` in livekit.yaml and restart the server.",
            "Look at the caller: a call that fails with 503 raises an error there, which must not be swallowed.",
        ),
        verify=("`API AgentDispatchService.CreateDispatch` shows status 200, and `assigned job to worker` follows.",),
    )


def _correct_the_call(one: Refusal) -> Fix:
    """The server's words name what it did not like."""
    return Fix(
        "Correct the call and make it again",
        steps=(
            f'The server\'s words say what it did not like: "{one.error}".',
            "Look at the caller: a failed call raises an error there, which must not be swallowed.",
        ),
        verify=("`API AgentDispatchService.CreateDispatch` shows status 200.",),
    )
