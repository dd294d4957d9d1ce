"""When a live server is asked, with what, and what is said when it cannot be: without any livekit-server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.running import FAULTY, HEALTHY, Ran, environment, run
from tests.recorded import CASES, case

SECRET = "PLANTED-secret-of-the-tests-0123456789"
KEYS = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": SECRET}


class Silent(NamedTuple):
    """The port, and the connections that were taken."""

    port: int
    held: list[socket.socket]


@pytest.fixture
def silent() -> Iterator[Silent]:
    """A program that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield Silent(int(server.getsockname()[1]), held)
        server.shutdown(socket.SHUT_RDWR)
        for one in held:
            one.close()


@pytest.fixture
def closed() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def checked(*arguments: str | Path, cwd: Path, **environ: str) -> Ran:
    """`lkdoctor check ARGUMENTS` in a folder, with no home and these variables."""
    ran = run("check", *arguments, cwd=cwd, environ={"HOME": str(cwd), **environ})
    assert "Traceback" not in ran.err
    assert SECRET not in ran.out + ran.err
    return ran


def test_a_variable_that_happens_to_be_set_asks_no_server(closed: int, tmp_path: Path) -> None:
    ran = checked(
        HEALTHY / "server.log", "--format", "json", cwd=tmp_path, LIVEKIT_URL=f"ws://127.0.0.1:{closed}", **KEYS
    )
    report = json.loads(ran.out)
    assert (ran.status, report["run"]["mode"], report["server"]) == (0, "offline", None)
    assert report["connection"] == []


@pytest.mark.parametrize("how", [["--live"], ["--url"]])
def test_a_server_is_asked_when_an_option_says_so(how: list[str], closed: int, tmp_path: Path) -> None:
    url = f"ws://127.0.0.1:{closed}"
    options = ["--url", url] if how == ["--url"] else how
    ran = checked(
        *options, "--format", "json", cwd=tmp_path, **({} if how == ["--url"] else {"LIVEKIT_URL": url}), **KEYS
    )
    report = json.loads(ran.out)
    assert (ran.status, report["verdict"], report["run"]["mode"]) == (1, "problems", "read-only")
    assert "LKD101" in [one["code"] for one in report["findings"]]
    assert report["credentials"]["url"] == ("--url" if how == ["--url"] else "environment LIVEKIT_URL")
    assert report["credentials"]["secret"] == "environment LIVEKIT_API_SECRET"


def test_the_text_says_where_the_key_came_from_and_which_step_failed(closed: int, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"# key\nLIVEKIT_API_KEY=devkey\nLIVEKIT_API_SECRET={SECRET}\n")
    ran = checked("--url", f"ws://127.0.0.1:{closed}", cwd=tmp_path)
    assert ran.status == 1
    assert "key from .env line 2" in " ".join(ran.out.split())
    assert "FAILED" in ran.out
    assert "not tried" in ran.out


