"""README's promises: its two set-up commands, its screen, its commands and its table of statuses are the real ones."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from lkdoctor.cli import COMMANDS, group
from lkdoctor.doctor.gate import Exit
from tests.cli.running import HEALTHY, ROOT, run
from tests.recorded import case

README = (ROOT / "README.md").read_text("utf-8")


def test_there_are_exactly_two_set_up_commands() -> None:
    assert re.findall(r"```sh\n(.*?)```", README, re.DOTALL) == [
        "pip install . && lkdoctor demo\n",
        "bash .ci/setup-and-test\n",
    ]


def test_the_second_one_is_a_script_that_bash_accepts() -> None:
    for name in ("setup-and-test", "run", "pythons"):
        subprocess.run(["bash", "-n", ROOT / ".ci" / name], check=True, timeout=30)
    assert "bash .ci/setup-and-test" in (ROOT / ".ci" / "run").read_text()


def test_the_screen_is_what_demo_prints() -> None:
    shown = re.search(r"<!-- generated: demo -->\n```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    assert run("demo").out == shown[1]


def commands() -> list[str]:
    """Every lkdoctor command in the table of uses."""
    cells = re.findall(r"^\| [^|]+ \| (.+) \|$", README, re.MULTILINE)
    return [one for cell in cells for one in re.findall(r"`((?:docker .*\| )?lkdoctor [^`]+)`", cell)]


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_table_works(command: str, tmp_path: Path) -> None:
    log = (HEALTHY / "server.log").read_bytes()
    words = shlex.split(command.replace("\\|", "|").split("|")[-1].split(">>")[0])
    assert words[0] == "lkdoctor"
    assert words[1] in COMMANDS
    if {"--url", "--worker-url"} & set(words):  # no such server here: the live tests ask real ones
        found = group.get_command(click.Context(group), words[1])
        assert found is not None
        found.make_context(words[1], words[2:], resilient_parsing=False)
        return
    environ = {
        "LIVEKIT_API_KEY": "devkey",
        "LIVEKIT_API_SECRET": "made up for this test, 32 letters",
        "HOME": str(tmp_path),
    }
    if "token.txt" in words:
        options = ["--room", "support-call-7", "--identity", "alice", "--agent", "inbound-agent"]
        (tmp_path / "token.txt").write_text(run("token", "create", *options, cwd=tmp_path, environ=environ).out)
    for word in words[2:]:
        # The files of the example, made from a healthy case; what it asks about is in that case.
        if word.endswith(("server.log", "node-a.log")):
            (tmp_path / word).write_bytes(log)
        if word == "worker.log":
            (tmp_path / word).write_bytes((case("worker-drained-quietly") / "worker-inbound.log").read_bytes())
    drop = {"node-b.log.2.gz", "evidence/"} | ({"case.zip"} if words[1] == "check" else set())
    arguments = [word for word in words[1:] if word not in drop]
    ran = run(*arguments, stdin=log, cwd=tmp_path, environ=environ)
    assert ran.status == 0, ran.err


def test_the_table_of_statuses_is_complete() -> None:
    assert {int(one) for one in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == {int(one) for one in Exit}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target
