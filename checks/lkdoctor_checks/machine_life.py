"""Do the containers stay up: restart loops, kills for memory, ports that are taken?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lkdoctor.dispatch.machine import Container
from lkdoctor.doctor.codes import PORT_IN_USE, RESTART_LOOP
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks._machine import up

LOOP = 3  # ends within the time that the engine remembers
AGAIN = 2  # ends of one that is young: the count of restarts alone may have grown over months
YOUNG = 60.0  # s
_TAKEN = re.compile(r"(?i)port is already allocated|address already in use")
_BOUND = re.compile(r"(?:bind|listen)[^0-9]*?(?:for |tcp )?(?:[\d.]+|\[[0-9a-f:]+\]|):(\d+)", re.IGNORECASE)
_CODES = {
    0: "its program ended by itself, as if all were done",
    1: "its program failed; its log says why",
    2: "its program refused its arguments; its log says which",
    125: "Docker could not start it",
    126: "its command may not be executed",
    127: "its command does not exist in the image",
    134: "it aborted (SIGABRT)",
    137: "it was killed (SIGKILL)",
    139: "it crashed (SIGSEGV)",
    143: "somebody stopped it (SIGTERM)",
}


@check(RESTART_LOOP)
def restart_loop(containers: Facts[Container], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A container of a worker or a server ends and is started again, over and over.

    ## What it means
    A worker that restarts registers anew each time; what is dispatched in between finds nobody, and jobs that ran are
    lost. Docker waits longer from time to time, up to a minute.

    ## How it is decided
    Its restart policy started it at least three times. And the engine remembers three ends of it within the last
    15 minutes, or two and it runs for less than a minute, or it is waiting for its next start now. Exit codes are those of
    the ends; a kill for memory is what the kernel said of it. The count of restarts alone tells nothing of when they were.

    ## How to fix
    By the exit code. 137 with a kill for memory: raise the limit, or start fewer processes (`num_idle_processes`). 1: the
    last lines of its log have the reason; LKD211, LKD512, LKD602 and LKD803 are found in it. 127: the image was built without the
    program.

    ## When it is not a problem
    A container that restarted a few times long ago and is up since. Restarts by hand or by a deploy do not count: they are
    not the policy's.
    """
    for one in containers:
        if one.restarts < LOOP or not (one.role or _livekit(one)):
            continue
        waits = one.status == "restarting"
        young = one.status == "running" and one.started_at is not None and one.at - one.started_at < YOUNG
        if len(one.deaths) >= LOOP or waits or (young and len(one.deaths) >= AGAIN):
            yield _looping(one, evidence)
        elif young:  # the engine keeps few events, and forgets them early where it has much to do
            yield Inconclusive(
                Subject("container", id=one.name),
                f"container {one.name} was started again within the last minute, and {words.counted(one.restarts, 'restart')} by "
                "its policy are counted, but not when they were",
                f"look again in some minutes: `docker inspect -f '{{{{.RestartCount}}}}' {words.shell(one.name)}` grows in a loop",
                (one.place,),
            )


