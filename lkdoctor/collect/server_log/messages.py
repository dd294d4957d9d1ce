"""The server messages that lkdoctor reads, and the one automaton that finds them in a chunk of bytes."""

from __future__ import annotations

from typing import Final

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from lkdoctor.dispatch.facts import What

#: Message text as livekit-server prints it -> kind. The texts are whole messages, except the prefixes below.
MESSAGES: Final[dict[str, What]] = {
    "starting LiveKit server": What.SERVER_STARTED,
    "using single-node routing": What.SINGLE_NODE,
    "connecting to redis": What.REDIS_CONNECTING,
    "exit requested, shutting down": What.SERVER_STOPPING,
    "could not parse config: ": What.CONFIG_REFUSED,
    "worker registered": What.WORKER_REGISTERED,
    "initial worker registered": What.WORKER_REGISTERED,  # v1.6.0 to v1.7.2
    "last worker deregistered": What.LAST_WORKER_GONE,
    "closing worker": What.WORKER_CLOSED,
    "unable to handle worker signal": What.WORKER_SIGNAL_REFUSED,
    "failed to register job request topic": What.WORKER_TOPIC_REFUSED,
    "error reading from websocket": What.WORKER_READ_ERROR,
    "not dispatching agent job since no worker is available": What.NOT_DISPATCHING,
    "failed to send job request": What.REQUEST_FAILED,
    "assigned job to worker": What.ASSIGNED,
    "failed to assign job to worker": What.ASSIGN_FAILED,
    "no worker available to handle job": What.NOBODY_LEFT,
    "received availability response for unknown job": What.LATE_ANSWER,
    "job ended": What.JOB_ENDED,
    "failed to check enabled": What.CHECK_ENABLED_FAILED,
    "failed storing room dispatch": What.DISPATCH_NOT_STORED,
    "starting RTC session": What.SESSION_STARTED,
    "participant active": What.PARTICIPANT_ACTIVE,
    "participant closing": What.PARTICIPANT_CLOSING,
    "removing duplicate participant": What.DUPLICATE_REMOVED,
    "removing participant without connection": What.NEVER_CONNECTED,
    "mediaTrack published": What.TRACK_PUBLISHED,
    "could not handle new participant": What.JOIN_FAILED,
    "closing room": What.ROOM_CLOSING,
    "closing idle room": What.ROOM_IDLE_CLOSED,
    "selected node for room": What.ROOM_PLACED,
    "API RoomService.": What.API_CALL,
    "API AgentDispatchService.": What.API_CALL,
    "error handling request": What.REQUEST_REFUSED,
}

#: What `journalctl -o json` writes for messages that it does not print as text: they may be any of the above.
_JOURNALD: Final = (b'"MESSAGE":null', b'"MESSAGE":[')

LITERALS: Final[tuple[bytes, ...]] = (*(text.encode() for text in MESSAGES), *_JOURNALD)
KINDS: Final[tuple[What, ...]] = (
    *MESSAGES.values(),
    *(What.ANY_LINE for _ in _JOURNALD),
)

#: Calls that change what exists, or show that a room does. The others are polling: they matter only when they fail.
KEPT_CALLS: Final = frozenset(
    (
        b"RoomService.CreateRoom",
        b"RoomService.DeleteRoom",
        b"RoomService.RemoveParticipant",
        b"AgentDispatchService.CreateDispatch",
        b"AgentDispatchService.DeleteDispatch",
        b"AgentDispatchService.ListDispatch",
    )
)

#: LeftmostFirst is what makes it fast (prefilter of the packed searcher); the standard kind is 8 times slower.
AUTOMATON: Final = BytesAhoCorasick(list(LITERALS), matchkind=MatchKind.LeftmostFirst)
