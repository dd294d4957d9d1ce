"""Checks that load, and then crash, lie, print, change what they were given, or never end."""

import itertools
import sys
import time

from lkdoctor.doctor.evidence import Dispatches, Evidence
from lkdoctor.doctor.finding import Code, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check


def code(number, name):
    return Code(number, f"rude-{name}", Severity.ERROR, f"It does this: {name}.", prefix="RUDE")


def finding(of, **other):
    given = {"subject": Subject("server"), "message": "It is so.", "severity": Severity.ERROR, **other}
    return Finding(of, **given)


CRASHES, EXITS, JUNK, OTHER_CODE = code(1, "crashes"), code(2, "exits"), code(3, "junk"), code(4, "other-code")
CHANGES, PRINTS, ENDLESS, SLOW = code(5, "changes"), code(6, "prints"), code(7, "endless"), code(8, "slow")
VALUES, SUBJECT, PROOF, MESSAGE = code(9, "values"), code(10, "subject"), code(11, "proof"), code(12, "message")
TIMES, FIXES, CLOSES, WORDLESS = code(13, "times"), code(14, "fixes"), code(15, "closes"), code(16, "wordless")
RETURNS, OPEN, PLACE = code(17, "returns"), code(18, "open"), code(19, "place")


@check(CRASHES)
def crashes(dispatches: Dispatches):
    yield finding(CRASHES)
    raise ZeroDivisionError("by nought")


@check(EXITS)
def exits(dispatches: Dispatches):
    sys.exit(0)
    yield


@check(JUNK)
def junk(dispatches: Dispatches):
    yield {"code": "RUDE3"}


@check(OTHER_CODE)
def other_code(dispatches: Dispatches):
    from lkdoctor.doctor.codes import NO_WORKER

    yield finding(NO_WORKER)


@check(CHANGES)
def changes(evidence: Evidence):
    for one in evidence.dispatches:
        one.room = "changed by a check"
        one.launches.clear()
    for one in evidence.sources:
        one.unusable = "changed by a check"
    yield from ()


@check(PRINTS)
def prints(dispatches: Dispatches):
    print("printed by a check")
    yield from ()


@check(ENDLESS)
def endless(dispatches: Dispatches):
    for number in itertools.count():
        yield finding(ENDLESS, subject=Subject("server", id=str(number)))


@check(SLOW)
def slow(dispatches: Dispatches):
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # noqa: BLE001 - this is what it must not do
            pass
    yield


@check(VALUES)
def values(dispatches: Dispatches):
    yield finding(VALUES, values={"thing": object()})


@check(SUBJECT)
def subject(dispatches: Dispatches):
    yield finding(SUBJECT, subject="the server")


@check(PROOF)
def proof(dispatches: Dispatches):
    yield finding(PROOF, proof=("server.log:7",))


@check(MESSAGE)
def message(dispatches: Dispatches):
    yield finding(MESSAGE, message=None)


@check(TIMES)
def times(dispatches: Dispatches):
    yield finding(TIMES, first_at=float("nan"))


@check(FIXES)
def fixes(dispatches: Dispatches):
    yield finding(FIXES, fixes=(Fix("Do it", safety="surely", commands=["rm"]),))


@check(CLOSES)
def closes(dispatches: Dispatches):
    sys.stdout.close()
    yield from ()


class WordlessError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@check(WORDLESS)
def wordless(dispatches: Dispatches):
    raise WordlessError
    yield


@check(RETURNS)
def returns(dispatches: Dispatches):
    return None


@check(OPEN)
def leaves_open(dispatches: Dispatches):
    yield Inconclusive(Subject("server"), ["a list"], None)


@check(PLACE)
def nowhere(dispatches: Dispatches):
    from lkdoctor.dispatch.facts import Place

    yield finding(PLACE, severity=Severity.WARNING, proof=(Place("no-such-file.log", 10**12),))
