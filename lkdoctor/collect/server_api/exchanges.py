"""One Twirp exchange as a snapshot, read from `api.jsonl` and written to it.

A line is `{"at": Unix seconds, "call": "Service/Method", "request": {…}, "status": 200, "response": {…}}`. A listing that the
server refused or never answered (status 0) is a gap: its reason is counted in the note on the source. A refused call that
would have changed something is a fact of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from lkdoctor.collect.gathered import LATEST, Gathered
from lkdoctor.collect.server_api.changes import Changes
from lkdoctor.collect.server_api.protojson import (
    Dispatches,
    Nothing,
    Participants,
    Refusal,
    Request,
    Rooms,
    decode,
    plain,
    private,
    private_dispatch,
)
from lkdoctor.dispatch.facts import AgentAsked, Place
from lkdoctor.dispatch.listings import (
    Called,
    Data,
    DispatchesListed,
    DispatchInfo,
    ParticipantInfo,
    ParticipantsListed,
    RoomInfo,
    RoomsListed,
    Snapshot,
)
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.redact import mask, of_this_run

Answer = Rooms | Dispatches | Participants | RoomInfo | DispatchInfo | ParticipantInfo | Refusal | Nothing

_SHAPES: Final[dict[str, type[Answer]]] = {
    "RoomService/ListRooms": Rooms,
    "RoomService/ListParticipants": Participants,
    "RoomService/GetParticipant": ParticipantInfo,
    "RoomService/CreateRoom": RoomInfo,
    "AgentDispatchService/ListDispatch": Dispatches,
    "AgentDispatchService/CreateDispatch": DispatchInfo,
    "AgentDispatchService/DeleteDispatch": DispatchInfo,
}
_LISTINGS: Final = (Rooms, Participants, ParticipantInfo, Dispatches)
_CUT: Final = "cut in the middle"


class BadExchangeError(ValueError):
    """A line that is no exchange; the message is the reason, short enough to be counted by."""


class Exchange(msgspec.Struct, frozen=True):
    """A call with its answer, typed; nothing in it is secret."""

    at: float  # Unix seconds, the asking machine's clock
    call: str  # Service/Method
    request: Request
    status: int  # HTTP status; 0 when no answer came
    answer: Answer

    @property
    def ok(self) -> bool:
        """True when the server did what it was asked."""
        return self.status == 200

    @property
    def room(self) -> str:
        """The room that the call is about, by name; empty for ListRooms."""
        return self.request.room or self.request.name

    @property
    def gap(self) -> str:
        """Why a listing is missing, in words; empty when it is there or when this is no listing."""
        if self.ok or _SHAPES.get(self.call) not in _LISTINGS or not isinstance(self.answer, Refusal):
            return ""
        said = f"answered {self.status}" if self.status else "no answer"
        return f"{self.call.rpartition('/')[2]} {said}{': ' if self.answer.text else ''}{self.answer.text}"

    def line(self) -> bytes:
        """The exchange as one line of `api.jsonl`, masked."""
        document = {
            "at": self.at,
            "call": self.call,
            "request": plain(self.request),
            "status": self.status,
            "response": plain(self.answer),
        }
        return msgspec.json.encode(of_this_run().mask_all(document)) + b"\n"


class _Envelope(msgspec.Struct, frozen=True):
    at: float
    call: str
    status: int = 200
    request: msgspec.Raw = msgspec.Raw(b"{}")
    response: msgspec.Raw = msgspec.Raw(b"{}")


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope, strict=False)


def parse_line(line: bytes) -> Exchange:
    """One line of `api.jsonl`.

    Raises:
        BadExchangeError: it is none.
    """
    try:
        envelope = _ENVELOPE.decode(line)
    except msgspec.ValidationError:
        raise BadExchangeError(_why_not(line)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadExchangeError("not JSON" if not line.lstrip().startswith(b"{") else _CUT) from None
    request, response = bytes(envelope.request), bytes(envelope.response)
    return _build(envelope.at, envelope.call, request, envelope.status, response)


def _why_not(line: bytes) -> str:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _CUT
    if not isinstance(found, dict):
        return "JSON, but no exchange"
    if "call" not in found:
        bare = found.keys() & {"rooms", "participants", "agent_dispatches", "agentDispatches"}
        return "an answer without its call and time" if bare else "JSON, but no exchange"
    return "an exchange without its time" if "at" not in found else "an exchange with fields of another type"


def exchange(
    at: float, call: str, request: dict[str, Any], status: int, response: bytes | dict[str, Any] | str
) -> Exchange:
    """A call that was just made; `response` as protojson (or the plain text of a refusal).

    Raises:
        BadExchangeError: the answer has a form that this version does not know.
    """
    body: bytes | dict[str, Any] = {"body": response} if isinstance(response, str) else response
    return _build(at, call, request, status, body)


def _build(
    at: float, call: str, request: bytes | dict[str, Any], status: int, response: bytes | dict[str, Any]
) -> Exchange:
    name = _name(call)
    if "/" not in name:
        raise BadExchangeError("an exchange of an unknown call")
    if not 0 < at < LATEST:
        raise BadExchangeError("an exchange at an impossible time")
    shape = _SHAPES.get(name, Nothing) if status == 200 else Refusal
    asked, answer = Request(), cast("Answer", Refusal())
    try:
        asked = decode(_or_empty(request), Request)
        answer = decode(_or_empty(response), shape)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if status == 200:  # what was refused is known without the words, too
            raise BadExchangeError(f"{mask(name)[:60]} in a form that this version does not know") from None
    return Exchange(at, name, asked, status, _settled(answer))


@functools.lru_cache(maxsize=64)
def _name(call: str) -> str:
    """`Service/Method` of a call that may be spelt as the path is: `/twirp/livekit.Service/Method`."""
    return "/".join(part.rpartition(".")[2] for part in call.strip("/").split("/")[-2:])


def _or_empty(value: bytes | dict[str, Any]) -> bytes | dict[str, Any]:
    return b"{}" if value in (b"null", b"") else value


def _settled(answer: Answer) -> Answer:
    """`answer` without what is private, and in a fixed order: the server lists in a random one, which is no change."""
    if isinstance(answer, Rooms):
        return Rooms(tuple(sorted(answer.rooms, key=lambda one: (one.name, one.sid))))
    if isinstance(answer, Participants):
        ordered = sorted(answer.participants, key=lambda one: (one.joined_at, one.joined_at_ms, one.sid))
        return Participants(tuple(private(one) for one in ordered))
    if isinstance(answer, ParticipantInfo):
        return private(answer)
    if isinstance(answer, Dispatches):
        listed = sorted(answer.agent_dispatches, key=lambda one: (one.state.created_at, one.id))
        return Dispatches(tuple(private_dispatch(one) for one in listed))
    if isinstance(answer, DispatchInfo):
        return private_dispatch(answer)
    if isinstance(answer, Refusal):
        return Refusal(answer.code, mask(answer.msg), mask(answer.body))
    return answer


def snapshot(one: Exchange, place: Place) -> Snapshot | None:
    """What the exchange tells; None for a listing that was refused (see `Exchange.gap`)."""
    answer, request = one.answer, one.request
    if one.gap:
        return None
    data: Data
    complete = True
    if isinstance(answer, Rooms):
        data, complete = RoomsListed(answer.rooms), not request.names
    elif isinstance(answer, Dispatches):
        data, complete = DispatchesListed(request.room, answer.agent_dispatches), not request.dispatch_id
    elif isinstance(answer, Participants):
        data = ParticipantsListed(request.room, answer.participants)
    elif isinstance(answer, ParticipantInfo):
        data, complete = ParticipantsListed(request.room, (answer,)), False
    else:
        data = _called(one)
    return Snapshot(one.at, data, place, complete)


def _called(one: Exchange) -> Called:
    answer, request = one.answer, one.request
    made_dispatch = answer if isinstance(answer, DispatchInfo) else None
    if made_dispatch is not None and not made_dispatch.id and request.dispatch_id:
        made_dispatch = DispatchInfo(id=request.dispatch_id, room=request.room)
    return Called(
        one.call,
        one.room,
        request.agent_name or (made_dispatch.agent_name if made_dispatch else ""),
        request.deployment,
        tuple(AgentAsked(agent.agent_name, agent.deployment) for agent in request.agents),
        request.room_preset,
        one.status,
        answer.text if isinstance(answer, Refusal) else "",
        answer if isinstance(answer, RoomInfo) else None,
        made_dispatch,
    )


def read_exchanges(lines: Iterable[bytes], source: str, gathered: Gathered) -> SourceNote:
    """Read `api.jsonl` (its lines, with their ends) into `gathered`; what is no exchange is counted, never lost silently."""
    note = SourceNote(source, "api", lines=0)
    gathered.notes.append(note)
    changes = Changes(gathered)
    offset = number = exchanges = 0
    first_bad = ""
    try:
        for number, raw in enumerate(lines, 1):
            start, offset = offset, offset + len(raw)
            note.lines, note.bytes = number, offset
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if not line.strip():
                continue
            try:
                one = parse_line(line)
            except BadExchangeError as error:
                note.skipped[str(error)] = note.skipped.get(str(error), 0) + 1
                first_bad = first_bad or f"line {number:,} is the first that was not read: {error}"
                continue
            exchanges += 1
            _take(one, Place(source, start), number, changes, note)
    finally:
        changes.close()
        if first_bad:
            note.notes.append(first_bad)
    if not number:
        note.unusable = "an empty file; api.jsonl holds one exchange with the server's API a line"
    elif not exchanges:
        note.unusable = f"no exchange with the server's API in it; {first_bad or 'its lines are empty'}"
    return note


def _take(one: Exchange, place: Place, line: int, changes: Changes, note: SourceNote) -> None:
    note.first_at = one.at if note.first_at is None else min(note.first_at, one.at)
    note.last_at = one.at if note.last_at is None else max(note.last_at, one.at)
    if one.gap:
        note.skipped[one.gap] = note.skipped.get(one.gap, 0) + 1
        return
    found = snapshot(one, place)
    if found is not None:
        changes.add(found, line)
