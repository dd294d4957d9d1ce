"""What a LiveKit URL says, as people write it: blanks, quotes, a missing scheme, a path prefix, user:password@."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from lkdoctor.redact import mask, of_this_run

_SCHEMES: Final = ("ws", "wss", "http", "https")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//?)")
_ENDPOINT: Final = re.compile(r"/(?:rtc(?:/v1)?(?:/validate)?|agent|twirp)$")
# Up to the last @ of the host's part; where `/`, `?` or `#` stand unquoted in a password, that part ends too early.
_PASSWORD: Final = re.compile(r"//[^/\s:]*:(?:([^/?#\s]+)|(?!\d*[/?#])(\S+))@")
_QUOTES: Final = ("'", '"', "`", "\u201c", "\u201d", "\u2018", "\u2019")


class AddressError(ValueError):
    """Not a URL of a LiveKit server: what is wrong with it, and what one looks like."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address. `url` is clean: scheme, host, port where one was given, path prefix without a slash at its end.

    `given` is what was written, masked. `assumed` names the scheme that had to be assumed, else is empty. `notes` say
    what was left out or mended: a program that uses the same value as it stands may fail where lkdoctor does not.
    """

    url: str
    given: str
    assumed: str = ""
    notes: tuple[str, ...] = ()
    parts: SplitResult = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", urlsplit(self.url))

    @property
    def secure(self) -> bool:
        """Whether it asks for TLS."""
        return self.parts.scheme in {"wss", "https"}

    @property
    def host(self) -> str:
        """Name or IP, IPv6 without brackets."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """The port, 443 or 80 where none was written."""
        return self.parts.port or (443 if self.secure else 80)

    @property
    def netloc(self) -> str:
        """`host:port`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def prefix(self) -> str:
        """The path before `/rtc`, `/agent` and `/twirp`; empty for most."""
        return self.parts.path

    def with_scheme(self, kind: str) -> str:
        """The URL as `ws` or `http` (or their secure forms, as this one is)."""
        return f"{kind}{'s' if self.secure else ''}://{self.parts.netloc}{self.prefix}"

    def same_server(self, other: Address) -> bool:
        """Whether both lead to the same port and path."""
        return (self.host, self.port, self.prefix) == (other.host, other.port, other.prefix)


def stripped(value: str) -> tuple[str, str]:
    """`value` without blanks and quotes around it, and what was taken away, in words ("" for nothing)."""
    bare = value.strip()
    what = "blanks" if bare != value else ""
    if len(bare) > 1 and bare[0] in _QUOTES and bare[-1] in _QUOTES:
        bare = bare[1:-1].strip()
        what = f"{what} and quotes" if what else "quotes"
    return bare, what


def parse(written: str) -> Address:
    """Read a URL as a person wrote it.

    Raises:
        AddressError: it cannot be the address of a server.
    """
    text, lost = stripped(written)
    given = mask(_hide_password(text))
    notes = (
        [f"has {lost} around it, which lkdoctor leaves out; a program that uses it as it stands fails"] if lost else []
    )
    if not text:
        raise AddressError("is empty; a LiveKit URL looks like wss://livekit.example.com")
    if re.search(r"\s", text):
        raise AddressError(f"{given!r} has a blank inside; a LiveKit URL looks like wss://livekit.example.com")
    if "<" in text or text.startswith("$"):
        raise AddressError(f"{given!r} is a placeholder; put the server's URL there")
    assumed = ""
    match = _SCHEME.match(text)
    if match is None or ("." in match[1] and match[2] == "/"):
        assumed = _assume(text, given)
        text = f"{assumed}://{text.lstrip('/')}"
    elif match[1].lower() not in _SCHEMES:
        raise AddressError(f"{given!r} begins with {match[1]}://; LiveKit takes ws, wss, http or https")
    elif match[2] == "/":
        raise AddressError(f"{given!r} has one slash after {match[1]}: where two belong")
    parts = _split(text, given)
    if parts.username is not None or parts.password is not None:
        notes.append(
            "carries user:password, which is not sent: LiveKit's token needs the Authorization header that they would take"
        )
    if parts.query or parts.fragment:
        notes.append("has a query or fragment, which is left out: SDKs put their own there")
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    if _ENDPOINT.search(path):
        notes.append(f"ends in {path}: SDKs add such a path themselves, so leave it out")
    host = parts.hostname or ""
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{parts.port}" if parts.port is not None else ""
    return Address(f"{parts.scheme.lower()}://{netloc}{path}", given, assumed, tuple(notes))


def _split(text: str, given: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # its words quote what it takes for host or port, which may be a part of a password
        raise AddressError(
            f"{given!r} has no host and port that can be read; a LiveKit URL looks like wss://livekit.example.com:443"
        ) from None
    if not parts.hostname:
        raise AddressError(f"{given!r} names no host; a LiveKit URL looks like wss://livekit.example.com")
    if port == 0:
        raise AddressError(f"{given!r} names port 0, where nothing can listen")
    return parts


def _assume(text: str, given: str) -> str:
    """`ws` for what is surely local or names LiveKit's plain port, `wss` for the rest."""
    parts = _split(f"ws://{text.lstrip('/')}", given)
    host = parts.hostname or ""
    if parts.port == 443:
        return "wss"
    return "ws" if parts.port in {80, 7880} or is_local(host) else "wss"


def is_local(host: str) -> bool:
    """Whether this names this machine or a private network: `localhost`, a name without a dot, a private IP."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_link_local


def _hide_password(text: str) -> str:
    """`user:***@` in place of the password, which is masked from here on, wherever it stands."""
    match = _PASSWORD.search(text if "//" in text else f"//{text}")
    if match is None:
        return text
    password = match[1] or match[2]
    of_this_run().add(password)
    return text.replace(f":{password}@", ":***@", 1)
