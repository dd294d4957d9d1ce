"""livekit-server's configuration as text in its own Compose service: `--config-body`, else the variable LIVEKIT_CONFIG.

Either is read in place of the file that `--config` names, and the option before the variable (seen on 1.13.5 and 1.8.4).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from lkdoctor.collect.config.compose import Resolved
from lkdoctor.collect.config.nodes import Node

VARIABLE: Final = "LIVEKIT_CONFIG"
_OPTIONS: Final = ("--config-body", "-config-body")


@dataclass(frozen=True, slots=True)
class Body:
    """The text with where it stands; `open`: the variables that it is made of and that nothing in view sets.

    `whole`: the node is the text alone, so that a line in it has a line in the file.
    """

    called: str
    node: Node
    open: tuple[str, ...] = ()
    whole: bool = True


def body_of(service: Node, resolved: Resolved) -> Body | None:
    """The text that the server of this service reads; None when it reads a file."""
    command = service.get("command")
    found = None if command is None else next(_in_command(command, resolved), None)
    if found is not None:
        return found
    given = service.get("environment", VARIABLE)
    if given is None:
        return None
    missing = resolved.open_of(given)
    return Body(VARIABLE, given, missing) if missing or given.text else None


def _in_command(command: Node, resolved: Resolved) -> Iterator[Body]:
    parts = list(_parts(command))
    for (one, _), (following, alone) in zip(parts, [*parts[1:], (Node("", 0, 0, ""), True)], strict=True):
        option, equals, rest = (one.text or "").partition("=")
        if option not in _OPTIONS:
            continue
        missing = resolved.open_of(command) or resolved.open_of(one)
        if equals:
            found = Body(_OPTIONS[0], replace(one, value=rest), missing, whole=False)
        else:
            found = Body(_OPTIONS[0], following, missing or resolved.open_of(following), whole=alone)
        if found.open or found.node.text:
            yield found


def _parts(command: Node) -> Iterator[tuple[Node, bool]]:
    """The words of a command, and whether each has a place of its own."""
    if isinstance(command.value, list):
        yield from ((one, True) for one in command.value)
        return
    try:
        words = shlex.split(command.text or "")
    except ValueError:  # a quote that nobody closes
        return
    yield from ((replace(command, value=word), False) for word in words)
