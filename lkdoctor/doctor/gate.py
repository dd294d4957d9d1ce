"""The verdict and the exit status, the same in every format."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Literal

from lkdoctor.dispatch.model import Dispatch, Outcome
from lkdoctor.doctor.codes import CHECK_CRASHED, PLUGIN_NOT_LOADED
from lkdoctor.doctor.finding import Confidence, Finding, Inconclusive, Severity

Verdict = Literal["healthy", "problems", "inconclusive"]

UNDECIDED = frozenset({Outcome.UNKNOWN, Outcome.NOT_ASSIGNED})
# lkdoctor's own failures are no fault of the system that is looked at: they have an exit status of their own.
OWN = frozenset({CHECK_CRASHED.id, PLUGIN_NOT_LOADED.id})


class Exit(enum.IntEnum):
    """What the process returns."""

    CLEAN = 0
    FINDINGS = 1
    USAGE = 2
    INCONCLUSIVE = 3
    OWN_ERROR = 4
    INTERRUPTED = 130


PRECEDENCE = (Exit.INTERRUPTED, Exit.USAGE, Exit.FINDINGS, Exit.OWN_ERROR, Exit.INCONCLUSIVE, Exit.CLEAN)


def counts(finding: Finding, fail_on: Severity = Severity.WARNING) -> bool:
    """True when this finding makes the verdict `problems`: bad enough, and sure enough."""
    if finding.code.id in OWN:
        return False
    return finding.severity >= fail_on and finding.confidence >= Confidence.MEDIUM


def verdict(
    findings: Iterable[Finding],
    dispatches: Iterable[Dispatch],
    fail_on: Severity = Severity.WARNING,
    *,
    questions: Iterable[Inconclusive] = (),
    hides_info: bool = False,
) -> Verdict:
    """The verdict of design: problems before inconclusive before healthy.

    An implicit (unnamed) dispatch that nobody asked for does not make a report inconclusive: on servers without unnamed
    workers every room has one, and it ends without a line.

    `questions`: what checks could not answer; one that weighs (a person is there without an agent) is no health.

    `hides_info`: the log's level hides most endings, so that its silence is not health.
    """
    if any(counts(one, fail_on) for one in findings):
        return "problems"
    if any(one.outcome in UNDECIDED and one.explicit for one in dispatches):
        return "inconclusive"
    if hides_info or any(one.weighs for one in questions):
        return "inconclusive"
    return "healthy"


def exit_status(
    judged: Verdict,
    *,
    own_error: bool = False,
    interrupted: bool = False,
    usage: bool = False,
    allow_inconclusive: bool = False,
    exit_zero: bool = False,
) -> Exit:
    """The exit status, by the fixed precedence when several hold.

    `exit_zero` turns a judgement (1, 3) into 0; it never hides a usage error, a failure of lkdoctor's or Ctrl-C.
    """
    held = {Exit.CLEAN}
    if interrupted:
        held.add(Exit.INTERRUPTED)
    if usage:
        held.add(Exit.USAGE)
    if own_error:
        held.add(Exit.OWN_ERROR)
    if judged == "problems" and not exit_zero:
        held.add(Exit.FINDINGS)
    if judged == "inconclusive" and not (allow_inconclusive or exit_zero):
        held.add(Exit.INCONCLUSIVE)
    return next(one for one in PRECEDENCE if one in held)
