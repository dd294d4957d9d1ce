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
_TRACEBACK: Final = "Traceback (most recent call last):"


def fields_of(what: Said, record: Record) -> WorkerFields:
    """The fields of a record that is `what`."""
    extras = record.extras
    job = extras.get("job")
    nested = job if isinstance(job, dict) else {}
    room = nested.get("room")
    nested_room: Mapping[str, Any] = room if isinstance(room, dict) else {}
    server = extras.get("server_info")
    error, where = _trouble(what, record)
    tries = _TRIES.search(record.message)
    registered = what in (Said.REGISTERED, Said.DRAINING, Said.STOPPING)
    from_env = extras.get("agentNameIsEnv")
    attempt, attempts = _whole(extras, "retry_count"), _whole(extras, "max_retry")
    return WorkerFields(
        job_id=_text(extras, "job_id", "jobID", "jobId") or _text(nested, "id") or _first(_JOB, record.message),
        room=_text(extras, "room", "room_name", "lk.pii.room_name") or _text(nested_room, "name"),
        room_id=_text(extras, "room_id") or _text(nested_room, "sid"),
        dispatch_id=_text(extras, "dispatch_id") or _text(nested, "dispatchId", "dispatch_id"),
        agent_name=_maybe(extras, "agent_name", "agentName"),
        worker_id=worker_id if registered and (worker_id := _text(extras, "id")).startswith("AW_") else "",
        deployment=_maybe(extras, "deployment"),
        url=mask(_text(extras, "url") or _first(_URL, record.message)),
        version=_text(extras, "version") if what is Said.STARTING or record.sdk == NODE else "",
        server_version=_server_version(server),
        reason=mask(_text(extras, "reason"))[:_LONGEST],
        error=error,
        where=where,
        participant=mask(_text(extras, "lk.pii.participant_identity", "participant_identity", "participant")),
        pid=_whole(extras, "pid"),
        load=_float(extras, "load"),
        threshold=_float(extras, "threshold", "loadThreshold"),
        attempt=attempt if attempt is not None else int(tries[1]) if tries else None,
        attempts=attempts if attempts is not None else int(tries[2]) if tries else None,
        name_from_env=from_env if isinstance(from_env, bool) else None,
    )


def _trouble(what: Said, record: Record) -> tuple[str, str]:
    """What went wrong and where, in the record's own words, shortened and masked."""
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
    return mask(text)[:_LONGEST], mask(where)[:_LONGEST]


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
    return next((value for name in names if isinstance(value := extras.get(name), str) and value), "")


def _maybe(extras: Mapping[str, Any], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := extras.get(name), str)), None)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return "" if found is None else found[found.lastindex or 0]


def _float(extras: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = extras.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _whole(extras: Mapping[str, Any], name: str) -> int | None:
    value = _float(extras, name)
    return None if value is None else int(value)


def _server_version(server: Any) -> str:
    if isinstance(server, dict):
        return _text(server, "version")
    found = re.search(r'"version": "([\w.-]+)"', server) if isinstance(server, str) else None
    return found[1] if found else ""
