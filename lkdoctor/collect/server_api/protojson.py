"""Decodes Twirp answers, as any client may have saved them, into the typed listings; what is secret or personal stays out.

Only the fields that the listings name are read, so `turn_password` and every kind of metadata end here. Names are read in
proto spelling and in camelCase, 64-bit numbers as numbers or text, enums as words or numbers (Go's `encoding/json`, which
the `lk` command line prints).
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from lkdoctor.dispatch.listings import DispatchInfo, ParticipantInfo, RoomInfo
from lkdoctor.redact import mask

T = TypeVar("T")


class Agent(msgspec.Struct, frozen=True, gc=False):
    """One entry of CreateRoom's `agents`."""

    agent_name: str = ""
    deployment: str = ""


class Request(msgspec.Struct, frozen=True):
    """What of a request matters: whom it is about, and whether it chose a subset."""

    room: str = ""
    name: str = ""  # CreateRoom
    names: tuple[str, ...] = ()  # ListRooms of a chosen few
    dispatch_id: str = ""
    identity: str = ""
    agent_name: str = ""
    deployment: str = ""
    agents: tuple[Agent, ...] = ()
    room_preset: str = ""


class Rooms(msgspec.Struct, frozen=True):
    """ListRooms's answer."""

    rooms: tuple[RoomInfo, ...] = ()


class Dispatches(msgspec.Struct, frozen=True):
    """ListDispatch's answer."""

    agent_dispatches: tuple[DispatchInfo, ...] = ()


class Participants(msgspec.Struct, frozen=True):
    """ListParticipants's answer."""

    participants: tuple[ParticipantInfo, ...] = ()


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """An answer other than 200: Twirp's `code` and `msg`, or the plain text that the authorization answers with."""

    code: str = ""
    msg: str = ""
    body: str = ""

    @property
    def text(self) -> str:
        """The server's words, masked: up to 1.13.5 a refused token stands in them as a whole."""
        return mask(" ".join((self.msg or self.body or self.code).split()))[:400]


class Nothing(msgspec.Struct, frozen=True, gc=False):
    """An answer of which nothing is kept."""


_JOBS: Final = ("JT_ROOM", "JT_PUBLISHER", "JT_PARTICIPANT")
_KINDS: Final = ("STANDARD", "INGRESS", "EGRESS", "SIP", "AGENT", "", "", "CONNECTOR", "BRIDGE")
_STATES: Final = ("JOINING", "JOINED", "ACTIVE", "DISCONNECTED")
_STATUSES: Final = ("JS_PENDING", "JS_RUNNING", "JS_SUCCESS", "JS_FAILED")
_TRACKS: Final = ("AUDIO", "VIDEO", "DATA")
_SOURCES: Final = ("UNKNOWN", "CAMERA", "MICROPHONE", "SCREEN_SHARE", "SCREEN_SHARE_AUDIO")
#: (what holds it, key) -> names by number, of livekit_models.proto and livekit_agent.proto
_ENUMS: Final = {
    ("jobs", "type"): _JOBS,
    ("tracks", "type"): _TRACKS,
    ("tracks", "source"): _SOURCES,
    ("participants", "kind"): _KINDS,
    ("participants", "state"): _STATES,
    ("participant", "kind"): _KINDS,
    ("participant", "state"): _STATES,
    ("state", "status"): _STATUSES,
}
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CAMEL_KEY: Final = re.compile(rb'"[a-z]+[A-Z][A-Za-z]*"\s*:')


def decode(raw: bytes | msgspec.Raw | dict[str, Any], shape: type[T]) -> T:
    """`raw` (JSON, or decoded JSON) as `shape`.

    Raises:
        msgspec.ValidationError: it is JSON of another form.
        msgspec.DecodeError: it is no JSON.
    """
    if isinstance(raw, dict):
        try:
            return msgspec.convert(raw, shape, strict=False)
        except msgspec.ValidationError:
            return msgspec.convert(_loosen(raw, "", shape), shape, strict=False)
    if not _CAMEL_KEY.search(raw):
        try:
            return msgspec.json.decode(raw, type=shape, strict=False)
        except msgspec.ValidationError:
            pass
    return msgspec.convert(_loosen(msgspec.json.decode(raw), "", shape), shape, strict=False)


def _loosen(value: Any, holder: str, shape: Any = None) -> Any:
    """`value` with proto names, enums in words, and without nulls; `holder` is the key that it stands under."""
    if isinstance(value, list):
        return [_loosen(one, holder) for one in value]
    if not isinstance(value, dict):
        return value
    if holder == "attributes":
        return {key: one for key, one in value.items() if isinstance(one, str)}
    if shape is ParticipantInfo:
        holder = "participants"
    clean = {}
    for name, one in value.items():
        key = _HUMP.sub("_", name).lower()
        if one is None:
            continue
        words = _ENUMS.get((holder, key))
        if words is not None and isinstance(one, int):
            clean[key] = words[one] if 0 <= one < len(words) and words[one] else str(one)
        else:
            clean[key] = _loosen(one, key)
    return clean


def private(one: ParticipantInfo) -> ParticipantInfo:
    """`one` without what its user put in: display name, and attributes other than LiveKit's own (`sip.*` hold phone numbers)."""
    if (one.name and one.kind != "AGENT") or any(not key.startswith("lk.") for key in one.attributes):
        kept = {key: mask(text) for key, text in one.attributes.items() if key.startswith("lk.")}
        return msgspec.structs.replace(one, name=one.name if one.kind == "AGENT" else "", attributes=kept)
    return one


def private_dispatch(one: DispatchInfo) -> DispatchInfo:
    """`one` with the participants of its jobs made private, and errors of workers masked."""
    if not any(job.participant or job.state.error for job in one.state.jobs):
        return one
    replace = msgspec.structs.replace
    jobs = tuple(
        replace(
            job,
            participant=job.participant and private(job.participant),
            state=replace(job.state, error=mask(job.state.error)),
        )
        for job in one.state.jobs
    )
    return replace(one, state=replace(one.state, jobs=jobs))


def plain(value: Any) -> Any:
    """A typed answer as protojson with proto names: what is empty or zero is left out."""
    return _pruned(msgspec.to_builtins(value))


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        # An attribute with an empty value is there all the same.
        pruned = {key: one if key == "attributes" else _pruned(one) for key, one in value.items()}
        return {key: one for key, one in pruned.items() if one not in (0, "", False, None, [], {}, ())}
    if isinstance(value, (list, tuple)):
        return [_pruned(one) for one in value]
    return value
