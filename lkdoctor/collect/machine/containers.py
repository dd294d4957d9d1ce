"""One container: from what the engine says of it (`docker inspect`) to the fact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from lkdoctor.collect.machine.environment import allowed, command, pairs
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.machine import Compose, Container, Death, Port
from lkdoctor.redact import mask

_LONGEST: Final = 300  # characters of an error
_COMPOSE: Final = "com.docker.compose."
#: Labels that say of whose copies a container is one.
_REPLICA: Final = (("com.docker.swarm.service.name",), ("io.kubernetes.pod.namespace", "io.kubernetes.container.name"))


def container_of(
    described: Mapping[str, Any], *, at: float, source: str, image_now: str | None = None, deaths: Iterable[Death] = ()
) -> Container:
    """The fact; whatever an engine leaves out (podman leaves out much) is not known."""
    config = described.get("Config") or {}
    state = described.get("State") or {}
    host = described.get("HostConfig") or {}
    name = str(described.get("Name") or "").lstrip("/")
    labels = {str(key): str(value) for key, value in (config.get("Labels") or {}).items()}
    status = str(state.get("Status") or "")
    policy = host.get("RestartPolicy") or {}
    tries = policy.get("MaximumRetryCount") or 0
    return Container(
        place=Place(source, path=name),
        at=at,
        id=str(described.get("Id") or "")[:12],
        name=name,
        image=mask(str(config.get("Image") or "")),
        image_id=str(described.get("Image") or ""),
        image_now=image_now,
        status=status,
        exit_code=None if status in ("running", "paused", "created") else _whole(state.get("ExitCode")),
        oom=bool(state.get("OOMKilled")),
        error=_short(state.get("Error")),
        health=_health(state),
        restarts=_whole(described.get("RestartCount")) or 0,
        restart_policy=f"{policy.get('Name') or 'no'}{f':{tries}' if tries else ''}",
        created_at=moment(described.get("Created")),
        started_at=moment(state.get("StartedAt")),
        finished_at=moment(state.get("FinishedAt")),
        command=command([str(one) for one in (described.get("Path") or "", *(described.get("Args") or []))]),
        environment=allowed(pairs(config.get("Env"))),
        cpus=_cpus(host),
        memory=_whole(host.get("Memory")) or None,
        networks=_networks(described),
        host_network=host.get("NetworkMode") == "host",
        ports=_ports(described, host),
        compose=_compose(labels),
        replica_of=next(
            ("/".join(labels[one] for one in group) for group in _REPLICA if all(one in labels for one in group)), ""
        ),
        deaths=tuple(deaths),
    )


def moment(text: object) -> float | None:
    """Unix seconds of an engine's time, such as `2026-11-21T17:59:03.061130508Z`; None for its `0001-01-01T00:00:00Z`."""
    if not isinstance(text, str) or not text or text.startswith("0001-"):
        return None
    head, _, tail = text.partition(".")
    zone = tail.lstrip("0123456789")
    digits = tail[: len(tail) - len(zone)]  # nine of them, which fromisoformat does not take
    try:
        plain = datetime.fromisoformat((head + zone).replace("Z", "+00:00"))
    except ValueError:
        return None
    return plain.timestamp() + float(f"0.{digits or 0}") if plain.tzinfo is not None else None


def _health(state: Mapping[str, Any]) -> str:
    health = state.get("Health") or state.get("Healthcheck") or {}
    status = str(health.get("Status") or "")
    return "" if status == "none" else status


def _cpus(host: Mapping[str, Any]) -> float | None:
    """The quota in CPUs, by either of its two spellings."""
    nano = host.get("NanoCpus") or 0
    if nano:
        return float(nano) / 1e9
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
    return float(quota) / float(period) if quota > 0 else None


def _networks(described: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the networks that it is in: names are not unique between engines and projects."""
    joined = (described.get("NetworkSettings") or {}).get("Networks") or {}
    return tuple(sorted(str((one or {}).get("NetworkID") or name)[:12] for name, one in joined.items()))


def _ports(described: Mapping[str, Any], host: Mapping[str, Any]) -> tuple[Port, ...]:
    """Published ports: those that are open, else those that should be (a container that could not start has none open)."""
    bound = (described.get("NetworkSettings") or {}).get("Ports") or host.get("PortBindings") or {}
    found: dict[tuple[int, int], Port] = {}
    for inside, places in bound.items():
        for place in places or []:
            outside = _whole(place.get("HostPort"))
            number = _whole(str(inside).partition("/")[0])
            if outside and number:
                address = str(place.get("HostIp") or "")
                found.setdefault((number, outside), Port(number, outside, address))
    return tuple(found[key] for key in sorted(found))


def _compose(labels: Mapping[str, str]) -> Compose | None:
    project = labels.get(f"{_COMPOSE}project", labels.get("io.podman.compose.project", ""))
    if not project:
        return None
    return Compose(
        project=project,
        service=labels.get(f"{_COMPOSE}service", labels.get("io.podman.compose.service", "")),
        number=_whole(labels.get(f"{_COMPOSE}container-number")) or 0,
        oneoff=labels.get(f"{_COMPOSE}oneoff", "").lower() == "true",
        working_dir=labels.get(f"{_COMPOSE}project.working_dir", ""),
        config_files=_paths(labels.get(f"{_COMPOSE}project.config_files")),
        environment_files=_paths(labels.get(f"{_COMPOSE}project.environment_file")),
        version=labels.get(f"{_COMPOSE}version", ""),
    )


def _paths(text: str | None) -> tuple[str, ...]:
    return tuple(one for one in (text or "").split(",") if one)


def _whole(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _short(value: object) -> str:
    text = mask(" ".join(str(value or "").split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
