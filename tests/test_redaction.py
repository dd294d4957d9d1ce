"""No secret leaves: forms that LiveKit prints, values given at run time, and secrets planted into every recorded case."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkdoctor.cli import COMMANDS
from lkdoctor.cli.reporting import FORMATS
from lkdoctor.redact import Redactor, mask
from tests.cli.running import call, run
from tests.recorded import CASES

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3MDAwMDAwMDAsImlzcyI6IkFQSWtleSJ9.c2lnbmF0dXJl-PLANTED_jwt"
TOKEN = r"<secret:[0-9a-f]{4}>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (JWT, "{T}"),
        (f"invalid token: {JWT}, error: token is expired (exp)", "invalid token: {T}, error: token is expired (exp)"),
        ("API Secret: kQ9vPLANTED", "API Secret: {T}"),
        ('{"turn_password": "PLANTED"}', '{"turn_password": "{T}"}'),
        (r"{\"turn_password\":\"PLAN\\\"TED\",\"x\":1}", r"{\"turn_password\":\"{T}\",\"x\":1}"),
        (r'"a": "{\\\"turn_password\\\":\\\"PLANTED\\\"}"', r'"a": "{\\\"turn_password\\\":\\\"{T}\\\"}"'),
        ("GET /rtc?access_token=PLANTED&auto=1", "GET /rtc?access_token={T}&auto=1"),
        ("https://b.s3/x?X-Amz-Signature=PLANTED&y=1", "https://b.s3/x?X-Amz-Signature={T}&y=1"),
        ("redis://user:PLANTED@10.0.0.1:6379", "redis://user:{T}@10.0.0.1:6379"),
        ("Authorization: Bearer PLANTED.abc", "Authorization: Bearer {T}"),
        ("LIVEKIT_API_SECRET=PLANTED next", "LIVEKIT_API_SECRET={T} next"),
        ("OPENAI_API_KEY=sk-PLANTED", "OPENAI_API_KEY={T}"),
        ('"metadata": "{\\"phone\\":\\"PLANTED\\"}", "k": 1', '"metadata": "{T}", "k": 1'),
        ('"participantMetadata":"PLANTED"', '"participantMetadata":"{T}"'),
    ],
)
def test_forms_that_are_secret(text: str, expected: str) -> None:
    masked = mask(text)
    assert "PLANTED" not in masked
    assert re.fullmatch(re.escape(expected).replace(re.escape("{T}"), TOKEN), masked)


@pytest.mark.parametrize(
    "text",
    [
        "permissions denied",
        "token signature is invalid: signature is invalid",
        "token has invalid claims: token is expired",
        "grant roomJoin of the token: missing",
        '"metadata": ""',
        "registered worker AW_abc for agent inbound-agent",
        "the secret is the worker's own",
        "https://example.org/path?room=support&x=1",
        '"reason": "token refresh"',
    ],
)
def test_sentences_are_left_alone(text: str) -> None:
    assert mask(text) == text


def test_tokens_are_stable_within_a_run_and_differ_between_runs() -> None:
    one, other = Redactor(), Redactor()
    assert one.mask(JWT) == one.mask(JWT)
    assert one.mask("password=aaaaaaaa") != one.mask("password=bbbbbbbb")
    assert len({Redactor().mask(JWT) for _ in range(20)}) > 1
    assert one.mask(JWT) != JWT != other.mask(JWT)


@pytest.mark.parametrize("secret", ['s3cr"t\\value', "plain-secret-value", "with space & percent%"])
def test_values_of_this_run_are_masked_in_every_spelling(secret: str) -> None:
    import base64
    from urllib.parse import quote

    redactor = Redactor([secret])
    once = json.dumps({"a": secret})
    for text in (
        f"key {secret} end",
        once,
        json.dumps({"log": once}),
        f"https://x/?s={quote(secret, safe='')}",
        base64.b64encode(secret.encode()).decode(),
    ):
        masked = redactor.mask(text)
        assert redactor.token(secret) in masked
        assert secret not in masked


def test_a_short_value_would_mask_ordinary_words() -> None:
    assert Redactor(["room"]).mask("a room") == "a room"


def test_structures_are_masked_at_any_depth() -> None:
    found = Redactor().mask_all({"a": [{"b": (JWT, 3, None)}], JWT: 1})
    assert JWT not in repr(found)
    assert found["a"][0]["b"][1:] == (3, None)


@given(st.text(max_size=200), st.sampled_from([JWT, 'password="PLANTEDx"', "API Secret: PLANTEDx", ""]))
def test_masking_twice_changes_nothing_more(text: str, planted: str) -> None:
    once = mask(text + " " + planted)
    assert mask(once) == once


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_whole_jwt_never_survives(before: str, after: str) -> None:
    assert "PLANTED_jwt" not in mask(f"{before} {JWT} {after}")


PLANTED = {
    "error": f"invalid token: {JWT}, error: planted",
    "turn_password": "PLANTED-turn",
    "raw": json.dumps({"turn_password": "PLANTED-nested", "deep": json.dumps({"api_secret": "PLANTED-deep"})}),
    "url": "https://h/rtc?access_token=PLANTED-url&x=1",
    "metadata": json.dumps({"phone": "PLANTED-phone"}),
}


def planted(log: bytes) -> bytes:
    """The log with secrets in the fields of every record (in front, where a cut line still shows them)."""
    fields = json.dumps({key: value for key, value in PLANTED.items() if key != "error"})[1:-1]
    lines = []
    for line in log.decode("utf-8", "surrogateescape").split("\n"):
        at = line.find("{")
        lines.append(f"{line[: at + 1]}{fields}, {line[at + 1 :]}" if at >= 0 and line.rstrip().endswith("}") else line)
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def planted_api(lines: str) -> str:
    """API exchanges with secrets wherever a server puts them, and a refusal that quotes the token."""

    def plant(value: Any) -> Any:
        if isinstance(value, list):
            return [plant(one) for one in value]
        if not isinstance(value, dict):
            return value
        more: dict[str, Any] = {"turn_password": "PLANTED-turn", "metadata": "PLANTED-meta"} if "sid" in value else {}
        if "identity" in value:
            more["attributes"] = {"sip.phoneNumber": "PLANTED-phone", "lk.x": f"token={JWT}"}
            more |= {} if value.get("kind") == "AGENT" else {"name": "PLANTED-name"}  # an agent is no person
        return {key: plant(one) for key, one in value.items()} | more

    refused: dict[str, Any] = {"at": 1795262301.6, "call": "RoomService/ListRooms", "request": {}, "status": 401}
    refused["response"] = {"body": f"invalid token: {JWT}, error: planted"}
    done = [json.dumps(plant(json.loads(line))) for line in lines.splitlines()]
    return "\n".join([*done, json.dumps(refused)]) + "\n"


def in_case(target: Path) -> str:
    """Everything that stands in a case, unpacked."""
    with zipfile.ZipFile(target) as archive:
        return "".join(archive.read(one).decode() for one in archive.namelist())


@pytest.mark.parametrize("folder", CASES, ids=lambda one: one.name)
def test_secrets_planted_into_a_case_appear_in_no_output(folder: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    for file in folder.iterdir():
        if file.name.startswith("server") and file.suffix == ".log":
            (evidence / file.name).write_bytes(planted(file.read_bytes()))
        elif file.name == "api.jsonl":
            (evidence / file.name).write_text(planted_api(file.read_text("utf-8")), "utf-8")
        elif file.suffix == ".log":
            (evidence / file.name).write_text(f"{file.read_text('utf-8')}\napi_secret=PLANTED-worker {JWT}\n", "utf-8")
        elif file.suffix in {".jsonl", ".json"} and file.name != "truth.json":
            (evidence / file.name).write_bytes(file.read_bytes())
    (evidence / "token.txt").write_text(JWT)
    files = [tmp_path / f"report.{form}" for form in FORMATS]
    options = [part for file in files for part in ("-o", f"{file.suffix[1:]}={file}")]
    reports = [json.loads(call("check", evidence, "--format", "json", *options).stdout)]
    rooms = {one["room"] for one in reports[0]["dispatches"]}
    outputs = [call("check", evidence, *options) for options in (["--format", "json"], ["-v"], ["-q"])]
    outputs += [call("why", room, evidence, "-v") for room in sorted(rooms)[:2] if room]
    outputs += [call("workers", evidence), call("snapshot", evidence, "-o", tmp_path / "case.zip")]
    outputs.append(call("check", tmp_path / "case.zip", "-v"))
    told = [one.output for one in outputs] + [file.read_text("utf-8") for file in files]
    for text in (*told, in_case(tmp_path / "case.zip")):
        assert text
        assert "PLANTED" not in text, text[max(0, text.find("PLANTED") - 300) :][:500]
        assert not re.search(r"eyJ[\w-]{10,}\.", text)


def test_no_help_shows_a_value_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.setenv(name, "wss://PLANTED.example.com")
    for command in COMMANDS:
        assert "PLANTED" not in call(command, "--help").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", JWT],
        ["check", "--log", JWT],
        ["check", "--api", JWT],
        ["check", "--url", f"ws://user:PLANTED@127.0.0.1/?access_token={JWT}"],
        ["check", "--live", "--api-secret", "PLANTED-secret"],
        ["check", "--live", "--env-file", JWT],
        ["check", "--project", JWT],
        ["check", "-o", JWT],
        ["check", "--room", JWT],
        ["snapshot", JWT],
        ["snapshot", "-o", f"no-such-folder/{JWT}"],
        ["why", JWT],
        ["workers", "--url", f"ws://user:PLANTED@h/{JWT}"],
        ["demo", JWT],
        ["explain", JWT],
    ],
)
def test_no_error_repeats_a_token(arguments: list[str], tmp_path: Path) -> None:
    ran = run(*arguments, cwd=tmp_path, environ={"HOME": str(tmp_path)})
    assert ran.status != 0
    assert "PLANTED" not in ran.out + ran.err
    assert not re.search(r"eyJ[\w-]{10,}\.", ran.out + ran.err)


LETTERS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", min_size=10, max_size=120)
AROUND = st.text(max_size=60)


@given(AROUND, LETTERS, LETTERS, AROUND)
def test_random_jwts_are_masked_as_a_whole(before: str, body: str, sign: str, after: str) -> None:
    masked = mask(f"{before} eyJhbGciOiJIUzI1NiJ9.eyJ{body}.{sign} {after}")
    assert f"eyJ{body}" not in masked
    assert f".{sign}" not in masked


FORMS = st.sampled_from(
    [
        '"turn_password": "{}"',
        '\\"api_secret\\": \\"{}\\"',
        "LIVEKIT_API_SECRET={}",
        "password: {}",
        "Authorization: Bearer {}",
        "redis://u:{}@h:6379",
        "https://b.s3.amazonaws.com/k?X-Amz-Signature={}&x=1",
        "https://storage.googleapis.com/k?X-Goog-Signature={}",
        "wss://h/rtc?access_token={}&auto_subscribe=1",
        "/rtc/v1?join_request={}",
        '"participantMetadata": "{}"',
    ]
)


@given(FORMS, LETTERS.map(lambda one: f"q{one}q"), st.sampled_from(["", "at 12:00 ", '{"a": 1, ']))
def test_random_values_are_masked_in_every_form(form: str, value: str, before: str) -> None:
    masked = mask(before + form.format(value))
    assert value not in masked
    assert re.search(TOKEN, masked)
    assert mask(masked) == masked


@pytest.mark.parametrize("subject", [JWT, f"x{JWT}", "nobody"])
def test_a_token_used_as_a_name_is_masked_in_what_is_suggested_too(subject: str, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    text = (next(one for one in CASES if one.name == "name-near-miss") / "server.log").read_text("utf-8")
    log.write_text(text.replace("Inbound Agent", JWT), "utf-8")
    for ran in (call("why", subject, log), call("check", log, "--agent", subject)):
        assert ran.output
        assert "PLANTED" not in ran.output
        assert not re.search(r"eyJ[\w-]{10,}\.", ran.output)


def test_the_planting_reaches_the_proof(tmp_path: Path) -> None:
    folder = next(one for one in CASES if one.name == "name-near-miss")
    (tmp_path / "server.log").write_bytes(planted((folder / "server.log").read_bytes()))
    found = call("check", tmp_path, "--format", "json").stdout
    assert json.loads(found)["findings"][0]["code"] == "LKD202"
    assert "<secret:" in found


def test_a_token_stays_whole_where_the_secret_is_the_word_secret() -> None:
    redactor = Redactor(["secret"])
    once = redactor.mask("devkey: secret and <secret:3f2a>")
    assert once == f"devkey: {redactor.token('secret')} and <secret:3f2a>"
    assert redactor.mask(once) == once
