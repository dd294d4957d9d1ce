"""What the SDKs' records say, under one name for each thing, without secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from lkdoctor.collect.worker_log.records import NODE, Record
from lkdoctor.dispatch.worker_facts import Said, WorkerFields
from lkdoctor.redact import mask

_LONGEST: Final = 300
_JOB: Final = re.compile(r"\bAJ_\w+")
_EXIT: Final = re.compile(r"exit code (-?\d+)|code (\d+), signal (\w+)")
_URL: Final = re.compile(r"\((\w+://[^)\s]+)\)")
_TRIES: Final = re.compile(r"\((\d+)/(\d+)\)")
_RETRYING: Final = re.compile(r"retrying in [\d.]+ ?s(?:econds)?:? ?")
_FRAME: Final = re.compile(r'File "?([^"\n]+)"?, line (\d+), in (\S+)')
_NODE_FRAME: Final = re.compile(r"\n\s*at (?:(?:async )?(\S+) \()?(?:file://)?([^()\s]+?):(\d+):\d+\)?")
_PORT: Final = re.compile(
    r"(?:listening on (?:port )?|address |bind on address )\(?'?([^\s',]*)'?(?:, ?|:)(\d+)|port (\d+)"
)
_PRETTY_MESSAGE: Final = re.compile(r'"message": "((?:[^"\\]|\\.)*)"')
_EXCEPTION: Final = re.compile(r"[A-Za-z_][\w.]*(?:: .*|:?)$")
_SURE: Final = re.compile(r"[\w.]+: |[\w.]*(?:Error|Exception|Exit|Interrupt|Timeout)$")
_OF_WORKER: Final = (Said.REGISTERED, Said.DRAINING, Said.STOPPING)
_NUMBER: Final = (int, float)
#: Key of a record -> field, its type, and whether an empty value says something.
_SLOTS: Final[dict[str, tuple[str, type | tuple[type, ...], bool]]] = {
    "job_id": ("job_id", str, False),
    "jobID": ("job_id", str, False),
    "jobId": ("job_id", str, False),
    "room": ("room", str, False),
    "room_name": ("room", str, False),
    "lk.pii.room_name": ("room", str, False),
    "room_id": ("room_id", str, False),
    "dispatch_id": ("dispatch_id", str, False),
    "agent_name": ("agent_name", str, True),
    "agentName": ("agent_name", str, True),
    "id": ("worker_id", str, False),
    "deployment": ("deployment", str, True),
    "url": ("url", str, False),
    "version": ("version", str, False),
    "reason": ("reason", str, False),
    "lk.pii.participant_identity": ("participant", str, False),
    "participant_identity": ("participant", str, False),
    "participant": ("participant", str, False),
    "pid": ("pid", _NUMBER, True),
    "load": ("load", _NUMBER, True),
    "threshold": ("threshold", _NUMBER, True),
    "loadThreshold": ("threshold", _NUMBER, True),
    "retry_count": ("attempt", _NUMBER, True),
    "max_retry": ("attempts", _NUMBER, True),
    "agentNameIsEnv": ("name_from_env", bool, True),
}
_MEASURED: Final = frozenset({"load", "threshold"})
_NUMBERS: Final = _MEASURED | {"pid", "attempt", "attempts"}
_PLAIN: Final = frozenset({"url", "reason", "participant"})  # may hold anything: masked
_TRACEBACK: Final = "Traceback (most recent call last):"


def fields_of(what: Said, record: Record) -> WorkerFields:
    """The fields of a record that is `what`."""
    extras, message = record.extras, record.message
    found: dict[str, Any] = {}
    for key, value in extras.items():
        slot = _SLOTS.get(key)
        if slot is not None and isinstance(value, slot[1]) and (value or slot[2]):
            found.setdefault(slot[0], value)
    if isinstance(job := extras.get("job"), dict):
        _of_job(job, found)
    for name in _NUMBERS & found.keys():
        found[name] = _number(found[name], whole=name not in _MEASURED)
    if not found.get("job_id") and "AJ_" in message:
        found["job_id"] = _first(_JOB, message)
    if what not in _OF_WORKER or not found.get("worker_id", "").startswith(("AW_", "CAW_")):
        found.pop("worker_id", None)
    if what is not Said.STARTING and record.sdk != NODE:
        found.pop("version", None)
    if "url" not in found and "://" in message:
        found["url"] = _first(_URL, message)
    if "server_info" in extras:
        found["server_version"] = _server_version(extras["server_info"])
    if what is Said.CONNECT_FAILED and (tries := _TRIES.search(message)) is not None:
        found.setdefault("attempt", int(tries[1]))
        found.setdefault("attempts", int(tries[2]))
    for name in _PLAIN & found.keys():
        found[name] = mask(found[name])[:_LONGEST]
    return WorkerFields(**found, **_trouble(what, record))


def _of_job(job: Mapping[str, Any], found: dict[str, Any]) -> None:
    """What older versions print of the whole job."""
    room = job.get("room")
    nested: Mapping[str, Any] = room if isinstance(room, dict) else {}
    for name, value in (
        ("job_id", _text(job, "id")),
        ("dispatch_id", _text(job, "dispatchId", "dispatch_id")),
        ("room", _text(nested, "name")),
        ("room_id", _text(nested, "sid")),
    ):
        if value:
            found.setdefault(name, value)


def _trouble(what: Said, record: Record) -> dict[str, Any]:
    """What went wrong (`error`) and where, in the record's own words, shortened and masked."""
    text, where = "", ""
    trace = record.trace if _TRACEBACK in record.trace else record.message if _TRACEBACK in record.message else ""
    if trace:
        text, where = _last_error(trace)
    error = record.extras.get("error", record.extras.get("err"))
    if not text and isinstance(error, dict):
        kind, words = error.get("type"), error.get("message")
        text = f"{kind}: {words}" if isinstance(kind, str) and kind not in ("", "Error") else str(words or "")
        where = _node_frame(str(error.get("stack", "")))
    elif not text and isinstance(error, str):
        said = _PRETTY_MESSAGE.search(error) if error.startswith("{") else None
        text = said[1].replace('\\"', '"') if said else "" if error.startswith("{") else error
        where = _node_frame(error)
    if not text:
        text = _words(what, record.message)
    return {"error": mask(text)[:_LONGEST], "where": mask(where)[:_LONGEST]} if text or where else {}


