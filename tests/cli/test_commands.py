"""The smaller commands: why, workers, checks, explain, demo, completion; and what is loaded when."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lkdoctor
from lkdoctor.cli import COMMANDS, demo, options
from lkdoctor.doctor.codes import CODES
from lkdoctor.doctor.finding import Code
from tests.cli.running import FAULTY, HEALTHY, ROOT, call, environment, run
from tests.recorded import case

ENDED = case("rejoin-old-room")


class TestWhy:
    """The story of one thing."""

    @pytest.mark.parametrize(
        ("subject", "told"),
        [
            ("support-call-7", "Room"),
            ("inbound-agent", "Agent name"),
            ("alice", "Participant"),
        ],
    )
    def test_the_kinds_of_subject(self, subject: str, told: str) -> None:
        ran = call("why", subject, ENDED)
        assert ran.exit_code == 0, ran.output
        assert ran.stdout.startswith(f'{told} "{subject}"')

    @pytest.mark.parametrize("key", ["room_id", "dispatch_id", "job_id", "worker_id"])
    def test_ids(self, key: str) -> None:
        dispatches = json.loads(call("check", ENDED, "--format", "json").stdout)["dispatches"]
        for found in {one[key] for one in dispatches if one[key]}:
            ran = call("why", found, ENDED)
            assert ran.exit_code == 0, ran.output
            assert f'"{found}"' in ran.stdout.splitlines()[0]

    def test_the_timeline_is_in_order_and_quotes_lines(self) -> None:
        text = call("why", "support-call-7", ENDED).stdout
        words = ["registered as", "was made by", "asked for", "was assigned to worker", "agent agent-AJ", "ended"]
        places = [text.index(word) for word in words]
        assert places == sorted(places)
        assert "server.log:" in text

    def test_a_restart_of_the_server_is_part_of_the_story(self) -> None:
        folder = case("server-restarted")
        room = json.loads(call("check", folder, "--format", "json").stdout)["dispatches"][0]
        text = call("why", room["agent_name"], folder).stdout
        assert re.search(r"  livekit-server [\d.]+ started as node ND_\w+\n +\| .*starting LiveKit", text)

    def test_the_fault_of_the_subject_is_told_with_its_fix(self) -> None:
        text = call("why", "support-call-7", FAULTY).stdout
        assert "got no agent: nobody served that name" in text
        assert "ERROR LKD202 name-near-miss" in text

    def test_the_fault_of_another_room_is_not_told(self) -> None:
        folder = case("load-comes-and-goes")
        assert "LKD303" in call("why", "support-call-1", folder).stdout
        assert "LKD303" not in call("why", "support-call-2", folder).stdout

    def test_an_unknown_subject(self) -> None:
        ran = call("why", "suport-call-7", FAULTY)
        assert ran.exit_code == 2
        assert "Did you mean 'support-call-7' (room)?" in ran.stderr
        ran = call("why", "zzz", FAULTY)
        assert "Rooms in it: support-call-7. Agent names: " in ran.stderr

    @pytest.mark.parametrize(
        ("folder", "code", "told"),
        [
            ("containers-two-projects", "LKD801", "container staging-agent-1"),
            ("process-beside-container", "LKD807", "Process 10715"),
        ],
    )
    def test_what_the_machine_shows_of_a_name_is_told(self, folder: str, code: str, told: str) -> None:
        text = call("why", "inbound-agent", case(folder)).stdout
        assert f"WARNING {code}" in text
        assert told in text

    def test_a_job_leads_to_its_container(self) -> None:
        folder = case("containers-two-projects")
        dispatch = json.loads(call("check", folder, "--format", "json").stdout)["dispatches"][0]
        rows = call("why", dispatch["worker_id"], folder).stdout.partition("Containers (1)")[2]
        assert "production-agent-1" in rows
        assert "staging-agent-1" not in rows

    def test_a_config_file_can_be_named(self, tmp_path: Path) -> None:
        file = tmp_path / "intentions.toml"
        file.write_text('[[markers]]\nname = "REGISTERED"\nregex = "registered worker"\n')
        ran = call("why", "inbound-agent", case("containers-two-projects"), "--config", file)
        assert ran.exit_code == 0, ran.output
        file.write_text("[[makers]]\n")
        ran = call("why", "inbound-agent", case("containers-two-projects"), "--config", file)
        assert ran.exit_code == 2
        assert "intentions.toml" in ran.stderr
        assert "markers" in ran.stderr

    def test_verbose_shows_whole_lines(self) -> None:
        assert len(call("why", "alice", ENDED, "-v").stdout) > len(call("why", "alice", ENDED).stdout)


class TestWorkers:
    """The roster."""

    def test_everyone(self) -> None:
        text = call("workers", HEALTHY).stdout
        assert text.startswith("2 registrations in this evidence.")
        assert "customer-agent" in text
        assert "support-agent" in text

    @pytest.mark.parametrize(
        ("at", "first"),
        [
            ("-1h", "0 workers registered at"),
            ("+1s", "2 workers registered at"),
            ("23:59:59", "2 workers registered at"),
        ],
    )
    def test_at_a_moment(self, at: str, first: str) -> None:
        assert call("workers", HEALTHY, f"--at={at}").stdout.startswith(first)

    def test_a_moment_outside_is_said(self) -> None:
        assert "The evidence covers" in call("workers", HEALTHY, "--at", "2020-01-01").stdout

    def test_containers_and_processes_are_listed_beside_the_logs(self) -> None:
        text = call("workers", case("process-beside-container")).stdout
        assert text.startswith("2 registrations in this evidence.")
        assert re.search(r"production-agent-1 +agent +inbound-agent +AW_jRssbtC5AarB", text)
        assert re.search(r"10646 +\? +fb6749a157f4", text)
        assert re.search(r"10715 +\? +/srv", text)

    def test_an_endpoint_alone_is_enough(self) -> None:
        text = call("workers", case("endpoint-two-names")).stdout
        assert text.startswith("No log of a server or a worker, so no registration is shown.")
        assert "agent name 'outbound-agent'" in text

    def test_without_anything_that_lists_workers(self) -> None:
        ran = call("workers", case("planned-and-right"))
        assert ran.exit_code == 2
        assert "nothing else lists workers" in ran.stderr

    def test_a_worker_log_is_forced(self) -> None:
        log = case("containers-two-projects") / "worker-staging-agent-1.log"
        assert "AW_LZcCKQihCoUm" in call("workers", "--worker-log", log).stdout

    def test_bad_moment(self) -> None:
        ran = call("workers", HEALTHY, "--at", "noon")
        assert ran.exit_code == 2
        assert "'noon' is no time" in ran.stderr


class TestChecksAndExplain:
    """The handbook."""

    def test_every_code_is_listed(self) -> None:
        text = run("checks", environ={"COLUMNS": "140"}).out
        assert all(one.id in text and one.name in text for one in CODES)
        rows = json.loads(run("checks", "--format", "json").out)
        assert [row["code"] for row in rows] == [one.id for one in CODES]

    @pytest.mark.parametrize("word", ["LKD303", "303", "no-headroom", "no-servers-available"])
    def test_a_page(self, word: str) -> None:
        text = call("explain", word).stdout
        assert text.startswith("LKD303 no-headroom\n")
        for title in (
            "What it means",
            "How it is decided",
            "How to fix",
            "When it is not a problem",
            "Recorded example",
        ):
            assert title in text

    def test_a_page_as_json(self) -> None:
        found = json.loads(call("explain", "LKD303", "--format", "json").stdout)
        assert (found["code"], found["name"], found["severity"]) == ("LKD303", "no-headroom", "error")
        assert found["example"]["finding"]["code"] == "LKD303"
        assert "LKD406" in found["explained_by"]

    @pytest.mark.parametrize("code", CODES, ids=lambda one: one.id)
    def test_every_code_has_a_page(self, code: Code) -> None:
        ran = call("explain", code.id)
        assert ran.exit_code == 0
        assert (
            "needs" in ran.stdout or "No check of this version looks for it yet." in ran.stdout or "LKD9" in ran.stdout
        )

    def test_did_you_mean(self) -> None:
        ran = call("explain", "no-hedroom")
        assert ran.exit_code == 2
        assert "Did you mean LKD303 (no-headroom)?" in ran.stderr


class TestDemo:
    """Recorded evidence, shipped."""

    def test_it_needs_nothing_and_ends_well(self) -> None:
        ran = run("demo")
        assert ran.status == 0
        assert "Fault found: " in ran.out
        assert "recorded case" in ran.err

    @pytest.mark.parametrize("name", [one.name for one in demo.cases()])
    def test_each_case_finds_what_it_promises(self, name: str) -> None:
        found = json.loads(call("demo", name, "--format", "json").stdout)["findings"]
        promised = set(next(one.codes for one in demo.cases() if one.name == name))
        assert promised <= {one["code"] for one in found}
        assert {one["code"] for one in found if one["severity"] != "info"} <= promised

    def test_the_cases_are_the_recorded_ones(self) -> None:
        for one in demo.cases():
            assert (one.path / "server.log").read_bytes() == (case(one.name) / "server.log").read_bytes()

    def test_list_and_unknown(self) -> None:
        assert "name-near-miss" in call("demo", "--list").stdout
        ran = call("demo", "name-near")
        assert ran.exit_code == 2
        assert "Did you mean 'name-near-miss'?" in ran.stderr


class TestTheRest:
    """Completion, unknown commands, imports, times."""

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, shell: str) -> None:
        assert "_LKDOCTOR_COMPLETE" in call("completion", shell).stdout

    def test_codes_are_completed(self) -> None:
        ran = subprocess.run(
            [Path(sys.executable).with_name("lkdoctor")],
            env=environment(_LKDOCTOR_COMPLETE="bash_complete", COMP_WORDS="lkdoctor explain LKD30", COMP_CWORD="2"),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "LKD303" in ran.stdout

    def test_unknown_command(self, tmp_path: Path) -> None:
        assert "Did you mean `lkdoctor check`?" in run("chek").err
        log = tmp_path / "server.log"
        log.write_text("")
        ran = run(log)
        assert ran.status == 2
        assert f"Did you mean `lkdoctor check {log}`?" in ran.err

    def test_every_command_has_help(self) -> None:
        overview = run("--help").out
        for name in COMMANDS:
            assert name in overview
            ran = run(name, "--help")
            assert ran.status == 0
            sentences = [one.strip() for one in " ".join(ran.out.split("Options:")[0].split()).split(". ")]
            assert len(sentences) == len(set(sentences)), f"{name} --help says a sentence twice"

    def test_version_is_quick_because_nothing_heavy_is_imported(self) -> None:
        code = (
            "import sys\nfrom lkdoctor.cli import group\n"
            "try: group(['--version'], prog_name='lkdoctor')\nexcept SystemExit: pass\n"
            "print('\\n'.join(sorted(sys.modules)))"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        first, *modules = ran.stdout.splitlines()
        assert first == f"lkdoctor {lkdoctor.__version__}"
        heavy = {
            "aiohttp", "ahocorasick_rs", "asyncio", "docker", "google", "importlib.metadata", "livekit", "msgspec",
            "psutil", "rich", "tabulate", "zstandard",
        }  # fmt: skip
        assert not heavy & set(modules)
        own = {one for one in modules if one.startswith("lkdoctor")}
        assert own == {"lkdoctor", "lkdoctor.cli"}

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("1769860800", 1769860800.0),
            ("2026-01-31", 1769817600.0),
            ("2026-01-31T12:00:00Z", 1769860800.0),
            ("2026-01-31 12:00", 1769860800.0),
            ("2026-01-31T13:00:00+01:00", 1769860800.0),
            ("2026-01-31T13:00:00.5+0100", 1769860800.5),
            ("2026-01-31T12:00:00.123456789Z", 1769860800.123456789),
            ("2026-13-31", None),
            ("12", None),
            ("soon", None),
        ],
    )
    def test_times(self, text: str, seconds: float | None) -> None:
        assert options.absolute(text) == seconds

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("10m", 600.0), ("-5s", -5.0), ("+2h", 7200.0), ("1.5h ago", 5400.0), ("1d", 86400.0), ("m", None)],
    )
    def test_spans(self, text: str, seconds: float | None) -> None:
        assert options.seconds_of(text) == seconds


def test_generated_files_are_current() -> None:
    ran = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, f"run python docs/generate.py:\n{ran.stdout}{ran.stderr}"


def test_a_worker_that_does_not_answer_is_told_once() -> None:
    ran = call("workers", "--worker-url", "http://127.0.0.1:1")
    assert ran.exit_code == 2
    assert ran.output.count("nothing listens there") == 1
