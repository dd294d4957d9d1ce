"""The worker messages that lkdoctor reads, both SDKs' and all versions', and the one automaton that finds them.

The texts are beginnings: livekit-agents 1.3.1 to 1.5.17 in dev mode breaks a message at 35 characters, so nothing longer can
be looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from lkdoctor.dispatch.worker_facts import Said

MESSAGES: Final[dict[str, Said]] = {
    "starting worker": Said.STARTING,
    "HTTP server listening on": Said.LISTENING,
    "Server is listening on port": Said.LISTENING,
    "registered worker": Said.REGISTERED,
    "failed to connect to livekit": Said.CONNECT_FAILED,
    "failed to connect to LiveKit server": Said.CONNECT_FAILED,
    "Error in _connection_task": Said.FAILED,
    "worker failed": Said.FAILED,
    "closing worker due to error": Said.FAILED,
    "worker connection closed": Said.SOCKET_LOST,
    "worker error:": Said.SOCKET_LOST,
    "worker is at full capacity": Said.FULL,
    "worker is below capacity": Said.AVAILABLE,
    "custom load_fnc is not supported": Said.LOAD_REVERTED,
    "custom loadFunc is not supported": Said.LOAD_REVERTED,
    "draining worker": Said.DRAINING,
    "drain timed out": Said.DRAIN_TIMED_OUT,
    "shutting down worker": Said.STOPPING,
    "received job request": Said.ASKED,
    "Worker is draining and no longer": Said.REFUSED_DRAINING,
    "received assignment for": Said.ASSIGNED_UNKNOWN,
    "received assignment": Said.ASSIGNED,
    "assignment for job ": Said.ASSIGNMENT_TIMEOUT,
    "job_request_fnc failed": Said.REQUEST_FAILED,
    "jobRequestFunc failed": Said.REQUEST_FAILED,
    "no answer was given inside the": Said.NO_ANSWER,
    "no warmed process available": Said.NO_WARM_PROCESS,
    "all in-flight spawns failed": Said.SPAWN_FAILED,
    "failed to acquire process": Said.NO_PROCESS,
    "failed to launch job on process": Said.LAUNCH_FAILED,
    "error launching job": Said.LAUNCH_FAILED,
    "error initializing process": Said.START_FAILED,
    "initialization timed out": Said.START_FAILED,
    "process initialization failed": Said.START_FAILED,
    "supervised process run failed": Said.START_FAILED,
    "process initialized": Said.PROCESS_READY,
    "job process initialized": Said.PROCESS_READY,
    "timed out waiting for idle": Said.IDLE_TIMEOUT,
    "process exited with non-zero": Said.EXIT_CODE,
    "job process exited unexpectedly": Said.EXIT_CODE,
    "process is unresponsive": Said.UNRESPONSIVE,
    "job is unresponsive": Said.UNRESPONSIVE,
    "job executor is unresponsive": Said.UNRESPONSIVE,
    "process did not exit in time": Said.KILLED,
    "process did not ack shutdown": Said.KILLED,
    "exceeded memory limit": Said.MEMORY_KILL,
    "unhandled exception while": Said.CRASHED,
    "error in entry function": Said.CRASHED,
    "The room connection was not": Said.NOT_CONNECTED,
    "room not connect": Said.NOT_CONNECTED,
    "The job task completed without": Said.RETURNED,
    "job task completed without": Said.RETURNED,
    "process exiting": Said.EXITING,
    "job exiting": Said.EXITING,
    "RoomIO linked to participant": Said.LINKED,
    "pre-connect audio handler for": Said.SHARED_ROOM,
    "text stream handler for topic": Said.SHARED_ROOM,
    "closing agent session due to": Said.SESSION_CLOSING,
    "listen EADDRINUSE": Said.PORT_TAKEN,  # what Node prints when it dies, without a record around it
}

#: Texts with something in front of them (`job process exceeded memory limit`).
_INSIDE: Final = tuple(text for text, what in MESSAGES.items() if what is Said.MEMORY_KILL)

#: Records that a traceback can follow, in the forms in which it has lines of its own.
TRACED: Final = frozenset(
    (Said.CRASHED, Said.FAILED, Said.CONNECT_FAILED, Said.START_FAILED, Said.REQUEST_FAILED, Said.LAUNCH_FAILED)
)

#: What `journalctl -o json` writes for messages that it does not print as text: every coloured line is one of them.
_JOURNALD: Final = (b'"MESSAGE":null', b'"MESSAGE":[')

LITERALS: Final[tuple[bytes, ...]] = (*(text.encode() for text in MESSAGES), *_JOURNALD)
KINDS: Final[tuple[Said, ...]] = (*MESSAGES.values(), *(Said.ANY_LINE for _ in _JOURNALD))


def automaton(more: Sequence[bytes] = ()) -> BytesAhoCorasick:
    """What finds `LITERALS`, and `more` behind them.

    LeftmostFirst, as for the server's log: the order decides, so that longer texts stand before their beginnings.
    """
    return BytesAhoCorasick([*LITERALS, *more], matchkind=MatchKind.LeftmostFirst)


AUTOMATON: Final = automaton()


_HEAD: Final = 6  # characters; no text is shorter
_BY_HEAD: Final[dict[str, list[tuple[str, Said]]]] = {}
for _text, _what in MESSAGES.items():
    _BY_HEAD.setdefault(_text[:_HEAD], []).append((_text, _what))


def kind_of(message: str) -> Said | None:
    """What a whole message is, or None."""
    for text, what in _BY_HEAD.get(message[:_HEAD], ()):
        if message.startswith(text):
            return _exactly(what, message)
    first_line = message.partition("\n")[0]
    return next((MESSAGES[text] for text in _INSIDE if text in first_line), None)


def _exactly(what: Said, message: str) -> Said | None:
    if what is Said.SHARED_ROOM and not message.rstrip(" .").endswith("ignoring"):
        return None
    if what is Said.UNRESPONSIVE and "killing" in message:
        return Said.KILLED
    if what is Said.SESSION_CLOSING and "participant disconnect" not in message:
        return None
    return what
