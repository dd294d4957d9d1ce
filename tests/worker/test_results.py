"""A conversation is judged by its marks: exact, complete, and left."""

from __future__ import annotations

from typing import Any

from lkdoctor.worker.results import Conversation, Side, middle, totals


def talk(*marks: tuple[str, str, str]) -> Conversation:
    """A conversation of the lines "aa" and "bb" with these marks: (role, marker, text)."""
    one = Conversation(
        1, "lkdoctor-talk-x-0001", ["aa", "bb"], (Side("customer"), Side("support")), asked_at=1767225600.0
    )
    for role, marker, text in marks:
        record: dict[str, Any] = {
            "role": role,
            "marker": marker,
            "job_id": f"AJ_{role}",
            "identity": f"{role}-AJ_{role}",
        }
        record |= {"timestamp": "2026-01-01T00:00:01.500000+00:00", "text": text}
        if marker == "OK" and text:
            record |= {"seconds": 1.7, "tries": 1}
        if marker == "FAIL":
            record |= {"reason": "partner-missing", "message": f"[FAIL] AJ_{role} {role}: nobody came"}
        if marker == "EXIT":
            one.exited(f"AJ_{role}")
        elif marker == "CRASH":
            one.crashed(f"AJ_{role}", text)
        else:
            one.take(record)
    one.judge(proven=True)
    return one


WHOLE = [
    ("customer", "START", ""),
    ("support", "START", ""),
    ("customer", "OK", ""),
    ("support", "OK", ""),
    ("support", "HEARD", "aa"),
    ("customer", "HEARD", "R:aa"),
    ("customer", "OK", "aa"),
    ("support", "HEARD", "bb"),
    ("customer", "HEARD", "R:bb"),
    ("customer", "OK", "bb"),
    ("customer", "END", ""),
    ("support", "END", ""),
    ("customer", "EXIT", "the conversation is over"),
    ("support", "EXIT", "the conversation is over"),
]


def without(role: str, marker: str, text: str | None = None) -> list[tuple[str, str, str]]:
    return [one for one in WHOLE if one[:2] != (role, marker) or (text is not None and one[2] != text)]


def test_a_whole_conversation() -> None:
    one = talk(*WHOLE)
    assert (one.outcome, one.reason, one.wrong) == ("ok", "", [])
    assert one.sides[0].asked_to_session == 1.5
    assert one.sides[1].identity == "support-AJ_support"
    assert one.round_trips == [1.7, 1.7]
    assert one.document()["code"] is None
    assert totals([one])["words"] == 2


def test_each_missing_piece_shows() -> None:
    assert talk(*without("support", "HEARD", "bb")).outcome == "not-finished"
    assert talk(*without("customer", "HEARD", "R:aa")).outcome == "not-finished"
    assert talk(*without("support", "END")).outcome == "not-finished"
    assert talk(*without("support", "EXIT")).outcome == "not-left"


def test_a_wrong_word_beats_everything() -> None:
    assert talk(*WHOLE, ("support", "HEARD", "ab")).outcome == "wrong-word"
    assert talk(*WHOLE, ("customer", "HEARD", "R:ab")).outcome == "wrong-word"
    # its own voice come back is wrong, too: the first speaker never hears a line without "R:"
    assert talk(*WHOLE, ("customer", "HEARD", "aa")).outcome == "wrong-word"


def test_said_again_is_not_wrong() -> None:
    one = talk(("customer", "LOST", "aa"), ("support", "HEARD", "aa"), *WHOLE)
    assert (one.outcome, one.lost) == ("ok", 1)


def test_failures_have_their_code() -> None:
    one = talk(("customer", "START", ""), ("customer", "FAIL", ""))
    assert (one.outcome, one.reason, one.document()["code"]) == ("partner-missing", "nobody came", "LKD704")
    both = [("customer", "START", ""), ("support", "START", "")]
    crashed = talk(*both, ("support", "CRASH", "ValueError: x"), ("support", "EXIT", ""), ("customer", "FAIL", ""))
    assert (crashed.outcome, crashed.reason, crashed.document()["code"]) == ("job-crashed", "ValueError: x", "LKD602")
    assert totals([one, crashed])["failed"] == {"job-crashed": 1, "partner-missing": 1}


def test_middle() -> None:
    assert middle([]) is None
    assert middle([3.0, 1.0, 2.0]) == 2.0
    assert middle([float(one) for one in range(100)], 0.95) == 95.0
