"""Can the worker reach its server, and could it open its own port?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from lkdoctor.dispatch.worker_model import Trying, WorkerRun
from lkdoctor.doctor.codes import PORT_IN_USE, WORKER_CANNOT_CONNECT
from lkdoctor.doctor.evidence import Evidence, Refusals, WorkerRuns
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks import _worker_words as told
from lkdoctor_checks._machine import container_of
from lkdoctor_checks.refused import KNOWN_TEXTS

BESIDE = 5.0  # s between the server's line on a refusal and the worker's
LASTING = 10.0  # s: a connection that was lost comes back within this time when the server is there
_MISSING = re.compile(r"\b(ws_url|api_key|api_secret) is required")
_VARIABLES = {"ws_url": "LIVEKIT_URL", "api_key": "LIVEKIT_API_KEY", "api_secret": "LIVEKIT_API_SECRET"}
_PORT = re.compile(r"\('([^']*)', (\d+)\)|(\S*):(\d+)\s*$")


class _Reason(NamedTuple):
    word: str
    pattern: re.Pattern[str]
    says: str
    title: str
    steps: tuple[str, ...]


_REASONS = (
    _Reason(
        "credentials", re.compile(r"\b40[13]\b"),
        "the server refuses its key or secret (401)",
        "Give the worker the server's own key and secret",
        (
            "Compare the worker's LIVEKIT_API_KEY and LIVEKIT_API_SECRET with the server's `keys`, blanks and quotes too.",
            "`lkdoctor check --url URL` with the worker's variables tells which of the two is wrong, or whether a clock is.",
        ),
    ),
    _Reason(
        "path", re.compile(r"\b404\b"),
        "what answers at its URL is no LiveKit server, or the path is wrong (404)",
        "Correct LIVEKIT_URL",
        (
            "Host and port alone, without a path, unless a proxy adds one: ws://host:7880 or wss://host.",
            "A path that a proxy adds needs a slash at its end for a Node worker, which puts `agent` right behind it.",
        ),
    ),
    _Reason(
        "tls", re.compile(r"\[SSL|SSLError|ertificate|wrong version number|EPROTO|CERT_|DEPTH_ZERO"),
        "the TLS handshake fails",
        "Make the scheme and the certificate fit",
        (
            "`wrong version number` means that the server speaks plain: use ws:// instead of wss://.",
            "A certificate that cannot be verified: use a public one, or name yours in SSL_CERT_FILE (Python) or NODE_EXTRA_CA_CERTS (Node).",
        ),
    ),
    _Reason(
        "name", re.compile(r"Name or service not known|nodename nor servname|ENOTFOUND|EAI_AGAIN|name resolution|No address"),
        "the host of its URL has no address (DNS)",
        "Correct the host in LIVEKIT_URL",
        (
            "In a container the server's name is its service name, and both must be on one network.",
            "`getent hosts HOST` in the worker's container shows whether the name is known there.",
        ),
    ),
    _Reason(
        "refused", re.compile(r"Connect call failed|ECONNREFUSED|[Cc]onnection refused|WinError (?:1225|10061)|refused the network connection"),
        "nothing listens at the address of its URL",
        "Point LIVEKIT_URL at the server",
        (
            "In a container `localhost` is the container itself: use the server's service name or host.docker.internal.",
            "See that the server runs and listens on that port (7880 unless set).",
        ),
    ),
    _Reason(
        "timeout", re.compile(r"[Tt]imed? ?out|ETIMEDOUT|TimeoutError|EHOSTUNREACH|ENETUNREACH|unreachable"),
        "the address of its URL does not answer",
        "Open the way to the server",
        ("A firewall or a security group drops the packets: open the server's port for the worker.",),
    ),
    _Reason(
        "closed", re.compile(r"closed unexpectedly|status_code=1\d{3}|closed before"),
        "the server takes the connection and closes it at once",
        "Look at the server at these times",
        ("The server restarts, or a proxy in front of it closes websockets: see its log at these times.",),
    ),
)  # fmt: skip
_OTHER = _Reason(
    "other", re.compile(""), "its connection fails", "Read the error", ("The error is quoted in the proof.",)
)


@check(WORKER_CANNOT_CONNECT)
def worker_cannot_connect(runs: WorkerRuns, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The worker cannot reach its server, by its own log.

    ## What it means
    A worker that is not connected gets no job, and the server cannot know of it. It tries 16 times (Python, about two
    minutes) or 10 times (Node). What comes after depends on the version: livekit-agents 1.3.1 to 1.6.4 stays up and
    never tries again; from 1.6.5 on it ends with exit code 0, so that `restart: on-failure` does not start it again.
    Its health endpoint says 200 while a Python worker tries.

    ## How it is decided
    `failed to connect to livekit, retrying in …` (Node: `failed to connect to LiveKit server`) without `registered
    worker` afterwards: at least twice for a worker that never registered; for one that was registered, when it gave up,
    or went on for more than 10 s to the end of the log. A log without its
    head counts as one of a worker that was registered. Or a start that ends with `ws_url is required` and the like.
    The reason is read from the error: 401, 404, refused, unknown name, TLS, time-out. Seen with livekit-agents 1.8.9
    and @livekit/agents 1.9.0.

    ## How to fix
    By the reason, see the finding. `lkdoctor check --url URL` from the worker's machine, with its variables, walks the
    same way step by step and says where it ends.

    ## When it is not a problem
    A server that restarts makes every worker retry for some seconds until it registers again; that is not reported. Nor
    is a single failed try while the server is still starting; where the log ends with it the question stays open. Where the server's own log says why it refused (LKD104 to
    LKD107), this is info.
    """
    for run in runs:
        missing = _MISSING.findall(run.failed)
        trying = run.trying[-1] if run.trying and not run.trying[-1].over else None
        if missing:
            yield _unset(run, [_VARIABLES[one] for one in missing])
        elif trying is not None and _lasting(run, trying):
            found = _unreached(run, trying)
            yield replace(found, severity=Severity.INFO) if _server_says(evidence.refusals, run, trying) else found
        elif trying is not None and not (run.registered or run.jobs):
            yield _not_yet(run, trying)


