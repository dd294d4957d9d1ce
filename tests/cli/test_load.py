"""`lkdoctor load`: what it measures, what it writes, and what it says when that cannot be measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.running import environment, run
from tests.recorded import case

FUNCTIONS = """
import math, time
def zero():
    return 0.0
def nan():
    return math.nan
def percent():
    return 35
def slow():
    time.sleep(1.1)
    return 0.2
"""


FAILING = """
def raises():
    raise LookupError("no such meter")
def text():
    return "0.5"
def stuck():
    import time
    time.sleep(600)
calls = []
def now_and_then():
    calls.append(1)
    return 0.1 if len(calls) % 2 else None
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with load functions of somebody's own."""
    (tmp_path / "functions.py").write_text(FUNCTIONS, encoding="utf-8")
    return tmp_path


def test_json_and_a_case_that_check_reads(home: Path) -> None:
    """The same readings stand in the report and in load.jsonl, and `check` makes the same findings of them."""
    ran = run("load", "--function", "functions:nan", "--seconds", "2", "--format", "json", "-o", "load.jsonl", cwd=home)
    assert ran.status == 1, ran.err
    report = json.loads(ran.out)
    (reading,) = report["load"]
    assert reading["nan"] is True
    assert reading["load"] is None
    assert [one["code"] for one in report["findings"]] == ["LKD407"]
    (kept,) = (home / "load.jsonl").read_text("utf-8").splitlines()
    assert json.loads(kept) == reading
    again = run("check", "load.jsonl", "--format", "json", cwd=home)
    assert again.status == 1
    assert json.loads(again.out)["load"] == [reading]
    assert [one["fingerprint"] for one in json.loads(again.out)["findings"]] == [
        one["fingerprint"] for one in report["findings"]
    ]


@pytest.mark.parametrize(("name", "code"), [("percent", "LKD410"), ("slow", "LKD409")])
def test_functions_of_ones_own(home: Path, name: str, code: str) -> None:
    ran = run("load", "--function", f"functions:{name}", "--seconds", "3", "--server-version", "1.13.5", "-q", cwd=home)
    assert ran.status == 1
    assert code in ran.out


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("raises", "LookupError: no such meter"),
        ("text", "'0.5'"),
        ("stuck", "it did not return within"),
        ("now_and_then", "None"),
    ],
)
def test_a_function_that_gives_no_number_is_no_health(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "functions.py").write_text(FAILING, encoding="utf-8")
    ran = run("load", "--function", f"functions:{name}", "--seconds", "2", "--server-version", "1.13.5", cwd=tmp_path)
    assert ran.status == 3, ran.out
    assert f"functions:{name} gave no number ({why}" in " ".join(ran.out.split())
    assert "No fault found" not in ran.out


def test_the_server_of_the_log_is_the_limits(home: Path) -> None:
    """The version comes from the log beside it: 1.8.4 refuses from 0.65 on."""
    log = case("healthy-call-1-8-4") / "server.log"
    ran = run("load", log, "--function", "functions:percent", "--seconds", "2", cwd=home)
    assert ran.status == 1
    assert "0.65, fixed" in " ".join(ran.out.split())
    assert "livekit-server 1.8.4" in ran.out


def test_it_measures_again_and_again(home: Path) -> None:
    """Each window is one line on stderr, and the table tells from where to where it went."""
    ran = run("load", "--function", "functions:zero", "--seconds", "1", "--watch", "3", cwd=home)
    assert ran.status == 0, ran.err
    assert ran.err.count("functions:zero 0.00") == 3
    assert "the last of 3 times" in ran.out


def test_without_an_sdk_the_machine_alone_is_measured(home: Path) -> None:
    """Nobody named an SDK, and none is installed beside lkdoctor: that is said, and no fault."""
    blocked = home / "blocked"
    (blocked / "livekit").mkdir(parents=True)
    (blocked / "livekit" / "__init__.py").write_text("", encoding="utf-8")  # hides the real package from the search
    path = os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])
    ran = run("load", "--seconds", "1", cwd=home, environ={"PYTHONPATH": path})
    assert ran.status == 0, ran.err
    assert "--python" in ran.err
    assert "lkdoctor" in ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--python", "absent"], "no Python there"),
        (["--node", "."], "--node"),
        (["--function", "functions:absent"], "cannot be loaded"),
        (["--function", "functions"], "module:name"),
        (["--pid", "4194305"], "no such process"),
        (["--container", "absent"], "--container absent"),
        (["--server-version", "new"], "three numbers"),
        (["--threshold", "nan"], "number above 0"),
        (["--threshold", "0.9", "--dev"], "--dev"),
        (["--seconds", "0"], "--seconds"),
        (["absent.log"], "absent.log"),
        (["--seconds", "1", "--function", "functions:zero", "-o", "absent/load.jsonl"], "absent/load.jsonl"),
        (["-o", "load.txt"], "FORMAT=FILE"),
    ],
)
def test_wrong_usage(home: Path, arguments: list[str], words: str) -> None:
    ran = run("load", *arguments, cwd=home)
    assert ran.status == 2, ran.out + ran.err
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_ctrl_c_tells_what_was_measured(home: Path) -> None:
    """After the first window; exit status 130, and no process is left behind."""
    command = [
        sys.executable,
        "-m",
        "lkdoctor",
        "load",
        "--function",
        "functions:zero",
        "--seconds",
        "1",
        "--watch",
        "60",
    ]
    with subprocess.Popen(
        command, cwd=home, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "functions:zero" in first
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "functions:zero (yours)" in out
    assert time.monotonic() - began < 30
