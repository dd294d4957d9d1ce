"""Finds the server's URL, key and secret where LiveKit's users keep them, and remembers where each came from.

For each of the three the first of these that has it is used:

1. the options `--url`, `--api-key`, `--api-secret`;
2. `--project NAME`: that project of the `lk` command, whole (as `lk --project` does, before the environment);
   `--env-file FILE`: that file, before the environment and instead of those of the folder;
3. the process environment: LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET;
4. `.env.local`, then `.env` of the folder (never over the environment, as `load_dotenv` does);
5. a project of `lk` that fits: its default one when nothing was found so far; the one of the same server when only the
   URL is known; the one of the same key when the URL is missing. A key is never sent to another project's server.

An empty value counts as missing, and is noted. A value that a source lower down contradicts is noted, too: a worker that
is started elsewhere may use the other. The secret is masked in all output from the moment it is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from lkdoctor.collect.address import Address, AddressError, parse, stripped
from lkdoctor.collect.dotenv import FILES, DotenvError, read_dotenv
from lkdoctor.collect.lk_projects import PLACE, Project, Projects, ProjectsError, read_projects
from lkdoctor.collect.target import Target
from lkdoctor.placeholders import in_brackets
from lkdoctor.redact import mask, of_this_run

__all__ = ["CredentialsError", "Target", "pair_of", "resolve"]

_VARIABLES: Final = {"url": "LIVEKIT_URL", "key": "LIVEKIT_API_KEY", "secret": "LIVEKIT_API_SECRET"}
_OPTIONS: Final = {"url": "--url", "key": "--api-key", "secret": "--api-secret"}
_WORDS: Final = {"url": "URL", "key": "API key", "secret": "API secret"}


class CredentialsError(Exception):
    """No usable URL, key or secret: the message names the option, file or line, and what to do."""


class _Value(NamedTuple):
    text: str
    origin: str


_Source = dict[str, _Value]


@dataclass(slots=True)
class _Search:
    """What was looked through, the weightier source first, and what is worth telling about it."""

    environ: Mapping[str, str]
    sources: list[_Source] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, values: Mapping[str, tuple[str | None, str]]) -> None:
        """A source's values by `url`, `key`, `secret`, each with its origin."""
        source: _Source = {}
        for what, (raw, origin) in values.items():
            if raw is None:
                continue
            text, lost = stripped(raw)
            if not text:
                self.notes.append(f"{origin} is empty, so it counts as missing.")
                continue
            if in_brackets(text):  # `changeme` may be a server's real key
                self.notes.append(f"{origin} is a placeholder, so it counts as missing.")
                continue
            if what == "secret":
                of_this_run().add(text)
            if lost:
                self.notes.append(
                    f"{origin} has {lost} around it, which lkdoctor leaves out; a program that uses it as it stands fails."
                )
            source[what] = _Value(text, origin)
        self.sources.append(source)

    def first(self, what: str) -> _Value | None:
        """The value that wins."""
        return next((source[what] for source in self.sources if what in source), None)


def resolve(
    *,
    url: str | None = None,
    key: str | None = None,
    secret: str | None = None,
    project: str | None = None,
    folder: Path | None = Path(),
    env_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    home: Path | None = None,
    keyless: bool = False,
    clock: Callable[[], float] | None = None,
) -> Target:
    """The server to talk to. `folder` is where `.env` files are looked for (None: nowhere), `home` the user's home.

    With `keyless` a URL is enough: the target then has no key, and what needs none can still be tried. `clock` gives
    Unix seconds for tokens; it is the system's unless somebody plays with it.

    Raises:
        CredentialsError: something is missing or unusable.
    """
    search = _Search(environ)
    options = {"url": url, "key": key, "secret": secret}
    search.add({what: (value, _OPTIONS[what]) for what, value in options.items()})
    try:
        projects = _lk_projects(home, project)
        if project is not None:
            if projects is None:
                raise CredentialsError(
                    f"--project {project}: `lk` has no configuration. Add one with `lk project add`."
                )
            search.add(_of_project(projects.named(project)))
        else:
            if env_file is not None:
                if not env_file.is_file():
                    raise CredentialsError(f"--env-file {env_file}: no such file; name one with LIVEKIT_URL=… in it.")
                search.add(_dotenv_file(env_file, environ, search.notes))
                folder = None
            search.add({what: (environ.get(name), f"environment {name}") for what, name in _VARIABLES.items()})
            for values in _dotenv_files(folder, environ, search.notes):
                search.add(values)
            fitting = _fitting(search, projects)
            if fitting is not None:
                search.add(_of_project(fitting))
    except (DotenvError, ProjectsError) as error:
        raise CredentialsError(mask(str(error))) from error
    return _target(search, project, projects, keyless, clock)


def pair_of(key: str | None, secret: str | None, project: str | None) -> Target | None:
    """Key and secret from the options, the environment, .env files or lk's projects; None when there are none.

    Raises:
        CredentialsError: an option names what is not there.
    """
    named = key is not None or secret is not None or project is not None
    try:
        target = resolve(key=key, secret=secret, project=project, keyless=not named)
    except CredentialsError:
        try:  # a signature needs no address
            target = resolve(url="ws://localhost:7880", key=key, secret=secret, project=project, keyless=not named)
        except CredentialsError:
            if named:
                raise
            return None
    return target if target.has_key else None


def _lk_projects(home: Path | None, project: str | None) -> Projects | None:
    """A broken configuration of `lk` is an error only for who asked for a project of it."""
    try:
        return read_projects(home or Path.home())
    except ProjectsError:
        if project is not None:
            raise
    except RuntimeError:  # no home at all
        pass
    return None


