"""The rules by version, against what the four real servers did (the numbers were measured on them)."""

from __future__ import annotations

import math

import pytest

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Outcome
from lkdoctor.dispatch.versions import oldest_first


@pytest.mark.parametrize(
    ("version", "accepted", "refused"),
    [("1.8.4", 0.649, 0.65), ("1.9.12", 0.99, 1.0), ("1.11.0", 0.699, 0.70), ("1.13.5", 0.699, 0.70)],
)
def test_the_limit_is_where_each_server_was_seen_to_flip(version: str, accepted: float, refused: float) -> None:
    (rule,) = rules.headrooms(version)
    assert not rule.refuses(accepted)
    assert rule.refuses(refused)
    assert rule.refuses(math.nan)


def test_target_load_counts_only_where_it_exists() -> None:
    assert rules.headrooms("1.13.5")[0].refuses(0.0, target_load=0)
    assert not rules.headrooms("1.13.5")[0].refuses(0.89, target_load=0.9)
    assert not rules.headrooms("1.9.12")[0].refuses(0.0, target_load=0)


def test_an_unknown_version_keeps_every_rule() -> None:
    assert len(rules.headrooms(None)) == len(rules.HEADROOMS)
    assert rules.since(None, rules.TERMINAL_REJECT) is None
    assert rules.raised_types(None) == rules.JOB_TYPES


def test_every_released_version_has_exactly_one_headroom_rule() -> None:
    for text in ("1.6.0", "1.7.2", "1.8.0", "1.8.4", "1.9.0", "1.9.12", "1.10.1", "1.11.0", "1.12.0", "1.13.5"):
        assert len(rules.headrooms(text)) == 1, text


@pytest.mark.parametrize(
    ("error", "outcome", "proves_type"),
    [
        ("no response from servers", Outcome.NO_RESPONSE, False),
        ("no servers available (received 2 responses)", Outcome.NO_HEADROOM, True),
        ("request timed out", Outcome.ANSWER_TIMEOUT, True),
        ("context deadline exceeded", Outcome.ANSWER_TIMEOUT, True),
        ("no workers with sufficient capacity", Outcome.DECLINED, True),
        ("no workers available", Outcome.WORKER_CLOSED, True),
    ],
)
def test_texts_of_failed_requests(error: str, outcome: Outcome, proves_type: bool) -> None:
    ending = rules.ending(error)
    assert (ending.outcome, ending.proves_type) == (outcome, proves_type)


def test_texts_that_say_nothing_of_dispatch() -> None:
    assert rules.ending("redis: connection pool timeout").outcome is Outcome.UNKNOWN
    assert rules.nodes_refusing("no servers available (received 12 responses)") == 12
    assert rules.nodes_refusing("no response from servers") == 0


def test_participant_jobs_came_with_1_8_4() -> None:
    assert rules.JT_PARTICIPANT not in rules.raised_types("1.8.3")
    assert rules.JT_PARTICIPANT in rules.raised_types("1.8.4")


def test_versions_are_ordered_by_their_numbers() -> None:
    """The first one is told to be the older: by letters 1.10.0 would come before 1.9.2."""
    assert oldest_first(["1.10.0", "1.9.2", "1.10.0"]) == ["1.9.2", "1.10.0"]
    assert oldest_first({"livekit-agents 1.10.0", "livekit-agents 1.9.2"}) == [
        "livekit-agents 1.9.2",
        "livekit-agents 1.10.0",
    ]
