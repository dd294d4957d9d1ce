"""The catalogue: every code once, with its name, default severity, meaning, and the symptoms that it explains.

Numbers are for ever: a code may be retired, never reused. `status` is `planned` until a recorded case raises the code
and its healthy look-alike does not; a test compares the statuses with the fixtures (those of lkdoctor's own failures, with
packages of checks that fail and one that does not). `explains` lists the codes that a
finding of this code swallows when both speak of the same dispatches.
"""

from __future__ import annotations

from typing import Final

from lkdoctor.doctor.finding import Code, Severity

INFO: Final = Severity.INFO
WARNING: Final = Severity.WARNING
ERROR: Final = Severity.ERROR

# -- LKD1xx reaching the server --------------------------------------------------------------------------------------
SERVER_UNREACHABLE = Code(
    101, "server-unreachable", ERROR, "Nothing answers at the server's address.", (211,), status="stable"
)
URL_SCHEME = Code(
    102,
    "url-scheme",
    ERROR,
    "The URL's scheme does not fit what the server speaks (TLS or plain).",
    (101, 103, 211),
    status="stable",
)
UPGRADE_BLOCKED = Code(
    103,
    "upgrade-blocked",
    ERROR,
    "The API answers, but the websocket upgrade does not get through.",
    (211,),
    status="stable",
)
API_KEY_UNKNOWN = Code(
    104, "api-key-unknown", ERROR, "The server does not know the API key.", (201, 211, 301, 502), status="stable"
)
API_SECRET_WRONG = Code(
    105,
    "api-secret-wrong",
    ERROR,
    "The server knows the API key but refuses the signature.",
    (201, 211, 301, 502),
    status="stable",
)
CLOCK_SKEW = Code(106, "clock-skew", ERROR, "Tokens are refused because two clocks disagree.", (503,), status="stable")
GRANT_MISSING = Code(
    107,
    "grant-missing",
    ERROR,
    "Requests are refused because the token lacks a grant.",
    (201, 301, 504),
    status="stable",
)
SERVER_VERSION = Code(
    108, "server-version", ERROR, "The server is too old for what is used.", (301, 307, 509), status="stable"
)
NODES_NOT_SHARED = Code(
    109,
    "nodes-not-shared",
    ERROR,
    "Several server nodes share no bus, so each sees only its own workers.",
    (201, 301, 302, 303, 305, 312),
    status="stable",
)

# -- LKD2xx workers ----------------------------------------------------------------------------------------------------
NO_WORKER = Code(
    201,
    "no-worker",
    ERROR,
    "No worker of any name is registered while dispatches are made.",
    (301, 302, 310),
    status="stable",
)
NAME_NEAR_MISS = Code(
    202,
    "name-near-miss",
    ERROR,
    "The name asked for differs from a registered one only by case, blank, hyphen or a typing slip.",
    (201, 301, 302, 310, 315),
    status="stable",
)
DUPLICATE_AGENT_NAME = Code(
    203,
    "duplicate-agent-name",
    INFO,
    "Several workers share one agent name; each job goes to one of them, by load.",
    aliases=("shared-agent-name",),
    status="stable",
)
UNNAMED_WORKERS_COMPETE = Code(
    204,
    "unnamed-workers-compete",
    INFO,
    "Several workers have no name; one of them gets each room.",
    (310,),
    status="stable",
)
WORKER_FLAPPING = Code(
    205,
    "worker-flapping",
    WARNING,
    "A worker registers and drops its connection again and again.",
    (207, 208, 301, 302, 303, 305, 312),
    status="stable",
)
JOB_TYPE_MISMATCH = Code(
    206,
    "job-type-mismatch",
    ERROR,
    "The name is served only for a job type that this dispatch can never raise.",
    (301, 302, 303, 305, 312),
    status="stable",
)
REGISTERED_TOO_LATE = Code(
    207,
    "registered-too-late",
    ERROR,
    "The worker registered after the dispatch had been tried; nothing is retried.",
    (301, 302, 303, 305, 312),
    status="stable",
)
WORKER_GONE = Code(
    208,
    "worker-gone",
    ERROR,
    "The worker had left before the dispatch was made.",
    (301, 302, 303, 305, 312, 515),
    status="stable",
)
DEPLOYMENT_ISOLATED = Code(
    209,
    "deployment-isolated",
    ERROR,
    "The worker registered under a deployment that the dispatch does not name.",
    (301, 302, 303, 305, 312),
    status="stable",
)
REGISTRATION_REFUSED = Code(
    210,
    "registration-refused",
    ERROR,
    "A worker opened its socket and was not registered.",
    (201, 301, 302),
    status="stable",
)
WORKER_CANNOT_CONNECT = Code(
    211,
    "worker-cannot-connect",
    ERROR,
    "The worker cannot reach the server.",
    (201, 301, 302, 315, 806),
    status="stable",
)
VERSION_SPLIT = Code(212, "version-split", WARNING, "Workers of one name run different SDK versions.", status="stable")
WORKER_DRAINING = Code(
    213,
    "worker-draining",
    ERROR,
    "The workers of the name were shutting down, which the server reports in the words of overload.",
    (301, 302, 303, 305, 312, 411),
    status="stable",
)
WORKER_ELSEWHERE = Code(
    214,
    "worker-elsewhere",
    ERROR,
    "A worker of the name runs, and is registered with another server than the one that was asked.",
    (201, 301, 302, 315),
    status="stable",
)

