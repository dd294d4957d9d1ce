"""Tokens as people paste them: found, decoded, checked, masked; whatever is given, never a traceback, never the token."""

from __future__ import annotations

import base64
import json
import string
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.token import TokenInputError, read_token_file, read_tokens, tokens_in, write_token
from lkdoctor.dispatch import token_rules
from lkdoctor.dispatch.model import Stories
from lkdoctor.dispatch.tokens import Token
from lkdoctor.doctor import engine, loader
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.redact import of_this_run
from lkdoctor.report import json_v1
from lkdoctor.report.build import RunFacts, build
from lkdoctor.report.screen import Screen
from lkdoctor.report.text import write

KEY = "APIsomebodys"
SECRET = "only-for-this-test-9f3b2c71d0aa4e55"
NOW = 1_800_000_000.0


class Pair(NamedTuple):
    key: str = KEY
    secret: str = SECRET


def claims(**more: Any) -> dict[str, Any]:
    video = {"roomJoin": True, "room": "call"}
    return {"iss": KEY, "sub": "alice", "nbf": NOW - 10, "exp": NOW + 600, "video": video, **more}


def signed(secret: str = SECRET, **more: Any) -> str:
    return jwt.encode(claims(**more), secret, "HS256")


PAIR = Pair()


def read(text: str, pair: Pair | None = PAIR) -> Token:
    gathered = Gathered()
    read_tokens([text], gathered, pair, clock=lambda: NOW)
    (token,) = gathered.tokens
    return token


def reported(gathered: Gathered) -> str:
    """The text and JSON report of these tokens."""
    stories = Stories()
    stories.tokens, stories.sources = gathered.tokens, gathered.notes
    diagnosis = engine.run(loader.load().checks, Evidence.of(stories))
    crashed = [one.reason for one in diagnosis.outcomes if one.result is engine.Result.CRASHED]
    assert not crashed, crashed
    report = build(stories, diagnosis, resolve=gathered.resolve, run=RunFacts(NOW, 0.0))
    return write(report, Screen(), verbose=True) + json_v1.encode(report).decode()


GOOD = signed()


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"  {GOOD}\n",
        f"Bearer {GOOD}",
        f"Authorization: Bearer {GOOD}",
        f'"{GOOD}"',
        f"`{GOOD}`",
        f"LIVEKIT_TOKEN={GOOD}",
        f"wss://lk.example.com/rtc?access_token={GOOD}&auto_subscribe=1",
        f"https://meet.example.com/?liveKitUrl=wss://x&token={GOOD}",
        json.dumps({"token": GOOD}),
        json.dumps({"serverUrl": "wss://x", "participantToken": GOOD}),
        json.dumps({"data": {"accessToken": f" {GOOD} "}}),
        f"valid for (mins):  5\nAccess token: {GOOD}\n",
    ],
    ids=range(13),
)
def test_a_token_is_found_in_what_it_is_pasted_with(text: str) -> None:
    token = read(text)
    assert not token.malformed
    assert token.signature == "right"
    assert token.claims["sub"] == "alice"
    assert token.length == len(GOOD)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (SECRET, "is the API secret"),
        (KEY, "is an API key"),
        ("APIabcdefgh1234", "is an API key"),
        ("w5jQCqbMj8SAbBVgDsIeyG2mXaW1xKnZ0tLpRh7uYcE", "looks like an API secret"),
        (GOOD.rpartition(".")[0], "two parts"),
        (GOOD[:30], "one part"),
        (GOOD[:20] + "\n" + GOOD[20:], "one part"),
        (GOOD[:40] + "..." + GOOD[-10:], "shortened"),
        (f"{GOOD}.{GOOD}", "6 parts"),
        ("a.b.c.d.e", "JWE"),
        (GOOD.replace(".", ".+", 1), "ordinary base64"),
        ("eyJhIjox.e30.c2ln", "header is no JSON"),
        ("e30.MQ.c2ln", "claims is no JSON object"),
        (f"e30.{base64.urlsafe_b64encode(b'{' * 5000).decode().rstrip('=')}.c2ln", "claims is no JSON"),
        (f"e30.{base64.urlsafe_b64encode(b'[' * 99999).decode().rstrip('=')}.c2ln", "no JSON"),
        ("e30..c2ln", "claims is empty"),
        ("e30.e30.c", "length"),
        ("e30.gIA.c2ln", "no text"),
        ("e30.e30.c2ln\u00e9", "character no token has"),
    ],
)
def test_what_is_no_token_is_said_in_words(text: str, words: str) -> None:
    token = read(text)
    assert words in token.malformed
    assert not token.claims


def test_the_signature_is_checked_only_with_the_secret_of_its_key() -> None:
    other = "only-for-this-test-00000000000000000"
    assert read(GOOD).signature == "right"
    assert read(signed(other)).signature == "wrong"
    assert read(GOOD, None).signature == "unknown"
    assert read(GOOD, Pair(secret="")).signature == "unknown"
    assert read(GOOD, Pair(key="APIanother")).signature == "other-key"
    header, body, _ = GOOD.split(".")
    assert read(f"{header}.{body}.").signature == "wrong"
    assert not read(f"{header}.{body}.").signed
    bare = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    assert read(f"{bare}.{body}.").signature == "wrong"


