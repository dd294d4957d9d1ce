"""The steps towards a server, sorted into one walk for each address that was tried; no check in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lkdoctor.dispatch.connection import Step
from lkdoctor.doctor.evidence import Steps
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Severity, Subject
from lkdoctor_checks import _words as words

#: Troubles of the token: the server was reached, and answered.
TOKEN: Final = frozenset({"key", "secret", "expired", "early", "grant", "token"})


@dataclass(slots=True)
class Walk:
    """What was tried at one address. A redirect of the API begins a new one, which keeps the `url` step of the first."""

    url: Step | None
    base: str  # http URL with the path prefix, or what is known of it
    steps: list[Step] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The URL as it was given; of where a redirect leads, what it names."""
        return self.url.target if self.url is not None else self.base

    @property
    def calls(self) -> list[Step]:
        """API calls that were tried."""
        return [one for one in self.steps if one.name == "twirp" and one.trouble != "not-tried"]

    @property
    def upgrades(self) -> list[Step]:
        """Websockets that were tried."""
        return [one for one in self.steps if one.name == "upgrade" and one.trouble != "not-tried"]

    @property
    def clock(self) -> Step | None:
        """The measured offset of the clocks."""
        return next((one for one in self.steps if one.name == "clock"), None)

    @property
    def netloc(self) -> str:
        """`host:port`."""
        found = next((one.target for one in self.steps if one.name in {"tcp", "tls", "clock"}), "")
        return found or self.base.partition("://")[2].partition("/")[0]

    @property
    def host(self) -> str:
        """The host's name or IP."""
        return next((one.target for one in self.steps if one.name == "dns"), self.netloc.rpartition(":")[0])

    @property
    def prefix(self) -> str:
        """The path before `/rtc` and `/agent`."""
        _, slash, path = self.base.partition("://")[2].partition("/")
        return f"{slash}{path}".rstrip("/")

    @property
    def added_path(self) -> str:
        """The path at the URL's end that programs add themselves, so that it stands there twice; empty without one."""
        return next((one for one in ("/rtc", "/rtc/v1", "/agent", "/twirp") if self.prefix.endswith(one)), "")

    @property
    def notes(self) -> list[str]:
        """What was noted on the URL and the credentials, as sentences."""
        notes = self.url.values.get("notes", []) if self.url is not None else []
        return [one for one in notes if isinstance(one, str)] if isinstance(notes, list) else []

    @property
    def proxied(self) -> str:
        """The note on a proxy of the environment, which workers go through and lkdoctor does not; empty without one."""
        return next((one for one in self.notes if "names a proxy" in one), "")

    @property
    def broken(self) -> Step | None:
        """The step without which the server cannot be used; None when an API call was answered by a livekit-server.

        `GET /` counts only when it got no HTTP answer at all, or when no API call could be tried for want of a key: proxies
        answer it with anything.
        """
        for one in self.steps:
            if one.name in {"dns", "tcp", "tls"} and not one.ok and one.trouble != "not-tried":
                return one
        if any(one.ok for one in self.calls):
            return None
        root = next((one for one in self.steps if one.name == "http"), None)
        if root is not None and not root.ok and root.trouble != "not-tried" and (not root.status or not self.calls):
            return root
        return next((one for one in self.calls if not one.ok), None)


def walks(steps: Steps) -> list[Walk]:
    """One walk for each address, in the order tried; the clock belongs to the last."""
    found: list[Walk] = []
    fresh = False  # after a `url` step, whose `dns` step belongs to the same address
    for one in steps:
        if one.name == "url":
            found.append(Walk(one, _http(str(one.values.get("url", one.target)))))
            fresh = True
            continue
        if one.name == "dns" and not fresh:
            found.append(Walk(None, ""))
        fresh = False
        if not found:
            found.append(Walk(None, ""))
        walk = found[-1]
        walk.steps.append(one)
        walk.base = str(one.values.get("base", "")) or walk.base or f"http://{one.target}"
    return found


def _http(url: str) -> str:
    return url.replace("ws", "http", 1) if url.startswith("ws") else url


def origin(step: Step | None, what: str) -> str:
    """Where the `url`, the `key` or the secret (`signed_with`) came from; empty when that is not known."""
    origins = step.values.get("origins", {}) if step is not None else {}
    return str(origins.get(what, "")) if isinstance(origins, Mapping) else ""


def finding(
    code: Code,
    subject: Subject,
    message: str,
    proof: Sequence[Step],
    values: dict[str, Any],
    fixes: tuple[Fix, ...],
    *,
    severity: Severity | None = None,
    confidence: Confidence = Confidence.HIGH,
) -> Finding:
    """A finding proven by steps; its times are theirs."""
    times = [one.at for one in proof]
    return Finding(
        code,
        subject,
        message,
        code.severity if severity is None else severity,
        confidence,
        values,
        words.spread(one.place for one in proof),
        fixes,
        count=len(proof),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
    )