# -- LKD3xx dispatch ---------------------------------------------------------------------------------------------------
NAME_NOT_SERVED = Code(
    301,
    "name-not-served",
    ERROR,
    "Nobody served the agent name when it was asked for.",
    (204, 515),  # 204 where the worker that was meant has no name, and comes uninvited into other rooms
    aliases=("no-worker-available",),
    status="stable",
)
NO_RESPONSE = Code(
    302,
    "no-response",
    ERROR,
    "The server knew the agent name, but nobody listened any more.",
    (515,),
    aliases=("no-response-from-servers",),
    status="stable",
)
NO_HEADROOM = Code(
    303,
    "no-headroom",
    ERROR,
    "No worker of the agent name had headroom, so the server asked none of them.",
    aliases=("no-servers-available",),
    status="stable",
)
DECLINED = Code(304, "declined", ERROR, "Every worker that was asked declined the job.", status="stable")
ANSWER_TIMEOUT = Code(
    305,
    "answer-timeout",
    ERROR,
    "The worker that was asked did not answer within the server's budget.",
    status="stable",
)
REJECTED_TERMINALLY = Code(
    306,
    "rejected-terminally",
    ERROR,
    "The worker's reject ended the dispatch as a success; nobody else was asked.",
    status="stable",
)
TOKEN_AGENTS_IGNORED = Code(
    307,
    "token-agents-ignored",
    ERROR,
    "The room existed already, so the agents named at its creation or in the token were never read.",
    (310,),
    status="stable",
)
DOUBLED_DISPATCH = Code(
    308, "doubled-dispatch", WARNING, "One agent name was dispatched twice into one room.", status="stable"
)
IMPLICIT_DISPATCH_ONLY = Code(
    309,
    "implicit-dispatch-only",
    WARNING,
    "Only the unnamed dispatch was made, although the workers have names.",
    (302, 310),
    status="stable",
)
NEVER_ASKED = Code(310, "never-asked", INFO, "No dispatch for that agent name was ever made.", status="stable")
OTHER_TYPE_NOISE = Code(
    311,
    "other-type-noise",
    INFO,
    "Alarming lines for job types that nobody serves; they are harmless.",
    status="stable",
)
SLOW_DISPATCH = Code(312, "slow-dispatch", WARNING, "The agent was assigned, but late.", status="stable")
ANSWERED_TOO_LATE = Code(
    313,
    "answered-too-late",
    WARNING,
    "The server gave up on the worker, which took the job all the same: an agent runs that no list shows.",
    (305,),
    status="stable",
)
NODE_JAMMED = Code(
    314,
    "node-jammed",
    ERROR,
    "Unanswered requests to a hung worker hold up every other agent of that node.",
    (301, 302, 303, 305, 312),
    status="stable",
)
NOT_ASSIGNED = Code(
    315, "not-assigned", ERROR, "The API lists the dispatch, but no job came of it.", (704, 712), status="stable"
)

# -- LKD4xx load -------------------------------------------------------------------------------------------------------
OVER_LIMIT_NOW = Code(
    401, "over-limit-now", INFO, "A worker reports a load at or over the server's limit.", (303,), status="stable"
)
THRESHOLD_ABOVE_LIMIT = Code(
    402,
    "threshold-above-limit",
    WARNING,
    "The worker's own threshold is above the server's limit: it looks available and is refused.",
    (303, 401),
    status="stable",
)
ZERO_LOAD = Code(403, "zero-load", INFO, "The worker reports no load whatever happens.", status="stable")
HOST_CPU_IN_CONTAINER = Code(
    404,
    "host-cpu-in-container",
    WARNING,
    "The SDK measures the host's load instead of the container's.",
    (303, 401),
    status="stable",
)
CGROUP_DIVISOR = Code(
    405,
    "cgroup-divisor",
    WARNING,
    "Load is measured against another number of CPUs than the worker may use.",
    (303, 401),
    status="stable",
)
LIMIT_ZERO = Code(
    406,
    "limit-zero",
    ERROR,
    "The server's load limit is 0, so it never dispatches anything.",
    (301, 302, 303, 305, 312, 401),
    status="stable",
)
LOAD_NOT_A_NUMBER = Code(
    407,
    "load-not-a-number",
    ERROR,
    "One worker's load is not a number, which switches off every worker of its name on that node.",
    (301, 302, 303, 305, 312),
    status="stable",
)
NEVER_FULL = Code(
    408,
    "never-full",
    WARNING,
    "The worker never marks itself full, so only the server refuses, silently.",
    (303, 402),
    status="stable",
)
SLOW_LOAD_FUNCTION = Code(
    409, "slow-load-function", WARNING, "The load function takes too long.", (305,), status="stable"
)
LOAD_OUT_OF_RANGE = Code(
    410,
    "load-out-of-range",
    WARNING,
    "The load function returns less than 0 or more than 1.",
    (303, 401),
    status="stable",
)
WORKER_SAID_FULL = Code(
    411, "worker-said-full", WARNING, "The worker itself reported that it is full.", (303,), status="stable"
)

