"""The recorded cases as reports, each made once: what tests of reports, redaction and the command line share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lkdoctor.cli import pipeline
from lkdoctor.report.json_v1 import Report

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
CASES = sorted(path.parent for path in FIXTURES.glob("*/scenario.toml"))


@cache
def report_of(case: Path) -> Report:
    """The report of a case's folder."""
    wish = pipeline.Wish((str(case),), quiet=True, jobs=1)
    return pipeline.report(pipeline.collect(wish), wish)


def case(name: str) -> Path:
    """The folder of one recorded case.

    Raises:
        LookupError: there is none of this name.
    """
    found = FIXTURES / name
    if found not in CASES:
        raise LookupError(f"no recorded case {name}")
    return found
