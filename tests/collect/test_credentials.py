"""URL, key and secret: found where LiveKit's users keep them, each with its origin, contradictions told, secrets never."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkdoctor.collect.address import AddressError, parse
from lkdoctor.collect.credentials import CredentialsError, Target, resolve
from lkdoctor.redact import mask

SECRET = "planted-secret-0123456789"
OTHER = "another-planted-secret-9876"


def find(tmp_path: Path, environ: dict[str, str] | None = None, **given: str | bool | None) -> Target:
    return resolve(folder=tmp_path, home=tmp_path / "home", environ=environ or {}, **given)  # type: ignore[arg-type]


def projects(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "home" / ".livekit"
    folder.mkdir(parents=True)
    (folder / "cli-config.yaml").write_text(text, encoding="utf-8")


# As `lk project add` writes it (livekit-cli 2).
LK = f"""default_project: staging
projects:
    - name: staging
      project_id: p_1
      url: wss://staging.livekit.cloud
      api_key: APIstaging
      api_secret: {SECRET}
    - name: local
      project_id: ""
      url: ws://localhost:7880
      api_key: devkey
      api_secret: secret
device_name: desk
"""


def test_options_before_environment_before_files(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LIVEKIT_URL=wss://env\nLIVEKIT_API_KEY=APIenv\n\nLIVEKIT_API_SECRET=" + OTHER)
    (tmp_path / ".env.local").write_text("# mine\nLIVEKIT_API_SECRET='" + SECRET + "'  # note\n")
    target = find(tmp_path, {"LIVEKIT_API_KEY": "APIprocess"}, url="ws://localhost:7880")
    assert (target.url, target.key, target.secret) == ("ws://localhost:7880", "APIprocess", SECRET)
    assert target.origins == {
        "url": "--url",
        "key": "environment LIVEKIT_API_KEY",
        "secret": f"{tmp_path}/.env.local line 2",
    }


def test_contradictions_are_told_without_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"LIVEKIT_URL=wss://old\nLIVEKIT_API_KEY=APIold\nLIVEKIT_API_SECRET={OTHER}\n")
    environ = {"LIVEKIT_URL": "wss://new/", "LIVEKIT_API_KEY": "APInew", "LIVEKIT_API_SECRET": SECRET}
    told = " ".join(find(tmp_path, environ).notes)
    assert (
        f"{tmp_path}/.env line 1 gives another URL than environment LIVEKIT_URL, which is used (wss://old there, wss://new here)."
        in told
    )
    assert ".env line 2 gives another API key" in told
    assert ".env line 3 gives another API secret" in told
    assert SECRET not in told
    assert OTHER not in told


def test_the_same_server_written_twice_is_no_contradiction(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LIVEKIT_URL=https://lk.example.com:443/\n")
    environ = {"LIVEKIT_URL": "wss://lk.example.com", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": SECRET}
    assert find(tmp_path, environ).notes == ()


def test_key_and_secret_of_two_places(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"LIVEKIT_API_SECRET={SECRET}\n")
    target = find(tmp_path, {"LIVEKIT_API_KEY": "k"}, url="ws://h")
    assert target.notes == (
        f"The key is from environment LIVEKIT_API_KEY and the secret from {tmp_path}/.env line 1; the two must belong together.",
    )


@pytest.mark.parametrize("raw", ["", "  ", "''", "<your key>"])
def test_empty_and_placeholders_count_as_missing(tmp_path: Path, raw: str) -> None:
    (tmp_path / ".env").write_text("LIVEKIT_API_KEY=APIfile\n")
    target = find(tmp_path, {"LIVEKIT_API_KEY": raw}, url="ws://h", secret=SECRET)
    assert target.key == "APIfile"
    assert target.notes[0].startswith("environment LIVEKIT_API_KEY is ")


def test_blanks_and_quotes_are_left_out_and_told(tmp_path: Path) -> None:
    environ = {"LIVEKIT_URL": "'ws://h' ", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": f' "{SECRET}"\n'}
    target = find(tmp_path, environ)
    assert (target.url, target.secret) == ("ws://h", SECRET)
    assert [note.partition(" has ")[0] for note in target.notes] == [
        "environment LIVEKIT_URL",
        "environment LIVEKIT_API_SECRET",
    ]


def test_a_proxy_of_the_environment_is_told(tmp_path: Path) -> None:
    environ = {"HTTPS_PROXY": "http://user:hunter2hunter2@proxy:3128", "HTTP_PROXY": "http://proxy:3128"}
    [note] = find(tmp_path, environ, url="ws://h", key="k", secret=SECRET).notes
    assert note.startswith("environment HTTPS_PROXY names a proxy")
    assert "hunter2" not in note


def test_a_env_file_reads_as_the_sdks_read_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        f'HOST=lk.example.com\nexport LIVEKIT_URL="wss://${{HOST}}"\nLIVEKIT_API_KEY=first\nLIVEKIT_API_KEY=last\n'
        f"this is no line\nLIVEKIT_API_SECRET={SECRET} # comment\n"
    )
    target = find(tmp_path)
    assert (target.url, target.key, target.secret) == ("wss://lk.example.com", "last", SECRET)
    assert target.origins["secret"].endswith("line 6")
    assert f"{tmp_path}/.env line 5 is no NAME=value and was left out." in target.notes
    assert any("LIVEKIT_API_KEY twice" in note and "line 4" in note for note in target.notes)


def test_a_named_project_is_taken_whole_before_the_environment(tmp_path: Path) -> None:
    projects(tmp_path, LK)
    environ = {"LIVEKIT_URL": "wss://other", "LIVEKIT_API_KEY": "APIother", "LIVEKIT_API_SECRET": OTHER}
    target = find(tmp_path, environ, project="LOCAL")
    assert (target.url, target.key, target.secret) == ("ws://localhost:7880", "devkey", "secret")
    assert set(target.origins.values()) == {"lk project local"}


def test_the_default_project_when_nothing_else_is_known(tmp_path: Path) -> None:
    projects(tmp_path, LK)
    assert find(tmp_path).key == "APIstaging"


def test_the_project_of_the_same_server(tmp_path: Path) -> None:
    projects(tmp_path, LK)
    assert find(tmp_path, url="http://localhost:7880/").origins["key"] == "lk project local"
    assert find(tmp_path, {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "secret"}).url == "ws://localhost:7880"


def test_no_key_is_sent_to_another_projects_server(tmp_path: Path) -> None:
    projects(tmp_path, LK)
    with pytest.raises(CredentialsError, match=r"No API key found.*--project: staging, local"):
        find(tmp_path, url="wss://somewhere.else")


def test_a_url_alone_will_do_for_who_says_so(tmp_path: Path) -> None:
    target = find(tmp_path, url="ws://h", keyless=True)
    assert not target.has_key
    assert target.headers(room_list=True) == {}
    with pytest.raises(ValueError, match="no API key"):
        target.token(room_list=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("projects: [", "line 1"),
        ("- a\n- b\n", "not the form"),
        ("projects: all\n", "`projects` is no list"),
        ("projects:\n  - url: wss://x\n", "entry 1 of `projects` has no name"),
        ("projects: []\n", "has no projects"),
        (LK, "It has: staging, local"),
    ],
)
def test_what_is_wrong_with_lks_file(tmp_path: Path, text: str, words: str) -> None:
    projects(tmp_path, text)
    with pytest.raises(CredentialsError, match=r"cli-config\.yaml") as caught:
        find(tmp_path, project="nobody")
    assert words in str(caught.value)


def test_a_broken_lk_file_is_nobodys_business_who_does_not_use_it(tmp_path: Path) -> None:
    projects(tmp_path, "projects: [")
    assert find(tmp_path, url="ws://h", key="k", secret=SECRET).key == "k"


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=1\nB=\xff\xfe\n")
    with pytest.raises(CredentialsError, match=r"\.env line 2: not UTF-8"):
        find(tmp_path)


def test_local_servers_are_told_of_the_development_key(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="devkey"):
        find(tmp_path, url="ws://localhost:7880")
    with pytest.raises(CredentialsError, match=r"LIVEKIT_URL.*\.env"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("written", "url", "assumed"),
    [
        ("wss://lk.example.com/", "wss://lk.example.com", ""),
        ("HTTPS://LK.example.com:443//a//b/", "https://lk.example.com:443/a/b", ""),
        ("localhost:7880", "ws://localhost:7880", "ws"),
        ("lk.example.com", "wss://lk.example.com", "wss"),
        ("lk.example.com:7880/p", "ws://lk.example.com:7880/p", "ws"),
        ("192.168.1.5", "ws://192.168.1.5", "ws"),
        ("//lk.example.com", "wss://lk.example.com", "wss"),
        ("ws://[::1]:7880/", "ws://[::1]:7880", ""),
        ("[::1]:7880", "ws://[::1]:7880", "ws"),
        ("wss://user:hunter2hunter2@lk.example.com?token=1#x", "wss://lk.example.com", ""),
    ],
)
def test_forms_of_a_url(written: str, url: str, assumed: str) -> None:
    address = parse(written)
    assert (address.url, address.assumed) == (url, assumed)
    assert "hunter2" not in repr(address)
    assert "hunter2hunter2" not in mask(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "  ",
        "ws://",
        "ftp://lk.example.com",
        "ws:/lk.example.com",
        "ws://lk example.com",
        "ws://lk.example.com:99999",
        "ws://lk.example.com:0",
        "ws://lk.example.com:port",
        "ws://[::1",
        "<your url>",
        "$LIVEKIT_URL",
    ],
)
def test_what_is_no_url(tmp_path: Path, written: str) -> None:
    with pytest.raises(AddressError):
        parse(written)
    with pytest.raises(CredentialsError) as caught:
        find(tmp_path, url=written, key="k", secret=SECRET)
    assert "--url" in str(caught.value)


@pytest.mark.parametrize(
    "password", ["PLANTED@PLANTED", "PLANTED/PLANTED", "PLANTED#PLANTED", "p/?PLANTED", "\u2100PLANTED"]
)
@pytest.mark.parametrize(
    "form", ["wss://user:{}@lk.example.com", "user:{}@lk.example.com/p", "wss://a@b:{}@lk.example.com"]
)
def test_an_unquoted_password_is_in_no_error(form: str, password: str) -> None:
    written = form.format(password)
    try:
        said = repr(parse(written))
    except AddressError as error:
        said = str(error)
    assert "PLANTED" not in said
    assert "PLANTED" not in mask(f"refused: {written}")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_clear_error(written: str) -> None:
    try:
        address = parse(written)
    except AddressError:
        return
    assert parse(address.url).url == address.url
    assert address.host
    assert 0 < address.port < 65536


def test_both_forms_keep_prefix_and_security() -> None:
    target = Target(parse("https://lk.example.com:8443/a"), "k", SECRET)
    assert (target.http_url, target.ws_url) == ("https://lk.example.com:8443/a", "wss://lk.example.com:8443/a")
    assert SECRET not in repr(target)


def test_a_token_is_as_the_sdks_make_it() -> None:
    target = Target(parse("ws://h"), "k", SECRET, clock=lambda: 1000.5)
    head, body, _ = target.token(identity="i", room_admin=True, room="r").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "HS256"
    assert claims == {"iss": "k", "sub": "i", "nbf": 1000, "exp": 1600, "video": {"roomAdmin": True, "room": "r"}}