# -- LKD5xx tokens and configuration -----------------------------------------------------------------------------------
TOKEN_MALFORMED = Code(501, "token-malformed", ERROR, "The token is no JWT that a server can read.", status="stable")
TOKEN_SIGNATURE = Code(
    502, "token-signature", ERROR, "The token's signature does not match the secret.", status="stable"
)
TOKEN_TIME = Code(503, "token-time", ERROR, "The token has expired or is not valid yet.", status="stable")
TOKEN_GRANT = Code(
    504, "token-grant", ERROR, "The token lacks the grant, the room or the identity to join.", status="stable"
)
ROOM_CONFIG_KEY = Code(
    505,
    "room-config-key",
    ERROR,
    "The token's roomConfig is misspelt or nested in the wrong place, and silently ignored.",
    (309, 310, 506),
    status="stable",
)
TOKEN_NO_AGENTS = Code(
    506, "token-no-agents", INFO, "The token names no agent: only unnamed workers will come.", status="stable"
)
TOKEN_AGENTS_DOUBLED = Code(
    507, "token-agents-doubled", WARNING, "The token names one agent twice.", (308,), status="stable"
)
USER_MARKED_AGENT = Code(
    508, "user-marked-agent", WARNING, "A person's token carries the agent grant.", status="stable"
)
UNKNOWN_FIELDS = Code(
    509, "unknown-fields", WARNING, "The token has fields that older servers refuse.", status="stable"
)
TOKEN_TOO_BIG = Code(510, "token-too-big", WARNING, "The token is too long for the request line.", status="stable")
UNKNOWN_PRESET = Code(
    511, "unknown-preset", ERROR, "The room preset is not in the server's configuration.", status="stable"
)
NAME_OVERRIDDEN = Code(
    512,
    "name-overridden",
    WARNING,
    "The environment beats or fills the agent name in code.",
    (202, 301),
    status="stable",
)
WORKER_ENV = Code(
    513, "worker-env", ERROR, "The worker's URL, key or secret is missing or contradictory.", (211,), status="stable"
)
SERVER_CONFIG = Code(
    514, "server-config", ERROR, "The server's configuration is refused or cannot work.", status="stable"
)
EXPECTATION_UNMET = Code(
    515, "expectation-unmet", ERROR, "The evidence contradicts what lkdoctor.toml expects.", status="stable"
)

# -- LKD6xx after the assignment ---------------------------------------------------------------------------------------
ASSIGNED_NEVER_JOINED = Code(
    601,
    "assigned-never-joined",
    ERROR,
    "A worker took the job, and no agent came into the room.",
    (609, 704, 712),
    status="stable",
)
JOB_CRASHED = Code(602, "job-crashed", ERROR, "The job crashed.", (601, 606, 712), status="stable")
PROCESS_START_TIMEOUT = Code(
    603, "process-start-timeout", ERROR, "The job's process did not start in time.", (601, 712), status="stable"
)
NEVER_CONNECTED = Code(
    604, "never-connected", ERROR, "The job ran, but never connected to the room.", (601, 712), status="stable"
)
IDENTITY_CLASH = Code(
    605,
    "identity-clash",
    ERROR,
    "Two agents used one identity in a room; one or both were thrown out.",
    (601, 606),
    status="stable",
)
NO_REDISPATCH = Code(
    606,
    "no-redispatch",
    ERROR,
    "The only worker of a running job died, and the room stays without an agent.",
    (609,),
    status="stable",
)
REJOIN_OLD_ROOM = Code(
    607,
    "rejoin-old-room",
    ERROR,
    "A user came back into a room that still lived, whose agent had already gone.",
    (307, 310, 609),
    status="stable",
)
IDLE_CLOSE = Code(
    608, "idle-close", WARNING, "A room with agents only was closed by its empty timeout.", status="stable"
)
STALE_STATUS = Code(
    609, "stale-status", INFO, "The dispatch says running although its agent has gone.", status="stable"
)

