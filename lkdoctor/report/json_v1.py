"""The document `lkdoctor.report/v1`: its types, its encoder and its JSON schema. Frozen: within v1 only additions.

This is the report itself: `build.py` fills it, every writer renders it, and strings in it are masked already.
Times are RFC 3339 in UTC; `null` stands for what the evidence does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal

import msgspec

from lkdoctor.report.tokens import ShownToken

SCHEMA: Final = "lkdoctor.report/v1"
SCHEMA_ID: Final = "urn:lkdoctor:report:v1"
_PIECE: Final = 256  # members of a list encoded at once
_LIST_END: Final = b"\n  ]\n}"

Severity = Literal["error", "warning", "info"]
Outcome = Literal[
    "assigned",
    "name-not-served",
    "no-response",
    "no-headroom",
    "declined",
    "answer-timeout",
    "rejected-terminally",
    "worker-closed",
    "waiting",
    "not-assigned",
    "pending",
    "unknown",
]
After = Literal["joined", "never-joined", "left", "ended"]


class Proof(msgspec.Struct, frozen=True):
    """One quoted place: `text` is what stands there, masked; `line` counts from 1."""

    source: str
    offset: int | None
    line: int | None
    text: str


class Tool(msgspec.Struct, frozen=True):
    """What wrote the report."""

    name: str
    version: str


class Run(msgspec.Struct, frozen=True):
    """How this run went; with the tokens of masked secrets the only part that differs between two runs on the same evidence."""

    started_at: str
    seconds: float
    mode: Literal["offline", "read-only", "probe"]
    interrupted: bool = False


class Gate(msgspec.Struct, frozen=True):
    """What the verdict was measured against."""

    fail_on: Severity
    allow_inconclusive: bool = False
    select: list[str] = []
    ignore: list[str] = []
    rooms: list[str] = []
    agents: list[str] = []
    since: str | None = None
    until: str | None = None


class Source(msgspec.Struct, frozen=True):
    """One input, as it was given."""

    name: str
    kind: str
    lines: int | None
    bytes: int
    first_at: str | None
    last_at: str | None
    server_version: str | None
    notes: list[str]
    skipped: dict[str, int] = {}
    unusable: str = ""


class Worker(msgspec.Struct, frozen=True):
    """One registration; `registered_at` null: before the evidence starts, `closed_at` null: not closed in it."""

    worker_id: str
    agent_name: str | None
    job_type: str
    deployment: str | None
    sdk: str | None
    registered_at: str | None
    closed_at: str | None
    jobs: int


class Launch(msgspec.Struct, frozen=True):
    """One try for one job type."""

    job_type: str
    participant: str | None
    outcome: Outcome
    job_id: str | None
    worker_id: str | None
    decides: bool
    error: str = ""


class Dispatch(msgspec.Struct, frozen=True):
    """One request for one agent in one room; the job fields are those of its deciding launch."""

    room: str
    room_id: str
    agent_name: str
    deployment: str
    dispatch_id: str | None
    origin: str
    outcome: Outcome
    after: After | None
    asked_at: str | None
    seconds: float | None
    job_type: str | None
    job_id: str | None
    worker_id: str | None
    node: str | None
    certainty: Literal["high", "medium", "low"]
    reason: str
    missing: str
    launches: list[Launch]
    noise_lines: int
    proof: list[Proof]


class Totals(msgspec.Struct, frozen=True):
    """How much was looked at; `listed` of `dispatches` stand in the document (all below 10,000, or with --all).

    `server_versions` are those of all server starts that the evidence holds, `server_starts` how many these are.
    """

    rooms: int
    workers: int
    dispatches: int
    listed: int
    by_outcome: dict[str, int]
    server_versions: list[str] = []
    server_starts: int = 0


class Subject(msgspec.Struct, frozen=True):
    """What a finding is about."""

    kind: str
    room: str
    agent_name: str | None
    id: str


class Fix(msgspec.Struct, frozen=True):
    """What to do about it."""

    title: str
    safety: Literal["safe", "unsafe", "manual"]
    steps: list[str]
    commands: list[str]
    caveats: list[str]
    verify: list[str]
    undo: list[str]


class Finding(msgspec.Struct, frozen=True):
    """One cause. `explains` holds the fingerprints of its `symptoms`, which count for nothing of their own.

    `fingerprint` is the same from run to run, also for rooms that are named anew each time; where several findings of a
    report come to the same one, the second ends in `-2`, and so on.
    """

    code: str
    name: str
    severity: Severity
    confidence: Literal["high", "medium", "low"]
    subject: Subject
    message: str
    values: dict[str, Any]
    proof: list[Proof]
    explains: list[str]
    count: int
    first_at: str | None
    last_at: str | None
    fixes: list[Fix]
    docs: str
    fingerprint: str


class Question(msgspec.Struct, frozen=True):
    """What this evidence cannot answer, and how to get what is missing."""

    code: str
    name: str
    subject: Subject
    missing: str
    how: str
    proof: list[Proof]


class CheckResult(msgspec.Struct, frozen=True):
    """How one check ended."""

    code: str
    name: str
    outcome: Literal["passed", "failed", "skipped", "inconclusive", "crashed"]
    reason: str


class Suppressed(msgspec.Struct, frozen=True):
    """A finding that was left out of the report: by an option, by `lkdoctor.toml` (with its line), or by a baseline."""

    code: str
    name: str
    fingerprint: str
    severity: Severity
    count: int
    by: str
    reason: str = ""
    until: str | None = None
    message: str = ""
    subject: Subject | None = None
    proof: list[Proof] = []


class Summary(msgspec.Struct, frozen=True):
    """Number of findings by severity, and of open questions."""

    errors: int
    warnings: int
    infos: int
    inconclusive: int


class Server(msgspec.Struct, frozen=True):
    """The live server that was asked; what it did not say is empty (plain `check` does not register, so does not learn it)."""

    url: str
    version: str = ""
    edition: str = ""
    node_id: str = ""
    region: str = ""
    protocol: int = 0
    agent_protocol: int = 0


class Step(msgspec.Struct, frozen=True):
    """One step on the way to the server; `trouble` is the kind of failure in one word, `error` what was answered."""

    name: str
    target: str
    at: str | None
    seconds: float
    ok: bool
    status: int = 0
    trouble: str = ""
    error: str = ""
    values: dict[str, Any] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document.

    `gaps` is what was asked for and could not be learned; `reminders` what of `lkdoctor.toml` has ended; `credentials` says
    where url, key and secret came from, never what they are. `probes`, `talks` (watched rooms), `tokens`, `load` and
    `endpoints` are as their checks see them. `containers` are those that run a worker now. `markers` are the application's own lines, a row a job.
    """

    schema: Literal["lkdoctor.report/v1"] = SCHEMA
    tool: Tool
    run: Run
    gate: Gate
    sources: list[Source]
    verdict: Literal["healthy", "problems", "inconclusive"]
    totals: Totals
    workers: list[Worker]
    dispatches: Sequence[Dispatch]
    findings: list[Finding]
    symptoms: list[Finding]
    questions: list[Question]
    checks: list[CheckResult]
    suppressed: list[Suppressed]
    summary: Summary
    errors: list[str] = []
    gaps: list[str] = []
    reminders: list[str] = []
    credentials: dict[str, str] = {}
    server: Server | None = None
    connection: list[Step] = []
    probes: list[dict[str, Any]] = []
    talks: list[dict[str, Any]] = []
    tokens: list[ShownToken] = []
    load: list[dict[str, Any]] = []
    endpoints: list[dict[str, Any]] = []
    containers: list[dict[str, Any]] = []
    markers: list[dict[str, Any]] = []


