"""Reads a worker's own HTTP endpoint: `/` (health), `/worker` (name, jobs, load) and `/metrics` where Prometheus is on.

What answers there and is no worker is told from one: livekit-server's port, a web site, TLS where plain HTTP was meant.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as of
from typing import Any, Final

import msgspec

from lkdoctor.collect.address import AddressError, parse, stripped
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.knock import Answer, Knocker
from lkdoctor.collect.wire import Found, addresses, connect, speaks_tls
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.worker_http import SILENT, UNHEALTHY, WorkerEndpoint
from lkdoctor.redact import mask

KIND: Final = "worker_http"
SECONDS: Final = 5.0  # for each answer
_AGAIN: Final = 2.0  # s between two looks at a worker that is unwell: a reconnect takes a moment
_LOOKS: Final = 4  # so an unwell worker is watched for 6 s
_SHORT: Final = 200  # characters of an answer that are kept
_METRICS_BYTES: Final = 1 << 20
_MOST_JOBS: Final = 1 << 53  # more is no count, and no file of facts could hold it
_PORT: Final = re.compile(r"\d{1,5}$")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PAGES: Final = re.compile(r"/(?:worker|metrics)?$")
_GAUGE: Final = re.compile(r"^(lk_agents_\w+)(?:\{[^}]*\})? +(\S+)", re.MULTILINE)

#: Why there is no reading, by the trouble, with what to do.
_ADVICE: Final = {
    "refused": "nothing listens there. A worker's port is 8081 after `start` and another one each time after `dev`; its log "
    "says `HTTP server listening on …`. In a container it must listen on 0.0.0.0 and be published",
    "timeout": "no connection in time: a firewall drops it, or the address is wrong",
    "no-address": "the host has no address: correct its name; a container's name is known only inside of its network",
    "certificate": "its certificate is not trusted here; a worker speaks plain HTTP, so this is a proxy: name the worker's own "
    "port",
    "not-tls": "no TLS there: a worker speaks plain HTTP, write http://",
    "is-tls": "it speaks TLS: write https:// (a proxy: a worker itself speaks plain HTTP)",
    "not-http": "what listens there speaks no HTTP",
    "reset": "the connection was closed without an answer",
    "unreachable": "the host cannot be reached from here: look at routes and firewalls",
}


def worker_url(written: str) -> str:
    """The root of the endpoint that a person named: a URL, `host:port`, or a port of this machine.

    Raises:
        AddressError: it can be none.
    """
    text, _ = stripped(written)
    if _PORT.match(text):
        text = f"127.0.0.1:{text}"
    if not _SCHEME.match(text):
        text = f"http://{text}"
    try:
        address = parse(text)
    except AddressError as error:
        raise AddressError(f"{str(error).partition(';')[0]}; a worker's endpoint looks like http://host:8081") from None
    if address.url.startswith("ws"):
        raise AddressError(
            f"{address.given!r} is an address for a LiveKit server (`--url`); a worker's endpoint is http://HOST:8081"
        )
    return _PAGES.sub("", address.url)


async def read_endpoint(url: str, *, seconds: float = SECONDS, found_in: str = "") -> WorkerEndpoint:
    """Read the endpoint at `url` (as `worker_url` gives it). `found_in` says which container or process led to it.

    A worker that says that it is unwell is looked at again for 6 s. Raises nothing: why there was no answer stands in
    `trouble`, and what answered without being a worker has `worker` False.
    """
    import aiohttp  # noqa: PLC0415 - only for who talks to a worker

    began = time.time()
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        knocker = Knocker(session, time.time, seconds)
        root = await knocker.get(f"{url}/", {})
        if root.trouble and root.status == 0:
            silent = root.trouble == "timeout" and await _takes_connections(url, seconds)
            return WorkerEndpoint(
                url=url, at=began, trouble=SILENT if silent else root.trouble, said=mask(root.error)[:_SHORT],
                seconds=root.came - root.sent, found_in=found_in,
            )  # fmt: skip
        page, metrics = await asyncio.gather(
            knocker.get(f"{url}/worker", {}), knocker.get(f"{url}/metrics", {}, _METRICS_BYTES)
        )
        fields = {**_gauges(metrics), **_page(page)}
        if not fields and _bare(root, page):
            fields = {"sdk": "python"}
        alone = (
            fields.get("metrics") and "job_type" not in fields
        )  # a port of its own, where `/` says nothing of health
        worker = bool(fields) or (root.status == 503 and root.text.strip() in UNHEALTHY)
        first = root
        for _ in range(_LOOKS - 1 if worker and root.status == 503 else 0):
            await asyncio.sleep(_AGAIN)
            root = await knocker.get(f"{url}/", {})
            if root.status != 503:
                break
    return WorkerEndpoint(
        url=url, at=root.sent, worker=worker, status=None if alone else root.status or None, trouble="" if worker else root.trouble,
        said=mask(root.error or root.words)[:_SHORT], seconds=first.came - first.sent,
        unwell_seconds=round(root.came - first.sent, 1) if first.status == 503 else 0.0, found_in=found_in, **fields,
    )  # fmt: skip


def _page(answer: Answer) -> dict[str, Any]:
    """What `/worker` says; empty when it is no such page."""
    try:
        page = json.loads(answer.text) if answer.status == 200 else None  # Python writes NaN as a bare word
    except (ValueError, RecursionError):
        return {}
    if not isinstance(page, dict) or not isinstance(page.get("sdk_version"), str) or "worker_type" not in page:
        return {}
    node = page.get("project_type") == "nodejs"
    # From 1.4 on Python prints a protobuf message, in which zeros and empty texts are left out.
    sparse = not node and "project_type" not in page
    nothing = {"agent_name": "", "active_jobs": 0, "worker_load": 0.0} if sparse else {}
    page = {**nothing, **page}
    load = page.get("worker_load")
    return {
        "sdk": "node" if node else "python",
        "version": mask(page["sdk_version"])[:_SHORT],
        "agent_name": _text(page, "agent_name"),
        "name_from_env": page["agent_name_is_env"] if isinstance(page.get("agent_name_is_env"), bool) else None,
        "job_type": _text(page, "worker_type") or "",
        "deployment": _text(page, "deployment"),
        "active_jobs": _count(page.get("active_jobs")),
        "load": _number(load),
        "load_not_a_number": load == "NaN" or (isinstance(load, float) and math.isnan(load)),
    }


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number <= _MOST_JOBS else None


def _text(page: Mapping[str, Any], name: str) -> str | None:
    value = page.get(name)
    return mask(value)[:_SHORT] if isinstance(value, str) else None


def _gauges(answer: Answer) -> dict[str, Any]:
    """What livekit-agents' Prometheus metrics say; empty when there are none."""
    if answer.status != 200:
        return {}
    values: dict[str, float] = {}
    for name, number in _GAUGE.findall(answer.text):
        try:
            values[name] = values.get(name, 0.0) + float(number)
        except ValueError:
            continue
    if not values and "lk_agents_" not in answer.text:
        return {}
    found: dict[str, Any] = {"sdk": "python", "metrics": True}
    if "lk_agents_active_job_count" in values:
        found["active_jobs"] = _count(values["lk_agents_active_job_count"])
    if "lk_agents_worker_load" in values:
        found["load"] = _number(values["lk_agents_worker_load"])
        found["load_not_a_number"] = math.isnan(values["lk_agents_worker_load"])
    return found


