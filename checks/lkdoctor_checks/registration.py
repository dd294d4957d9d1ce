"""Was a worker's registration refused, and why?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import Dispatch, Outcome, Refusal, WorkerSession
from lkdoctor.doctor.codes import REGISTRATION_REFUSED
from lkdoctor.doctor.evidence import Dispatches, Refusals, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

# What the server's text means, and what to do; texts seen on 1.8.4 to 1.13.5.
REASONS = (
    ("unknown job type", "it asks for a job type that the server does not know", "Use an SDK that fits the server."),
    (
        "reserved character",
        "its deployment holds a character that is reserved",
        "Take `_` and blanks out of LIVEKIT_AGENT_DEPLOYMENT; 64 characters at most.",
    ),
    (
        "handler already exists",
        (
            "its name (with deployment or namespace) makes the same topic as another worker's, as `a_b` does with `a` and "
            "deployment `b`"
        ),
        "Rename one of the two, so that name and deployment put together differ.",
    ),
    (
        "i/o timeout",
        "it opened the socket and sent no registration within 10 s",
        "Look at the worker's start-up: it hangs before it registers.",
    ),
    (
        "unimplemented worker signal",
        "it sent something else before, or after, its one registration",
        "Use an SDK that fits the server; a hand-made client must register first, and once.",
    ),
)


@check(REGISTRATION_REFUSED)
def registration_refused(
    workers: Workers, refusals: Refusals, dispatches: Dispatches
) -> Iterator[Finding | Inconclusive]:
    """A worker opened its socket, and the server did not take its registration.

    ## What it means
    URL, key and grant are right, for the socket opened; what the worker said in it was refused. The server drops the
    socket, the SDK tries again, and no dispatch ever reaches it. The worker may even believe that it is registered:
    after a clash of topics it gets its answer first and is dropped afterwards.

    ## How it is decided
    The server names the reason: `unable to handle worker signal` (unknown job type, reserved character in the
    deployment, registered twice), `failed to register job request topic` (`handler already exists`), or
    `error reading from websocket` with `i/o timeout` 10 s after the socket opened without a registration. All were seen
    on 1.13.5, most on 1.8.4 to 1.11.0 as well.

    ## How to fix
    See the reason in the finding; each has its own fix.

    ## When it is not a problem
    A port scanner or a health check that opens `/agent` and says nothing times out the same way once in a while; it
    needs a valid token to get that far, so it is one of yours.
    """
    groups: dict[tuple[str | None, str], list[WorkerSession | Refusal]] = {}
    for worker in workers:
        if worker.refused:
            groups.setdefault((worker.agent_name, _reason(worker.refused)[0]), []).append(worker)
    for refusal in refusals:
        # Status 0 is a message on an open socket; with a status the upgrade itself was refused (LKD104 to LKD107).
        if refusal.path.startswith("/agent") and not refusal.status and _reason(refusal.error)[0]:
            groups.setdefault((refusal.agent_name, _reason(refusal.error)[0]), []).append(refusal)
    for (name, mark), group in sorted(groups.items(), key=lambda pair: (pair[0][0] or "", pair[0][1])):
        text = _text(group[0])
        _, meaning, fix = _reason(text)
        number = sum(one.count if isinstance(one, Refusal) else 1 for one in group)
        times = sorted(at for one in group for at in _times(one) if at is not None)
        lost = _lost(dispatches, workers, name)
        who = f"A worker for {words.quoted(name)}" if name is not None else "A worker"
        yield Finding(
            REGISTRATION_REFUSED,
            Subject("agent", agent_name=name) if name is not None else Subject("worker", id=mark or "refused"),
            f'{who} was not registered: {meaning} ("{text}", {words.counted(number, "time")}).',
            REGISTRATION_REFUSED.severity,
            Confidence.HIGH,
            {
                "agent_name": name,
                "error": text,
                "worker_ids": [one.worker_id for one in group if isinstance(one, WorkerSession)][:20],
            },
            words.spread(place for one in group for place in one.proof),
            (Fix("Make the registration acceptable", steps=(fix,), verify=("`worker registered` with its name.",)),),
            folds=words.folds_of(lost),
            count=number,
            first_at=times[0] if times else None,
            last_at=times[-1] if times else None,
        )


def _text(one: WorkerSession | Refusal) -> str:
    """The server's own words."""
    return one.error if isinstance(one, Refusal) else one.refused


def _times(one: WorkerSession | Refusal) -> tuple[float | None, ...]:
    """When it happened."""
    return (one.at, one.last_at) if isinstance(one, Refusal) else (one.registered_at, one.first_seen_at, one.closed_at)


def _lost(dispatches: Dispatches, workers: Workers, name: str | None) -> list[Dispatch]:
    """Dispatches that found nobody for it: those of its name; with the name unknown, all, if no other worker came."""
    missed = [one for one in dispatches.ended(Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE) if words.wanted(one)]
    if name is not None:
        return [] if workers.named(name) else [one for one in missed if one.agent_name == name]
    return [] if any(not one.refused for one in workers) else missed


def _reason(text: str) -> tuple[str, str, str]:
    """The known reason in a server's text: its mark, its meaning, its fix."""
    for mark, meaning, fix in REASONS:
        if mark in text:
            return mark, meaning, fix
    return ("", "the server refused what it sent", "Read the server's text; it names what it did not like.")