def _server_says(refusals: Refusals, run: WorkerRun, trying: Trying) -> bool:
    """Does the server's log tell of these very refusals? Then LKD104 to LKD107 are the cause, and this is its other side."""
    if not run.dated or trying.first_at is None or trying.last_at is None:
        return False
    return any(
        one.path.startswith("/agent")
        and any(text.search(one.error) for text in KNOWN_TEXTS)
        and one.at is not None
        and one.at <= trying.last_at + BESIDE
        and (one.last_at if one.last_at is not None else one.at) >= trying.first_at - BESIDE
        for one in refusals
    )


def _lasting(run: WorkerRun, trying: Trying) -> bool:
    if trying.gave_up:
        return True
    if run.begun and not run.registered:
        return trying.tries >= 2
    end = run.last_at if run.last_at is not None else trying.last_at
    return trying.first_at is not None and end is not None and end - trying.first_at > LASTING


def _not_yet(run: WorkerRun, trying: Trying) -> Inconclusive:
    """The log ends while its worker still tries: a server that starts a moment later is no fault, and this is no health."""
    reason = _reason(trying)
    meanwhile = f" Meanwhile: {reason.steps[0]}" if reason is not _OTHER else ""
    return Inconclusive(
        _subject(run),
        f"The {told.worker(run)} was not connected when its log ended ({words.counted(trying.tries, 'try', 'tries')}): "
        f"{reason.says}.",
        f"Fetch the worker's log of the next minute: it holds `registered worker`, or more tries.{meanwhile}",
        tuple(words.spread(trying.proof)),
        weighs=True,
    )


def _reason(trying: Trying) -> _Reason:
    error = _error(trying)
    return next((one for one in _REASONS if one.pattern.search(error)), _OTHER)


def _error(trying: Trying) -> str:
    """What it said most often."""
    return max(trying.errors, key=lambda one: (trying.errors[one], one), default="")


def _subject(run: WorkerRun) -> Subject:
    return Subject("worker", agent_name=run.agent_name, id=run.source)


def _unset(run: WorkerRun, names: list[str]) -> Finding:
    listed = words.listed(names)
    return Finding(
        WORKER_CANNOT_CONNECT,
        _subject(run),
        f"The {told.worker(run)} did not even try to connect: {listed} {'is' if len(names) == 1 else 'are'} not set.",
        WORKER_CANNOT_CONNECT.severity,
        Confidence.HIGH,
        {"reason": "unset", "variables": names, "sdk": run.sdk_words},
        words.spread(run.proof),
        (
            Fix(
                f"Set {listed} where the worker runs",
                steps=(
                    "In the environment of its process or container. The SDKs read no .env file: the program must load it itself.",
                ),
                verify=("The worker's log says `registered worker`.",),
            ),
        ),
        first_at=run.started_at if run.dated else None,
    )