def _dotenv_files(
    folder: Path | None, environ: Mapping[str, str], notes: list[str]
) -> Iterator[dict[str, tuple[str | None, str]]]:
    for name in FILES if folder is not None else ():
        path = (folder or Path()) / name
        if not path.is_file():
            continue
        yield _dotenv_file(path, environ, notes)


def _dotenv_file(path: Path, environ: Mapping[str, str], notes: list[str]) -> dict[str, tuple[str | None, str]]:
    found = read_dotenv(path, environ)
    notes += [f"{path} line {line} is no NAME=value and was left out." for line in found.broken]
    notes += [
        f"{path} has {twice} twice with different values; the last one, line {found.entries[twice].line}, counts."
        for twice in found.doubled
        if twice in _VARIABLES.values()
    ]
    return {
        what: (found.entries[variable].value, f"{path} line {found.entries[variable].line}")
        for what, variable in _VARIABLES.items()
        if variable in found.entries
    }


def _of_project(one: Project) -> dict[str, tuple[str | None, str]]:
    values = {"url": one.url, "key": one.key, "secret": one.secret}
    return {what: (value or None, f"lk project {one.name}") for what, value in values.items()}


def _fitting(search: _Search, projects: Projects | None) -> Project | None:
    """The project of `lk` that can fill what is missing without mixing two servers' credentials."""
    url, key, secret = (search.first(what) for what in ("url", "key", "secret"))
    if projects is None or (url and key and secret):
        return None
    if not (url or key or secret):
        return next((one for one in projects.all if one.name == projects.default), None)
    if url and not key and not secret:
        try:
            wanted = parse(url.text)
            fits = [one for one in projects.all if one.url and parse(one.url).same_server(wanted)]
        except AddressError:
            return None
        return fits[0] if len(fits) == 1 else next((one for one in fits if one.name == projects.default), None)
    if key:
        fits = [one for one in projects.all if one.key == key.text]
        return fits[0] if len(fits) == 1 else None
    return None


def _target(
    search: _Search,
    project: str | None,
    projects: Projects | None,
    keyless: bool,
    clock: Callable[[], float] | None,
) -> Target:
    values = {what: search.first(what) for what in _VARIABLES}
    url, key, secret = values["url"], values["key"], values["secret"]
    if url is None:
        raise CredentialsError(_missing("url", project, projects))
    try:
        address = parse(url.text)
    except AddressError as error:
        raise CredentialsError(f"{url.origin}: {error}.") from error
    if not keyless or key or secret:
        for what in ("key", "secret"):
            if values[what] is None:
                raise CredentialsError(_missing(what, project, projects, address))
    search.notes += [f"{url.origin} {note}." for note in address.notes]
    # livekit-agents (Python) takes the first of the two for its websocket, whatever NO_PROXY says.
    search.notes += [
        f"environment {name} names a proxy: Python workers go through it, lkdoctor goes straight."
        for name in ("HTTPS_PROXY", "HTTP_PROXY")
        if search.environ.get(name)
    ][:1]
    search.notes += _contradictions(search, address)
    return Target(
        address,
        key.text if key else "",
        secret.text if secret else "",
        {what: value.origin for what, value in values.items() if value is not None},
        tuple(dict.fromkeys(mask(note) for note in search.notes)),
        **({} if clock is None else {"clock": clock}),
    )


def _contradictions(search: _Search, address: Address) -> Iterator[str]:
    """What a weaker source says otherwise, and a key that stands beside another URL than the one in use."""
    for what, words in _WORDS.items():
        used = search.first(what)
        for source in search.sources:
            other = source.get(what)
            if used is None or other is None or other == used or _same(what, other.text, used.text, address):
                continue
            shown = f" ({_shown(other.text)} there, {address.url} here)" if what == "url" else ""
            yield f"{other.origin} gives another {words} than {used.origin}, which is used{shown}."
    key, secret = search.first("key"), search.first("secret")
    if key and secret and _file(key.origin) != _file(secret.origin):
        yield f"The key is from {key.origin} and the secret from {secret.origin}; the two must belong together."


def _same(what: str, one: str, used: str, address: Address) -> bool:
    if what != "url":
        return one == used
    try:
        return parse(one).same_server(address)
    except AddressError:
        return False


def _shown(url: str) -> str:
    try:
        return parse(url).url
    except AddressError:
        return mask(url)


def _file(origin: str) -> str:
    """The source without what differs between its values: `--api-key` and `--api-secret` are one source."""
    if origin.startswith("--"):
        return "options"
    return "environment" if origin.startswith("environment ") else origin.partition(" line ")[0]


def _missing(what: str, project: str | None, projects: Projects | None, address: Address | None = None) -> str:
    words = "URL of a server" if what == "url" else _WORDS[what]
    if project is not None:
        return f"--project {project}: no {words} in it. Give {_OPTIONS[what]}, or mend it with `lk project add`."
    advice = f"Give {_OPTIONS[what]}, set {_VARIABLES[what]}, or put {_VARIABLES[what]} into a .env file."
    if projects is not None and projects.all:
        advice += f" Or name a project of `lk` with --project: {', '.join(one.name for one in projects.all)}."
    elif what == "url":
        advice += f" A project of `lk` (~/{PLACE}) will do, too."
    if address is not None and address.host in {"localhost", "127.0.0.1", "::1"}:
        advice += " `livekit-server --dev` has the key devkey with the secret secret."
    return f"No {words} found. {advice}"