def test_an_env_file_of_ones_choice(closed: int, tmp_path: Path) -> None:
    file = tmp_path / "staging"
    file.write_text(f"LIVEKIT_URL=ws://127.0.0.1:{closed}\nLIVEKIT_API_KEY=devkey\nLIVEKIT_API_SECRET={SECRET}\n")
    ran = checked(
        "--live", "--env-file", "staging", "--format", "json", cwd=tmp_path, LIVEKIT_URL="ws://127.0.0.1:1", **KEYS
    )
    assert json.loads(ran.out)["credentials"]["url"] == "staging line 1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "ws://127.0.0.1:1"], "No API key found."),
        (["--url", "ftp://127.0.0.1"], "LiveKit takes ws, wss, http or https"),
        (["--live"], "No URL of a server found."),
        (["--api-key", "x", str(HEALTHY)], "--api-key is for a live server: add --url"),
        (["--env-file", ".env", str(HEALTHY)], "--env-file is for a live server"),
        (["--live", "--env-file", "nowhere"], "--env-file nowhere: no such file"),
        (["--project", "nowhere"], "--project nowhere: `lk` has no configuration"),
        (["--url", "ws://127.0.0.1:1", "--until", "10m"], "--until lies in the past"),
        (["--url", "ws://127.0.0.1:1", "--watch", "0"], "0 is not in the range"),
        (["--together", "alone", str(HEALTHY)], "name two agents or more"),
        (["--api", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["-", "--token", "-"], "stdin (-) can be read only once"),
        (["--token", "nowhere.txt"], "nowhere.txt: no such file"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str, tmp_path: Path) -> None:
    ran = checked(*arguments, cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert words in " ".join(ran.err.split())


def test_a_secret_on_the_command_line_is_used_hinted_at_and_not_shown(closed: int, tmp_path: Path) -> None:
    options = ["--api-key", "devkey", "--api-secret", SECRET, "--url", f"ws://127.0.0.1:{closed}"]
    ran = checked(*options, "-v", cwd=tmp_path)
    assert ran.status == 1
    assert "--api-secret shows the secret in `ps`" in ran.err


def test_a_server_that_never_answers_ends_in_time_and_is_no_health(silent: Silent, tmp_path: Path) -> None:
    began = time.monotonic()
    url = f"ws://127.0.0.1:{silent.port}"
    ran = checked("--url", url, "--timeout", "2", "--format", "json", cwd=tmp_path, **KEYS)
    report = json.loads(ran.out)
    assert ran.status in {1, 3}
    assert report["verdict"] != "healthy"
    assert report["gaps"]
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("form", ["text", "json"])
def test_ctrl_c_while_a_server_is_waited_for(form: str, silent: Silent, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "lkdoctor",
            "check",
            str(FAULTY / "server.log"),
            "--url",
            f"ws://127.0.0.1:{silent.port}",
            "--format",
            form,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(**KEYS, HOME=str(tmp_path)),
    )
    until = time.monotonic() + 30
    while not silent.held:
        assert time.monotonic() < until, "nothing was asked"
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err.decode()
    assert "Traceback" not in err.decode()
    if form == "json":
        report = json.loads(out)
        assert report["run"]["interrupted"] is True
        assert "LKD202" in [one["code"] for one in report["findings"]]  # the log was read all the same
    else:
        assert out.decode().startswith("Interrupted, so far: ")


def test_workers_says_that_no_api_lists_them(tmp_path: Path) -> None:
    ran = run("workers", "--url", "ws://127.0.0.1:1", cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert "no API of livekit-server lists workers" in ran.err


@pytest.mark.parametrize("name", ["api.jsonl", "connection.jsonl", "token-1.json"])
def test_evidence_of_one_kind_alone_is_enough(name: str, tmp_path: Path) -> None:
    folder = next(one for one in CASES if (one / name).is_file())
    ran = checked(folder / name, "--format", "json", cwd=tmp_path)
    report = json.loads(ran.out)
    assert ran.status in {0, 1, 3}
    assert len(report["sources"]) == 1
    assert not report["errors"]
    text = checked(folder / name, cwd=tmp_path)
    assert text.status == ran.status
    assert name in text.out


def test_a_forced_kind(tmp_path: Path) -> None:
    odd = tmp_path / "odd-name.txt"
    odd.write_bytes((case("listed-healthy-call") / "api.jsonl").read_bytes())
    report = json.loads(checked("--api", odd, "--format", "json", cwd=tmp_path).out)
    assert [one["kind"] for one in report["sources"]] == ["api"]
    assert report["dispatches"]


def test_since_and_until_leave_out_listings_too(tmp_path: Path) -> None:
    listing = case("listed-healthy-call") / "api.jsonl"
    whole = json.loads(checked(listing, "--format", "json", cwd=tmp_path).out)
    none = json.loads(checked(listing, "--until", "2020-01-01T00:00:00Z", "--format", "json", cwd=tmp_path).out)
    assert whole["dispatches"]
    assert none["dispatches"] == []


@pytest.mark.parametrize("report", [("--format", "json"), ("-o", "json=report.json")])
def test_a_cleanup_makes_no_report(report: tuple[str, ...], tmp_path: Path) -> None:
    ran = run("probe", "--cleanup", "--url", "ws://127.0.0.1:1", *report, cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert "--cleanup removes rooms and makes no report" in ran.err
