"""Reads the configuration files of a case together: Compose with what it refers to, `.env`, livekit.yaml, programs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from lkdoctor.collect.config.commands import programs_of
from lkdoctor.collect.config.compose import DEFAULTS, UNREADABLE, Resolved, override_of, resolve
from lkdoctor.collect.config.dockerfile import read_dockerfile
from lkdoctor.collect.config.env_files import Variable, lookup_in, read_variables
from lkdoctor.collect.config.files import Files, beside, of_zip
from lkdoctor.collect.config.livekit_yaml import looks_like_livekit, read_livekit_yaml
from lkdoctor.collect.config.pairs import Pairs
from lkdoctor.collect.config.programs import Program, read_program
from lkdoctor.collect.config.server_body import Body
from lkdoctor.collect.config.services import Reader, names_by, program_settings, setting, told_value
from lkdoctor.collect.extras import Extra
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.log.source import LogInput
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.settings import KEY, SECRET, TOKENS, Scope, Setting, shown
from lkdoctor.placeholders import is_placeholder
from lkdoctor.redact import mask

KIND: Final = "config"
_DOTENV: Final = (".env.local", ".env")  # those that LiveKit's starters load, the more local one first
_PROGRAMS: Final = re.compile(r"\.(?:py|js|ts|mjs|mts)$")
_MOST_PROGRAMS: Final = 60


def read_projects(
    extras: Sequence[Extra],
    gathered: Gathered,
    environ: Mapping[str, str],
    chosen: Sequence[str],
    pairs: Pairs | None = None,
) -> None:
    """Read configuration files, those of each zip apart; one of an unforeseen form costs only itself.

    A zip is another machine's: `environ`, this one's variables, says nothing of it, and must not get into a report on it.
    """
    groups: dict[str, list[tuple[LogInput, str]]] = {}
    for one in extras:
        groups.setdefault(str(one.given.path) if one.given.member else "", []).append((one.given, one.kind))
    for zipped, group in groups.items():
        try:
            read_project(group, gathered, {} if zipped else environ, chosen=chosen, pairs=pairs)
        except Exception as error:  # noqa: BLE001 - what stands beside it must not be lost
            why = f"reading it failed with {type(error).__name__}: {mask(str(error))[:200]}"
            gathered.notes += [SourceNote(given.name, KIND, unusable=why) for given, _ in group]


def read_project(
    inputs: Sequence[tuple[LogInput, str]],
    gathered: Gathered,
    environ: Mapping[str, str],
    *,
    chosen: Sequence[str] = (),
    files: Files | None = None,
    pairs: Pairs | None = None,
) -> None:
    """Read all configuration files of one folder, zip, or of the command line into settings.

    Args:
        inputs: files with their kinds: `compose`, `dotenv`, `dockerfile`, `livekit_yaml`.
        gathered: takes the settings, a note on each file, and the words that prove each setting.
        environ: the variables that Compose would see.
        chosen: names of Compose files that were named one by one; they are put together in this order.
        files: what reads them; the disk, or the zip that they come from, when it is not given.
        pairs: takes the API keys with their secrets.
    """
    if not inputs:
        return
    zipped = [one for one, _ in inputs if one.member]
    files = files if files is not None else of_zip(zipped) if zipped else Files()
    notes: dict[str, SourceNote] = {}

    def note(name: str) -> SourceNote:
        if name not in notes:
            notes[name] = SourceNote(name, KIND)
        return notes[name]

    pairs = Pairs() if pairs is None else pairs
    found: list[Setting] = []
    composes = [one.name for one, kind in inputs if kind == "compose"]
    run: set[str] = set()
    replaced: dict[str, str] = {}
    mounted: dict[str, str] = {}  # livekit.yaml files, with the project whose server reads them
    for names in _projects(composes, chosen, files):
        reader = _compose(names, files, environ)
        mine = reader.settings
        run |= reader.programs
        for name in names:
            note(name)
        for file, line, words in (*reader.resolved.notes, *reader.notes):
            told = f"{f'line {line}: ' if line else ''}{words}"
            if words.startswith(UNREADABLE):  # a gate must not be green over a file that nobody could read
                note(file).unusable = told
            else:
                note(file).notes.append(told)
        mounted |= {file: names[0] for _, file in reader.server_files}
        for service, file in reader.server_files:
            if (text := files.read(file)) is not None and all(file != one.name for one, _ in inputs):
                settings, wrong = read_livekit_yaml(text, file, service, pairs)
                mine += settings
                note(file).unusable = wrong
        for service, body in reader.server_texts:
            settings, wrong = read_livekit_yaml(body.node.text or "", body.called, service, pairs)
            mine += _moved(settings, body, files)
            if wrong:
                note(body.node.file).unusable = f"line {body.node.line}: {wrong}"
        replaced |= reader.replaced
        for values in reader.variables.values():
            _pair({name: (value or "", f"{at.file}:{at.line}") for name, (at, value, _) in values.items()}, pairs)
        found += [replace(one, project=names[0]) for one in mine]
    for unread in [one for one in composes if one not in notes]:
        note(unread).notes.append("is read only when it is named: Compose does not look at it by itself")
    for one, kind in inputs:
        if kind == "livekit_yaml" and one.name in replaced:
            note(one.name).notes.append(replaced[one.name])
        elif kind == "livekit_yaml":
            text = files.read(one.name)
            if text is not None and "livekit" not in one.name.rpartition("/")[2] and not looks_like_livekit(text):
                note(one.name).notes.append("is no configuration of livekit-server; not read")
                continue
            settings, wrong = (
                ([], "cannot be read as text") if text is None else read_livekit_yaml(text, one.name, pairs=pairs)
            )
            found += [replace(each, project=mounted.get(one.name, one.name.rpartition("/")[0])) for each in settings]
            note(one.name).unusable = wrong
    if not composes:
        found += _loose(inputs, files, environ, run, pairs)
    for name in files.used:
        note(name).bytes = len((files.read(name) or "").encode())
    if zipped:
        found = [replace(one, packed=True) for one in found]
    for fact in found:
        gathered.quote(fact.place, fact.told(), fact.line or None)
        gathered.add(fact)
    gathered.notes += notes.values()


def _moved(settings: Sequence[Setting], given: Body, files: Files) -> list[Setting]:
    """Settings of a text that stands in another file, at their places in that one."""
    body = given.node
    if not given.whole:
        return [
            replace(one, place=Place(body.file, None, f"{body.line}:{body.column}:{one.service}:{one.key}"),
                    file=body.file, line=body.line, column=body.column)
            for one in settings
        ]  # fmt: skip
    lines = (files.read(body.file) or "").splitlines()
    block = lines[body.line - 1 :][:1]
    if block and block[0][body.column - 1 :].startswith("|"):
        first = next((line for line in lines[body.line :] if line.strip()), "")
        down, right = body.line, len(first) - len(first.lstrip())
    else:
        down, right = body.line - 1, body.column - 1 + body.quoted
    return [
        setting(one.scope, one.service, one.key, one.value if one.known else None,
                (body.file, one.line + down, one.column + right), one.why, placeholder=one.placeholder)
        for one in settings
    ]  # fmt: skip


def _projects(composes: Sequence[str], chosen: Sequence[str], files: Files) -> list[list[str]]:
    """The Compose files that belong together: those that were named, else the default one and its override."""
    if named := [one for one in composes if one in chosen]:
        return [named]
    folders = dict.fromkeys(one.rpartition("/")[0] for one in composes)
    projects: list[list[str]] = []
    for folder in folders:
        mine = {one.rpartition("/")[2]: one for one in composes if one.rpartition("/")[0] == folder}
        main = next((mine[name] for name in DEFAULTS if name in mine), None)
        if main is None:  # none that Compose would take by itself: each is meant for `-f`
            projects += [[one] for one in mine.values()]
            continue
        override = next((one for one in override_of(main) if files.exists(one)), None)
        projects.append([main] if override is None else [main, override])
    return projects


def _compose(names: Sequence[str], files: Files, environ: Mapping[str, str]) -> Reader:
    resolved: Resolved = resolve(names, files, environ)
    text = files.read(beside(names[0], ".env"))
    own = {} if text is None else read_variables(text, beside(names[0], ".env"), lookup_in(environ))
    reader = Reader(files, resolved, environ, own)
    reader.read()
    return reader


def _loose(
    inputs: Sequence[tuple[LogInput, str]], files: Files, environ: Mapping[str, str], run: set[str], pairs: Pairs
) -> list[Setting]:
    """A project without Compose: `.env` files, the worker programs beside them, and what Dockerfiles start."""
    found: list[Setting] = []
    names: dict[str, list[str]] = {}  # of each folder: variables that its programs take their agent's name from
    dotenvs = [one.name for one, kind in inputs if kind == "dotenv"]
    for folder in dict.fromkeys(one.rpartition("/")[0] for one in dotenvs):
        for file in _programs_in(folder, files):
            text = files.read(file) if file not in run else None
            program = None if text is None else read_program(text, file)
            if program is not None:
                found += _program(folder, file, program, names, run)
    for name in [one.name for one, kind in inputs if kind == "dockerfile"]:
        folder = name.rpartition("/")[0]
        stage = read_dockerfile(files.read(name) or "", name)
        started = [] if stage is None else list(programs_of(stage, folder, files))
        for file, program in started:
            if file not in run:
                found += _program(folder, file, program, names, run)
            for one in stage.all_env().values() if stage is not None else ():
                found += _told(one, folder, names, "compose", file.rpartition("/")[2])
        if not started and name in files.used:
            files.used.remove(name)  # an image of something else is no evidence
    for name in dotenvs:
        if name.rpartition("/")[2] in _DOTENV and (text := files.read(name)) is not None:
            read = read_variables(text, name, lookup_in(environ))
            for one in read.values():
                found += _told(one, name.rpartition("/")[0], names, "dotenv")
            whole = {one.name: (one.value or "", f"{one.file}:{one.line}") for one in read.values() if not one.missing}
            _pair(whole, pairs)
    return found


def _pair(variables: Mapping[str, tuple[str, str]], pairs: Pairs) -> None:
    """Takes key and secret out of one environment, whose variables are given with their places."""
    key, secret = variables.get(KEY), variables.get(SECRET)
    if key is not None and secret is not None:
        pairs.add(key[0], secret[0], secret[1])


def _program(folder: str, file: str, program: Program, names: dict[str, list[str]], run: set[str]) -> list[Setting]:
    run.add(file)
    names.setdefault(folder, []).extend(names_by(program))
    return [replace(one, project=folder) for one in program_settings(file.rpartition("/")[2], file, program)]


def _told(one: Variable, folder: str, names: dict[str, list[str]], scope: Scope, service: str = "") -> list[Setting]:
    """A variable that may be told: of the allow-list, a key or secret (as a token), or a program's name for its agent."""
    if one.value is None or not (shown(one.name) or one.name in TOKENS or one.name in names.get(folder, ())):
        return []
    value = None if one.missing else told_value(one.name, one.value)
    why = "made of a variable that nothing in view sets"
    at = (one.file, one.line, one.column)
    word = not one.missing and is_placeholder(one.value)
    made = setting(scope, service, f"env.{one.name}", value, at, why, placeholder=word)
    return [replace(made, project=folder)]


def _programs_in(folder: str, files: Files) -> list[str]:
    if files.texts is not None:
        listed = [one for one in files.texts if one.rpartition("/")[0] == folder]
    else:
        try:
            listed = [f"{folder}/{one}" if folder else one for one in os.listdir(Path(folder or "."))]
        except OSError:
            return []
    return [one for one in sorted(listed) if _PROGRAMS.search(one)][:_MOST_PROGRAMS]
