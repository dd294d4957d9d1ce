"""Does the measured load lie between the server's limit and the worker's own threshold?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from lkdoctor.dispatch.load import LoadReading
from lkdoctor.dispatch.metering import default_threshold
from lkdoctor.doctor.codes import THRESHOLD_ABOVE_LIMIT
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Finding, Inconclusive, Severity
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _loads as loads


@check(THRESHOLD_ABOVE_LIMIT)
def threshold_above_measured(readings: Facts[LoadReading], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The measured load lies at or over the server's limit and under the worker's own threshold: it looks available to itself."""
    for group in loads.groups(readings):
        last = group[-1]
        limit, own = loads.limit(last, evidence), last.own_threshold
        if limit is None or limit.load is None or own is None or own <= limit.load or last.by == "function":
            continue
        between = [one for one in group if one.load is not None and limit.load <= one.load < own]
        if not between and last.threshold is None:
            continue  # a default that never mattered
        hit = loads.all_refused(between, evidence)
        shown = "never calls itself full (dev mode)" if math.isinf(own) else f"calls itself full at {own:g}"
        default = default_threshold(last.sdk, last.version, dev=last.dev)
        origin = "" if last.threshold is not None or default is None else ", the default of this version"
        now = (
            f" At load {between[-1].load:.2f}, as measured, it looks available and is refused."
            if between
            else " The measured load was below both."
        )
        yield loads.finding(
            THRESHOLD_ABOVE_LIMIT,
            between or group,
            f"{loads.who(last)} {shown}{'' if math.isinf(own) else origin}; the server refuses it from "
            f"{limit.words} on.{now}{loads.met(hit)}",
            loads.threshold_fixes([version] if (version := loads.version(last, evidence)) else []),
            hit=hit,
            severity=THRESHOLD_ABOVE_LIMIT.severity if between else Severity.INFO,
            threshold="infinite" if math.isinf(own) else own,
            limit=limit.load,
        )
