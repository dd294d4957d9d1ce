"""Decodes tokens: finds the JWT in what was given, says where it breaks, checks the signature, masks, never keeps it."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

from lkdoctor.collect.config.pairs import Pairs
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.token_shape import describe, printable
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import SourceNote
from lkdoctor.dispatch.tokens import Token
from lkdoctor.redact import is_masked, of_this_run

KIND: Final = "token"
FORMAT: Final = "lkdoctor.token/v1"
_LONGEST: Final = 1000  # characters of a claim that are kept
_MOST: Final = 20  # tokens of one text
_LARGEST: Final = 4 << 20  # bytes of one file; livekit-server reads no token above 1 MiB
_KEYS: Final = ("token", "participantToken", "participant_token", "accessToken", "access_token", "jwt")
_EDGES: Final = " \t\r\n\"'`\ufeff"
_HASHES: Final = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_SECRET_CLAIM: Final = re.compile(r"(?i)(metadata|secret|passw|token|credential)")
_MARK: Final = re.compile(r"<secret:[0-9a-f]{4,}>")
# A word that starts as every JWT does (`{"` in base64), up to what cannot be one's next letter in a text or a URL.
_WORD: Final = re.compile(r"(?<![^\s\"'`=:,;<>(\[{&?])eyJ[^\s\"'`,;<>)\]}&]*")


class KeyPair(Protocol):
    """What a signature is held against (`collect.credentials.Target` is one)."""

    @property
    def key(self) -> str: ...

    @property
    def secret(self) -> str: ...


class TokenInputError(Exception):
    """What was named as a token cannot be read; the message says which and what to do."""


def read_tokens(
    values: Iterable[str],
    gathered: Gathered,
    target: KeyPair | None = None,
    *,
    server_version: str = "",
    option: str = "--token",
    pairs: Pairs | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Decode what the user gave, each a token, `-` for stdin, or a file that holds one, into `gathered`.

    The signature is checked where `target` has the secret of the token's key, or `pairs`, the project's own files. `server_version` is the server that they
    are meant for. A malformed token is a fact, too; only what cannot be opened is an error.

    Raises:
        TokenInputError: a file does not exist or cannot be read, or is far too large for a token.
    """
    many = list(values)
    for number, value in enumerate(many, 1):
        text, name = _text_of(value, option if len(many) == 1 else f"{option} {number}")
        _add(text, name, gathered, target, server_version, clock(), pairs, is_file=name == value)


def read_token_file(
    text: str,
    source: str,
    gathered: Gathered,
    target: KeyPair | None = None,
    *,
    read_at: float | None = None,
    pairs: Pairs | None = None,
) -> None:
    """Read a case's `token-N.json` (what `write_token` wrote) or `token*.txt` (one or more JWTs) into `gathered`.

    `read_at` is when the case was made, in Unix seconds (default: now): what an undecoded token's times are held against.
    """
    _add(text, source, gathered, target, "", time.time() if read_at is None else read_at, pairs, is_file=True)


