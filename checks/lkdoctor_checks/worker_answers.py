"""Did the worker answer too late, by its own log alone?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.worker_model import WorkerJob
from lkdoctor.doctor.codes import ANSWER_TIMEOUT
from lkdoctor.doctor.evidence import WorkerRuns
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks import _worker_words as told


@check(ANSWER_TIMEOUT)
def answered_in_vain(runs: WorkerRuns) -> Iterator[Finding | Inconclusive]:
    """The worker accepted and waited 7.5 s for an assignment that never came (`assignment for job … timed out`), or its Node
    SDK sent no answer at all: the server had given up after 3 s. Where the server's log tells of the request, that counts."""
    vain = [one for one in runs.jobs() if not one.known and not one.ran and (_late(one) or _silent(one))]
    for name, group in told.by_name(vain).items():
        first, last = told.when(group)
        yield Finding(
            ANSWER_TIMEOUT,
            Subject("agent", agent_name=name),
            f"The worker for {words.quoted(name)} did not answer the server in time ({told.hit(group)}), so another one or "
            f"nobody got the job.{told.own_words(group)}",
            ANSWER_TIMEOUT.severity,
            # An assignment is also missing where the server died in that moment; no answer at all is sure.
            Confidence.HIGH if all(_silent(one) for one in group) else Confidence.MEDIUM,
            {"agent_name": name, "job_ids": [one.job_id for one in group][:20]},
            told.proof_of(group),
            (
                Fix(
                    "Answer first, work later",
                    steps=(
                        "Accept or reject at the start of the request function, before any await on another service.",
                        "Node: make sure that the request function always accepts or rejects.",
                    ),
                    verify=("No `assignment for job … timed out` follows the next `received job request`.",),
                ),
            ),
            folds=told.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _late(job: WorkerJob) -> bool:
    return job.timed_out_at is not None


def _silent(job: WorkerJob) -> bool:
    return job.no_answer and job.run.sdk == "node"
