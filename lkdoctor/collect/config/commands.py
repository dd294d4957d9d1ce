"""Commands that start a container: which files of the build context they run, and which of these are workers' programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lkdoctor.collect.config.dockerfile import Stage
from lkdoctor.collect.config.files import Files, join
from lkdoctor.collect.config.programs import Program, read_program

#: Commands that answer requests of the web.
WEB: Final = frozenset(
    {
        *("uvicorn", "gunicorn", "hypercorn", "daphne", "granian", "waitress-serve", "flask", "fastapi"),
        *("next", "nuxt", "vite"),
    }
)
_WEB_PROGRAM: Final = re.compile(
    r"^[ \t]*(?:from|import)[ \t]+(?:fastapi|flask|django|starlette|quart|sanic|bottle|http\.server|aiohttp\.web)\b"
    r"|^[ \t]*from[ \t]+aiohttp[ \t]+import[ \t]+web\b"
    r"|(?:require\(|from\s+)['\"](?:express|fastify|koa|hono|next|(?:node:)?https?)['\"]",
    re.MULTILINE,
)
_AGENTS: Final = re.compile(r"livekit\.agents|@livekit/agents|livekit import agents")
_SCRIPT: Final = re.compile(r"[\w./-]+\.(?:py|js|ts|mjs|cjs|mts|cts)$")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def first_program(folder: str, places: list[str], files: Files) -> tuple[str, Program] | None:
    """The program in the build context, at the first of these places that has one."""
    for place in places:
        for file in _sources(join(folder, place)):
            text = files.read(file)
            program = None if text is None else read_program(text, file)
            if program is not None:
                return file, program
    return None


def first_web(folder: str, places: list[str], files: Files) -> tuple[str, int] | None:
    """The first of these files that takes a library which answers requests of the web, and none of LiveKit's agents; its line."""
    for place in places:
        for file in _sources(join(folder, place)):
            text = files.read(file)
            found = None if text is None or _AGENTS.search(text) else _WEB_PROGRAM.search(text)
            if found is not None and text is not None:
                return file, text.count("\n", 0, found.start()) + 1
    return None


def programs_of(stage: Stage, folder: str, files: Files) -> Iterator[tuple[str, Program]]:
    """The workers' programs that an image starts by itself; `folder` is its build context."""
    first, rest, _ = stage.start()
    for places in named_in(unwrapped([*first, *rest])):
        found = first_program(folder, places, files)
        if found is not None:
            yield found


def unwrapped(words: list[str]) -> list[str]:
    """The command itself, where a shell is given it."""
    shell = len(words) == 3 and words[0] in {"sh", "bash", "/bin/sh", "/bin/bash"} and words[1].startswith("-")
    return words[2].split() if shell else words


def named_in(words: list[str]) -> Iterator[list[str]]:
    """For each program that a command names, where in the build context it may be.

    A script: at its path there, else at the end of its path in the image. A module (`-m app.agent`): in a file or a folder of
    its name, there or in `src`.
    """
    for before, word in zip(["", *words], words, strict=False):
        if before == "-m" and _MODULE.fullmatch(word):
            path = word.replace(".", "/")
            yield [f"{root}{path}{end}" for root in ("", "src/") for end in (".py", "/__main__.py")]
        elif _SCRIPT.search(word):
            parts = [one for one in word.split("/") if one not in {"", "."}]
            yield ["/".join(parts[start:]) for start in range(len(parts))]


def _sources(file: str) -> tuple[str, ...]:
    """The file, and for a compiled one what it was made of: `dist/agent.js` of `src/agent.ts`."""
    stem, dot, end = file.rpartition(".")
    if end not in {"js", "mjs", "cjs"}:
        return (file,)
    typed = f"{stem}{dot}{end.replace('js', 'ts')}"
    moved = typed.replace("/dist/", "/src/").replace("/build/", "/src/")
    return tuple(dict.fromkeys((file, typed, moved, typed.replace("/dist/", "/").replace("/build/", "/"))))
