"""By the project's files: has each worker an address, a key and a secret that its server can accept?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lkdoctor.dispatch.addresses import host_of, is_loopback
from lkdoctor.dispatch.plan import Plan
from lkdoctor.dispatch.project import Server, Service, home_of
from lkdoctor.dispatch.settings import KEY, SECRET, URL, Setting
from lkdoctor.doctor.codes import WORKER_ENV
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan
from lkdoctor_checks import _words as words

THREE = (URL, KEY, SECRET)
_OWN_NETWORK = frozenset({None, "", "bridge", "default"})  # `host`, `service:x`, `container:x`: localhost is shared
_OF_THE_MACHINE = "host.docker.internal"


@check(WORKER_ENV)
def worker_env(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A worker's URL, key or secret is missing, a placeholder, or cannot be what its server knows.

    ## What it means
    An agent worker needs three values: `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`. With a wrong one it
    retries for minutes, and meanwhile nobody serves its name; its own log tells, the server's tells only of the refused
    request.

    ## How it is decided
    From the environment that Compose gives to the service. Empty values; placeholders (`<…>`, and the exact words of
    templates, as `your-api-key`, `changeme`, `wss://your-project.livekit.cloud`) that livekit.yaml does not hold; an address on `localhost`
    inside a container that has its own network; some of the three set and another nowhere, while the service reads no file
    that is out of view (medium confidence: the image may bring it); an `env_file` that is required and absent, over which Compose
    refuses to start (info where a template beside it, `.env.example`, or a line of `.gitignore` says that it is made on each
    machine: a fresh clone never has it); a key that no livekit.yaml in view has, or another secret for it, where the URL is that server's (the
    name of its service, or this machine); two services with one key and two secrets. Keys and secrets are compared by tokens and never shown. Values that a file computes are not judged.

    ## How to fix
    Correct the value in the place that is named, then start the service anew with `docker compose up -d
    --force-recreate`: a restart keeps the old environment.

    ## When it is not a problem
    A program that sets the three by itself, or loads a `.env` file from its image. In `network_mode: host`, `service:NAME` or
    `container:NAME` the address `localhost` may be right. Of a service that shows neither a worker's program nor its mode (`start`, `dev`)
    nothing is said: a backend that makes tokens has the same variables.
    """
    del settings
    plan = _plan.plan_of(evidence)
    workers = [one for one in plan.project.workers() if one.is_shown]
    held = {one.value for server in plan.project.servers.values() for one in (*server.keys, *server.secrets)}
    yield from _files(workers)
    yield from _values(workers, held)
    for one in workers:
        yield from _missing(one)
        yield from _against_server(one, plan, held)
    yield from _two_secrets(workers, held, plan)


def _files(workers: list[Service]) -> Iterator[Finding]:
    """Files that are not there, each once for all services that read it."""
    for found, group in _together(workers, "env_file.missing"):
        template = group[0].get("env_file.template")
        step = f"Add the file, or write `required: false` beside its path ({found.where})."
        told = f"{_refers(group)} to the env_file {found.value}, which is not there: Compose refuses to start"
        if template is None:
            yield _finding(group[0], found, told, step)
            continue
        # A fresh clone, and a run of CI, has never the file that is made on each machine: no fault of the project.
        yield _finding(
            group[0],
            found,
            f"{_refers(group)} to the env_file {found.value}, which is made on each machine ({template.where} tells of "
            "it) and is not here: what it sets is not known, and Compose starts once it is there",
            f"`cp {template.value} {found.value}`, and fill it in." if template.value else step,
            severity=Severity.INFO,
        )


def _refers(group: list[Service]) -> str:
    return f"{_named(group)} {'refers' if len(group) == 1 else 'refer'}"


def _together(workers: list[Service], key: str) -> Iterator[tuple[Setting, list[Service]]]:
    """Each known setting of this key with the services that take it from one place: a file that they share, or their own."""
    groups: dict[tuple[str, str, str], list[Service]] = {}
    for one in workers:
        found = one.get(key)
        if found is not None and found.known:
            own = found.where if key.startswith("env.") else ""
            groups.setdefault((found.value, own, one.project), []).append(one)
    for group in groups.values():
        found = group[0].get(key)
        if found is not None:
            yield found, group


def _named(group: list[Service]) -> str:
    """`Service agent`, `Services agent and other`; the program of a project without Compose."""
    if not group[0].name:
        return "The worker"
    return f"Service{'' if len(group) == 1 else 's'} {words.listed([one.name for one in group])}"


def _values(workers: list[Service], held: set[str]) -> Iterator[Finding]:
    # A template that was left as it is, is one fault.
    unfilled: dict[tuple[object, ...], list[tuple[Setting, list[Service]]]] = {}
    for name in THREE:
        for found, group in _together(workers, f"env.{name}"):
            if not _real(found, held):
                same = (found.file, bool(found.value), *(id(one) for one in group))
                unfilled.setdefault(same, []).append((found, group))
                continue
            if name != URL or not is_loopback(host_of(found.value)):
                continue
            for other in group:
                if other.get("service") and _has_own_network(other):
                    yield _finding(
                        other,
                        found,
                        f"{_named([other])} connects to {found.value} ({found.where}), which inside of its container is "
                        "the container itself",
                        "Use the name of the server's service (`ws://livekit:7880`), or an address that the container can reach.",
                    )
    for parts in unfilled.values():
        (found, group), more = parts[0], [one for one, _ in parts[1:]]
        all_of = [found, *more]
        if found.value:
            what = "are still placeholders" if more else "is still a placeholder"
        else:
            what = "are empty" if more else "is empty"
        names = words.listed(one.key.removeprefix("env.") for one in all_of)
        places = ", ".join(one.where for one in all_of)
        told = f"{_named(group)} {'has' if len(group) == 1 else 'have'} {names}, which {what} ({places})"
        yield _finding(group[0], found, told, f"Set {names} in {places}.", more=more)


