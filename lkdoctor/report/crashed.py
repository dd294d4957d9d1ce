"""The report of a run in which lkdoctor itself failed: valid in every format, and red."""

from __future__ import annotations

import time

from lkdoctor.dispatch.model import Stories
from lkdoctor.doctor import engine
from lkdoctor.report.build import RunFacts, Settings, build
from lkdoctor.report.json_v1 import Report


def crashed(error: BaseException, started_at: float, settings: Settings) -> Report:
    """A valid report that says only that lkdoctor itself failed; `started_at` in seconds since the epoch."""
    finding = engine.own_failure(error)
    diagnosis = engine.Diagnosis((finding,), (), (), ())
    run = RunFacts(started_at, time.time() - started_at, errors=(finding.message,))
    return build(Stories(), diagnosis, resolve=lambda _: {}, run=run, settings=settings)
