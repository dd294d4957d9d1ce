"""Regular expressions of users: which are refused, why, and which fixed words the others are looked for by."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkdoctor.patterns import LONGEST, trouble, words


@pytest.mark.parametrize(
    ("regex", "found"),
    [
        (r"\[START\]", {"[START]"}),
        (r"=== MULTI-AGENT WORKER STARTING ===", {"MULTI-AGENT"}),
        ("✓ Dispatcher agent session started", {"Dispatcher"}),
        (r"^\[(HEARD|SAID)\] ", {"HEARD", "SAID"}),
        (r"role=(\w+) .* joined", {"role="}),
        (r"(?:hello){1,3} \d+", {"hello"}),
        (r'"quoted" word', {"quoted"}),
        (r"(?P<who>driver|dispatcher)? ready", {"ready"}),
    ],
)
def test_fixed_words_are_found_without_blanks_and_quotes(regex: str, found: set[str]) -> None:
    assert words(regex) == found
    assert trouble(regex) == ""


@pytest.mark.parametrize(
    ("regex", "why"),
    [
        ("(", "no regular expression"),
        ("a" * 5 + "{99999999999}", "no regular expression"),
        (r"(a+)+ready", "for ever"),
        (r"(a|aa)*ready", "for ever"),
        (r"(?:x+y?)*ready", "for ever"),
        (r"(?:a{0,50}){1,50}bbb", "for ever"),
        (r"(?:a|aa){0,59}done", "for ever"),
        (r"(?:a?){40}done", "for ever"),
        (r"((?:a{0,9}){0,9}){0,9}done", "for ever"),
        (r"(?:\s*\w+)*ready", "for ever"),
        ("a?" * 30 + "done", "too slow"),
        ("a{0,50}" * 5 + "bbb", "too slow"),
        (r"x.*x.*x.*ready", "too slow"),
        (r"\w+\s*\w+\s*=ready", "too slow"),
        (r"(?i)ready", "ignores case"),
        (r".*", "empty line"),
        (r"\d+", "every line"),
        (r"(START|x)", "every line"),
        (r"ok", "every line"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(regex: str, why: str) -> None:
    assert why in trouble(regex)


@pytest.mark.parametrize(
    "regex",
    [
        r"from (?:\d{1,3}\.){3}\d{1,3} joined",
        r"(\w+ )*ready",
        r"job (\S+) (\S+) took (\d+(?:\.\d+)?) ?ms",
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?Z? .*READY (\w+)",
        r".* took (\d+(?:\.\d+)?) ?ms",
        r"(?:[.,]\d+){0,3} ready",
        r"^(?=.*foo)(?=.*bar)READY",
        r"(HEARD|SAID){1,9}: \w{1,9}",
    ],
)
def test_repetitions_that_cannot_be_read_in_two_ways_are_allowed(regex: str) -> None:
    assert trouble(regex) == ""
    began = time.process_time()
    for line in ("1." * 300, "a " * 300, "1" * 600, "12.5ms took " * 50, "HEARD" * 120):
        re.compile(regex).search(line)
    assert time.process_time() - began < 20


@pytest.mark.parametrize("regex", [r"x.*x.*ready", r"✓ (\w+) agent (\w+) is .* ready in (\w+)", r"(?:abc){2,90}ready"])
def test_what_is_allowed_ends_soon_on_the_longest_line(regex: str) -> None:
    assert trouble(regex) == ""
    began = time.process_time()
    re.compile(regex).search("x" * LONGEST)
    re.compile(regex).search("abc" * (LONGEST // 3))
    re.compile(regex).search("✓ x agent x is " * (LONGEST // 15))
    assert time.process_time() - began < 20


@given(st.from_regex(r"\[(HEARD|SAID)\] to the (driver|dispatcher): \w{1,9}"))
def test_a_match_has_one_of_its_words(text: str) -> None:
    regex = r"\[(HEARD|SAID)\] to the (driver|dispatcher): \w{1,9}"
    assert any(word in text for word in words(regex))
