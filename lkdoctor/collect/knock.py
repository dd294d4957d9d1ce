"""One HTTP request to a server, with what came back sorted into one word; redirects are told, not followed."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lkdoctor.collect.wire import why

if TYPE_CHECKING:
    import aiohttp

_MOST: Final = 4096  # bytes of an answer that are read
_ACCEPT: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
_CLOSE_NORMALLY: Final = b"\x88\x82\x00\x00\x00\x00\x03\xe8"  # a masked close frame with code 1000

# What livekit-server says, by what it means; seen on 1.8.4 to 1.11.0 and, where it differs, 1.13.5.
_REFUSALS: Final = (
    ("key", re.compile(r"invalid API key")),
    ("secret", re.compile(r"cryptographic primitive|signature is invalid")),
    ("expired", re.compile(r"token is expired")),
    ("early", re.compile(r"not valid yet")),
    ("grant", re.compile(r"no permissions to access the room|permissions? denied")),
    ("token", re.compile(r"invalid authorization|invalid token")),
)
# A TLS server that is spoken to in plain HTTP: Go's, nginx's and Apache's words.
_IS_TLS: Final = re.compile(
    r"HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS port|speaking plain HTTP to an SSL"
)
_TITLE: Final = re.compile(r"(?is)<title>(.*?)</title>")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `trouble` is empty for what livekit-server itself would answer to a well-meant request.

    `date` is the answer's own clock (Unix seconds, whole ones), `sent` and `came` are ours.
    """

    sent: float
    came: float
    status: int = 0
    text: str = ""
    trouble: str = ""
    error: str = ""
    date: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What it says, short: of a web page the title."""
        title = _TITLE.search(self.text)
        return " ".join((title[1] if title else self.text).split())[:300] or f"status {self.status}, empty"

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return self.headers.get("location", "")

    @property
    def twirp_code(self) -> str:
        """The `code` of a Twirp error; empty for anything else."""
        try:
            content = json.loads(self.text)
        except (ValueError, RecursionError):
            return ""
        code = content.get("code") if isinstance(content, dict) else None
        return code if isinstance(code, str) else ""

    @property
    def is_json(self) -> bool:
        """Whether it is a JSON object, as every Twirp answer is."""
        try:
            return isinstance(json.loads(self.text), dict)
        except (ValueError, RecursionError):
            return False


@dataclass(frozen=True, slots=True)
class Knocker:
    """Sends requests, one connection each, so that one answer says nothing about another's."""

    session: aiohttp.ClientSession
    clock: Callable[[], float]
    seconds: float

    async def get(self, url: str, headers: Mapping[str, str], most: int = _MOST) -> Answer:
        """GET without redirects; of its answer at most so many bytes are read."""
        return await self._ask("GET", url, headers, None, most)

    async def post(self, url: str, headers: Mapping[str, str], content: Mapping[str, Any]) -> Answer:
        """POST of a JSON document, as Twirp takes it."""
        return await self._ask(
            "POST", url, {**headers, "Content-Type": "application/json"}, json.dumps(content).encode()
        )

    async def upgrade(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Asks for a websocket; one that opens is closed at once, and has status 101."""
        key = base64.b64encode(os.urandom(16)).decode()
        wish = {
            **headers,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
        }
        answer = await self._ask("GET", url, wish, None)
        accept = base64.b64encode(hashlib.sha1(f"{key}{_ACCEPT}".encode(), usedforsecurity=False).digest()).decode()
        if answer.status == 101 and answer.headers.get("sec-websocket-accept") != accept:
            return _with(answer, "not-livekit", "101 without the right Sec-WebSocket-Accept")
        return answer

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, most: int = _MOST
    ) -> Answer:
        import aiohttp  # noqa: PLC0415 - only for who talks to a server

        sent = self.clock()
        try:
            async with self.session.request(
                method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.seconds),
            ) as reply:
                came = self.clock()
                got = {name.lower(): value for name, value in reply.headers.items()}
                if reply.status == 101:
                    if reply.connection is not None and reply.connection.transport is not None:
                        reply.connection.transport.write(_CLOSE_NORMALLY)
                        await asyncio.sleep(0)
                    reply.close()
                    return Answer(sent, came, 101, headers=got, date=_date(got))
                text = (await _read(reply.content, most)).decode("utf-8", "replace")
                return _sorted(Answer(sent, came, reply.status, text, headers=got, date=_date(got)))
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError) as error:
            trouble, words = why(error)
            if isinstance(error, aiohttp.ServerDisconnectedError):
                trouble, words = "reset", "the connection was closed without an answer"
            elif isinstance(error, aiohttp.ClientResponseError):
                trouble, words = "not-http", " ".join(str(error.message).split())[:200]
            return Answer(sent, self.clock(), trouble=trouble, error=words)


async def _read(content: aiohttp.StreamReader, most: int) -> bytes:
    """The first `most` bytes, in however many pieces they come."""
    found = b""
    while len(found) < most and (piece := await content.read(most - len(found))):
        found += piece
    return found


def _with(answer: Answer, trouble: str, error: str) -> Answer:
    return Answer(answer.sent, answer.came, answer.status, answer.text, trouble, error, answer.date, answer.headers)


def _sorted(answer: Answer) -> Answer:
    """The answer with its trouble, as far as it shows whatever was asked."""
    words = answer.words
    if answer.status == 400 and _IS_TLS.search(answer.text):
        return _with(answer, "is-tls", words)
    if 300 <= answer.status < 400 and answer.location:
        return _with(answer, "redirect", f"{answer.status} to {answer.location}")
    if answer.status in {401, 403}:
        kind = next((name for name, pattern in _REFUSALS if pattern.search(answer.text)), "denied")
        if kind == "denied" and answer.twirp_code in {"unauthenticated", "permission_denied"}:
            kind = "token"  # the API's own refusal, in words that are not known here
        return _with(answer, kind, words)
    if answer.status in {502, 503, 504} and not answer.twirp_code:
        return _with(answer, "gateway", words)
    return answer


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
