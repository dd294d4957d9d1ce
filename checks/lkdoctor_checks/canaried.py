"""What the canary's own job proves about a server: does it register workers, ask them, and at which load does it stop?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.doctor.codes import LIMIT_ZERO, REGISTRATION_REFUSED, SLOW_DISPATCH
from lkdoctor.doctor.evidence import Probes
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks._probes import SERVER, canaries, proof

#: The canary of a healthy server is asked after 0.20 to 0.21 s and the way there and back; a jam or a burst costs 3 to 6 s.
SLOW = 2.0


@check(REGISTRATION_REFUSED)
def canary_not_registered(probes: Probes) -> Iterator[Finding | Inconclusive]:
    """lkdoctor's canary opened the socket of workers, and the server did not register it.

    The probe opens `/agent` with a token that has the agent grant and registers as a JT_ROOM worker under a name of its own.
    A socket that the server closes before it answers is said with medium confidence, for a server that was stopped in that
    instant looks the same; silence with low confidence. A socket that does not open is no matter of registering
    (LKD101 to LKD107).
    """
    for run in canaries(probes):
        step = run.step("register")
        if step is None or step.ok or step.trouble not in {"refused", "timeout"}:
            continue
        yield Finding(
            REGISTRATION_REFUSED,
            SERVER,
            f"The canary opened /agent, and the server did not register it: {step.detail}.",
            REGISTRATION_REFUSED.severity,
            Confidence.MEDIUM if step.trouble == "refused" else Confidence.LOW,
            {"trouble": step.trouble, "seconds": step.seconds},
            proof(run, "connect", "register"),
            (
                Fix(
                    "Look at what stands between, and at the server's log",
                    steps=(
                        "The server logs `unable to handle worker signal` or `error reading from websocket` with the reason.",
                        "A proxy that closes websockets early, or forwards text only, does the same: try the server's own port.",
                    ),
                    verify=("`lkdoctor probe` shows a worker id in its step `register`.",),
                ),
            ),
            first_at=step.at,
        )


@check(LIMIT_ZERO)
def limit_zero_measured(probes: Probes) -> Iterator[Finding | Inconclusive]:
    """The canary at load 0 is refused, and at a load below 0 it is asked: the server's limit is 0 or less, measured.

    A worker cannot report less load than 0 by honest means, and the server takes it all the same: with
    `agents.target_load: 0` load 0 was refused and load -1 asked, on 1.13.5. So the limit, and nothing else, is what refuses.
    """
    for run in canaries(probes):
        if not run.limit_zero:
            continue
        version = "" if run.server is None or not run.server.version else f" (livekit-server {run.server.version})"
        yield Finding(
            LIMIT_ZERO,
            Subject("server", id="" if run.server is None else run.server.node_id),
            f"The server{version} refuses a worker that reports load 0, and asks it when it reports less: "
            "its load limit is 0 or below, so it never dispatches anything. `agents.target_load: 0` in livekit.yaml does that.",
            LIMIT_ZERO.severity,
            Confidence.HIGH,
            {"asked_loads": [list(one) for one in run.asked_loads], "server_version": version.strip(" ()")},
            proof(run, "asked", "limit"),
            (
                Fix(
                    "Take agents.target_load out of livekit.yaml",
                    steps=("Without it the limit is 0.7. Restart the server; no worker can mend this.",),
                    verify=("`lkdoctor probe` measures a limit above 0.",),
                ),
            ),
            first_at=run.started_at,
        )


@check(SLOW_DISPATCH)
def canary_slow(probes: Probes) -> Iterator[Finding | Inconclusive]:
    """The canary was asked, but seconds after its room was made; a healthy server asks after 0.2 s.

    The time is measured from CreateRoom at lkdoctor's machine, so a slow network counts twice in it; from 2 s on it is
    said. A node whose launches are jammed by a hung worker asked after 3 to 6 s, one with a burst of unknown names after 5 s
    (1.13.5, 1.9.12). LKD314 is for the log that shows which worker hangs.
    """
    for run in canaries(probes):
        step = run.step("asked")
        if step is None or not step.ok or step.seconds is None or step.seconds < SLOW:
            continue
        yield Finding(
            SLOW_DISPATCH,
            SERVER,
            f"The canary, an idle worker of its own name, was asked only {step.seconds:.1f} s after its room was made "
            "(a healthy server: 0.2 s), so every agent of this node comes late now.",
            SLOW_DISPATCH.severity,
            Confidence.MEDIUM,
            {"seconds": step.seconds},
            proof(run, "room", "asked"),
            (
                Fix(
                    "Find what holds the node up",
                    steps=(
                        "Look for launches that end in `request timed out`: 25 unanswered ones hold up every other.",
                        "Look for bursts of rooms whose agent name nobody serves, and at the CPU of the server's machine.",
                    ),
                    commands=("lkdoctor check server.log",),
                    verify=("`lkdoctor probe` again: `asked` takes 0.2 s.",),
                ),
            ),
            first_at=step.at,
        )