def write_token(token: Token) -> str:
    """The decoded, masked token as the text of `token-N.json`; it holds neither the token nor its signature."""
    document = {
        "format": FORMAT,
        "name": token.name,
        "length": token.length,
        "malformed": token.malformed,
        "header": token.header,
        "claims": token.claims,
        "signature": token.signature,
        "signed": token.signed,
        "padded": token.padded,
        "checked_with": token.checked_with,
        "read_at": token.read_at,
        **({"checked_in": token.checked_in} if token.checked_in else {}),
        "server_version": token.server_version,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def decode(
    text: str, name: str, place: Place, target: KeyPair | None, read_at: float, pairs: Pairs | None = None
) -> Token:
    """One token's text as facts. Never raises for what stands in it."""
    token = Token(name, place, len(text), read_at=read_at)
    shape = describe(text, target.key if target else "", target.secret if target else "")
    if shape.malformed:
        token.malformed = shape.malformed
        return token
    token.header = _masked(shape.header)
    token.claims = _masked(shape.claims)
    token.signed = bool(shape.signature)
    token.padded = shape.padded
    token.signature = _signature(text, shape.header, shape.claims, target)
    token.checked_with = target.key if target is not None and target.secret else ""
    key = shape.claims.get("iss")
    if token.signature in ("unknown", "other-key") and pairs is not None and isinstance(key, str):
        for secret, where in pairs.of(key).items():
            token.signature = _signature(text, shape.header, shape.claims, _Pair(key, secret))
            token.checked_with, token.checked_in = key, where
            if token.signature == "right":
                break
    return token


class _Pair(NamedTuple):
    key: str
    secret: str


def tokens_in(text: str) -> list[str]:
    """The tokens in a text: JSON with a token in it, a URL, a header, an environment line, or simply the token.

    What holds nothing like a token is given back whole (without blanks and quotes around it), so that it can be judged.
    """
    bare = text.strip(_EDGES)
    found = list(dict.fromkeys(_of_json(bare) or _of_url(bare) or _WORD.findall(bare)))
    if found:
        return found[:_MOST]
    for prefix in ("Authorization:", "Bearer "):
        if bare.lower().startswith(prefix.lower()):
            bare = bare[len(prefix) :].strip(_EDGES)
    return [bare]


def _text_of(value: str, name: str) -> tuple[str, str]:
    """The text of one value, and how it is called; the value itself may be secret and is never part of a name."""
    if value == "-":
        try:
            return sys.stdin.buffer.read(_LARGEST + 1).decode("utf-8", "backslashreplace"), "stdin"
        except OSError as error:
            raise TokenInputError(f"-: stdin cannot be read: {error.strerror or error}") from None
    like_a_file = 0 < len(value) < 1024 and "eyJ" not in value  # an empty path is the current folder
    try:
        is_file = like_a_file and Path(value).is_file()
        is_folder = like_a_file and Path(value).is_dir()
    except (OSError, ValueError):
        is_file = is_folder = False
    if is_folder:
        raise TokenInputError(f"{printable(value)}: is a folder; name the file in it that holds the token")
    if is_file:
        try:
            with open(value, "rb") as file:
                raw = file.read(_LARGEST + 1)
        except OSError as error:
            raise TokenInputError(f"{value}: cannot be opened: {error.strerror or error}") from None
        if len(raw) > _LARGEST:
            raise TokenInputError(
                f"{value}: is larger than {_LARGEST >> 20} MiB, no token is; name the token's own file"
            )
        return raw.decode("utf-8", "backslashreplace"), value
    if like_a_file and re.search(r"\.(?:txt|jwt|json|token)$", value) and "://" not in value:
        raise TokenInputError(f"{printable(value)}: no such file; check the path, or give the token itself")
    return value, name


def _add(
    text: str, source: str, gathered: Gathered, target: KeyPair | None, server_version: str, read_at: float,
    pairs: Pairs | None, *, is_file: bool,
) -> None:  # fmt: skip
    note = SourceNote(source, KIND, bytes=len(text.encode("utf-8", "replace")))
    gathered.notes.append(note)
    stored = _stored(text)
    if stored is not None:
        tokens = [_from_case(stored, source, read_at)]
    else:
        words = tokens_in(text)
        for word in words:
            # A shorter word may be anything, and would be masked everywhere; a JWT is masked by its form.
            if len(word) >= 20 and not is_masked(word):
                of_this_run().add(word)
        if len(words) > 1:
            note.notes.append(f"holds {len(words)} tokens")
        elif words and words[0] != text.strip() and words[0] != text.strip(_EDGES):
            note.notes.append("the token was taken out of the text around it")
        places = [Place(source, None, "" if len(words) == 1 else f"#{number}") for number in range(1, len(words) + 1)]
        names = [source if len(words) == 1 else f"{source} #{number}" for number in range(1, len(words) + 1)]
        tokens = [decode(*each, target, read_at, pairs) for each in zip(words, names, places, strict=True)]
        for token, word in zip(tokens, words, strict=True):
            at = text.find(word) if is_file else -1
            token.line = text.count("\n", 0, at) + 1 if at >= 0 else None
    for token in tokens:
        token.server_version = token.server_version or server_version
        gathered.tokens.append(token)
        _quote(token, gathered)


def _quote(token: Token, gathered: Gathered) -> None:
    """The words that prove what is said of the token: all of it, and each claim by its own."""
    if token.malformed:
        gathered.quote(token.place, f"({token.length} characters, not shown) {token.malformed}", token.line)
        return
    gathered.quote(token.place, json.dumps(token.claims, ensure_ascii=False), token.line)
    gathered.quote(token.at("header"), f"header {json.dumps(token.header, ensure_ascii=False)}", token.line)
    for claim, value in token.claims.items():
        gathered.quote(token.at(claim), json.dumps({claim: value}, ensure_ascii=False)[1:-1], token.line)


def _signature(
    text: str, header: dict[str, Any], claims: dict[str, Any], target: KeyPair | None
) -> Literal["right", "wrong", "unknown", "other-key"]:
    if target is None or not target.secret:
        return "unknown"
    if claims.get("iss") != target.key:
        return "other-key"
    hashed = _HASHES.get(str(header.get("alg")))
    # Servers before 1.13.0 take `=` away from a part before they check; newer ones refuse it anyway.
    signed, _, given = ".".join(part.rstrip("=") for part in text.split(".")).rpartition(".")
    if hashed is None:
        return "wrong"
    ours = hmac.new(target.secret.encode(), signed.encode(), hashed).digest()
    try:
        theirs = urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except (binascii.Error, ValueError):
        return "wrong"
    return "right" if hmac.compare_digest(ours, theirs) else "wrong"


def _masked(value: Any, *, secret: bool = False, depth: int = 0) -> Any:
    """Claims that may be shown. Types stay as they are: a wrong one is what a server may refuse the token for."""
    if depth > 20:
        return "…"
    if isinstance(value, dict):
        return {
            printable(key): _masked(
                one, secret=secret or bool(_SECRET_CLAIM.search(key)) or key == "attributes", depth=depth + 1
            )
            for key, one in list(value.items())[:200]
        }
    if isinstance(value, list):
        return [_masked(one, secret=secret, depth=depth + 1) for one in value[:200]]
    if not isinstance(value, str) or not value:
        return value
    if secret:  # a mark from a case stays, for by it equal values are known
        return value if _MARK.fullmatch(value) else of_this_run().token(value)
    if len(value) > _LONGEST:  # what is that long is no name of anything
        value = f"{value[: _LONGEST // 2]}… ({len(value):,} characters)"
    return of_this_run().mask(printable(value))


def _stored(text: str) -> dict[str, Any] | None:
    if FORMAT not in text[:200]:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value.get("format") == FORMAT else None


def _from_case(stored: dict[str, Any], source: str, read_at: float) -> Token:
    """What `write_token` wrote; masked once more, for anybody may have edited it."""
    at, length, signature = (stored.get(key) for key in ("read_at", "length", "signature"))
    words: tuple[Literal["right", "wrong", "unknown", "other-key"], ...] = ("right", "wrong", "other-key")
    return Token(
        printable(str(stored.get("name") or source)),
        Place(source, None, ""),
        length if isinstance(length, int) else 0,
        malformed=printable(str(stored.get("malformed") or "")),
        header=_masked(stored["header"]) if isinstance(stored.get("header"), dict) else {},
        claims=_masked(stored["claims"]) if isinstance(stored.get("claims"), dict) else {},
        signature=next((word for word in words if word == signature), "unknown"),
        read_at=at if isinstance(at, (int, float)) else read_at,
        signed=stored.get("signed") is not False,
        padded=stored.get("padded") is True,
        checked_with=printable(str(stored.get("checked_with") or "")),
        checked_in=printable(str(stored.get("checked_in") or "")),
        server_version=printable(str(stored.get("server_version") or "")),
    )


def _of_json(text: str) -> list[str]:
    """Tokens that stand under a name for tokens in a JSON document, such as a token server's answer."""
    if not text.startswith(("{", "[")):
        return []
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    waiting: list[tuple[Any, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop(0)
        if isinstance(value, dict):
            found += [one.strip(_EDGES) for key, one in value.items() if key in _KEYS and isinstance(one, str)]
        if depth < 5 and isinstance(value, (dict, list)):
            every = value.values() if isinstance(value, dict) else value
            waiting += [(one, depth + 1) for one in every if isinstance(one, (dict, list))]
    return found


def _of_url(text: str) -> list[str]:
    if "://" not in text[:20] and not text.startswith(("/", "?")):
        return []
    try:
        query = parse_qs(urlsplit(text).query)
    except ValueError:
        return []
    return [one.strip(_EDGES) for key in _KEYS for one in query.get(key, [])]
