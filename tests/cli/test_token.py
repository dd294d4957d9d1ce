"""`lkdoctor token`: what is said of a token, and tokens that are right; secrets stand nowhere but where they are asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import Result

from lkdoctor.redact import of_this_run
from tests.cli.running import call, run

KEY = "APIsomebodys"
SECRET = "only-for-this-test-9f3b2c71d0aa4e55"
JOIN = ("--room", "call", "--identity", "alice")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Key and secret come from the environment; no .env file and no configuration of `lk` is near."""
    monkeypatch.setenv("LIVEKIT_API_KEY", KEY)
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)
    monkeypatch.delenv("LIVEKIT_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    redactor = of_this_run()
    known, values = dict(redactor._known), redactor._values
    yield
    redactor._known, redactor._values = known, values


def create(*options: str) -> str:
    done = call("token", "create", *JOIN, *options)
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


def inspect(token: str, *options: str) -> Result:
    return call("token", "inspect", token, *options)


def document(token: str, *options: str) -> Any:
    return json.loads(inspect(token, "--format", "json", *options).stdout)


def test_stdout_is_the_token_alone_and_stderr_says_what_it_does() -> None:
    done = call(
        "token", "create", *JOIN, "--agent", "inbound:sesame", "--agent", "outbound", "--server-version", "1.13.5"
    )
    assert done.exit_code == 0
    token = done.stdout.strip()
    claims = jwt.decode(token, SECRET, ["HS256"])
    assert claims["sub"] == "alice"
    assert claims["video"]["room"] == "call"
    assert [one["agentName"] for one in claims["roomConfig"]["agents"]] == ["inbound", "outbound"]
    assert claims["roomConfig"]["agents"][0]["metadata"] == "sesame"
    assert 'New room (1.13.5): "alice" makes room "call": "inbound" and "outbound" are dispatched.' in done.stderr
    assert "Existing room" in done.stderr
    assert token not in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_every_option_gets_into_the_token() -> None:
    token = create(
        "--name", "Alice", "--agent", "a", "--deployment", "blue", "--ttl", "30m", "--no-can-publish",
        "--no-can-subscribe", "--hidden", "--kind", "sip", "--metadata", "sesame",
    )  # fmt: skip
    claims = jwt.decode(token, SECRET, ["HS256"])
    assert claims["exp"] - claims["nbf"] == 1800
    assert (claims["name"], claims["kind"], claims["metadata"]) == ("Alice", "sip", "sesame")
    assert claims["video"]["hidden"] is True
    assert claims["video"]["canPublish"] is claims["video"]["canSubscribe"] is False
    assert claims["roomConfig"]["agents"] == [{"agentName": "a", "deployment": "blue"}]
    assert jwt.decode(create("--preset", "p"), SECRET, ["HS256"])["roomPreset"] == "p"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--room", "r"), "--identity is missing"),
        (("--identity", "i"), "--room is missing"),
        ((*JOIN, "--agent", "a", "--agent", "a"), "LKD507"),
        ((*JOIN, "--agent", ":metadata"), "--agent needs a name"),
        ((*JOIN, "--deployment", "blue"), "--deployment is for agents"),
        ((*JOIN, "--agent", "a", "--deployment", "a_b"), "64 bytes"),
        ((*JOIN, "--agent", "a", "--preset", "p"), "do not go together"),
        ((*JOIN, "--metadata", "m" * 20_000), "LKD510"),
        (("--room", "r", "--identity", "i" * 300), "LKD504"),
        ((*JOIN, "--agent", "a", "--deployment", "blue", "--server-version", "1.11.0"), "LKD509"),
        ((*JOIN, "--ttl", "soon"), "no length of time"),
        ((*JOIN, "--server-version", "new"), "no version"),
    ],
)
def test_mistakes_are_refused_with_a_sentence(options: tuple[str, ...], words: str) -> None:
    done = call("token", "create", *options)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert not done.stdout


