"""The sections of what was learned from a live server: its own words, and the way to it, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, Final

import msgspec

from lkdoctor.dispatch.connection import Step
from lkdoctor.dispatch.facts import Fact
from lkdoctor.dispatch.load import LoadReading
from lkdoctor.dispatch.model import Stories
from lkdoctor.dispatch.worker_http import SILENT, WorkerEndpoint
from lkdoctor.redact import Redactor
from lkdoctor.report import containers, talks, tokens
from lkdoctor.report import json_v1 as doc
from lkdoctor.report.screen import Screen

_WORDS: Final = {
    "url": "address",
    "dns": "DNS",
    "tcp": "TCP",
    "tls": "TLS",
    "http": "HTTP",
    "twirp": "API",
    "upgrade": "websocket",
    "clock": "clock",
}


def sections(stories: Stories, url: str, redactor: Redactor) -> dict[str, Any]:
    """The members of the report that only live evidence fills, by name; `url` is the server that was asked, if any."""
    readings = stories.facts.get(LoadReading, [])
    watched = talks.documents(stories.facts)
    endpoints = stories.facts.get(WorkerEndpoint, [])
    placed = containers.rows(stories)
    told_more = stories.server or stories.steps or stories.probes or stories.tokens
    if not (url or told_more or readings or watched or endpoints or placed):
        return {}
    told = stories.server
    server = doc.Server(**redactor.mask_all(asdict(told))) if told else doc.Server(redactor.mask(url)) if url else None
    return {
        "server": server,
        "connection": [_step(one, redactor) for one in stories.steps],
        "probes": [_document(one, redactor) for one in stories.probes],
        "load": [_reading(one, stories, redactor) for one in readings],
        "talks": redactor.mask_all(watched),
        "endpoints": [redactor.mask_all(_plain(one)) for one in endpoints],
        "containers": redactor.mask_all(placed),
        "tokens": [tokens.shown(one, tokens.version_of(one, stories), redactor) for one in stories.tokens],
    }


def _plain(one: Fact) -> dict[str, Any]:
    """The fact's fields, without the place where it stands."""
    fields: dict[str, Any] = msgspec.to_builtins(one)
    return {key: value for key, value in fields.items() if key not in ("place", "fact")}


def endpoints(found: Sequence[dict[str, Any]], screen: Screen) -> list[str]:
    """What workers' own endpoints said, a line each; what is no worker stands among the gaps."""
    told = [msgspec.convert(one, WorkerEndpoint) for one in found]
    shown = [one for one in told if one.worker or one.trouble == SILENT]
    if not shown:
        return []
    return [
        screen.paint(f"Workers asked ({len(shown):,})", "head"),
        *(line for one in shown for line in screen.wrap(one.told(), "  ", "    ")),
    ]


def _step(one: Step, redactor: Redactor) -> doc.Step:
    at = datetime.fromtimestamp(one.at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return doc.Step(
        one.name,
        redactor.mask(one.target),
        at,
        round(one.seconds, 4),
        one.ok,
        one.status,
        one.trouble,
        redactor.mask(one.error),
        redactor.mask_all(one.values),
    )


def _document(one: object, redactor: Redactor) -> dict[str, Any]:
    """A probe or a token as JSON has it; where it stands is for lkdoctor's own use."""
    plain = msgspec.to_builtins(one)
    plain.pop("place", None)
    found: dict[str, Any] = redactor.mask_all(plain)
    return found


def _reading(one: Fact, stories: Stories, redactor: Redactor) -> dict[str, Any]:
    """A measured load, with the version of the only server in the evidence where nobody said which one judges it."""
    known = {run.version for run in stories.runs if run.version}
    if not known and stories.server is not None and stories.server.version:
        known = {stories.server.version}
    found = _document(one, redactor)
    if not found["server_version"] and len(known) == 1:
        found["server_version"] = known.pop()
    measured = next((run.refused_load for run in stories.probes if run.refused_load is not None), None)
    return found if measured is None else {**found, "measured_limit": measured}


def connection(steps: Sequence[doc.Step], screen: Screen, *, verbose: bool) -> list[str]:
    """The way to the server: every step with -v or when one failed, else one line."""
    if not steps:
        return []
    failed = [one for one in steps if not one.ok]
    head = screen.paint("Connection", "head")
    if not failed and not verbose:
        return [head, *screen.wrap(_summary(steps), "  ")]
    return [head, *_ladder(steps, screen)]


def _summary(steps: Sequence[doc.Step]) -> str:
    """One sentence: `DNS, TCP, HTTP, API (4 calls) and websocket (/rtc, /agent) work; slowest 12 ms`."""
    kinds: dict[str, list[str]] = {}
    for one in steps:
        kinds.setdefault(one.name, []).append(one.target)
    words = [_words(name, targets) for name, targets in kinds.items() if name not in {"url", "clock"}]
    listed = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
    slowest = max(steps, key=lambda one: one.seconds)
    skew = next((one.values["offset"] for one in steps if one.name == "clock" and "offset" in one.values), None)
    clocks = "" if skew is None else f"; the server's clock is {_offset(skew)}"
    return f"{listed or 'Every step'} {'work' if len(words) != 1 else 'works'}; slowest {_ms(slowest.seconds)}{clocks}. -v shows each step."


def _words(name: str, targets: Iterable[str]) -> str:
    several = list(dict.fromkeys(targets))
    if name == "upgrade":
        return f"websocket ({', '.join(several)})"
    return f"{_WORDS[name]} ({len(several)} calls)" if name == "twirp" else _WORDS[name]


def _offset(seconds: float) -> str:
    if abs(seconds) < 1:
        return "right within 1 s"
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"


def _ladder(steps: Sequence[doc.Step], screen: Screen) -> list[str]:
    rows = []
    for one in steps:
        said = one.error or (f"HTTP {one.status}" if one.status else "")
        said += " (as it should)" if one.ok and one.status >= 400 else ""
        if not one.ok and one.trouble:
            said = f"{one.trouble}: {said}" if said else one.trouble
        how = "ok" if one.ok else "not tried" if one.trouble == "not-tried" else "FAILED"
        rows.append([_WORDS[one.name], one.target, how, _ms(one.seconds), said.removeprefix("not-tried: ")])
    styles = {"ok": "ok", "FAILED": "bad", "not tried": "dim"}
    return screen.table(["step", "what", "result", "took", "answer"], rows, ["took"], styles)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def server(
    told: doc.Server | None, credentials: dict[str, str], screen: Screen, logged: Iterable[str | None] = ()
) -> list[str]:
    """Which server was asked, what it says of itself, and where address and key came from; `logged` are the versions
    that logs tell."""
    if told is None:
        return []
    versions = sorted({one for one in logged if one})
    unknown = (
        f"livekit-server {versions[0]} (by the log that was given)"
        if len(versions) == 1
        else "version not known (`--probe` learns it)"
    )
    words = [f"livekit-server {told.version}" if told.version else unknown]
    if told.edition:
        words.append(f"{told.edition} edition")
    if told.node_id:
        words.append(f"node {told.node_id}")
    if told.region:
        words.append(f"region {told.region}")
    lines = screen.wrap(f"{told.url}: {', '.join(words)}", "  ")
    if credentials:
        by: dict[str, list[str]] = {}
        for what, origin in credentials.items():
            by.setdefault(origin, []).append(what)
        told_origins = "; ".join(f"{' and '.join(what)} from {origin}" for origin, what in by.items())
        lines += screen.wrap(told_origins, "  ", style="dim")
    return [screen.paint("Server", "head"), *lines]
