"""Walks the way to a server step by step, as a worker, a participant and an API client go it, and changes nothing there.

What it leaves on the server, measured on 1.8.4, 1.9.12, 1.11.0 and 1.13.5: no room, no participant, no worker.

- `/agent`: the websocket is really opened, with the agent grant, and closed at once without a register message. At level
  info the server writes nothing (at debug `worker closed WS connection`).
- `/rtc` and `/rtc/v1`: nothing short of joining opens them, so the token has everything but an identity, and there is no
  join request: `identity cannot be empty` and `join_request is required`, 400 each, prove that the Upgrade came through.
  Without it the server answers 404 with an empty body. Each leaves one WARN line `error handling request`. A refused grant
  would prove as much but leaves a line that reads like somebody's fault.
- The API: ListRooms and ListParticipants for a name that nobody uses, one INFO line each. ListDispatch of a room that is
  not there would take 3 s and leave a WARN line; GET on its path is answered at once (404 `bad_route`), where there is such
  a service.
- A token that is refused leaves one WARN line; no further one is sent.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

import msgspec

from lkdoctor.collect import asking
from lkdoctor.collect.address import AddressError, parse
from lkdoctor.collect.knock import Answer, Knocker
from lkdoctor.collect.target import Target
from lkdoctor.collect.wire import Failed, Found, addresses, connect, handshake, speaks_tls
from lkdoctor.dispatch.connection import Step, StepName
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.redact import mask, of_this_run

if TYPE_CHECKING:
    from lkdoctor.collect.gathered import Gathered

Say = Callable[[str], None]

SOURCE: Final = "connection"
STEP_SECONDS: Final = 5.0
_ORIGINS: Final = {"url": "url", "key": "key", "secret": "signed_with"}
_HOPS: Final = 3  # redirects that are followed
_TOKEN_TROUBLES: Final = frozenset({"key", "secret", "expired", "early", "token"})
_LATER: Final[dict[StepName, str]] = {"tls": "", "http": "/", "twirp": "API", "upgrade": "/agent and /rtc"}


async def walk(target: Target, gathered: Gathered, say: Say, timeout: float = STEP_SECONDS) -> None:
    """Append a `Step` for everything that is tried; `timeout` is for each, in seconds. Raises nothing for a bad server.

    After a step without which the next ones are in vain, those are listed with the trouble `not-tried`.
    """
    source = SourceNote(target.url, "connection", notes=list(target.notes))
    gathered.notes.append(source)
    way = _Way(target, gathered, source, say, timeout)
    way.address()
    await way.go()
    way.clock()


@dataclass(slots=True)
class _Way:
    target: Target
    gathered: Gathered
    source: SourceNote
    say: Say
    seconds: float
    hops: int = 0
    answers: list[Answer] = field(default_factory=list)

    def note(
        self, name: StepName, what: str, at: float, took: float, failed: Failed | None = None, **more: Any
    ) -> Step:
        """Append one step with its words."""
        place = Place(SOURCE, path=f"step {len(self.gathered.steps) + 1}")
        values = of_this_run().mask_all(more.pop("values", {}))
        trouble, error = failed or Failed("", "")
        step = Step(
            name, what, at, round(took, 4), more.pop("ok", failed is None), place,
            trouble=trouble, error=mask(error), values=values, **more,
        )  # fmt: skip
        self.gathered.quote(place, told(step))
        self.gathered.steps.append(step)
        self.source.first_at = self.source.first_at or at
        self.source.last_at = at + took
        return step

    def address(self) -> None:
        """The URL itself: what it says, what had to be assumed or left out, and where each value came from."""
        address = self.target.address
        values: dict[str, Any] = {
            "given": address.given,
            "url": address.url,
            # Not named `secret`: the redactor would take the origin for one.
            "origins": {_ORIGINS[what]: where for what, where in self.target.origins.items()},
            "notes": list(self.target.notes),
        }
        failed = None
        if address.assumed:
            values["assumed"] = address.assumed
            failed = Failed("no-scheme", f"no scheme in {address.given}; {address.assumed}:// is assumed")
        self.note("url", address.url, self.target.clock(), 0.0, failed, values=values)

    async def go(self) -> None:
        """From the name to the websockets; once more from the start where a redirect leads elsewhere."""
        address = self.target.address
        self.say(f"finding {address.host}")
        found = await self._wire("dns", address.host, lambda: addresses(address.host, address.port, self.seconds))
        if found is None:
            return self._give_up("dns")
        self.say(f"connecting to {address.netloc}")
        ips = found.values["addresses"]
        met = await self._wire("tcp", address.netloc, lambda: connect(ips, address.port, self.seconds))
        if met is None:
            return self._give_up("tcp")
        if address.secure:
            self.say(f"speaking TLS with {address.netloc}")
            ip = met.values["address"]
            if await self._wire(
                "tls", address.netloc, lambda: handshake(ip, address.port, address.host, self.seconds)
            ) is None:  # fmt: skip
                return self._give_up("tls")
        import aiohttp  # noqa: PLC0415 - heavy, and in vain when the server cannot be reached

        # A context of our own: the library's was made when it was imported.
        connector = aiohttp.TCPConnector(force_close=True, ssl=ssl.create_default_context() if address.secure else True)
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            moved = await self._speak(Knocker(session, self.target.clock, self.seconds))
        if moved is not None:
            await self._follow(moved)
        return None

    async def _wire(self, name: StepName, what: str, work: Callable[[], Any]) -> Found | None:
        at, start = self.target.clock(), time.monotonic()
        found: Found | Failed = await work()
        took = time.monotonic() - start
        if isinstance(found, Failed):
            self.note(name, what, at, took, found)
            return None
        self.note(name, what, at, took, values=found.values)
        return found

    def _give_up(self, after: StepName) -> None:
        names = list(_LATER)
        rest = names[names.index(after) + 1 :] if after in names else names if after == "tcp" else ["tcp", *names]
        for name in rest:
            if name == "tls" and not self.target.address.secure:
                continue
            self._not_tried(name, _LATER.get(name, ""), f"the step {after} failed")

    def _not_tried(self, name: StepName, what: str, reason: str) -> None:
        failed = Failed("not-tried", reason)
        self.note(name, what or self.target.address.netloc, self.target.clock(), 0.0, failed)

    async def _speak(self, knocker: Knocker) -> str | None:
        """HTTP, the API and the websockets; returns the address that the API has moved to, if it has."""
        self.say(f"asking {self.target.http_url}")
        root = await asking.root(knocker, self.target)
        address = self.target.address
        mute = root.answer.trouble in {"reset", "not-http"} and not address.secure
        if mute and await speaks_tls(address.host, address.port, self.seconds):
            words = f"{root.answer.error}; a TLS handshake works"
            root = replace(root, answer=replace(root.answer, trouble="is-tls", error=words))
        self._answered(root)
        if root.answer.status == 0 or root.answer.trouble == "is-tls":
            self._give_up("http")
            return None
        if not self.target.has_key:
            reason = "no token is sent to another host than the URL's" if self.hops else "there is no API key"
            self._not_tried("twirp", "API", reason)
            self._not_tried("upgrade", "/agent and /rtc", reason)
            return None
        self.say("calling ListRooms")
        first = await asking.list_rooms(knocker, self.target)
        self._answered(first)
        trouble = first.answer.trouble
        if trouble == "redirect":
            self._not_tried("upgrade", "/agent and /rtc", "the API has moved; see the steps after this")
            return first.answer.location
        if trouble in _TOKEN_TROUBLES:
            self._not_tried("upgrade", "/agent and /rtc", "the server refuses the token")
            return None
        if trouble == "gateway" or (trouble and not first.answer.status):
            self._not_tried("upgrade", "/agent and /rtc", "the API does not answer")
            return None
        self.say("calling the API and opening websockets")
        calls = [asking.list_participants, asking.dispatch_service] if first.ok else []
        await self._all(
            *(call(knocker, self.target) for call in calls),
            *(asking.socket(knocker, self.target, path) for path in asking.SOCKETS),
        )
        return None

    async def _all(self, *requests: Coroutine[Any, Any, asking.Tried | None]) -> None:
        """All at once, for the way may be long; their steps in this order."""
        tasks = [asyncio.ensure_future(one) for one in requests]
        try:
            for task in tasks:
                tried = await task
                if tried is not None:
                    self._answered(tried)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, location: str) -> None:
        """Walk on from where the API has moved to, when it is the same API elsewhere."""
        old = self.target
        url = urljoin(f"{old.http_url}/twirp/livekit.RoomService/ListRooms", location).partition("/twirp/")[0]
        self.hops += 1
        try:
            address = parse(url)
        except AddressError:
            return
        if self.hops > _HOPS or address == old.address:
            return
        self.target = replace(old, address=address)
        if address.host != old.address.host:  # whoever redirects there must not get a token
            self.target = replace(self.target, key="", secret="")
        await self.go()

    def _answered(self, tried: asking.Tried) -> None:
        answer = tried.answer
        self.answers.append(answer)
        values = {"base": self.target.http_url, **tried.values}
        if answer.trouble == "redirect":
            values["location"] = answer.location
        if "server" in answer.headers:
            values["server"] = answer.headers["server"]
        failed = Failed(answer.trouble, answer.error)
        took = answer.came - answer.sent
        self.note(tried.name, tried.what, answer.sent, took, failed, ok=tried.ok, status=answer.status, values=values)

    def clock(self) -> None:
        """How far the other side's clock is from ours, from the Date of every answer, each good to a second.

        A proxy answers with its own Date. `offset` is positive where the server is ahead; `error` is its bound.
        """
        low, high, number = float("-inf"), float("inf"), 0
        for one in self.answers:
            if one.date is not None:
                number += 1
                low, high = max(low, one.date - one.came), min(high, one.date + 1.0 - one.sent)
        if not number or not self.answers:
            return
        low, high = min(low, high), max(low, high)  # a clock that was set meanwhile
        self.note(
            "clock",
            self.target.address.netloc,
            self.answers[0].sent,
            0.0,
            values={"offset": round((low + high) / 2, 2), "error": round((high - low) / 2, 2), "answers": number},
        )


def told(step: Step) -> str:
    """A step in one line, as it is quoted as proof."""
    what = f"{step.name} {step.target}"
    if step.values.get("grant"):
        what += f" with {step.values['grant']}"
    if step.trouble == "not-tried":
        return f"{what}: not tried, {step.error}"
    if step.name == "clock":
        return f"{what}: {step.values['offset']:+.2f} s, within {step.values['error']:.2f} s"
    said = " ".join(
        part for part in (str(step.status or ""), f"({step.trouble})" if step.trouble else "", step.error) if part
    )
    return f"{what}: {said or 'ok'} ({step.seconds * 1000:.0f} ms)"


class _Line(msgspec.Struct, omit_defaults=True):
    """A line of `connection.jsonl`; what stands for nothing is left out."""

    name: StepName
    target: str
    at: float
    ok: bool
    seconds: float = 0.0
    status: int = 0
    trouble: str = ""
    error: str = ""
    values: dict[str, Any] = {}


def write_steps(steps: Iterable[Step]) -> Iterator[bytes]:
    """The lines of `connection.jsonl`, one step each."""
    encoder = msgspec.json.Encoder()
    for step in steps:
        content = msgspec.to_builtins(step)
        del content["place"]
        yield encoder.encode(_Line(**content)) + b"\n"


def read_steps(lines: Iterable[bytes], source: str, gathered: Gathered) -> None:
    """Read `connection.jsonl`: one note for the source, and a step for each line that is one."""
    note = SourceNote(source, "connection", lines=0)
    gathered.notes.append(note)
    decoder = msgspec.json.Decoder(_Line)
    offset, count = 0, 0
    for number, raw in enumerate(lines, 1):
        place = Place(source, offset)
        offset += len(raw)
        note.lines = number
        if not raw.strip():
            continue
        try:
            line = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            note.skipped["no connection step"] = note.skipped.get("no connection step", 0) + 1
            continue
        clean = of_this_run().mask_all(msgspec.structs.asdict(line))
        step = Step(place=place, **clean)
        gathered.quote(place, told(step), number)
        gathered.steps.append(step)
        count += 1
        note.first_at = step.at if note.first_at is None else min(note.first_at, step.at)
        note.last_at = step.at + step.seconds if note.last_at is None else max(note.last_at, step.at + step.seconds)
        if step.name == "url":
            note.notes += [one for one in step.values.get("notes", []) if isinstance(one, str)]
    note.bytes = offset
    if not count:
        note.unusable = "no connection step in it"
