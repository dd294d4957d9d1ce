"""Takes the prefix that is lkdoctor's own, and a name of lkdoctor's; beside them a check that is right."""

from lkdoctor.doctor.evidence import Dispatches
from lkdoctor.doctor.finding import Code, Severity
from lkdoctor.doctor.registry import check


@check(Code(999, "rude-takes-lkd", Severity.ERROR, "It takes the prefix."))
def takes_the_prefix(dispatches: Dispatches):
    """It takes the prefix."""
    yield from ()


@check(Code(40, "no-headroom", Severity.ERROR, "It takes a name.", prefix="RUDE"))
def takes_a_name(dispatches: Dispatches):
    """It takes a name."""
    yield from ()


@check(Code(41, "rude-odd-prefix", Severity.ERROR, "Its prefix is odd.", prefix="lkd"))
def has_an_odd_prefix(dispatches: Dispatches):
    """Its prefix is odd."""
    yield from ()


@check(Code(42, "rude-wants-a-file", Severity.ERROR, "It wants a file.", prefix="RUDE"))
def wants_a_file(file: open):
    """It wants what is no evidence."""
    yield from ()


@check(Code(43, "rude-right", Severity.INFO, "A check that is right, among others.", prefix="RUDE"))
def right(dispatches: Dispatches):
    """A check that is right, among others."""
    yield from ()
