"""Which Docker engine is meant, and reaching it: every way in which that fails has words and says what to do."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from lkdoctor.redact import mask, of_this_run

if TYPE_CHECKING:
    from docker import DockerClient

USUAL: Final = "/var/run/docker.sock"
USUALLY: Final = "the usual place"


class EngineError(Exception):
    """No engine can be asked; the message says why, and what to do."""


def connect(environ: Mapping[str, str], seconds: float) -> tuple[DockerClient, str]:
    """A client of the engine that the `docker` command would use, and its address.

    Raises:
        EngineError: there is none, it may not be asked, or it cannot be reached from here.
    """
    import docker  # noqa: PLC0415 - a tenth of a second, for those who ask
    from docker.errors import DockerException, TLSParameterError  # noqa: PLC0415

    host, named_by = _address(environ)
    scheme = host.partition("://")[0]
    if scheme == "ssh":
        raise EngineError(
            f"{named_by} names an engine behind ssh ({shown(host)}), which lkdoctor does not walk to. Run lkdoctor on that "
            f"machine, or forward its socket: `ssh -nNT -L /tmp/far.sock:{USUAL} {_ssh_place(host)}`, then "
            "DOCKER_HOST=unix:///tmp/far.sock"
        )
    if scheme not in ("unix", "tcp", "http", "https"):
        raise EngineError(f"{named_by} is {shown(host)!r}; write unix:///path/to/docker.sock or tcp://HOST:PORT")
    if not _readable(host):
        raise EngineError(
            f"{named_by} is {shown(host)!r}, which is no address: write tcp://HOST:PORT, and signs such as / of a password as %2F"
        )
    if scheme == "unix":
        _usable(host.removeprefix("unix://"), named_by, environ)
    try:
        _knock(host, seconds, encrypted=scheme == "https" or bool(environ.get("DOCKER_TLS_VERIFY")))
        if "DOCKER_HOST" in environ or named_by == USUALLY:
            client = docker.from_env(environment={**environ, "DOCKER_HOST": host}, timeout=int(max(1, seconds)))
        else:
            client = docker.DockerClient(base_url=host, timeout=int(max(1, seconds)), tls=_tls(environ))
        client.ping()
    except (DockerException, TLSParameterError, OSError, ValueError) as error:
        raise EngineError(_failed(host, named_by, error)) from None
    return client, host


def _knock(host: str, seconds: float, *, encrypted: bool) -> None:
    """See that an engine answers, before the SDK asks its first question: it leaves its socket open when nobody does.

    Raises:
        OSError: nobody does, or what answers is no engine.
    """
    if host.startswith("unix://"):
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(seconds)
        with opened:
            opened.connect(host.removeprefix("unix://"))
            _asked(opened)
        return
    parts = urlsplit(host)
    with socket.create_connection((parts.hostname or "", parts.port or 2375), seconds) as opened:
        if not encrypted:
            _asked(opened)


def _asked(opened: socket.socket) -> None:
    with contextlib.suppress(BrokenPipeError):  # what speaks first and hangs up has still said what it is
        opened.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
    if not opened.recv(16).startswith(b"HTTP/"):
        raise OSError("what listens there is no Docker engine")


def shown(host: str) -> str:
    """The engine's address without its password, which is masked from then on wherever else it stands."""
    head, found, rest = host.rpartition("://")
    user, at, place = rest.rpartition("@")  # the last one: a password may hold some, and slashes
    name, _, password = user.partition(":")
    of_this_run().add(password)
    return mask(f"{head}{found}{name}{at}{place}")


def _ssh_place(host: str) -> str:
    """`user@host`, or `-p PORT user@host`, as ssh wants it."""
    place = shown(host).removeprefix("ssh://").partition("/")[0]
    name, found, port = place.rpartition(":")
    return f"-p {port} {name}" if found and port.isdigit() else place


def _readable(host: str) -> bool:
    try:
        _ = urlsplit(host).port
    except ValueError:  # its words hold what stands where a port should be: a piece of the password
        return False
    return True