# -- LKD7xx agent to agent ---------------------------------------------------------------------------------------------
DEAF_AGENTS = Code(
    701,
    "deaf-agents",
    ERROR,
    "The agents in the room accept people only, so none of them speaks.",
    (702, 705),
    status="stable",
)
NO_AUDIO_TRACK = Code(702, "no-audio-track", ERROR, "An agent in the room publishes no audio.", status="stable")
WAITS_FOR_A_PERSON = Code(
    703, "waits-for-a-person", WARNING, "The agent waits for a person before it starts.", status="stable"
)
PARTNER_MISSING = Code(704, "partner-missing", ERROR, "One of the agents that should talk never came.", status="stable")
NOBODY_SPEAKS_FIRST = Code(
    705, "nobody-speaks-first", WARNING, "All agents wait for another one to begin.", status="stable"
)
SESSIONS_SHARE_PARTICIPANT = Code(
    706,
    "sessions-share-participant",
    WARNING,
    "Two sessions share one room connection and cannot hear each other.",
    status="stable",
)
DEAF_AFTER_USER_LEFT = Code(
    707,
    "deaf-after-user-left",
    WARNING,
    "The user left, the session closed, the agent stays in the room, silent.",
    status="stable",
)
HOOK_NEVER_CALLED = Code(
    708, "hook-never-called", WARNING, "The code defines a hook that the SDK never calls.", status="stable"
)
LOG_OVERWRITTEN = Code(709, "log-overwritten", WARNING, "Two job processes overwrite one log file.", status="stable")
ROLE_COLLISION = Code(710, "role-collision", ERROR, "Two agents took the same role.", (705,), status="stable")
NOT_UNDERSTOOD = Code(
    711,
    "not-understood",
    WARNING,
    "An agent listens to somebody whose words sound, and understands none of them.",
    status="stable",
)
CONVERSATION_FAILED = Code(
    712,
    "conversation-failed",
    ERROR,
    "Two agents of a batch of conversations did not understand each other.",
    status="stable",
)

# -- LKD8xx the machine ------------------------------------------------------------------------------------------------
DUPLICATE_CONTAINERS = Code(
    801, "duplicate-containers", WARNING, "Containers of two deploys run the same worker.", (203, 204), status="stable"
)
COMPOSE_SAME_NAME = Code(
    802, "compose-same-name", WARNING, "Two compose services use one agent name.", (203, 204), status="stable"
)
PORT_IN_USE = Code(803, "port-in-use", ERROR, "The worker's HTTP port is taken.", (804, 806), status="stable")
RESTART_LOOP = Code(804, "restart-loop", ERROR, "A container restarts again and again.", (205, 208), status="stable")
CPU_QUOTA_SMALL = Code(
    805, "cpu-quota-small", WARNING, "The container's CPU quota is too small for a job.", (303, 401), status="stable"
)
WORKER_UNHEALTHY = Code(
    806,
    "worker-unhealthy",
    ERROR,
    "The worker's HTTP endpoint says that it is unwell.",
    (201, 301, 302, 315),
    status="stable",
)
STRAY_PROCESS = Code(
    807, "stray-process", WARNING, "A forgotten worker process serves the name, too.", (203, 204), status="stable"
)
CONTAINER_STALE = Code(
    808,
    "container-stale",
    WARNING,
    "The container runs another image or environment than its compose file says.",
    status="stable",
)

# -- LKD9xx lkdoctor itself --------------------------------------------------------------------------------------------
CHECK_CRASHED = Code(901, "check-crashed", WARNING, "A check failed; its question stays open.", status="stable")
PLUGIN_NOT_LOADED = Code(902, "plugin-not-loaded", WARNING, "A package of checks could not be loaded.", status="stable")
INPUT_UNREADABLE = Code(903, "input-unreadable", WARNING, "A part of the evidence could not be read.", status="stable")
EVIDENCE_THIN = Code(904, "evidence-thin", INFO, "The evidence hides something that would matter.", status="stable")
VERSION_UNKNOWN = Code(905, "version-unknown", INFO, "The server's version is not in the evidence.", status="stable")

CODES: Final[tuple[Code, ...]] = tuple(
    sorted((one for one in globals().values() if isinstance(one, Code)), key=lambda one: one.number)
)

FAMILIES: Final[dict[int, str]] = {
    1: "reaching the server",
    2: "workers",
    3: "dispatch",
    4: "load",
    5: "tokens and configuration",
    6: "after the assignment",
    7: "agent to agent",
    8: "the machine",
    9: "lkdoctor itself",
}
