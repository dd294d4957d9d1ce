"""Roles come from a dispatch's metadata; what is no such metadata is declined with a reason."""

from __future__ import annotations

import pytest

from lkdoctor.worker.settings import MetadataError, Part, Settings, parts
from tests.cli.running import call


def test_no_metadata_is_a_person_served_by_the_own_role() -> None:
    assert parts("", "customer") == (Part("customer"),)
    assert parts("  \n", "customer") == (Part("customer"),)


def test_one_role() -> None:
    first = parts('{"role": "customer", "partner": "support", "first": true, "lines": ["a", "b"]}', "agent")
    assert first == (Part("customer", "support", first=True, lines=("a", "b")),)
    assert parts('{"role": "support", "partner": "customer"}', "agent") == (Part("support", "customer"),)
    assert parts('{"partner": "customer"}', "support") == (Part("support", "customer"),)


def test_two_roles_are_two_agents_of_one_job() -> None:
    one, other = parts('{"roles": ["dispatcher", "driver"], "lines": ["x"]}', "agent")
    assert (one.role, one.partner, one.first, one.lines) == ("dispatcher", "driver", True, ("x",))
    assert (other.role, other.partner, other.first, other.lines) == ("driver", "dispatcher", False, ())


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ("customer", "no JSON"),
        ('["customer"]', "no JSON object"),
        ('{"role": 7}', '"role" is no text'),
        ('{"role": "a", "partner": "a"}', "both 'a'"),
        ('{"roles": ["a"]}', "two different names"),
        ('{"roles": ["a", "a"]}', "two different names"),
        ('{"roles": "ab"}', "no list"),
        ('{"role": "a", "lines": [1]}', '"lines" is no list'),
    ],
)
def test_other_metadata_is_told(metadata: str, why: str) -> None:
    with pytest.raises(MetadataError, match=why):
        parts(metadata, "agent")


def test_voices() -> None:
    assert Settings().voice("dispatcher") == "alloy"
    assert Settings().voice("driver") == "echo"
    assert Settings().voice("customer") is None
    assert Settings().offline
    assert not Settings(llm="openai/gpt-4o-mini").offline


@pytest.mark.parametrize("given", ["7", "0", "-1", "loud", "nan"])
def test_a_threshold_that_is_none(given: str) -> None:
    done = call(
        "worker", "--name", "x", "--url", "ws://127.0.0.1:1", "--api-key", "a", "--api-secret", "b" * 32, "--vad", given
    )
    assert done.exit_code == 2
    assert "--vad" in done.output


def test_switches_are_for_no_batch() -> None:
    done = call("worker", "--conversations", "1", "--no-echo")
    assert done.exit_code == 2
    assert "not for a batch" in done.output
