"""What is asked of a livekit-server, and which answers show that all is well; `connection.py` says what each leaves there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from lkdoctor.collect.knock import Answer, Knocker
from lkdoctor.collect.target import Target
from lkdoctor.dispatch.connection import StepName

NOBODY: Final = "lkdoctor-nobody"  # a room that is never made
#: Websockets, with what the server says on them to a token without identity; `/agent` opens.
SOCKETS: Final = {
    "/agent": "",
    "/rtc": "identity cannot be empty",
    "/rtc/v1": "join_request is required",
}
_NO_SUCH_PATH: Final = "404 page not found"  # livekit-server's own words for a path that it does not have


@dataclass(frozen=True, slots=True)
class Tried:
    """One request and how it ended; `values` go into the step."""

    name: StepName
    what: str
    answer: Answer
    ok: bool
    values: dict[str, Any] = field(default_factory=dict)


async def root(knocker: Knocker, target: Target) -> Tried:
    """`GET /`, which livekit-server answers with OK. Proxies answer it with anything."""
    answer = await knocker.get(f"{target.http_url}/", {})
    return Tried("http", "/", answer, answer.status > 0 and answer.trouble in {"", "redirect"})


async def list_rooms(knocker: Knocker, target: Target) -> Tried:
    """ListRooms for a name that nobody uses."""
    return await _call(knocker, target, "ListRooms", {"names": [NOBODY]}, "roomList", {"room_list": True})


async def list_participants(knocker: Knocker, target: Target) -> Tried:
    """ListParticipants of a room that is not there: an empty list, or `not_found`."""
    grants = {"room_admin": True, "room": NOBODY}
    return await _call(knocker, target, "ListParticipants", {"room": NOBODY}, "roomAdmin", grants)


async def _call(
    knocker: Knocker, target: Target, call: str, content: dict[str, Any], grant: str, grants: dict[str, Any]
) -> Tried:
    url = f"{target.http_url}/twirp/livekit.RoomService/{call}"
    answer = await knocker.post(url, target.headers(**grants), content)
    if not answer.trouble and not (answer.is_json and (answer.status == 200 or answer.twirp_code == "not_found")):
        answer = _unlike_livekit(answer)
    return Tried("twirp", f"RoomService/{call}", answer, not answer.trouble, {"grant": grant})


async def dispatch_service(knocker: Knocker, target: Target) -> Tried:
    """Is there such a service? A GET on its path is answered `bad_route`, as any Twirp service does."""
    call = "AgentDispatchService/ListDispatch"
    url = f"{target.http_url}/twirp/livekit.{call}"
    answer = await knocker.get(url, target.headers(room_admin=True, room=NOBODY))
    if not answer.trouble and not answer.twirp_code:
        answer = _unlike_livekit(answer)
    return Tried("twirp", call, answer, not answer.trouble, {"method": "GET"})


async def socket(knocker: Knocker, target: Target, path: str) -> Tried | None:
    """Asks for a websocket. None for `/rtc/v1` of a server that has none: clients then take `/rtc`."""
    grants = {"agent": True} if path == "/agent" else {"room_join": True, "room": NOBODY}
    answer = await knocker.upgrade(f"{target.http_url}{path}", target.headers(**grants))
    right = SOCKETS[path]
    if answer.status == 101 or (answer.status == 400 and right and right in answer.text):
        return Tried("upgrade", path, replace(answer, trouble="", error=answer.text.strip()), ok=True)
    if path == "/rtc/v1" and answer.status == 404 and _NO_SUCH_PATH in answer.text:
        return None
    if not answer.trouble:
        lost = answer.status == 404 and not answer.text
        answer = replace(answer, trouble="not-upgraded", error=answer.words) if lost else _unlike_livekit(answer)
    # A refused grant shows, too, that the upgrade came through.
    return Tried("upgrade", path, answer, ok=answer.trouble == "grant")


def _unlike_livekit(answer: Answer) -> Answer:
    trouble = "no-route" if answer.status == 404 else "server-error" if answer.status >= 500 else "not-livekit"
    return replace(answer, trouble=trouble, error=answer.error or answer.words)
