"""Facts from a worker's own log: what an SDK worker says of itself, placed and frozen, with no opinion in them.

They are apart from the server's events because their clocks are: a worker in dev mode prints local time without a zone, or
only the time of day. `at` is in the clock that `clock` names; `worker_side` finds out how far it is from the server's.
"""

from __future__ import annotations

import enum

import msgspec

from lkdoctor.dispatch.facts import Fact, Place

UTC = "utc"  # Unix seconds
LOCAL = "local"  # Unix seconds of a local time, as if it were UTC
DAYTIME = "daytime"  # seconds of a local day; a day more after each midnight


class DeclaredMarker(Fact, frozen=True, kw_only=True):
    """A line of the application's own that the user wants to see, as lkdoctor.toml declares it."""

    SOURCES = ("intentions",)

    name: str
    regex: str


class Said(enum.IntEnum):
    """The kinds of worker records that lkdoctor understands. Python's words stand first, Node's behind them."""

    # -- the worker's life ---------------------------------------------------------------------------------------------
    STARTING = 1  # starting worker
    LISTENING = 2  # HTTP server listening on … / Server is listening on port …
    REGISTERED = 3  # registered worker
    CONNECT_FAILED = 4  # failed to connect to livekit, retrying in … / failed to connect to LiveKit server …
    FAILED = 5  # Error in _connection_task, worker failed / closing worker due to error.
    SOCKET_LOST = 6  # worker connection closed unexpectedly
    FULL = 7  # worker is at full capacity, marking as unavailable
    AVAILABLE = 8  # worker is below capacity, marking as available
    DRAINING = 9  # draining worker
    DRAIN_TIMED_OUT = 10  # drain timed out, forcing shutdown
    STOPPING = 11  # shutting down worker
    LOAD_REVERTED = 13  # custom load_fnc / loadFunc is not supported … (on Cloud); stands before `starting worker`
    PORT_TAKEN = 12  # Error: listen EADDRINUSE … (Node; no record, no time)
    # -- a request -----------------------------------------------------------------------------------------------------
    ASKED = 20  # received job request
    REFUSED_DRAINING = 21  # Worker is draining and no longer available, rejecting job
    ASSIGNED = 22  # received assignment
    ASSIGNMENT_TIMEOUT = 23  # assignment for job … timed out
    ASSIGNED_UNKNOWN = 24  # received assignment for an unknown job
    REQUEST_FAILED = 25  # job_request_fnc failed / jobRequestFunc failed
    NO_ANSWER = 26  # no answer was given inside the job_request_fnc
    # -- processes -----------------------------------------------------------------------------------------------------
    NO_WARM_PROCESS = 30  # no warmed process available for job, waiting for one to be created
    SPAWN_FAILED = 31  # all in-flight spawns failed to initialize, retrying
    NO_PROCESS = 32  # failed to acquire process for job after 3 attempts
    LAUNCH_FAILED = 33  # failed to launch job on process … / error launching job
    START_FAILED = 34  # error initializing process, initialization timed out / supervised process run failed
    IDLE_TIMEOUT = 35  # timed out waiting for idle processes to initialize
    PROCESS_READY = 40  # process initialized / job process initialized
    EXIT_CODE = 36  # process exited with non-zero exit code …
    UNRESPONSIVE = 37  # process is unresponsive
    KILLED = 38  # process did not exit in time, … is unresponsive, killing process
    MEMORY_KILL = 39  # … process exceeded memory limit, killing it
    # -- a job ---------------------------------------------------------------------------------------------------------
    CRASHED = 50  # unhandled exception while running the job task / error in entry function
    NOT_CONNECTED = 51  # The room connection was not established within 10 seconds …
    RETURNED = 52  # The job task completed without establishing a connection …
    EXITING = 53  # process exiting / job exiting
    LINKED = 54  # RoomIO linked to participant
    SHARED_ROOM = 55  # pre-connect audio handler … already registered, text stream handler … already set
    SESSION_CLOSING = 56  # closing agent session due to participant disconnect
    # -- the application -----------------------------------------------------------------------------------------------
    MARKED = 60  # a line of the program's own, with a marker that was declared
    # -- the evidence itself -------------------------------------------------------------------------------------------
    ANY_LINE = 90  # a record of no interest; one each of a stream's first and last carries its time


class WorkerFields(msgspec.Struct, frozen=True):
    """What a record says besides its message, under one name for both SDKs; what is absent is the empty value."""

    job_id: str = ""
    room: str = ""
    room_id: str = ""
    dispatch_id: str = ""
    agent_name: str | None = None
    worker_id: str = ""
    deployment: str | None = None
    url: str = ""
    version: str = ""  # the SDK's
    server_version: str = ""
    reason: str = ""
    error: str = ""  # what went wrong, in the words of the log; masked
    where: str = ""  # the innermost place of a traceback
    participant: str = ""
    pid: int | None = None
    load: float | None = None
    threshold: float | None = None
    attempt: int | None = None  # of connecting, from 1
    attempts: int | None = None  # how many there may be
    name_from_env: bool | None = None  # Node, from 1.3.2 on


class WorkerEvent(msgspec.Struct, frozen=True):
    """One thing that a worker said. `sdk` is `python`, `node` or empty; `stream` names the one log it comes from."""

    what: Said
    at: float | None
    clock: str
    place: Place
    stream: str
    level: str
    sdk: str
    fields: WorkerFields
    marks: tuple[str, ...] = ()  # names of the application's markers in this line, of whatever kind it is