def _words(what: Said, message: str) -> str:
    if what in (Said.EXIT_CODE, Said.START_FAILED):
        found = _EXIT.search(message)
        return found[0] if found else message if what is Said.START_FAILED else ""
    if what in (Said.MEMORY_KILL, Said.KILLED, Said.UNRESPONSIVE, Said.SHARED_ROOM):
        return message
    if what is Said.LISTENING:
        found = _PORT.search(message)
        return ":".join(part for part in found.groups() if part) if found else ""
    if what is Said.CONNECT_FAILED:
        parts = _RETRYING.split(message, maxsplit=1)
        return _TRIES.sub("", parts[1]).strip() if len(parts) == 2 else ""
    return ""


def _last_error(trace: str) -> tuple[str, str]:
    """The exception that a traceback ends in, and its innermost frame; of several the last, which the others led to."""
    block = trace[trace.rfind(_TRACEBACK) + len(_TRACEBACK) :]
    loose = [line.strip() for line in block.split("\n") if _EXCEPTION.match(line)]
    # A path that was broken over two lines looks like a bare exception; one that says something is surer.
    error = next((line for line in loose if _SURE.match(line)), loose[-1] if loose else "")
    frames = _FRAME.findall(block)
    where = f"{frames[-1][0].strip()}:{frames[-1][1]} in {frames[-1][2]}" if frames else ""
    return error, where


def _node_frame(stack: str) -> str:
    found = _NODE_FRAME.search(stack)
    return "" if found is None else f"{found[2]}:{found[3]}{f' in {found[1]}' if found[1] else ''}"


def _text(extras: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = extras.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return "" if found is None else found[found.lastindex or 0]


def _number(value: float, *, whole: bool) -> float | None:
    if isinstance(value, bool) or not math.isfinite(value):
        return None
    return int(value) if whole else float(value)


def _server_version(server: Any) -> str:
    if isinstance(server, dict):
        return _text(server, "version")
    found = re.search(r'"version": "([\w.-]+)"', server) if isinstance(server, str) else None
    return found[1] if found else ""
