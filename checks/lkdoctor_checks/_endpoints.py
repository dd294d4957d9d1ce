"""What checks of workers' HTTP endpoints share: how a worker is called, which ones serve a name, and what they add."""

from __future__ import annotations

from collections.abc import Iterable

from lkdoctor.dispatch.worker_http import WorkerEndpoint
from lkdoctor_checks import _words as words


def worker(one: WorkerEndpoint) -> str:
    """The worker in words: its agent name where it tells it, and its SDK."""
    who = f' for "{one.agent_name}"' if one.agent_name else ""
    return f"worker{who}{f' ({one.sdk_words})' if one.version else ''}"


def described(one: WorkerEndpoint) -> str:
    """`http://127.0.0.1:8081 (livekit-agents 1.8.9, 2 active jobs, load 0.31)`."""
    told = [one.sdk_words] if one.version else []
    if one.active_jobs is not None:
        told.append(words.counted(one.active_jobs, "active job"))
    if one.load is not None:
        told.append(f"load {one.load:.2f}")
    more = ", ".join(told)
    return f"{one.url} ({more})" if more else one.url


def named(endpoints: Iterable[WorkerEndpoint], name: str) -> list[WorkerEndpoint]:
    """The workers that serve exactly this name, by their own word."""
    return [one for one in endpoints if one.worker and one.agent_name == name]


def pools(endpoints: Iterable[WorkerEndpoint]) -> dict[str, list[WorkerEndpoint]]:
    """Two or more healthy workers of one name, job type and deployment, by name; the unnamed ones are not told apart."""
    groups: dict[tuple[str, str, str | None], list[WorkerEndpoint]] = {}
    for one in endpoints:
        if one.worker and one.agent_name and one.healthy:
            groups.setdefault((one.agent_name, one.job_type, one.deployment or ""), []).append(one)
    return {key[0]: group for key, group in sorted(groups.items()) if len(group) > 1}


def now(endpoints: Iterable[WorkerEndpoint], name: str) -> str:
    """What the endpoints of this name said, as a sentence that stands behind another; empty without any."""
    here = named(endpoints, name)
    if not here:
        return ""
    told = words.listed((f"{described(one)} at {words.clock(one.at)}" for one in here), 2)
    who = "A worker of this name runs" if len(here) == 1 else "Workers of this name run"
    return f" {who}, by its own endpoint: {told}."
