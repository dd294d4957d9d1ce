"""The server that live collectors talk to: its address, the key pair, and tokens made with it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lkdoctor.collect.address import Address

#: How long lkdoctor's own tokens live, in seconds.
TOKEN_LIFE: Final = 600.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go and with what. `origins` says where `url`, `key` and `secret` came from; `notes` are whole sentences.

    `key` and `secret` are empty when only a URL was given; `has_key` tells.
    """

    address: Address
    key: str
    secret: str = field(repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    clock: Callable[[], float] = field(default=time.time, repr=False, compare=False)

    @property
    def url(self) -> str:
        """The address as it is used, without user, password, query or a slash at its end."""
        return self.address.url

    @property
    def http_url(self) -> str:
        """For the API and `GET /`: http or https, path prefix kept."""
        return self.address.with_scheme("http")

    @property
    def ws_url(self) -> str:
        """For participants and workers: ws or wss, path prefix kept."""
        return self.address.with_scheme("ws")

    @property
    def has_key(self) -> bool:
        """Whether tokens can be made."""
        return bool(self.key and self.secret)

    def token(
        self,
        *,
        identity: str = "",
        life: float = TOKEN_LIFE,
        claims: Mapping[str, Any] | None = None,
        **grants: Any,
    ) -> str:
        """A JWT with these video grants, named as in livekit-api (`room_list=True`, `room_admin=True, room="r"`).

        `nbf` is now, as LiveKit's SDKs put it, so a clock ahead of the server's is refused as a worker's would be.
        `claims` are put beside `video` as they are (`kind`, `attributes`, `roomConfig` …). `life` is in seconds.

        Raises:
            ValueError: the target has no key.
        """
        import jwt  # noqa: PLC0415 - only for who talks to a server

        if not self.has_key:
            raise ValueError("no API key, so no token can be made")
        now = int(self.clock())
        content: dict[str, Any] = {"iss": self.key, "nbf": now, "exp": int(now + life)}
        if identity:
            content["sub"] = identity
        if grants:
            content["video"] = {_camel(name): value for name, value in grants.items()}
        with warnings.catch_warnings():
            # `livekit-server --dev` has a secret of six letters; the server takes it, so lkdoctor does.
            warnings.simplefilter("ignore")
            return jwt.encode({**content, **(claims or {})}, self.secret, algorithm="HS256")

    def headers(self, **grants: Any) -> dict[str, str]:
        """The Authorization header with a token for these grants; empty without a key."""
        return {"Authorization": f"Bearer {self.token(**grants)}"} if self.has_key else {}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
