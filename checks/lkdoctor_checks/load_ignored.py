"""Did the SDK put the worker's own load function aside?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.doctor.codes import ZERO_LOAD
from lkdoctor.doctor.evidence import WorkerRuns
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(ZERO_LOAD)
def load_function_ignored(runs: WorkerRuns) -> Iterator[Finding | Inconclusive]:
    """The worker's log says that its load function, which may be the one that returns 0, is not used: LiveKit Cloud hosts it.

    The SDK decides that by the variable LIVEKIT_WORKER_TOKEN alone, whatever server it connects to.
    """
    for run in runs:
        if run.load_reverted is None:
            continue
        yield Finding(
            ZERO_LOAD,
            Subject("worker", agent_name=run.agent_name),
            f"The worker for {words.quoted(run.told_name)} ({run.sdk_words}) has a load function of its own, and the SDK does not use "
            "it: LIVEKIT_WORKER_TOKEN is set, as LiveKit Cloud sets it for agents that it hosts. The SDK measures instead.",
            Severity.INFO,
            Confidence.HIGH,
            {"agent_name": run.name, "sdk": run.sdk_words, "url": run.url},
            (run.load_reverted,),
            (
                Fix(
                    "On LiveKit Cloud: take the function out; elsewhere: take LIVEKIT_WORKER_TOKEN out of the environment",
                    steps=(
                        "Only the SDK's own load function counts there; on a server of your own the variable has no use.",
                    ),
                    verify=("The line `custom load_fnc is not supported …` no longer stands at the worker's start.",),
                ),
            ),
        )