def is_here(host: str) -> bool:
    """Does this engine run on this machine, so that paths and ports in its answers are this machine's?"""
    return host.startswith("unix://")


def product(version: Mapping[str, Any]) -> str:
    """`Docker 20.10.24` or `podman 5.2`, from the engine's answer on its version."""
    for one in version.get("Components") or []:
        if "podman" in str(one.get("Name") or "").lower():
            return f"podman {one.get('Version') or ''}".strip()
    return f"Docker {version.get('Version') or ''}".strip()


def _address(environ: Mapping[str, str]) -> tuple[str, str]:
    """The engine's address as the `docker` command finds it, and what named it."""
    if environ.get("DOCKER_HOST"):
        return environ["DOCKER_HOST"], "DOCKER_HOST"
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "~").expanduser() / ".docker")
    context = environ.get("DOCKER_CONTEXT") or str(_json(folder / "config.json").get("currentContext") or "")
    if not context or context == "default":
        return f"unix://{USUAL}", USUALLY
    for meta in sorted((folder / "contexts" / "meta").glob("*/meta.json")):
        found = _json(meta)
        if found.get("Name") == context:
            host = ((found.get("Endpoints") or {}).get("docker") or {}).get("Host")
            if host:
                return str(host), f"the docker context {context!r}"
    raise EngineError(
        f"the docker context {context!r} is not in {folder}; `docker context ls` lists those that are, and "
        "`docker context use default` goes back to this machine's"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tls(environ: Mapping[str, str]) -> Any:
    """A context's own certificates are not read; without them an engine that wants some says so itself."""
    return bool(environ.get("DOCKER_TLS_VERIFY")) or None


def _usable(path: str, named_by: str, environ: Mapping[str, str]) -> None:
    """Can this socket be opened?

    Raises:
        EngineError: no.
    """
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        raise EngineError(_forbidden(path)) from None
    except OSError:
        others = list(_others(environ, path))
        found = (
            f" There is one at {others[0]}: DOCKER_HOST=unix://{others[0]} lkdoctor check --docker"
            if others
            else " Start it (`systemctl start docker`, Docker Desktop), or say where it is with DOCKER_HOST"
        )
        raise EngineError(f"no Docker engine: {path} ({named_by}) does not exist.{found}") from None
    if not stat.S_ISSOCK(mode):
        raise EngineError(f"{path} ({named_by}) is no socket; name the engine's own with DOCKER_HOST=unix://…")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise EngineError(_forbidden(path))


def _forbidden(path: str) -> str:
    return (
        f"this user may not open {path}: run lkdoctor as one who may use `docker` (the group docker, or "
        "`sudo -E lkdoctor check --docker`)"
    )


def _others(environ: Mapping[str, str], missed: str) -> Iterator[str]:
    """Sockets of other engines: rootless Docker's, Docker Desktop's, podman's."""
    home, own = environ.get("HOME", ""), environ.get("XDG_RUNTIME_DIR", "")
    places = [
        USUAL,
        *([f"{own}/docker.sock"] if own else []),
        *([f"{home}/.docker/run/docker.sock", f"{home}/.docker/desktop/docker.sock"] if home else []),
        *([f"{own}/podman/podman.sock"] if own else []),
        "/run/podman/podman.sock",
    ]
    for one in places:
        try:
            if one != missed and stat.S_ISSOCK(os.stat(one).st_mode):
                yield one
        except OSError:
            continue


def _failed(host: str, named_by: str, error: Exception) -> str:
    address = shown(host)
    words = mask(" ".join(str(error).split()))
    low = words.lower()
    if "permission denied" in low:
        return _forbidden(host.removeprefix("unix://"))
    if "refused" in low:
        start = "start it (`systemctl start docker`)" if is_here(host) else "see that it listens there"
        return f"nobody answers at {address} ({named_by}): {start}"
    if "timed out" in low:
        return f"the engine at {address} ({named_by}) does not answer in time"
    return f"the engine at {address} ({named_by}) cannot be asked: {words[:200]}"
