"""What the user says should be: `lkdoctor.toml` and the options that say the same, as one."""

from __future__ import annotations

import click

from lkdoctor.config import Config, ConfigError, ConfigFile, load
from lkdoctor.dispatch.model import Wanted


def read_config(paths: tuple[str, ...], named: str | None) -> ConfigFile:
    """`lkdoctor.toml`, an empty one when there is none.

    Raises:
        click.UsageError: it cannot be used; the message says which line and why.
    """
    try:
        return load(paths, named)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def wanted_of(config: Config, expect: tuple[str, ...], together: tuple[tuple[str, ...], ...]) -> Wanted:
    """The agents that somebody must dispatch, and the groups that talk: of the file and of the options, each once."""
    planned = [one.name for one in config.agents if one.name and one.ways]
    groups = [tuple(dict.fromkeys(room.expected)) for room in config.rooms if room.talk]
    return Wanted(
        tuple(dict.fromkeys((*expect, *planned))),
        tuple(dict.fromkeys((*together, *(one for one in groups if len(one) > 1)))),
    )