def _looping(one: Container, evidence: Evidence) -> Finding:
    codes = [death.exit_code for death in one.deaths if death.exit_code is not None]
    last = codes[-1] if codes else one.exit_code
    oom = one.oom or any(death.oom for death in one.deaths)
    why = "the kernel killed it for memory" if oom else _CODES.get(last, "") if last is not None else ""
    code = f" with exit code {last}" if last is not None else ""
    told = [
        run.port_taken or run.failed
        for run in evidence.worker_runs
        if run.source == one.log_source and (run.port_taken or run.failed)
    ]
    own = f" Its own last word: {told[-1]}" if told else ""
    limit = f" Its limit is {one.memory >> 20} MiB." if oom and one.memory else ""
    ends = f"{words.counted(len(one.deaths), 'end')} in 15 minutes, " if one.deaths else ""
    times = [death.at for death in one.deaths]
    return Finding(
        RESTART_LOOP,
        Subject("container", id=one.name),
        f"Container {one.name} restarts again and again: {ends}{words.counted(one.restarts, 'restart')} by its policy "
        f"({one.restart_policy}). It ends{code}{f': {why}' if why else ''}.{limit}{own}",
        RESTART_LOOP.severity,
        Confidence.HIGH,
        {
            "container": one.name, "restarts": one.restarts, "policy": one.restart_policy, "exit_codes": codes or [last],
            "oom": oom, "memory": one.memory, "role": one.role or None,
        },
        (one.place, *words.spread(place for run in evidence.worker_runs if run.source == one.log_source for place in run.proof[-1:])),
        (
            Fix(
                "Raise the memory limit, or start fewer processes" if oom else "Mend what ends it; its log has the reason",
                steps=(
                    (
                        "Each job process of a worker takes some 100 to 300 MB; `num_idle_processes` says how many wait ready.",
                        "Under Compose the limit is `deploy.resources.limits.memory` or `mem_limit`.",
                    )
                    if oom
                    else (why[:1].upper() + why[1:] + "." if why else "Its exit code says nothing; its log may.",)
                ),
                commands=tuple(
                    command for command in (f"docker logs --tail 50 {words.shell(one.name)}", up(one)) if command
                ),
                caveats=("`docker compose restart` keeps the old limits and environment.",) if one.compose else (),
                verify=(f"`docker inspect -f '{{{{.RestartCount}}}}' {words.shell(one.name)}` stays what it is for minutes.",),
            ),
        ),
        count=max(one.restarts, len(one.deaths)),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
    )  # fmt: skip


@check(PORT_IN_USE)
def published_port_taken(containers: Facts[Container]) -> Iterator[Finding | Inconclusive]:
    """A container did not start because a port that it publishes is taken.

    ## What it means
    Two containers (or a container and a process) want one port of the machine. The second is made and never runs; its
    worker never connects, and has no log.

    ## How it is decided
    The engine's own words on the container that did not start: `port is already allocated` or `address already in use`.
    Who holds the port is told when it is a container of the same engine.

    ## How to fix
    A worker's HTTP port need not be published at all: leave `ports:` out, or publish another one (`8082:8081`). A server or
    a backend needs its port: stop what holds it.

    ## When it is not a problem
    It always is one for the container that did not start.
    """
    for one in containers:
        if one.running or not _TAKEN.search(one.error):
            continue
        bound = _BOUND.search(one.error)
        port = int(bound[1]) if bound else next((each.outside for each in one.ports), 0)
        holder = next(
            (each for each in containers if each.running and any(open_.outside == port for open_ in each.ports)), None
        )
        held = f" Container {holder.name} has it." if holder is not None else ""
        yield Finding(
            PORT_IN_USE,
            Subject("container", id=one.name),
            f"Container {one.name} did not start: port {port or 'of the machine'} is taken.{held}",
            PORT_IN_USE.severity,
            Confidence.HIGH,
            {
                "container": one.name, "port": port or None, "error": one.error,
                "held_by": holder.name if holder is not None else None,
            },
            (one.place, *((holder.place,) if holder is not None else ())),
            (
                Fix(
                    "Publish another port, or none",
                    steps=(
                        ("A worker connects to its server by itself, and its HTTP port is for health checks only: take `ports:` (or "
                        "`-p`) out, or write another outer port: `8082:8081`."),
                        "A server or a backend needs its port: stop what holds it, or change the port in its callers' URLs as well.",
                    ),
                    commands=tuple(
                        command for command in (f"ss -ltnp 'sport = :{port or 8081}'", up(one)) if command
                    ),
                    verify=("The container runs, and its log says `registered worker`.",),
                ),
            ),
        )  # fmt: skip


def _livekit(one: Container) -> bool:
    """One that never came to say what it is."""
    return any(name.startswith("LIVEKIT_") for name in one.environment)
