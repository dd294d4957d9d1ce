"""What do the workers' own HTTP endpoints say: are they well, under which name do they serve, in which version?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.model import Coverage, Dispatch, Outcome
from lkdoctor.dispatch.versions import oldest_first
from lkdoctor.dispatch.worker_http import SILENT, UNHEALTHY, WorkerEndpoint
from lkdoctor.doctor.codes import (
    DUPLICATE_AGENT_NAME,
    NAME_NEAR_MISS,
    VERSION_SPLIT,
    WORKER_ELSEWHERE,
    WORKER_UNHEALTHY,
)
from lkdoctor.doctor.evidence import Dispatches, Evidence, Facts, ServerRuns, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _endpoints as ends
from lkdoctor_checks import _words as words
from lkdoctor_checks.elsewhere import NOBODY, same_server, whole
from lkdoctor_checks.near_miss import nearest, one_spelling

FRESH = 60.0  # s between the end of the server's log and a reading
RECENT = 900.0  # s: a dispatch before a reading that may well have met the same state
MISSED = (Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE, Outcome.NOT_ASSIGNED)


@check(WORKER_UNHEALTHY)
def worker_unhealthy(endpoints: Facts[WorkerEndpoint], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The worker's own health endpoint answers 503, or does not answer at all.

    ## What it means
    `GET /` of a worker says whether it can take jobs. 503 has three reasons, told in its text: `failed to connect to
    livekit` (Python, from 1.3.1 on: all tries are used up, and until 1.6.4 it stays up and never tries again), `not
    connected to livekit` (Node: no connection at this moment) and `inference process not running`. A port that takes
    connections and says nothing belongs to a program that hangs or was stopped: its event loop does not run, so it
    answers the server no more than you.

    ## How it is decided
    By the answer. A 503 is looked at again for 6 s, so that a reconnect is not reported. Seen: 503 of livekit-agents
    1.3.12 and 1.5.17 after their last try, 503 of @livekit/agents 1.9.0 without a server, silence of a stopped process.

    ## How to fix
    No connection: see LKD211 and the worker's own log; mend LIVEKIT_URL, key or network, and restart a Python worker of
    1.3.1 to 1.6.4. Silence: look for blocking calls (`time.sleep`, synchronous HTTP) in the worker's process.

    ## When it is not a problem
    200 is not proof of the opposite: a Python worker says `OK` also while it tries to connect, and a worker that drains
    says it to its end. A Node worker that starts or reconnects says 503 for a moment. What answers and is no worker
    (a proxy's 503 page) is not judged.
    """
    for one in endpoints:
        if one.trouble == SILENT:
            yield _silent(one)
        elif one.worker and one.status is not None and one.status != 200 and one.said in UNHEALTHY:
            yield _unwell(one, evidence)


def _unwell(one: WorkerEndpoint, evidence: Evidence) -> Finding:
    why = UNHEALTHY[one.said]
    missed = [
        dispatch
        for dispatch in evidence.dispatches.ended(*MISSED)
        if one.agent_name is not None
        and dispatch.agent_name == one.agent_name
        and 0 <= one.at - (words.asked(dispatch) or 0.0) <= RECENT
        and not evidence.workers.named(one.name)
    ]
    lasting = f" It said so for {words.span(one.unwell_seconds)}." if one.unwell_seconds >= 1 else ""
    return Finding(
        WORKER_UNHEALTHY,
        _subject(one),
        f"The {ends.worker(one)} at {one.url} answers {one.status} `{one.said}`: {why}, so it gets no job.{lasting}",
        WORKER_UNHEALTHY.severity,
        Confidence.HIGH,
        {"url": one.url, "status": one.status, "said": one.said, "agent_name": one.agent_name, "sdk": one.sdk_words},
        (one.place,),
        (
            Fix(
                "Let it connect",
                steps=(
                    "Read the worker's log: `failed to connect to livekit` says to which URL, and why (LKD211).",
                    "Compare its LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET with the server's.",
                    *(
                        (
                            "Restart it: this version does not try again by itself, and it does not exit for its supervisor.",
                        )
                        if one.said.startswith("failed to connect")
                        else ()
                    ),
                ),
                verify=(f"`curl -i {one.url}/` answers 200, and the worker's log says `registered worker`.",),
            )
            if "connect" in one.said
            else Fix(
                "Restart the worker",
                steps=(
                    "Its inference process (turn detection and the like) has ended: look for its last words in the log.",
                    "A process that is killed for memory needs more of it, or fewer models.",
                ),
                verify=(f"`curl -i {one.url}/` answers 200.",),
            ),
        ),
        folds=words.folds_of(missed),
        first_at=one.at - one.unwell_seconds,
        last_at=one.at,
    )


