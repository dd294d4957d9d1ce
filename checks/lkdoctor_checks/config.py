"""Did the server refuse its own configuration?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.doctor.codes import SERVER_CONFIG
from lkdoctor.doctor.evidence import ServerRuns
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(SERVER_CONFIG)
def server_config(runs: ServerRuns) -> Iterator[Finding | Inconclusive]:
    """The server could not parse its configuration and did not start.

    ## What it means
    livekit.yaml holds a key that this version does not know, or is not valid YAML. The server prints one bare line on
    standard output and ends, with exit status 0: a supervisor that restarts on failure takes it for a clean end.

    ## How it is decided
    The line `could not parse config: …` (seen on 1.8.4, 1.9.12, 1.11.0 and 1.13.5). `agents.target_load` exists from
    1.11.0 on; the whole `agents` section is unknown to 1.8.4.

    ## How to fix
    Take the named key out, or update the server to a version that knows it.

    ## When it is not a problem
    Never harmless at that moment; if the same log shows the server running afterwards, it was mended.
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