def test_two_roles_of_one_agent_are_no_mistake() -> None:
    assert create("--agent", "a:caller", "--agent", "a:callee")


def test_without_a_key_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEKIT_API_KEY")
    monkeypatch.delenv("LIVEKIT_API_SECRET")
    done = call("token", "create", *JOIN)
    assert done.exit_code == 2
    assert "LIVEKIT_API_KEY" in done.stderr


def test_inspect_tells_and_never_shows_the_token(tmp_path: Path) -> None:
    token = create("--agent", "inbound:sesame")
    path = tmp_path / "token.txt"
    path.write_text(f"Bearer {token}\n")
    for given in (token, str(path)):
        done = inspect(given)
        assert done.exit_code == 0, done.output
        assert "signature right" in done.stdout
        assert '"alice" makes room "call": "inbound" is dispatched.' in " ".join(done.stdout.split())
        shown = inspect(given, "-v").output + inspect(given, "--format", "json").output
        for secret in (token, token.rpartition(".")[2], "sesame", SECRET):
            assert secret not in shown


def test_the_exit_status_is_that_of_the_findings() -> None:
    token = jwt.encode({"iss": KEY, "sub": "alice", "video": {"room_join": True, "room": "r"}}, SECRET, "HS256")
    done = inspect(token)
    assert done.exit_code == 1
    assert "LKD504" in done.stdout
    assert inspect(token, "--exit-zero").exit_code == 0
    assert inspect(create(), "--fail-on", "info").exit_code == 1  # 506: it names no agent
    assert inspect(create()).exit_code == 0
    assert inspect("no token at all").exit_code == 1
    assert call("token", "inspect").exit_code == 2
    assert inspect("absent.jwt").exit_code == 2
    assert "is a folder" in inspect(str(Path(__file__).parent)).stderr


def test_the_version_decides() -> None:
    claims = {"iss": KEY, "sub": "alice", "video": {"roomJoin": True, "room": "r"}}
    token = jwt.encode({**claims, "RoomConfig": {"agents": [{"agentName": "a"}]}}, SECRET, "HS256")
    new, old, any_ = (
        document(token, *more) for more in (("--server-version", "v1.13.5"), ("--server-version", "1.9.12"), ())
    )
    assert new["tokens"][0]["fates"][0]["agents"] == [{"agent_name": "a", "deployment": ""}]
    assert not new["findings"]
    assert old["tokens"][0]["fates"][0]["implicit"]
    assert [one["code"] for one in old["findings"]] == ["LKD505"]
    assert [one["versions"] for one in any_["tokens"][0]["fates"]] == [["1.13.5"], ["1.11.0", "1.9.12", "1.8.4"]]
    assert any_["findings"][0]["severity"] == "warning"


def test_a_signature_of_another_key_stays_open() -> None:
    token = jwt.encode({"iss": "APIanother", "sub": "alice", "video": {"roomJoin": True, "room": "r"}}, SECRET, "HS256")
    said = document(token)
    assert said["tokens"][0]["signature"] == "other-key"
    assert [one["code"] for one in said["questions"]] == ["LKD502"]
    assert "LKD502" not in [one["code"] for one in said["findings"]]


def test_the_real_command_reads_stdin() -> None:
    token = create("--agent", "a")
    environ = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
    done = run("token", "inspect", "-", stdin=f"{token}\n".encode(), environ=environ)
    assert done.status == 0, done.err
    assert "signature right" in done.out
    assert token not in done.out + done.err


def test_check_takes_a_token_and_the_same_credentials(tmp_path: Path) -> None:
    path = tmp_path / "t.jwt"
    path.write_text(create("--agent", "a"))
    done = call("check", "--token", str(path))
    assert done.exit_code == 0, done.output
    assert "signature right" in done.stdout
    for broken in (("check", "--token", str(path)), ("token", "inspect", str(path))):
        done = call(*broken, "--project", "absent")
        assert done.exit_code == 2
        assert "absent" in done.stderr
