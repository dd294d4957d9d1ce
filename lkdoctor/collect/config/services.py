"""Turns resolved Compose services into settings: the variables that a worker sees, how it is started, what its program says.

Variables pass by an allow-list; API key and secret only as tokens. Of several places that set one variable the one that
wins is told: `environment` over `env_file` over the image's `ENV`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lkdoctor.collect.config.commands import WEB, first_program, first_web, named_in, unwrapped
from lkdoctor.collect.config.compose import Resolved
from lkdoctor.collect.config.dockerfile import Stage, read_dockerfile
from lkdoctor.collect.config.env_files import Variable, lookup_in, read_variables, template_of
from lkdoctor.collect.config.files import Files, join
from lkdoctor.collect.config.nodes import Node, boolean
from lkdoctor.collect.config.programs import Program
from lkdoctor.collect.config.server_body import Body, body_of
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.settings import NAME, TOKENS, Scope, Setting, shown
from lkdoctor.placeholders import is_placeholder
from lkdoctor.redact import of_this_run

_USER: Final = re.compile(r"(?P<scheme>[a-z]+://)[^/@\s]*@", re.IGNORECASE)
_QUERY: Final = re.compile(r"(?P<address>[a-z]+://[^\s?#]*)[?#].*", re.IGNORECASE | re.DOTALL)
_MODES: Final = frozenset({"start", "dev", "console", "connect", "download-files"})
#: What starts a script of package.json, or an application of the web: its `start` and `dev` are no worker's.
_RUNNERS: Final = frozenset({"npm", "pnpm", "yarn", "bun", "next", "nuxt", "nest", "vite"})
_SERVER_IMAGE: Final = re.compile(r"(?:^|/)livekit/livekit-server(?::v?(?P<tag>[\w.-]+))?(?:@sha256:\w+)?$")
_REWRITTEN: Final = re.compile(r"0[0-7]+|0[xob][0-9a-fA-F_]+|[-+]?\d+\.\d*0|[-+]?[\d.]+[eE][-+]?\d+")
_LONGEST: Final = 4096  # names are compared letter for letter: a shorter cut would make two names of one

_Final = tuple[Variable | Node, "str | None", str]  # where it is set, its value where that is known, else why not


def told_value(name: str, value: str) -> str:
    """The value as it may be told: a token for a key or a secret, an address without user, password and query."""
    if name in TOKENS:  # without exception: whether a secret is only a template's word is told beside it
        return of_this_run().token(value) if value else ""
    return of_this_run().mask(_QUERY.sub(r"\g<address>", _USER.sub(r"\g<scheme>", value)))[:_LONGEST]


@dataclass(slots=True)
class Reader:
    """Reads the services of one project; `settings` is what it found."""

    files: Files
    resolved: Resolved
    environ: Mapping[str, str]
    project_env: Mapping[str, Variable]
    settings: list[Setting] = field(default_factory=list)
    notes: list[tuple[str, int, str]] = field(default_factory=list)
    programs: set[str] = field(default_factory=set)  # files that a service runs
    server_files: list[tuple[str, str]] = field(default_factory=list)  # livekit.yaml files that a server service mounts
    server_texts: list[tuple[str, Body]] = field(default_factory=list)  # livekit.yaml as a text of a server service
    replaced: dict[str, str] = field(default_factory=dict)  # livekit.yaml files that such a text replaces, and why
    variables: dict[str, dict[str, _Final]] = field(default_factory=dict)  # by service: what each of them is at the end

    def read(self) -> None:
        """All services."""
        for name, node in self.resolved.services.items():
            self._service(name, node)

    def _add(
        self,
        service: str,
        key: str,
        at: Variable | Node | tuple[str, int, int],
        value: str | None,
        why: str = "",
        *,
        placeholder: bool = False,
    ) -> None:
        file, line, column = at if isinstance(at, tuple) else (at.file, at.line, at.column)
        scope: Scope = "compose" if not key.startswith("code.") else "code"
        self.settings.append(
            setting(
                scope,
                service,
                key,
                value,
                (file, line, column),
                why if why or value is not None else "not in view",
                placeholder=placeholder,
            )
        )

    def _service(self, name: str, node: Node) -> None:
        image = node.get("image")
        text = "" if image is None else image.text or ""
        server = _SERVER_IMAGE.search(text)
        self._add(
            name,
            "service",
            self.resolved.places.get(name, node),
            text if not (image and self.resolved.open_of(image)) else "",
        )
        if server is not None and image is not None:
            self._server(name, node, image, server["tag"] or "")
            self._numbers(name, node)
            return
        stage, folder = self._image(node)
        self._variables(name, node, stage)
        self._numbers(name, node)
        self._start(name, node, stage, folder)

    # -- the server ----------------------------------------------------------------------------------------------------
    def _server(self, name: str, node: Node, image: Node, tag: str) -> None:
        known = re.match(r"\d+\.\d+\.\d+", tag) is not None
        self._add(
            name,
            "server.version",
            image,
            tag if known else None,
            "" if known else f"the image's tag is {tag or 'latest'!r}",
        )
        words = self._words(node.get("command"))
        body = body_of(node, self.resolved)
        if body is not None and body.open:
            self.notes.append((body.node.file, body.node.line, f"{body.called} is {self._why(body.open)}; not read"))
        elif body is not None:
            self.server_texts.append((name, body))
        if "--dev" in words:
            self._add(name, "server.dev", node.get("command") or node, "true")
        if node.get("entrypoint") is not None:  # a script of the user's own may fill livekit.yaml in
            self._add(name, "server.entrypoint", node, "")
        self._bus(name, node, words)
        inside = next((words[at + 1] for at, one in enumerate(words[:-1]) if one == "--config"), "")
        for volume in (node.get("volumes") or Node("", 0, 0, [])).items:
            source, target = self._mount(volume)
            if source and (target == inside or (not inside and re.search(r"\.ya?ml$", target))):
                file = join(self._folder(volume.file), source)
                if body is None:
                    self.server_files.append((name, file))
                else:
                    self.replaced[file] = f"is not read by service {name}: its {body.called} stands in its place"

    def _bus(self, name: str, node: Node, words: Sequence[str]) -> None:
        """A redis that livekit.yaml does not tell of: `--redis-host`, or its variable REDIS_HOST; or a command or configuration that is not known."""
        command = node.get("command")
        flag = any(one.partition("=")[0] in {"--redis-host", "-redis-host"} for one in words)
        inside = {one for _, known in self._env_files(name, node) for one in known}
        if command is not None and (
            flag or self.resolved.open_of(command) or any(map(self.resolved.open_of, command.items))
        ):
            self._add(name, "server.redis", command, "" if flag else None)
        elif (body := body_of(node, self.resolved)) is not None and body.open:
            self._add(name, "server.redis", body.node, None)
        elif "REDIS_HOST" in {*self._environment(node), *inside}:
            self._add(name, "server.redis", node, "")

    @staticmethod
    def _mount(volume: Node) -> tuple[str, str]:
        if volume.text is not None:
            source, _, rest = volume.text.partition(":")
            return source, rest.partition(":")[0]
        source_node, target = volume.get("source"), volume.get("target")
        return (source_node.text or "" if source_node else ""), (target.text or "" if target else "")

    # -- a worker ------------------------------------------------------------------------------------------------------
    def _folder(self, file: str) -> str:
        return self.resolved.folders.get(file, file.rpartition("/")[0])

    def _image(self, node: Node) -> tuple[Stage | None, str | None]:
        """The stage that the service builds, and its build context; None for what is not known."""
        build = node.get("build") or self._built_as(node.get("image"))
        if build is None or self.resolved.open_of(build):
            return None, None
        context = build if build.text is not None else build.get("context")
        words = "." if context is None else context.text or "."
        if context is not None and (self.resolved.open_of(context) or "://" in words or words.startswith("git@")):
            return None, None
        folder = join(self._folder(build.file), words)
        chosen = build.get("dockerfile")
        file = join(folder, (chosen.text if chosen is not None else None) or "Dockerfile")
        text = self.files.read(file)
        if text is None:
            return None, folder
        target = build.get("target")
        args = build.get("args")
        given = {} if args is None else self._build_args(args)
        return read_dockerfile(text, file, (target.text if target is not None else None) or "", given), folder

    def _built_as(self, image: Node | None) -> Node | None:
        """How another service of the project builds the image that this one only names: one image, several agents."""
        if image is None or not image.text or self.resolved.open_of(image):
            return None
        for other in self.resolved.services.values():
            theirs, build = other.get("image"), other.get("build")
            if theirs is not None and build is not None and theirs.text == image.text:
                return build if not self.resolved.open_of(theirs) else None
        return None

    def _build_args(self, args: Node) -> dict[str, str | None]:
        """What Compose gives to the build; None where that is not known."""
        return {
            key: None
            if self.resolved.open_of(value)
            else value.text
            if value.value is not None
            else self._outside(key)[0]
            for key, value in args.map.items()
        }

    def _variables(self, name: str, node: Node, stage: Stage | None) -> None:
        final: dict[str, _Final] = {}
        for variable in (stage.all_env() if stage else {}).values():
            final[variable.name] = (variable, None if variable.missing else variable.value, self._why(variable.missing))
        for file, known in self._env_files(name, node):
            for variable in known.values():
                if variable.value is None:
                    final[variable.name] = (variable, *self._outside(variable.name))
                else:
                    final[variable.name] = (
                        variable,
                        None if variable.missing else variable.value,
                        self._why(variable.missing),
                    )
            if not known:
                self.notes.append((file, 0, "holds no variable"))
        for key, value in self._environment(node).items():
            if value.value is None:
                final[key] = (value, *self._outside(key))
            elif not value.quoted and _REWRITTEN.fullmatch(value.text or ""):
                final[key] = (value, None, "a plain number that YAML writes in another way; put it into quotes")
            else:
                missing = self.resolved.open_of(value)
                final[key] = (value, None if missing else value.text, self._why(missing))
        self.variables[name] = final
        for key in final:
            if shown(key) or key in TOKENS:
                self._variable(name, key)

    def _variable(self, name: str, key: str) -> None:
        """A variable of this service, where it has one of the name."""
        if key in self.variables.get(name, {}):
            at, found, why = self.variables[name][key]
            told = None if found is None else told_value(key, found)
            self._add(name, f"env.{key}", at, told, why, placeholder=is_placeholder(found or ""))

    @staticmethod
    def _why(missing: tuple[str, ...]) -> str:
        return f"made of {', '.join(f'${one}' for one in missing)}, which nothing in view sets" if missing else ""

    def _outside(self, name: str) -> tuple[str | None, str]:
        """A name without a value: Compose takes it from the environment, else from `.env`."""
        found = lookup_in(self.environ, self.project_env)(name)
        return found, "" if found is not None else f"taken from the shell that starts Compose, where {name} is"

    def _env_files(self, name: str, node: Node) -> Iterator[tuple[str, dict[str, Variable]]]:
        for one in (node.get("env_file") or Node("", 0, 0, [])).items:
            path = one if one.text is not None else one.get("path")
            if path is None or not path.text:
                continue
            if self.resolved.open_of(path):
                self.notes.append((one.file, one.line, f"env_file of service {name} is not known"))
                self._add(name, "env_file.missing", path, None, "computed")
                continue
            file = join(self._folder(one.file), path.text)
            text = self.files.read(file)
            if text is None:
                if boolean(one.get("required")) is not False:
                    self._add(name, "env_file.missing", path, file)
                    if (told := template_of(file, self.files)) is not None:
                        self._add(name, "env_file.template", told[1], told[0])
                continue
            form = one.get("format")
            raw = form is not None and form.text == "raw"
            # The variables of `environment` may be referred to in the file, before those of the project.
            own = {key: value.text for key, value in self._environment(node).items() if value.text is not None}
            yield file, read_variables(text, file, lookup_in(own, self.environ, self.project_env), raw=raw)

    def _environment(self, node: Node) -> dict[str, Node]:
        found = node.get("environment")
        return {} if found is None else found.map

    def _numbers(self, name: str, node: Node) -> None:
        replicas = node.get("deploy", "replicas") or node.get("scale")
        if replicas is not None:
            known = not self.resolved.open_of(replicas) and (replicas.text or "").isdigit()
            self._add(name, "replicas", replicas, replicas.text if known else None, "computed")
        for one in (node.get("profiles") or Node("", 0, 0, [])).items:
            self._add(name, "profile", one, one.text or "")
        network = node.get("network_mode")
        if network is not None and network.text:
            self._add(name, "network_mode", network, network.text[:_LONGEST])
        container = node.get("container_name")
        if container is not None and container.text and not self.resolved.open_of(container):
            self._add(name, "container_name", container, container.text[:_LONGEST])

    def _words(self, node: Node | None) -> list[str]:
        if node is None or self.resolved.open_of(node):
            return []
        if isinstance(node.value, list):
            return [one.text or "" for one in node.value]
        try:
            return shlex.split(node.text or "")
        except ValueError:
            return (node.text or "").split()

    def _start(self, name: str, node: Node, stage: Stage | None, folder: str | None) -> None:
        command, entrypoint = (self._given(node.get(one)) for one in ("command", "entrypoint"))
        line: Node | tuple[str, int, int] | None = command or entrypoint
        first, rest, number = stage.start() if stage is not None else ([], [], 0)
        if entrypoint is not None:  # drops the image's command, too
            first, rest = self._words(entrypoint), []
        words = [*first, *(rest if command is None else self._words(command))]
        if line is None and words:
            line = (self._dockerfile_of(node), number, 1)
        words = unwrapped(words)
        if line is None:
            return
        programs = list(named_in(words))
        mode = next((one for one in reversed(words) if one in _MODES), "")
        if mode and (programs or not _RUNNERS & set(words)):
            self._add(name, "mode", line, mode)
        web = next((one for one in words if one.rpartition("/")[2] in WEB), "")
        if web:
            self._add(name, "serves", line, web[:_LONGEST])
        for places in programs:
            if folder is not None:
                self._program(name, folder, places)

    @staticmethod
    def _given(node: Node | None) -> Node | None:
        """Null is the same as absent."""
        return None if node is None or node.value is None else node

    def _dockerfile_of(self, node: Node) -> str:
        build = node.get("build") or self._built_as(node.get("image"))
        context = "" if build is None else (build.text or (build.get("context") or build).text or ".")
        chosen = None if build is None else build.get("dockerfile")
        return join(join(self._folder(node.file), context), (chosen.text if chosen else None) or "Dockerfile")

    def _program(self, name: str, folder: str, places: list[str]) -> None:
        found = first_program(folder, places, self.files)
        if found is not None:
            self.programs.add(found[0])
            self.settings += program_settings(name, *found)
            for key in names_by(found[1]):
                self._variable(name, key)
            return
        web = first_web(folder, places, self.files)
        if web is not None:
            self._add(name, "serves", (*web, 1), web[0])


def names_by(program: Program) -> list[str]:
    """The user's own variables by which the program takes its agent name: of them it is told what they are, as they are names."""
    own = (one.variable for one in program.said if one.key == "agent_name" and one.variable)
    return [one for one in own if not shown(one) and one not in TOKENS]


def program_settings(service: str, file: str, program: Program) -> Iterator[Setting]:
    """What a program says, as settings of its service."""
    yield setting("code", service, "code.sdk", program.sdk, (file, program.line, 1))
    for one in program.said:
        at = (file, one.line, one.column)
        if one.variable:
            yield setting("code", service, f"code.{one.key}.variable", one.variable, at)
        value = None if one.value is None else told_value(NAME, one.value)
        yield setting("code", service, f"code.{one.key}", value, at, one.why)


def setting(
    scope: Scope,
    service: str,
    key: str,
    value: str | None,
    at: tuple[str, int, int],
    why: str = "",
    *,
    placeholder: bool = False,
) -> Setting:
    """A setting at its place; None is a value that is not known. `placeholder` is decided before the value is masked."""
    file, line, column = at
    return Setting(
        place=Place(file, None, f"{line}:{column}:{service}:{key}"),
        scope=scope,
        service=service,
        key=key,
        value=value or "",
        known=value is not None,
        why="" if value is not None else why,
        placeholder=placeholder,
        file=file,
        line=line,
        column=column,
    )