def encode(report: Report) -> bytes:
    """The document as UTF-8 JSON, indented, with a newline at its end."""
    return b"".join(pieces(report))


def pieces(report: Report) -> Iterator[bytes]:
    """`encode`, piece by piece: memory must not grow with the number of dispatches."""
    before = b"{\n"
    for key in Report.__struct_fields__:
        value = getattr(report, key)
        yield before
        before = b",\n"
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) <= _PIECE:
            yield _indented({key: value})[2:-2]
            continue
        items = iter(value)
        end = b""
        while some := list(islice(items, _PIECE)):
            text = _indented({key: some})
            begin = text.index(b"[") + 1 if end else 2
            yield (b"," if end else b"") + text[begin : -len(_LIST_END)]
            end = _LIST_END[:-2]
        yield end
    yield b"\n}\n"


def _indented(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2)


def schema() -> bytes:
    """The JSON schema of the document, as it is published in `lkdoctor/schemas/report-v1.json`."""
    document = _tidy(msgspec.json.schema(Report))
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **document}
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"


def _tidy(value: Any) -> Any:
    """Descriptions on one line: Python 3.13 takes the indentation out of docstrings, older ones leave it in."""
    if isinstance(value, dict):
        return {
            key: " ".join(item.split()) if key == "description" and isinstance(item, str) else _tidy(item)
            for key, item in value.items()
        }
    return [_tidy(item) for item in value] if isinstance(value, list) else value
