"""The lowest steps towards a server, without HTTP: its name's addresses, a TCP connection, a TLS handshake."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_ADDRESSES: Final = 4  # of a name with many, so that a step keeps its time


class Failed(NamedTuple):
    """Why a step did not work: one word, and the system's own text."""

    trouble: str
    error: str


class Found(NamedTuple):
    """What a step brought."""

    values: dict[str, Any]


def why(error: BaseException) -> Failed:
    """The kind of a network error in one word, and its text."""
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return Failed("certificate", getattr(one, "verify_message", "") or str(one))
        if isinstance(one, ssl.SSLError) and hasattr(one, "reason"):  # aiohttp's own is one, too, without a reason
            return Failed("not-tls" if one.reason in _PLAIN else "tls", one.reason or str(one))
        if isinstance(one, (asyncio.TimeoutError, TimeoutError)):
            return Failed("timeout", "no answer in time")
        if isinstance(one, socket.gaierror):
            return Failed("no-address", one.strerror or str(one))
        if isinstance(one, ConnectionRefusedError):
            return Failed("refused", "Connection refused")
        if isinstance(one, (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError)):
            return Failed("reset", "Connection reset by peer")
        if isinstance(one, OSError) and one.errno in _UNREACHABLE:
            return Failed("unreachable", one.strerror or str(one))
    return Failed("failed", str(error) or type(error).__name__)


# How OpenSSL words that the other side's first bytes are no TLS; all three were seen, by the bytes that came.
_PLAIN: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})
_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTDOWN})


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from: HTTP libraries wrap the system's."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        inner = getattr(one, "os_error", None)
        one = inner if isinstance(inner, BaseException) else one.__cause__ or one.__context__
    return found


async def addresses(host: str, port: int, seconds: float) -> Found | Failed:
    """`values["addresses"]`: the IPs behind the name; an IP stands for itself."""
    try:
        return Found({"addresses": [str(ipaddress.ip_address(host))]})
    except ValueError:
        pass
    try:
        loop = asyncio.get_running_loop()
        found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), seconds)
    except (OSError, UnicodeError, asyncio.TimeoutError) as error:
        return Failed("no-address", str(error)) if isinstance(error, UnicodeError) else why(error)
    return Found({"addresses": list(dict.fromkeys(str(one[4][0]) for one in found))})


async def connect(ips: Sequence[str], port: int, seconds: float) -> Found | Failed:
    """`values["address"]`: the first IP that takes a connection; `values["failed"]`: those before it, and why."""
    failed: dict[str, Failed] = {}
    for ip in ips[:_ADDRESSES]:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(ip, port), seconds / min(len(ips), _ADDRESSES))
        except (OSError, asyncio.TimeoutError) as error:
            failed[ip] = why(error)
            continue
        await _close(writer)
        return Found(
            {"address": ip, **({"failed": {one: list(reason) for one, reason in failed.items()}} if failed else {})}
        )
    worst = next(iter(failed.values()), Failed("no-address", "no address"))
    return Failed(worst.trouble, "; ".join(f"{ip}: {reason.error}" for ip, reason in failed.items()) or worst.error)


async def handshake(ip: str, port: int, host: str, seconds: float) -> Found | Failed:
    """`values`: version of TLS, and the certificate's end. The host's name is asked for and checked, as SDKs do."""
    context = ssl.create_default_context()
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(ip, port, ssl=context, server_hostname=host), seconds
        )
    except (OSError, ssl.SSLError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
        return why(error)
    tls = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert() or {}
    values = {"version": tls.version() or "", "until": str(certificate.get("notAfter", ""))}
    await _close(writer)
    return Found(values)


async def speaks_tls(host: str, port: int, seconds: float) -> bool:
    """Whether a TLS handshake works there, whoever signed the certificate; nothing is sent over it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=context), seconds)
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        return False
    await _close(writer)
    return True


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError, asyncio.TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 1.0)