def test_secrets_in_claims_are_masked_and_stay_comparable() -> None:
    agents = [{"agentName": "a", "metadata": "sesame-one"}, {"agentName": "a", "metadata": "sesame-two"}]
    token = read(signed(metadata="sesame-one", attributes={"pin": "sesame-3"}, roomConfig={"agents": agents}))
    first, second = (one["metadata"] for one in token.claims["roomConfig"]["agents"])
    assert token.claims["metadata"] == first != second
    assert "sesame" not in repr(token)


def test_a_case_keeps_all_that_the_checks_need(tmp_path: Path) -> None:
    """`write_token` and `read_token_file` give the same facts, twice over, without the token."""
    token = read(signed(metadata="sesame", roomConfig={"agents": [{"agentName": "a", "metadata": "m"}]}))
    token.checked_with, token.checked_in, token.server_version = "devkey", "livekit.yaml:3", "1.11.0"
    text = write_token(token)
    assert "sesame" not in text
    assert GOOD not in text
    assert GOOD.rpartition(".")[2] not in text
    gathered = Gathered()
    read_token_file(text, "token-1.json", gathered)
    (again,) = gathered.tokens
    assert write_token(again) == text
    assert (again.checked_with, again.checked_in, again.server_version) == ("devkey", "livekit.yaml:3", "1.11.0")
    assert token_rules.fate(again, "1.13.5") == token_rules.fate(token, "1.13.5")
    assert all(again.at(claim) in gathered.quotes for claim in ("", "header", "video", "metadata"))


def test_a_text_file_may_hold_several_tokens() -> None:
    gathered = Gathered()
    read_token_file(f"# old\n{GOOD}\n# new\n{signed(sub='bob')}\n", "tokens.txt", gathered, Pair())
    assert [one.claims["sub"] for one in gathered.tokens] == ["alice", "bob"]
    assert len({one.name for one in gathered.tokens}) == 2
    quoted = {(gathered.quotes[one.at("sub")].text, gathered.quotes[one.at("sub")].line) for one in gathered.tokens}
    assert quoted == {('"sub": "alice"', 2), ('"sub": "bob"', 4)}
    (note,) = gathered.notes
    assert note.kind == "token"


def test_files_are_named_and_missing_ones_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "mine.jwt"
    path.write_text(GOOD)
    gathered = Gathered()
    read_tokens([str(path)], gathered, Pair())
    assert gathered.tokens[0].name == str(path)
    with pytest.raises(TokenInputError, match=r"absent\.jwt: no such file"):
        read_tokens([str(tmp_path / "absent.jwt")], gathered)
    big = tmp_path / "big.txt"
    big.write_bytes(b"x" * (5 << 20))
    with pytest.raises(TokenInputError, match="no token is"):
        read_tokens([str(big)], gathered)


LETTERS = string.ascii_letters + string.digits + "-_.=+/ \n\"'{}"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["video", "roomConfig", "RoomConfig", "roomPreset", "agents", "exp", "nbf", "iat", "sub", "kind", "metadata", "iss"]
)


@settings(max_examples=40)
@given(st.dictionaries(NAMES, VALUES, max_size=6), st.dictionaries(st.text(max_size=8), VALUES, max_size=2))
def test_any_claims_are_judged_without_a_crash(some: dict[str, Any], video: dict[str, Any]) -> None:
    """Whatever stands in the claims: the checks and the report go through, on every version."""
    body = json.dumps({"video": {"roomJoin": True, "room": "r", **video}, **some})
    part = base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
    gathered = Gathered()
    read_tokens([f"eyJhbGciOiJIUzI1NiJ9.{part}.c2lnbmF0dXJl"], gathered, clock=lambda: NOW)
    reported(gathered)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "name",
                "length",
                "malformed",
                "header",
                "claims",
                "signature",
                "signed",
                "checked_with",
                "read_at",
                "server_version",
            ]
        ),
        VALUES,
    )
)
def test_any_edited_case_is_read(stored: dict[str, Any]) -> None:
    """A case may come from anybody."""
    gathered = Gathered()
    read_token_file(json.dumps({"format": "lkdoctor.token/v1", **stored}), "token-1.json", gathered)
    reported(gathered)


@settings(max_examples=40)
@given(st.data())
def test_a_damaged_token_never_stands_in_the_output(data: st.DataObject) -> None:
    """Cut, bit-flipped, or with something put in: said to be what it is, and not shown."""
    token = signed(name=data.draw(st.text(max_size=5)))
    at = data.draw(st.integers(0, len(token) - 1))
    how = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    letter = data.draw(st.sampled_from(LETTERS))
    damaged = {
        "cut": token[:at],
        "flip": token[:at] + letter + token[at + 1 :],
        "insert": token[:at] + letter + token[at:],
    }[how]
    gathered = Gathered()
    read_tokens([damaged], gathered, Pair(), clock=lambda: NOW)
    out = reported(gathered) + "".join(write_token(one) for one in gathered.tokens)
    signature = token.rpartition(".")[2]
    for piece in (signature[:20], signature[-20:], token.split(".")[1][10:40]):
        assert piece not in out


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_any_text_is_some_token_or_none(text: str) -> None:
    assert tokens_in(text)
    gathered = Gathered()
    read_token_file(text, "token-1.txt", gathered)
    assert all(one.malformed for one in gathered.tokens)


@pytest.fixture(autouse=True)
def _forget() -> Any:
    """Each of these many tokens would else be looked for in all later output of this process."""
    redactor = of_this_run()
    known, values = dict(redactor._known), redactor._values
    yield
    redactor._known, redactor._values = known, values