def _silent(one: WorkerEndpoint) -> Finding:
    who = f"What listens at {one.url}" + (f" ({one.found_in})" if one.found_in else "")
    return Finding(
        WORKER_UNHEALTHY,
        _subject(one),
        f"{who} takes connections and answers nothing in {words.span(one.seconds or 0.0)}: if it is the worker, its "
        "program hangs or was stopped, and it answers the server's requests no more than this one.",
        WORKER_UNHEALTHY.severity,
        Confidence.MEDIUM,
        {"url": one.url, "status": None, "said": "", "agent_name": one.agent_name, "sdk": one.sdk_words},
        (one.place,),
        (
            Fix(
                "Find what blocks the worker's process",
                steps=(
                    "`py-spy dump --pid PID` shows where a Python process stands; `ps -o stat PID` shows T for a stopped one.",
                    "Calls that block (time.sleep, requests, synchronous drivers) belong into a thread or into the job.",
                ),
                verify=(f"`curl -i {one.url}/` answers within a second.",),
            ),
        ),
        first_at=one.at,
        last_at=one.at,
    )


def _subject(one: WorkerEndpoint) -> Subject:
    return Subject("worker", agent_name=one.agent_name, id=one.url)


@check(NAME_NEAR_MISS)
def name_near_miss_here(
    endpoints: Facts[WorkerEndpoint], dispatches: Dispatches, evidence: Evidence
) -> Iterator[Finding | Inconclusive]:
    """A worker's endpoint tells the name that it really serves, and the dispatch asks for one that is spelt differently.

    The API shows no worker, so without the endpoint it cannot be told from any other dispatch without a job.
    """
    served = {one.agent_name: one for one in endpoints if one.worker and one.agent_name}
    registered = set(evidence.workers.names())
    missed = (one for one in dispatches.ended(Outcome.NOT_ASSIGNED) if words.wanted(one))
    for name, group in words.by_name(missed).items():
        if name in served or name in registered:
            continue
        near = nearest(name, sorted(set(served) - registered))  # a registered one is the server log's business
        if near is None:
            continue
        other, how = near
        first, last = words.when(group)
        yield Finding(
            NAME_NEAR_MISS,
            Subject("agent", agent_name=name),
            f'The dispatch asks for "{name}", and the worker at {served[other].url} serves "{other}"; the server compares '
            f"names exactly ({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}).",
            NAME_NEAR_MISS.severity,
            min(words.sure(group), Confidence.HIGH if how == "spelling" else Confidence.MEDIUM),
            {"asked": name, "registered": other, "difference": how, "rooms": sorted({one.room for one in group})[:20]},
            (*words.proof_of(group), served[other].place),
            (one_spelling(name, other, present=True), words.ask_again(_renamed(group, other))),
            folds=(*words.folds_of(group), Subject("agent", agent_name=other)),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _renamed(group: list[Dispatch], other: str) -> list[Dispatch]:
    last = group[-1]
    return [Dispatch(last.room, last.room_id, other, last.origin, last.asked_at)]


@check(DUPLICATE_AGENT_NAME)
def one_name_many_endpoints(endpoints: Facts[WorkerEndpoint], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """Several workers answer under one agent name, by their own endpoints: each job goes to one of them.

    Two addresses may lead to one worker (a published port and the container's own), so nothing is a fault here. Where a
    server's log shows the registrations, that counts instead.
    """
    for name, group in ends.pools(endpoints).items():
        if len(evidence.workers.named(name)) > 1:
            continue
        yield Finding(
            DUPLICATE_AGENT_NAME,
            Subject("agent", agent_name=name),
            f"{len(group)} endpoints answer under the agent name {words.quoted(name)}, so each job goes to one of their "
            f"workers: {words.listed(ends.described(one) for one in group)}. Fine if scale-out is meant.",
            Severity.INFO,
            Confidence.MEDIUM,
            {"agent_name": name, "workers": [{"url": one.url, "sdk": one.sdk_words} for one in group[:20]]},
            words.spread(one.place for one in group),
            (
                Fix(
                    "If the pool is not meant, give each worker its own name or stop the other one",
                    steps=(
                        (
                            "Give yours a name of its own where it starts, and dispatch that: in the code, or by LIVEKIT_AGENT_NAME_OVERRIDE "
                            "(livekit-agents from 1.6.0, @livekit/agents from 1.4.11 on)."
                        ),
                        "Or stop the one that should not run.",
                    ),
                    verify=("`/worker` of each shows a name of its own.",),
                ),
            ),
        )


@check(VERSION_SPLIT)
def versions_of_endpoints(endpoints: Facts[WorkerEndpoint], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The endpoints of one agent name run different SDK versions: two builds answer for one name, and chance decides."""
    for name, group in ends.pools(endpoints).items():
        versions = oldest_first(one.sdk_words for one in group if one.version)
        if len(versions) < 2 or len(evidence.workers.named(name)) > 1:
            continue
        yield Finding(
            VERSION_SPLIT,
            Subject("agent", agent_name=name),
            f"Workers of {words.quoted(name)} run different SDK versions at the same time: "
            f"{words.listed(f'{one.url} {one.sdk_words}' for one in group if one.version)}.",
            VERSION_SPLIT.severity,
            Confidence.HIGH,
            {"agent_name": name, "sdk_versions": versions, "workers": [one.url for one in group[:20]]},
            words.spread(one.place for one in group),
            (
                Fix(
                    "Leave one version running",
                    steps=("Stop the older one with SIGTERM: it finishes its jobs. In the middle of a deploy, wait.",),
                    verify=("`/worker` of every worker of the name shows one sdk_version.",),
                ),
            ),
        )


@check(WORKER_ELSEWHERE)
def lives_elsewhere(
    endpoints: Facts[WorkerEndpoint], dispatches: Dispatches, workers: Workers, runs: ServerRuns, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """A worker of the name says that it is connected, and this server has never seen the name."""
    end = words.end_of(runs)
    if not whole(coverage) or end is None or not any(run.start_seen for run in runs):
        return
    for name, group in words.by_name(one for one in dispatches.ended(*NOBODY) if words.wanted(one)).items():
        here = [one for one in ends.named(endpoints, name) if one.healthy and abs(one.at - end) <= FRESH]
        if not here or workers.named(name):
            continue
        first, last = words.when(group)
        connected = any(one.sdk == "node" for one in here)
        yield Finding(
            WORKER_ELSEWHERE,
            Subject("agent", agent_name=name),
            f"The {ends.worker(here[0])} at {here[0].url} "
            + (
                "is connected to a LiveKit server, and it is not this one: "
                if connected
                else "runs, but not with this server (it is connected to another one, or still tries): "
            )
            + f"here the name was never registered ({words.counted(len(group), 'dispatch', 'dispatches')}, "
            f"{words.rooms_of(group)}).",
            WORKER_ELSEWHERE.severity,
            Confidence.HIGH if connected else Confidence.MEDIUM,
            {"agent_name": name, "worker_ids": [], "urls": [], "endpoints": [one.url for one in here]},
            (*words.spread(one.place for one in here), *words.proof_of(group, limit=3)),
            (same_server([]), words.ask_again(group)),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )
