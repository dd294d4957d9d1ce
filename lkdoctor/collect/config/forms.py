"""Which values of a Compose file have a form that Compose refuses; each was asked of Compose itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lkdoctor.collect.config.nodes import Node

#: What a service's key may be: m(ap), l(ist), s(calar). Null is left to Compose, which takes some of them.
_FORMS: Final = {
    "build": "sm",
    "command": "sl",
    "container_name": "s",
    "deploy": "m",
    "entrypoint": "sl",
    "env_file": "sl",
    "environment": "m",  # a list of NAME=value is a map by now
    "image": "s",
    "network_mode": "s",
    "profiles": "l",
    "scale": "s",
    "volumes": "l",
}
_WORDS: Final = {"m": "a map", "l": "a list", "s": "a text"}


def wrong_forms(document: Node) -> Iterator[tuple[Node, str]]:
    """Values with what is wrong with them: services that are no map, and what lkdoctor would read of a service."""
    services = document.get("services")
    if _form(document) not in {"m", ""}:
        yield document, "the file must be a map"
    if services is None or services.tag:
        return
    if _form(services) != "m" and not (services.value is None and document.get("include")):
        yield services, "`services` must be a map"
    for name, service in services.map.items():
        if _form(service) != "m" and not service.tag:
            yield service, f"service {name} must be a map"
        for key, allowed in _FORMS.items():
            value = service.get(key)
            if value is None or value.tag or _form(value) in {"", *allowed}:
                continue
            yield value, f"`{key}` of service {name} must be {' or '.join(_WORDS[one] for one in allowed)}"
        environment = service.get("environment")
        for key, value in () if environment is None else environment.map.items():
            if _form(value) in {"m", "l"}:
                yield value, f"`{key}` in the environment of service {name} must be a text"
        replicas = service.get("deploy", "replicas")
        if replicas is not None and _form(replicas) in {"m", "l"}:
            yield replicas, f"`deploy.replicas` of service {name} must be a number"


def _form(node: Node) -> str:
    return (
        "m"
        if isinstance(node.value, dict)
        else "l"
        if isinstance(node.value, list)
        else "s"
        if node.text is not None
        else ""
    )