def _has_own_network(one: Service) -> bool:
    """Is `localhost` nothing but the container? Not where the network is the host's, or another service's or container's."""
    mode = one.get("network_mode")
    return mode is None or (mode.known and mode.value in _OWN_NETWORK)


def _missing(one: Service) -> Iterator[Finding]:
    there = [name for name in THREE if one.get(f"env.{name}") is not None]
    if not there or len(there) == len(THREE) or one.get("service") is None:
        return
    if one.get("env_file.missing") is not None:  # it may hold the others
        return
    absent = [name for name in THREE if name not in there]
    first = one.get(f"env.{there[0]}") or one.first
    yield _finding(
        one,
        first,
        f"{_named([one])} is given {' and '.join(there)} ({first.where}) and no {' or '.join(absent)}",
        f"Set {' and '.join(absent)} beside it, unless the image brings it.",
        severity=Severity.WARNING,
        confidence=Confidence.MEDIUM,
    )


def _against_server(one: Service, plan: Plan, held: set[str]) -> Iterator[Finding]:
    server = plan.project.server_of(one)
    key, secret = one.get(f"env.{KEY}"), one.get(f"env.{SECRET}")
    if not server.keys or server.unfilled or key is None or not _real(key, held) or not _meant(one, server):
        return
    pairs = {name.value: value for name, value in zip(server.keys, server.secrets, strict=False)}
    if key.value not in pairs:
        yield _finding(
            one,
            key,
            f"{_named([one])} has an API key ({key.where}) that {server.keys[0].file} does not hold",
            f"Use a key of {server.keys[0].file}, or add this one under its `keys`.",
            more=server.keys[:1],
            confidence=Confidence.MEDIUM,  # the server may have keys of another file
        )
    elif secret is not None and _real(secret, held) and secret.value != pairs[key.value].value:
        yield _finding(
            one,
            secret,
            f"{_named([one])} has another API secret ({secret.where}) than {server.keys[0].file} holds for its key "
            f"({pairs[key.value].where})",
            f"Write the same secret in {secret.where} and in {pairs[key.value].where}.",
            more=(pairs[key.value],),
        )


def _meant(one: Service, server: Server) -> bool:
    """Does the worker's URL point to the server of livekit.yaml? LiveKit Cloud and hosts elsewhere have keys of their own."""
    if server.dev:  # it has `devkey` as well, whatever the file says
        return False
    host = host_of(one.url or "")
    if is_loopback(host) or host == _OF_THE_MACHINE:
        return True
    if server.services:
        return host in server.services
    return bool(host) and "." not in host and ":" not in host  # a name of the project's own network


def _two_secrets(workers: list[Service], held: set[str], plan: Plan) -> Iterator[Finding]:
    seen: dict[tuple[str, str], tuple[Service, Setting]] = {}
    for one in workers:
        key, secret = one.get(f"env.{KEY}"), one.get(f"env.{SECRET}")
        if key is None or secret is None or not (_real(key, held) and _real(secret, held)):
            continue
        # Projects that have a server each may both call a key `devkey`.
        home = home_of(one.project) if len(plan.project.servers) > 1 else ""
        other = seen.setdefault((home, key.value), (one, secret))
        if other[1].value != secret.value:
            yield _finding(
                one,
                secret,
                f"{_named([one])} has another API secret ({secret.where}) than service {other[0].name} "
                f"({other[1].where}) for the same key",
                "Write one secret in both places: one of the two workers is refused.",
                more=(other[1],),
            )


def _real(one: Setting, held: set[str]) -> bool:
    """Is it a value of the user's own? What livekit.yaml holds is never a placeholder, whatever it looks like."""
    return one.known and bool(one.value) and (not one.placeholder or one.value in held)


def _finding(
    one: Service,
    at: Setting,
    told: str,
    step: str,
    *,
    severity: Severity = Severity.ERROR,
    confidence: Confidence = Confidence.HIGH,
    more: Iterable[Setting] = (),
) -> Finding:
    return Finding(
        WORKER_ENV,
        Subject("env", agent_name=one.agent_name.value, id=f"{one.name} {at.key}".strip()),
        f"{told}.",
        severity,
        confidence,
        {"service": one.name, "key": at.key.removeprefix("env."), "file": at.file, "line": at.line},
        tuple(setting.place for setting in (at, *more)),
        (
            Fix(
                "Correct the worker's environment",
                steps=(step,),
                caveats=(_plan.anew(one),),
                verify=("The worker prints `registered worker`.",),
            ),
        ),
    )