def _unreached(run: WorkerRun, trying: Trying) -> Finding:
    error, reason = _error(trying), _reason(trying)
    tries = words.counted(trying.tries, "try", "tries")
    of = f" of {trying.attempts}" if trying.attempts else ""
    state = (
        f"gave up after {tries}"
        if trying.gave_up
        else f"has failed {tries.replace('try', 'time').replace('tries', 'times')}{of}"
    )
    before = " It had been registered before." if run.registered else ""
    return Finding(
        WORKER_CANNOT_CONNECT,
        _subject(run),
        f"The {told.worker(run)} cannot connect{f' to {run.url}' if run.url else ''} and {state}: {reason.says}.{before}"
        f"{_afterwards(run, trying)}",
        WORKER_CANNOT_CONNECT.severity,
        Confidence.HIGH,
        {
            "reason": reason.word, "error": error, "tries": trying.tries, "attempts": trying.attempts, "url": run.url,
            "gave_up": trying.gave_up, "sdk": run.sdk_words,
        },
        words.spread(trying.proof),
        (
            Fix(
                reason.title,
                steps=reason.steps,
                verify=("The worker's log says `registered worker`, and the server's log `worker registered`.",),
            ),
        ),
        count=max(1, trying.tries),
        first_at=trying.first_at if run.dated else None,
        last_at=trying.last_at if run.dated else None,
    )  # fmt: skip


def _afterwards(run: WorkerRun, trying: Trying) -> str:
    if not trying.gave_up or run.sdk != "python":
        return ""
    parts = [int(part) for part in re.findall(r"\d+", run.version)[:3]]
    if parts >= [1, 6, 5]:
        return " It has ended, with exit code 0: a container with `restart: on-failure` stays down."
    if parts >= [1, 3, 1]:
        return " Its process lives on and never tries again: restart it."
    return ""


@check(PORT_IN_USE)
def port_in_use(runs: WorkerRuns, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The worker ended at its start because its HTTP port was taken.

    ## What it means
    In production a worker opens an HTTP port for health checks, 8081 unless set. Two workers on one machine, or in one
    network namespace, want the same one; the second ends before it connects, and the server never hears of it.

    ## How it is decided
    Python: `worker failed` with `address already in use`. Node: the process dies with `listen EADDRINUSE`. Seen with
    livekit-agents 1.8.9 and @livekit/agents 1.9.0.

    ## How to fix
    Give each worker a port of its own (`port=` of the server's options; in Python 0 takes any, in Node it means the default),
    or stop the forgotten process that holds it.

    ## When it is not a problem
    In dev mode the port is random, so several workers run side by side. Containers have a port space each.
    """
    for run in runs:
        if not run.port_taken:
            continue
        found = _PORT.search(run.port_taken)
        port = (found[2] or found[4]) if found else ""
        container = container_of(run, evidence)
        who = f"{told.worker(run)} in container {container.name}" if container is not None else told.worker(run)
        yield Finding(
            PORT_IN_USE,
            Subject("worker", agent_name=run.agent_name, id=run.source),
            f"The {who} ended at its start: its HTTP port{f' {port}' if port else ''} is taken by another "
            "process, so it never connected.",
            PORT_IN_USE.severity,
            Confidence.HIGH,
            {
                "port": int(port) if port else None,
                "error": run.port_taken,
                "sdk": run.sdk_words,
                "container": container.name if container is not None else None,
            },
            words.spread(run.proof),
            (
                Fix(
                    "Give each worker a port of its own",
                    steps=(
                        "Python: `port=8082` in AgentServer or WorkerOptions. Node: `port: 8082` in ServerOptions. In Python 0 takes any, in Node it means 8081.",
                        "Or stop the process that holds the port, when it is a worker that was forgotten.",
                    ),
                    commands=(f"ss -ltnp 'sport = :{port or 8081}'",),
                    verify=("The worker's log says `registered worker`.",),
                ),
            ),
            # A container that is started again each time is this, over and over.
            folds=(Subject("container", id=container.name),) if container is not None else (),
            first_at=run.started_at if run.dated else None,
        )
