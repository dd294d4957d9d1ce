"""The exit status is one contract: each status in each format, each with exactly one valid document or none."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lkdoctor.cli import pipeline, reporting
from lkdoctor.cli.pipeline import Collected, Wish
from lkdoctor.doctor import loader
from lkdoctor.doctor.codes import NO_HEADROOM
from lkdoctor.doctor.evidence import Dispatches
from lkdoctor.doctor.finding import Finding, Inconclusive
from lkdoctor.doctor.loader import Loaded
from lkdoctor.doctor.registry import describe
from tests.cli.running import FAULTY, HEALTHY, OPEN, call, environment, run
from tests.report import valid

FORMATS = reporting.FORMATS


def breaks(dispatches: Dispatches) -> Iterator[Finding | Inconclusive]:
    yield from ()
    raise RuntimeError("this check is broken")


def document(out: str, form: str) -> dict[str, Any]:
    """The one document on stdout, which its format's reader takes; its content where it is JSON."""
    found = valid.READERS[form](out.encode())
    return found if form == "json" else {}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("folder", "options", "status", "verdict"),
    [
        (HEALTHY, [], 0, "healthy"),
        (FAULTY, [], 1, "problems"),
        (OPEN, [], 3, "inconclusive"),
        (OPEN, ["--allow-inconclusive"], 0, "inconclusive"),
        (OPEN, ["--exit-zero"], 0, "inconclusive"),
        (FAULTY, ["--exit-zero"], 0, "problems"),
        (FAULTY, ["--allow-inconclusive"], 1, "problems"),
        (FAULTY, ["--ignore", "LKD202"], 0, "healthy"),
        (FAULTY, ["--select", "LKD1xx"], 0, "healthy"),
        (HEALTHY, ["--fail-on", "info"], 0, "healthy"),
        (FAULTY, ["--fail-on", "error"], 1, "problems"),
    ],
)
def test_judgements(folder: Path, options: list[str], status: int, verdict: str, form: str) -> None:
    ran = run("check", folder, "--format", form, *options)
    assert (ran.status, ran.err) == (status, "")
    assert document(ran.out, form).get("verdict", verdict) == verdict


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-file.log"], "no-such-file.log: no such file"),
        (["--log", "no-such-file.log"], "no-such-file.log: no such file"),
        ([str(FAULTY), "--select", "LKD330"], "there is no code or name 'LKD330'"),
        ([str(FAULTY), "--ignore", "no-hedroom"], "Did you mean LKD303 (no-headroom)?"),
        ([str(FAULTY), "--fail-on", "warn"], "'warn' is not one of"),
        ([str(FAULTY), "-o", "report.json"], "write FORMAT=FILE"),
        ([str(FAULTY), "-o", "pdf=report.pdf"], "'pdf' is no format"),
        ([str(FAULTY), "--since", "yesterday"], "'yesterday' is no time"),
        ([str(FAULTY), "--nonsense"], "No such option"),
    ],
)
def test_wrong_usage_says_what_to_do_and_prints_no_document(arguments: list[str], message: str, form: str) -> None:
    ran = run("check", *arguments, "--format", form)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("form", FORMATS)
def test_what_cannot_be_read_at_all_is_wrong_usage_and_still_a_document(form: str, tmp_path: Path) -> None:
    other = tmp_path / "access.log"
    other.write_text('127.0.0.1 - - [21/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8"\n' * 5)
    ran = run("check", other, "--format", form)
    assert ran.status == 2
    assert str(other) in ran.err
    assert document(ran.out, form).get("verdict") != "healthy"


@pytest.mark.parametrize("form", FORMATS)
def test_a_broken_check_is_lkdoctors_own_error(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "load", lambda: Loaded((describe(NO_HEADROOM, breaks),)))
    ran = call("check", HEALTHY, "--format", form)
    assert ran.exit_code == 4
    found = document(ran.stdout, form)
    if form == "json":
        (finding,) = found["findings"]
        assert finding["code"] == "LKD901"
        assert "RuntimeError: this check is broken" in finding["values"]["traceback"]
    elif form == "text":
        assert "Traceback" not in ran.stdout


@pytest.mark.parametrize("form", FORMATS)
def test_a_failure_outside_of_checks_still_gives_one_valid_document(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Loaded:
        raise RuntimeError("the loader is broken")

    monkeypatch.setattr(loader, "load", fails)
    ran = call("check", HEALTHY, "--format", form)
    assert ran.exit_code == 4
    assert document(ran.stdout, form).get("verdict", "inconclusive") == "inconclusive"
    assert "the loader is broken" in ran.stdout
    assert "Traceback" not in ran.stderr


def settled(pid: int) -> None:
    """Returns once the process uses no processor time any more: it waits for input."""
    before = -1.0
    while (now := sum(psutil.Process(pid).cpu_times()[:2])) > before:
        before = now
        time.sleep(0.4)


def drained(pipe: int) -> bool:
    """True once the reader of the pipe has taken all that was written to it: it is past its imports and reads."""
    for _ in range(600):
        if struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0] == 0:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("form", FORMATS)
def test_ctrl_c_tells_what_was_read_until_then(form: str, stop: signal.Signals) -> None:
    """stdin stays open, so the reader waits for more when the signal comes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lkdoctor", "check", "-", "--format", form],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdin is not None
    process.stdin.write((FAULTY / "server.log").read_bytes())
    process.stdin.flush()
    assert drained(process.stdin.fileno())
    settled(process.pid)
    process.send_signal(stop)
    process.wait(timeout=30)  # while its stdin is still open
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err.decode()
    found = document(out.decode(), form)
    if form == "json":
        assert found["run"]["interrupted"] is True
        assert "LKD202" in [one["code"] for one in found["findings"]]
    elif form == "text":
        assert out.decode().startswith("Interrupted, so far: Fault found: ")


@pytest.mark.parametrize("early", [True, False], ids=["before-reading", "after-reading"])
def test_ctrl_c_beside_the_reading_still_gives_one_document(early: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first line is read nothing is known; after the last one the report is whole."""

    def collect(wish: Wish) -> Collected:
        if early:
            os.kill(os.getpid(), signal.SIGINT)
        collected = pipeline.collect(wish)
        if not early:
            os.kill(os.getpid(), signal.SIGINT)
        return collected

    before = signal.getsignal(signal.SIGINT)
    assert reporting.run(Wish((str(FAULTY / "server.log"),)), reporting.Told("json"), collect=collect) == 130
    assert signal.getsignal(signal.SIGINT) is before
    found = json.loads(capsys.readouterr().out)
    assert ("LKD202" in [one["code"] for one in found["findings"]]) is not early


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lkdoctor", "check", str(FAULTY), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read().decode()
    assert (process.wait(timeout=30), err) == (1, "")
    process.stderr.close()


def test_a_file_that_cannot_be_written_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    good = tmp_path / "report.json"
    ran = run("check", HEALTHY, "-o", f"json={tmp_path / 'none' / 'x.json'}", "-o", f"json={good}")
    assert ran.status == 2
    assert "the report was not written there" in ran.err
    assert json.loads(good.read_text())["verdict"] == "healthy"
    assert ran.out.startswith("No fault found")


def test_a_path_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("x")
    ran = run("check", tmp_path / "server.log" / "inside")
    assert ran.status == 2
    assert "Not a directory" in ran.err
