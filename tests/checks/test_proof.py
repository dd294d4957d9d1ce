"""A finding rests on the lines that it quotes: without them it is gone or weaker."""

from __future__ import annotations

from pathlib import Path

import pytest

from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.facts import Event
from lkdoctor.dispatch.stories import join
from lkdoctor.doctor import engine
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Finding, Severity
from lkdoctor.doctor.loader import load
from tests.checks.test_grid import CASES, logs_of

UNHEALTHY = [case for case in CASES if "healthy = false" in (case / "scenario.toml").read_text("utf-8")]


def judged(events: list[Event], logs: ServerLogs) -> list[Finding]:
    stories = join(events)
    stories.sources = logs.notes
    diagnosis = engine.run(load().checks, Evidence.of(stories))
    return [*diagnosis.findings, *diagnosis.symptoms]


def strength(finding: Finding) -> tuple[int, int, int, int, str]:
    return finding.severity, finding.confidence, finding.count, len(finding.proof), finding.message


ROUNDS = 4  # one fact may be told by the worker's node, the room's node and the socket's end


@pytest.mark.parametrize("case", UNHEALTHY, ids=lambda case: case.name)
def test_without_its_proof_a_finding_is_gone_or_weaker(case: Path) -> None:
    logs = ServerLogs(logs_of(case), jobs=1)
    events = list(logs.events())
    for finding in judged(events, logs):
        if finding.severity < Severity.WARNING or not finding.proof:
            continue
        rest, quoted = events, finding
        for _ in range(ROUNDS):
            fewer = [one for one in rest if one.place not in quoted.proof]
            assert len(fewer) < len(rest), f"{quoted.code.id} quotes lines that no event stands for: {quoted.proof}"
            rest = fewer
            again = [one for one in judged(rest, logs) if one.fingerprint == finding.fingerprint]
            if not again or strength(again[0]) != strength(finding):
                break
            quoted = again[0]
        else:
            pytest.fail(f"{finding.code.id} does not need what it quotes")
