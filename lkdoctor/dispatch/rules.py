"""LiveKit's dispatch rules by server version, as data and pure functions.

Every number here was seen on a real livekit-server (1.8.4, 1.9.12, 1.11.0, 1.13.5) unless the remark says otherwise.
An unknown version (None) means that every rule is possible: functions then answer None, or all candidates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lkdoctor.dispatch.facts import OWN_PREFIX as OWN_PREFIX  # noqa: PLC0414 - a rule by which stories leave rooms out
from lkdoctor.dispatch.model import Outcome
from lkdoctor.dispatch.versions import Version as Version  # noqa: PLC0414 - asked for here by those who ask for rules
from lkdoctor.dispatch.versions import parse_version as parse_version  # noqa: PLC0414 - the same

JT_ROOM: Final = "JT_ROOM"
JT_PARTICIPANT: Final = "JT_PARTICIPANT"
JT_PUBLISHER: Final = "JT_PUBLISHER"
JOB_TYPES: Final = (JT_ROOM, JT_PARTICIPANT, JT_PUBLISHER)

# -- times, seconds ---------------------------------------------------------------------------------------------------
SELECTION: Final = 0.2  # a node's claim is waited for this long after the first one, so nothing is assigned sooner
NO_CLAIM: Final = 1.0  # nobody claimed: `no response from servers`
ANSWER_BUDGET: Final = 3.0  # the whole request; what a worker has not answered by then is lost
SURVEY: Final = 5.0  # cold: the question "who serves this name?" always runs its full window
CACHE: Final = 60.0  # how long the answer is kept; a leaving worker does not clear it
EMPTY_TIMEOUT: Final = 300.0  # room.empty_timeout's default, counted from creation
DEPARTURE_TIMEOUT: Final = 20.0  # room.departure_timeout's default, counted from the last leave
REGISTER_TIMEOUT: Final = 10.0  # a socket that does not register is closed
CLOCKS: Final = 3.0  # nodes whose clocks are further apart lose every request between them
SETTLE: Final = 8.0  # after this long a launch of an unjammed node has ended: survey, budget and slack
# -- numbers ----------------------------------------------------------------------------------------------------------
IN_FLIGHT: Final = 25  # launches to known names that a node runs at once; the 26th waits for one to end
SURVEY_SLOTS: Final = 50  # launches of unknown names that a node's survey holds at once

# -- since when -------------------------------------------------------------------------------------------------------
PARTICIPANT_JOBS: Final[Version] = (1, 8, 4)
PUBLISHER_JOBS: Final[Version] = (1, 7, 1)  # by source; older servers were not run
TOKEN_AGENTS: Final[Version] = (1, 8, 2)  # by source
TERMINAL_REJECT: Final[Version] = (1, 9, 2)  # by source; seen absent on 1.8.4 and present on 1.9.12
DEPLOYMENTS: Final[Version] = (1, 12, 0)  # by source; seen absent on 1.11.0 and present on 1.13.5
DEPLOYMENT_PRINTED: Final[Version] = (1, 13, 0)
DISPATCH_CALL_PRINTED: Final[Version] = (1, 9, 0)  # before, a CreateDispatch line names neither room nor agent
SESSIONS_AT_INFO: Final[Version] = (1, 8, 0)  # before, `starting RTC session` is a debug line


def since(version: str | None, first: Version) -> bool | None:
    """Does this server have what came with `first`? None when the version is unknown."""
    parsed = parse_version(version)
    return None if parsed is None else parsed >= first


@dataclass(frozen=True, slots=True)
class Headroom:
    """How a node decides whether it has room for one more job: the sum over its AVAILABLE workers of
    `max(0, limit - load)` must be above 0. `limit` None: the older rule, refused only when all are FULL."""

    first: Version
    before: Version | None
    limit: float | None
    configurable: bool
    where: str

    @property
    def limit_text(self) -> str:
        """The limit in words, for messages."""
        if self.limit is None:
            return "only a worker that reports itself full is refused"
        name = "`agents.target_load` (default 0.7)" if self.configurable else f"{self.limit:g}"
        return f"a worker at load {name} or above is refused"

    def refuses(self, load: float, target_load: float | None = None) -> bool:
        """True when an AVAILABLE worker at this load leaves no headroom (NaN never does)."""
        if self.limit is None:
            return False
        limit = target_load if self.configurable and target_load is not None else self.limit
        return not limit - load > 0


HEADROOMS: Final = (
    Headroom((1, 6, 0), (1, 8, 0), None, False, "by source"),
    Headroom((1, 8, 0), (1, 9, 0), 0.65, False, "1.8.4: 0.649 accepted, 0.65 refused"),
    Headroom((1, 9, 0), (1, 11, 0), 1.0, False, "1.9.12: 0.99 accepted, 1.0 refused"),
    Headroom((1, 11, 0), None, 0.7, True, "1.11.0 and 1.13.5: 0.699 accepted, 0.70 refused"),
)


def headrooms(version: str | None) -> tuple[Headroom, ...]:
    """The rule of this version; all of them when the version is unknown, none when it is too old for agents."""
    parsed = parse_version(version)
    if parsed is None:
        return HEADROOMS
    return tuple(one for one in HEADROOMS if one.first <= parsed and (one.before is None or parsed < one.before))


def raised_types(version: str | None) -> tuple[str, ...]:
    """Job types that this server tries for every dispatch."""
    parsed = parse_version(version)
    if parsed is None:
        return JOB_TYPES
    types = [JT_ROOM]
    if parsed >= PARTICIPANT_JOBS:
        types.append(JT_PARTICIPANT)
    if parsed >= PUBLISHER_JOBS:
        types.append(JT_PUBLISHER)
    return tuple(types)


@dataclass(frozen=True, slots=True)
class Ending:
    """What the text of a `failed to send job request` line means."""

    outcome: Outcome
    after: float  # seconds from the launch to the line when nothing delays it
    proves_type: bool  # a worker of this name and type was there, so the line cannot be another type's noise


_NO_SERVERS = re.compile(r"no servers available \(received (\d+) responses\)")


def ending(error: str) -> Ending:
    """Read the error of a `failed to send job request` line; UNKNOWN for texts that say nothing about dispatch
    (redis down, server shutting down).

    The two capacity texts stand for a decline as well as for load; which one it was, only the worker's node knows.
    """
    if error == "no response from servers":
        return Ending(Outcome.NO_RESPONSE, NO_CLAIM, False)
    if _NO_SERVERS.search(error):
        return Ending(Outcome.NO_HEADROOM, SELECTION, True)
    if error in ("request timed out", "context deadline exceeded"):
        return Ending(Outcome.ANSWER_TIMEOUT, ANSWER_BUDGET, True)
    if error == "no workers with sufficient capacity":
        return Ending(Outcome.DECLINED, SELECTION, True)
    if error == "no workers available":
        return Ending(Outcome.WORKER_CLOSED, SELECTION, True)
    return Ending(Outcome.UNKNOWN, 0.0, False)


def nodes_refusing(error: str) -> int:
    """N of `received N responses`: server nodes (never workers) that claimed without headroom; 0 for other texts."""
    found = _NO_SERVERS.search(error)
    return int(found[1]) if found else 0
