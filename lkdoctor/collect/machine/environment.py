"""What of an environment may be known: an allow-list of names; the secrets among them as stable tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lkdoctor.collect.config.services import told_value
from lkdoctor.dispatch.settings import TOKENS, secrets_in, shown
from lkdoctor.redact import mask, of_this_run


def allowed(environment: Mapping[str, str]) -> dict[str, str]:
    """The allowed part of `environment`, in order of names."""
    redactor = of_this_run()
    kept: dict[str, str] = {}
    for name, value in sorted(environment.items()):
        if name in TOKENS:
            for one in secrets_in(name, value):
                redactor.add(one)  # where it stands elsewhere, it is masked too
            kept[name] = redactor.token(value) if value else ""
        elif shown(name):
            kept[name] = told_value(name, value)  # in the form in which files are told, so that equal values read equal
    return kept


def pairs(lines: Iterable[str] | None) -> dict[str, str]:
    """`NAME=value` lines, as the engine lists an environment."""
    return {name: value for name, found, value in (one.partition("=") for one in lines or ()) if found}


_LONGEST: Final = 300  # characters of a command
_HIDDEN: Final = re.compile(r"(?i)^--?[\w-]*(?:secret|password|passwd|token|key)[\w-]*$")


def command(arguments: Sequence[str]) -> str:
    """A command line in one text; the value behind an option such as `--api-secret` is a token."""
    shown: list[str] = []
    hide = False
    for one in arguments:
        name, given, value = one.partition("=")
        secret = _HIDDEN.match(name) is not None
        if hide and not one.startswith("-"):
            shown.append(of_this_run().token(one))
        else:
            shown.append(f"{name}={of_this_run().token(value)}" if secret and given else mask(one))
        hide = secret and not given
    text = mask(" ".join(" ".join(shown).split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
