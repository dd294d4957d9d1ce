"""Are rooms named as the billing expects?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lkdoctor.doctor.evidence import Dispatches
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check

ROOM_NAME = Code(1, "acme-room-name", Severity.WARNING, "A room is not named acme-<team>-<number>.", prefix="ACME")
FORM = re.compile(r"acme-[a-z]+-\d+")


@check(ROOM_NAME)
def room_name(dispatches: Dispatches) -> Iterator[Finding | Inconclusive]:
    """A room that an agent was dispatched to is not named as the billing expects.

    ## What it means
    The call will be on nobody's bill.

    ## How it is decided
    The room's name has not the form `acme-<team>-<number>`.

    ## How to fix
    Take the name from the team's record where the room is made.

    ## When it is not a problem
    For rooms of tests.
    """
    for one in dispatches:
        if not FORM.fullmatch(one.room):
            yield Finding(
                ROOM_NAME,
                Subject("room", room=one.room),
                f'The room "{one.room}" is not named acme-<team>-<number>, so the call is on nobody\'s bill.',
                ROOM_NAME.severity,
                Confidence.HIGH,
                {"room": one.room},
                tuple(one.proof[:1]) or tuple(place for launch in one.launches for place in launch.proof[:1]),
                (Fix("Name the room after its team", steps=("Take the name from the team's record.",)),),
            )
