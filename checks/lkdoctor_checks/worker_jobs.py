"""What became of the job in its worker: did it crash, did no process take it, did it never connect?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lkdoctor.dispatch.worker_model import Failing, WorkerJob, WorkerRun
from lkdoctor.doctor.codes import JOB_CRASHED, NEVER_CONNECTED, PROCESS_START_TIMEOUT
from lkdoctor.doctor.evidence import WorkerRuns
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks import _worker_words as told

_SIGNALS = {
    "-4": "an illegal instruction (SIGILL)",
    "-6": "aborted by native code (SIGABRT)",
    "-7": "a bus error in native code (SIGBUS)",
    "-8": "an arithmetic fault in native code (SIGFPE)",
    "-9": "killed from outside (out of memory, most often)",
    "-11": "a crash of native code (SIGSEGV)",
    "-15": "told to end from outside (SIGTERM)",
}
_NATIVE = frozenset({"-4", "-6", "-7", "-8", "-11"})
_KEY = re.compile(r"\b[A-Z][A-Z0-9_]*(?:_API_KEY|_API_SECRET|_TOKEN)\b")


@check(JOB_CRASHED)
def job_crashed(runs: WorkerRuns) -> Iterator[Finding | Inconclusive]:
    """The job crashed in its worker: an exception, a process that died, or one that its worker killed.

    ## What it means
    Dispatching worked. The worker took the job and its code failed. The server does not know: Python reports success
    all the same, Node reports nothing, and ListDispatch goes on saying that the job runs.

    ## How it is decided
    By the worker's own log. Python: `unhandled exception while running the job task` with its traceback, `process
    exited with non-zero exit code`, `process exceeded memory limit, killing it`. Node: `error in entry function`, `job
    process exited unexpectedly`. Seen with livekit-agents 0.12.21, 1.2.18, 1.3.12, 1.5.17 and 1.8.9 and with
    @livekit/agents 1.9.0; a Node worker of 1.0.25 to 1.0.51 logs a crash at debug level only.

    ## How to fix
    Mend what the exception names; it stands in the proof with the line of the program. A negative exit code is the signal
    that ended the process: -9 the system's own killer (out of memory), -11 and -4 a crash of native code, which leaves no
    traceback. Then dispatch again: nothing is retried.

    ## When it is not a problem
    ERROR lines of the logger `livekit` about data channels that closed are the normal end of a room. A process that ends
    because its worker is being stopped did not crash.
    """
    for name, group in told.by_name(job for job in runs.jobs() if job.crashed).items():
        first, last = told.when(group)
        causes = list(dict.fromkeys(_cause(one) for one in group))
        before = sum(not one.came and not one.linked for one in group)
        yield Finding(
            JOB_CRASHED,
            Subject("agent", agent_name=name),
            f"The job of {words.quoted(name)} crashed ({told.hit(group)}): {words.listed(causes, 2)}."
            + (" No agent is known to have come into the room." if before == len(group) else "")
            + " The server is not told: its job list goes on saying that it runs, or that it succeeded.",
            JOB_CRASHED.severity,
            Confidence.HIGH,
            {
                "agent_name": name,
                "job_ids": [one.job_id for one in group][:20],
                "rooms": sorted({one.room for one in group if one.room})[:20],
                "causes": causes[:10],
                "sdk": sorted({one.run.sdk_words for one in group if one.run.sdk_words}),
            },
            told.proof_of(group),
            _mend(group),
            folds=told.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _cause(job: WorkerJob) -> str:
    if job.memory_kill:
        return "its worker killed it because it used more memory than job_memory_limit_mb"
    if job.crashed_at is not None or job.error:
        return f"{job.error or 'an exception'}{f' at {job.where}' if job.where else ''}"
    why = _SIGNALS.get(job.exit_code.removeprefix("exit code "), "")
    return f"its process ended with {job.exit_code or 'an error'}{f', {why}' if why else ''}"


def _mend(group: Sequence[WorkerJob]) -> tuple[Fix, ...]:
    keys = list(dict.fromkeys(key for one in group for key in _KEY.findall(one.error)))
    verify = ("The next job shows no `unhandled exception` and no non-zero exit code in the worker's log.",)
    if any(one.memory_kill or "-9" in one.exit_code for one in group):
        return (
            Fix(
                "Give the job the memory that it needs, or make it need less",
                steps=(
                    "Watch one job's memory from its start; growth that never ends is a leak in the program.",
                    "Raise `job_memory_limit_mb` (and the container's own limit above it), or load models once, in prewarm.",
                ),
                verify=verify,
            ),
        )
    if keys:
        return (
            Fix(
                f"Set {words.listed(keys)} where the worker runs",
                steps=(
                    "In the environment of the worker's own process or container, not only in the shell of a developer.",
                    "Restart the worker, and dispatch again for the rooms that still wait.",
                ),
                verify=verify,
            ),
        )
    where = next((one.where for one in group if one.where), "")
    native = [one for one in group if one.exit_code.removeprefix("exit code ") in _NATIVE and not one.error]
    if len(native) == len(group):
        return (
            Fix(
                "Find the native code that crashes",
                steps=(
                    (
                        "There is no traceback: run the worker with `python -X faulthandler`, and dispatch again. The "
                        "last lines before the end then name the call."
                    ),
                    (
                        "An illegal instruction (-4): a package was built for a newer processor, or for another one than "
                        "the image's; install the one that fits, or build it there."
                    ),
                    "Update the packages with native parts (livekit, onnxruntime, torch, numpy), one at a time.",
                ),
                verify=verify,
            ),
        )
    return (
        Fix(
            "Mend the exception",
            steps=(
                f"Start at {where}." if where else "Start at the traceback in the worker's log.",
                "Dispatch again for the rooms that still wait; nothing is retried.",
            ),
            verify=verify,
        ),
    )


@check(PROCESS_START_TIMEOUT)
def process_start_timeout(runs: WorkerRuns) -> Iterator[Finding | Inconclusive]:
    """The worker could not start the processes that its jobs run in.

    ## What it means
    Every job runs in a process of its own, which first runs `prewarm`. Where prewarm raises or takes too long (10 s
    unless set), no process becomes ready. Newer Python workers and all Node workers register all the same and accept
    jobs that they cannot run; livekit-agents 1.0.13 to 1.4.0 never registers.

    ## How it is decided
    By the worker's own log: Python's `error initializing process` with a TimeoutError or with prewarm's exception,
    `failed to acquire process for job after 3 attempts`; Node's `supervised process run failed`. It counts when a job
    found no process, or when failures go on and none became ready afterwards. Seen with livekit-agents 1.8.9 and
    @livekit/agents 1.9.0.

    ## How to fix
    Run prewarm by itself and see what it does: a model that is downloaded at every start, a missing file, a slow import.
    Download models when the image is built (`download-files`). If it simply needs longer, raise
    `initialize_process_timeout` (Node: `initializeProcessTimeout`).

    ## When it is not a problem
    `no warmed process available for job, waiting for one to be created` is normal in dev mode, where none is kept ready.
    One slow start among many that work is not reported.
    """
    for run in runs:
        failing = run.failing
        hit = [one for one in run.jobs if one.no_process or (failing is not None and _starved(one, failing, run))]
        if failing is None and not hit:
            continue
        lasting = failing is not None and failing.count >= 2 and _unrecovered(run, failing)
        if not hit and not lasting:
            continue
        error = failing.error if failing is not None else hit[0].no_process
        timeout = "Timeout" in error or "timed out" in error
        why = "took too long" if timeout else f"failed: {error}" if error else "failed"
        times = (failing.first_at, failing.last_at) if failing is not None and run.dated else told.when(hit)
        yield Finding(
            PROCESS_START_TIMEOUT,
            Subject("agent", agent_name=run.told_name),
            f"No process of the {told.worker(run)} became ready: its start {why}"
            + (f" ({words.counted(failing.count, 'time')})" if failing is not None else "")
            + (f". It was asked for jobs all the same ({told.hit(hit)}), which nothing ran." if hit else "."),
            PROCESS_START_TIMEOUT.severity,
            Confidence.HIGH if hit else Confidence.MEDIUM,
            {
                "agent_name": run.name,
                "failures": failing.count if failing is not None else len(hit),
                "error": error,
                "where": failing.where if failing is not None else "",
                "job_ids": [one.job_id for one in hit][:20],
                "sdk": run.sdk_words,
            },
            words.spread([*(failing.proof if failing is not None else ()), *told.proof_of(hit)]),
            (
                Fix(
                    "Make prewarm quick and safe",
                    steps=(
                        "Call the prewarm function alone, in the worker's own environment, and time it.",
                        "Download models when the image is built, not at each start (`python agent.py download-files`).",
                        (
                            "If it needs longer on this machine: `initialize_process_timeout=60` (Node: "
                            "`initializeProcessTimeout: 60_000`)."
                        ),
                    ),
                    verify=("The worker's log says `process initialized`, and a new dispatch brings the agent.",),
                ),
            ),
            folds=told.folds_of(hit),
            count=max(1, len(hit)),
            first_at=times[0],
            last_at=times[1],
        )


def _unrecovered(run: WorkerRun, failing: Failing) -> bool:
    return run.ready_at is None or failing.last_at is None or run.ready_at < failing.last_at


def _starved(job: WorkerJob, failing: Failing, run: WorkerRun) -> bool:
    """Was this job asked for while no process became ready, and was it never seen to run?"""
    if job.ran or job.came or job.asked_at is None or failing.first_at is None or failing.last_at is None:
        return False
    if job.came is None and job.known and not job.no_process:
        return False  # the server's word on it is still open
    return failing.count >= 2 and failing.first_at <= job.asked_at and _unrecovered(run, failing)


@check(NEVER_CONNECTED)
def never_connected(runs: WorkerRuns) -> Iterator[Finding | Inconclusive]:
    """The job ran in its worker, and never connected to its room.

    ## What it means
    The entrypoint was called and returned, or waits for something, without `ctx.connect()` and without a session that
    connects. The server goes on believing in the job, and nobody comes.

    ## How it is decided
    By the worker's own log: `The job task completed without establishing a connection …` (Python), or `The room
    connection was not established within 10 seconds …` (Node: `room not connect after job_entry was called after 10
    seconds`) for a job whose agent the server's log or API did not see either. Seen with livekit-agents 1.8.9 and
    @livekit/agents 1.9.0.

    ## How to fix
    Call `await ctx.connect()` at the start of the entrypoint, before anything that waits. Look for an early `return`.

    ## When it is not a problem
    An agent that connects after twelve seconds gets the same warning and is there two seconds later; without the server's
    side that cannot be told apart, and the question stays open. A job that only works in the background never connects
    on purpose; it should call `ctx.shutdown()`.
    """
    silent = [
        one
        for one in runs.jobs()
        if (one.not_connected_at is not None or one.returned_at is not None)
        and not one.crashed
        and not one.linked
        and one.came is not True
        and one.reason != "room disconnected"
    ]
    sure = [one for one in silent if one.returned_at is not None or one.came is False]
    for name, group in told.by_name(sure).items():
        first, last = told.when(group)
        returned = sum(one.returned_at is not None for one in group)
        how = "returned without connecting" if returned == len(group) else "did not connect within 10 s, nor afterwards"
        yield Finding(
            NEVER_CONNECTED,
            Subject("agent", agent_name=name),
            f"The entrypoint of {words.quoted(name)} {how} ({told.hit(group)}), so no agent came.",
            NEVER_CONNECTED.severity,
            Confidence.HIGH,
            {
                "agent_name": name,
                "job_ids": [one.job_id for one in group][:20],
                "returned": returned,
                "sdk": sorted({one.run.sdk_words for one in group if one.run.sdk_words}),
            },
            told.proof_of(group),
            (
                Fix(
                    "Connect first",
                    steps=(
                        "Python: `await ctx.connect()` as the first line of the entrypoint. Node: `await ctx.connect()`.",
                        "Look for a `return` or an endless wait in front of it.",
                    ),
                    verify=("The server logs `starting RTC session` of the agent within a second of the assignment.",),
                ),
            ),
            folds=told.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )
    for one in silent:
        if one not in sure:
            yield Inconclusive(
                Subject("dispatch", room=one.room, agent_name=one.name),
                f"Whether job {one.job_id} connected later than 10 s after its start.",
                "The server's log of the next 30 s shows it.",
                tuple(one.proof[-1:]),
            )
