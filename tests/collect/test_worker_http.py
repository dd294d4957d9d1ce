"""A worker's HTTP endpoint is read in every version's form, and what is no worker is told from one, with what to do."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lkdoctor.collect import worker_http
from lkdoctor.collect.address import AddressError
from lkdoctor.collect.fact_files import read_facts, write_facts
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.kinds import BY_NAME
from lkdoctor.collect.machine import endpoints
from lkdoctor.collect.machine.endpoints import Address
from lkdoctor.collect.worker_http import Endpoints, read_endpoint, why_none, worker_url
from lkdoctor.dispatch.worker_http import SILENT, WorkerEndpoint

#: What `/worker` of each version printed.
PAGES = {
    "1.2.18": '{"agent_name": "inbound-agent", "worker_type": "JT_ROOM", "active_jobs": 0, "sdk_version": "1.2.18", "project_type": "python"}',
    "1.3.12": '{"agent_name": "inbound-agent", "worker_type": "JT_ROOM", "worker_load": 0.25, "active_jobs": 2, "sdk_version": "1.3.12", "project_type": "python"}',
    "1.5.17": '{\n  "worker_type": "JT_ROOM",\n  "agent_name": "inbound-agent",\n  "sdk_version": "1.5.17",\n  "protocol_version": 1\n}',
    "1.9.0": '{"agent_name":"inbound-agent","agent_name_is_env":false,"deployment":"","worker_type":"JT_ROOM","active_jobs":0,"sdk_version":"1.9.0","project_type":"nodejs","protocol_version":1}',
}
METRICS = """# HELP lk_agents_active_job_count Active jobs
# TYPE lk_agents_active_job_count gauge
lk_agents_active_job_count{nodename="host-a"} 2.0
lk_agents_worker_load{nodename="host-a"} 0.31
python_info{version="3.11.7"} 1.0
"""


@asynccontextmanager
async def answering(pages: Mapping[str, web.Response], tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server on loopback that answers so; its URL."""

    async def answer(request: web.Request) -> web.Response:
        found = pages.get(request.path)
        if found is None:
            return web.Response(status=404, text="404: Not Found")
        return web.Response(
            status=found.status, body=found.body, headers={"Location": found.headers.get("Location", "")}
        )

    runner = web.AppRunner(app := web.Application())
    app.router.add_get("/{path:.*}", answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def read(pages: Mapping[str, web.Response], seconds: float = 5.0) -> tuple[WorkerEndpoint, str]:
    """The reading of an endpoint that answers so, and why it is none."""

    async def run() -> tuple[WorkerEndpoint, str]:
        async with answering(pages) as url:
            found = await read_endpoint(url, seconds=seconds)
            return found, await why_none(found, seconds)

    return asyncio.run(run())


def text(words: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=words)


@pytest.mark.parametrize("version", PAGES)
def test_each_version_tells_its_name_jobs_and_load(version: str) -> None:
    found, why = read({"/": text("OK"), "/worker": text(PAGES[version])})
    assert (found.worker, found.status, found.said, why) == (True, 200, "OK", "")
    assert (found.agent_name, found.job_type, found.version) == ("inbound-agent", "JT_ROOM", version)
    assert found.sdk == ("node" if version == "1.9.0" else "python")
    assert found.active_jobs == (2 if version == "1.3.12" else 0)
    # What a version leaves out because it is zero is zero; what it never tells is not known.
    assert found.load == {"1.3.12": 0.25, "1.5.17": 0.0}.get(version)
    assert found.deployment == ("" if version == "1.9.0" else None)


def test_before_there_was_a_page_only_health_is_known() -> None:
    found, why = read({"/": text("OK")})
    assert (found.worker, found.sdk, found.version, found.agent_name, why) == (True, "python", "", None, "")


def test_metrics_alone_tell_jobs_and_load() -> None:
    found, why = read({"/metrics": text(METRICS)})
    assert (found.worker, found.metrics, found.status, found.healthy, why) == (True, True, None, None, "")
    assert (found.active_jobs, found.load) == (2, 0.31)


def test_a_load_that_is_no_number_is_kept_as_such() -> None:
    page = PAGES["1.3.12"].replace("0.25", "NaN")
    sparse = PAGES["1.5.17"].replace('"protocol_version"', '"worker_load": "NaN", "protocol_version"')
    for one in (page, sparse):
        found, _ = read({"/": text("OK"), "/worker": text(one)})
        assert found.load is None
        assert found.load_not_a_number
    found, _ = read({"/": text("OK"), "/worker": text(PAGES["1.3.12"].replace("0.25", "1e999"))})
    assert found.load is None or math.isfinite(found.load)


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ({"/": text("<html><title>Welcome to nginx!</title></html>")}, "Welcome to nginx!"),
        ({"/": text("OK"), "/worker": text('{"sdk_version": 3}')}, "not as an agent worker"),
        ({"/": text("OK"), "/worker": text("[" * 100_000)}, "not as an agent worker"),
        ({"/": text("<html>502 Bad Gateway</html>", 503)}, "not as an agent worker"),
        ({"/": web.Response(status=301, headers={"Location": "https://example.com/"})}, "redirects"),
        ({"/": text("OK"), "/worker": text("x"), "/rtc/validate": text("no permissions to access the room", 401)}, "--url"),
        ({"/": text("Client sent an HTTP request to an HTTPS server.", 400)}, "https://"),
    ],
)  # fmt: skip
def test_what_is_no_worker_is_told_from_one(pages: Mapping[str, web.Response], why: str) -> None:
    found, words = read(pages)
    assert not found.worker
    assert why in words


def test_nothing_there_and_nobody_speaking(tmp_path: Path) -> None:
    async def run() -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        silent = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        found = await read_endpoint(f"http://127.0.0.1:{port}", seconds=0.3)
        assert (found.trouble, found.worker, await why_none(found)) == (SILENT, False, "")
        silent.close()
        found = await read_endpoint(f"http://127.0.0.1:{port}", seconds=2)
        assert found.trouble == "refused"
        assert "nothing listens" in await why_none(found)
        rude = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
        found = await read_endpoint(f"http://127.0.0.1:{rude.sockets[0].getsockname()[1]}", seconds=2)
        assert "closed without an answer" in await why_none(found)
        found = await read_endpoint(f"https://127.0.0.1:{rude.sockets[0].getsockname()[1]}", seconds=2)
        assert await why_none(found)
        rude.close()

    asyncio.run(run())


def test_https_where_plain_http_is_spoken() -> None:
    async def run() -> str:
        async with answering({"/": text("OK")}) as url:
            return await why_none(await read_endpoint(url.replace("http:", "https:")))

    assert "write http://" in asyncio.run(run())


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("8081", "http://127.0.0.1:8081"),
        ("worker:8081", "http://worker:8081"),
        ("http://worker:8081/worker", "http://worker:8081"),
        ("https://agents.example.com/eu/metrics", "https://agents.example.com/eu"),
        (" 'http://[::1]:8081/' ", "http://[::1]:8081"),
    ],
)
def test_addresses_as_people_write_them(written: str, url: str) -> None:
    assert worker_url(written) == url


@pytest.mark.parametrize("written", ["", "ws://localhost:7880", "http://", "99999", "ftp://host", "http://a b"])
def test_what_can_be_no_address_is_refused_with_what_one_looks_like(written: str) -> None:
    with pytest.raises(AddressError, match="8081"):
        worker_url(written)


def test_secrets_in_addresses_and_answers_are_kept_out() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
    assert "hunter22" not in worker_url("http://admin:hunter22@worker:8081")
    found, _ = read({"/": text(token, 503), "/worker": text(PAGES["1.9.0"].replace("inbound-agent", token))})
    assert token not in repr(found)


def test_readings_are_kept_in_a_case_and_read_again() -> None:
    async def run() -> Gathered:
        gathered = Gathered()
        async with answering({"/": text("OK"), "/worker": text(PAGES["1.9.0"])}) as url:
            await Endpoints([url, url, "http://127.0.0.1:1"]).collect(gathered, lambda _: None)
        return gathered

    gathered = asyncio.run(run())
    assert sorted(bool(note.unusable) for note in gathered.notes) == [False, True]
    lines = list(write_facts(gathered, BY_NAME["worker_http"]))
    again = Gathered()
    read_facts(lines, "worker-http.jsonl", again, BY_NAME["worker_http"])
    assert [one.told() for one in again.facts[WorkerEndpoint]] == [one.told() for one in gathered.facts[WorkerEndpoint]]


@pytest.mark.parametrize("jobs", ["9" * 400, "1e300", "-1", "NaN", "9" * 5000, "true"])
def test_a_count_that_is_none_is_not_known(jobs: str) -> None:
    page = PAGES["1.3.12"].replace('"active_jobs": 2', f'"active_jobs": {jobs}')
    found, _ = read({"/": text("OK"), "/worker": text(page)})
    assert found.active_jobs is None
    found, why = read({"/metrics": text(f"lk_agents_active_job_count {jobs}\nlk_agents_worker_load NaN\n")})
    assert (found.worker, found.active_jobs, found.load, found.load_not_a_number, why) == (True, None, None, True, "")


@pytest.mark.parametrize("status", [200, 401, 503])
def test_deep_brackets_are_read_as_any_other_words(status: int) -> None:
    deep = text("[" * 100_000, status)
    found, why = read({"/": deep, "/worker": deep, "/metrics": deep, "/rtc/validate": deep})
    assert (found.worker, "not as an agent worker" in why) == (False, True)


@pytest.mark.parametrize("way", ["named", "found"])
def test_an_answer_that_cannot_be_read_costs_only_itself(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One endpoint fails in a way that nobody foresaw; the other's reading is kept, and the failure is told."""

    async def run() -> Gathered:
        gathered = Gathered()
        async with answering({"/": text("OK"), "/worker": text(PAGES["1.9.0"])}) as good:
            bad = good.replace("127.0.0.1", "localhost")
            if way == "named":
                await Endpoints([bad, good]).collect(gathered, lambda _: None)
            else:
                await endpoints.read([Address("process 1", (bad,)), Address("process 2", (good,))], gathered, 5.0)
        return gathered

    async def fails(url: str, **more: Any) -> WorkerEndpoint:
        if "localhost" in url:
            raise OverflowError("int too large to convert to float")
        return await read_endpoint(url, **more)

    monkeypatch.setattr(worker_http, "read_endpoint", fails)
    gathered = asyncio.run(run())
    assert len(gathered.facts[WorkerEndpoint]) == 1
    (note,) = (one for one in gathered.notes if "localhost" in one.name)
    assert "failed with OverflowError: int too large" in " ".join([note.unusable, *note.notes])