def _bare(root: Answer, page: Answer) -> bool:
    """livekit-agents 0.12 and its like: aiohttp's `OK`, and no other page."""
    server = root.headers.get("server", "")
    return root.status == 200 and root.text == "OK" and page.status == 404 and "aiohttp/" in server


@dataclass(slots=True)
class Endpoints:
    """The addresses that one run reads."""

    urls: Iterable[str]
    seconds: float = SECONDS
    _seen: set[str] = of(default_factory=set)

    async def collect(self, gathered: Gathered, say: Callable[[str], None]) -> None:
        """Read all of them at once, and add what they say to `gathered`; each gets a note of its own."""
        urls = list(dict.fromkeys(self.urls))
        say(f"asking {', '.join(urls[:3])}{' …' if len(urls) > 3 else ''}")
        await asyncio.gather(*(self._one(one, gathered) for one in urls))

    async def _one(self, url: str, gathered: Gathered) -> None:
        try:
            found = await read_endpoint(url, seconds=self.seconds)
            why = await why_none(found, self.seconds)
        except Exception as error:  # noqa: BLE001 - an answer of an unforeseen form costs only itself
            gathered.notes.append(SourceNote(url, KIND, unusable=unforeseen(error)))
            return
        add(found, gathered, why)


def unforeseen(error: Exception) -> str:
    """What is said of an answer that could not be read."""
    return f"reading its answer failed with {type(error).__name__}: {mask(str(error))[:_SHORT]}"


async def why_none(found: WorkerEndpoint, seconds: float = SECONDS) -> str:
    """Why `found` tells nothing of a worker, with what to do; empty when it does."""
    if found.worker or found.trouble == SILENT:
        return ""
    if found.trouble == "redirect":
        return f"redirects ({found.said}), as no worker does; name the worker's own port"
    mute = found.trouble in {"reset", "not-http"} and found.url.startswith("http:")
    if mute and await speaks_tls(parse(found.url).host, parse(found.url).port, seconds):
        return _ADVICE["is-tls"]
    if found.status is None or found.trouble == "is-tls":
        advice = _ADVICE.get(found.trouble, found.said or "no answer")
        return f"{found.said}: {advice}" if found.trouble in {"failed", "tls", "certificate"} and found.said else advice
    if await _is_server(found.url, seconds):
        return (
            "is livekit-server's own port, not a worker's: name it with --url; a worker's is 8081 after `start`, and after "
            "`dev` its log says `HTTP server listening on …`"
        )
    said = f"{found.status} {found.said}".strip()
    return f"answers, but not as an agent worker does ({said[:80]!r}); name the port that the worker's log says"


async def _takes_connections(url: str, seconds: float) -> bool:
    """Does its port take connections, although nobody speaks?"""
    address = parse(url)
    found = await addresses(address.host, address.port, seconds)
    return isinstance(found, Found) and isinstance(
        await connect(found.values["addresses"], address.port, seconds), Found
    )


async def _is_server(url: str, seconds: float) -> bool:
    import aiohttp  # noqa: PLC0415

    async with aiohttp.ClientSession() as session:
        answer = await Knocker(session, time.time, seconds).get(f"{url}/rtc/validate", {})
    return answer.status == 401 and answer.trouble in {"grant", "token"}


def add(found: WorkerEndpoint, gathered: Gathered, unusable: str = "") -> None:
    """Put a reading into `gathered`, with a note on its source."""
    place = Place(found.url)
    gathered.notes.append(SourceNote(found.url, KIND, first_at=found.at, last_at=found.at, unusable=unusable))
    gathered.add(msgspec.structs.replace(found, place=place))
