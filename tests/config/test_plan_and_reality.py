"""LKD515: the plan held against recorded logs and API listings, and a plan that agrees with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import call
from tests.recorded import case

AGENT = (case("planned-and-right") / "agent.py").read_text("utf-8")


def told(tmp_path: Path, recorded: str, plan: str) -> list[str]:
    folder = tmp_path / "case"
    shutil.copytree(case(recorded), folder)
    (folder / "lkdoctor.toml").write_text(plan, "utf-8")
    found = json.loads(call("check", folder, "--format", "json").stdout)
    return [one["message"] for one in found["findings"] if one["code"] == "LKD515"]


BOTH = '[[agents]]\nname = "support-agent"\nworkers = 1\n[[agents]]\nname = "customer-agent"\nworkers = 1\n'


def test_a_plan_that_the_log_keeps_raises_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, "two-names-one-room", BOTH) == []


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ('[[agents]]\nname = "driver"\n', "no worker of that name ever registered"),
        (BOTH.replace("workers = 1", "workers = 2", 1), "at most 1 worker of it registered at once"),
        ('[[agents]]\nname = "support-agent"\ntype = "publisher"\n', "registered for JT_ROOM"),
    ],
)
def test_what_the_log_lacks_is_told(tmp_path: Path, plan: str, said: str) -> None:
    (message,) = told(tmp_path, "two-names-one-room", plan)
    assert said in message
    assert "lkdoctor.toml:" in message


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ('identity = "agent-*"\nkind = "agent"\nhidden = false', None),
        ('identity = "support-*"', "its identity is"),
        ('kind = "standard"', "its kind is AGENT, where STANDARD is looked for"),
        ("hidden = true", "it is visible, where hidden is planned"),
    ],
)
def test_how_the_agent_looks_in_the_room(tmp_path: Path, look: str, said: str | None) -> None:
    found = told(tmp_path, "listed-healthy-call", f'[[agents]]\nname = "inbound-agent"\n{look}\n')
    assert (said is None and not found) or (said is not None and len(found) == 1 and said in found[0]), found


@pytest.mark.parametrize(
    ("url", "codes"), [("wss://livekit.example.com", ["LKD401"]), ("wss://acme.livekit.cloud", [])]
)
def test_a_measured_load_is_not_held_against_a_limit_of_livekit_cloud(
    tmp_path: Path, url: str, codes: list[str]
) -> None:
    shutil.copy(case("load-machine-busy-dev") / "load.jsonl", tmp_path)
    (tmp_path / "lkdoctor.toml").write_text(f'[server]\nurl = "{url}"\n[[agents]]\nname = "inbound-agent"\n', "utf-8")
    found = json.loads(call("check", tmp_path, "--format", "json").stdout)
    assert [one["code"] for one in found["findings"]] == codes


GONE = '[[agents]]\nname = "inbound-agent"\n'


@pytest.mark.parametrize("recorded", ["worker-stops-after-calls", "worker-drained-quietly"])
def test_a_worker_that_was_there_and_left_at_the_end_is_no_error(tmp_path: Path, recorded: str) -> None:
    folder = tmp_path / "case"
    shutil.copytree(case(recorded), folder)
    (folder / "lkdoctor.toml").write_text(GONE, "utf-8")
    log = next(folder.glob("server*.log"))
    found = json.loads(call("check", log, "--config", folder / "lkdoctor.toml", "--format", "json").stdout)
    assert {one["severity"] for one in found["findings"] if one["code"] == "LKD515"} <= {"info"}


def test_fewer_workers_at_once_than_planned_are_an_error_also_when_they_left(tmp_path: Path) -> None:
    (message, *_) = told(tmp_path, "worker-stops-after-calls", GONE + "workers = 3\n")
    assert "registered at once" in message


@pytest.mark.parametrize(("names", "status"), [("support-agent,customer-agent", 0), ("support-agnt", 1), ("nobody", 1)])
def test_an_expected_name_is_held_against_the_log(names: str, status: int) -> None:
    ran = call("check", case("two-names-one-room") / "server.log", "--expect", names, "-q")
    assert ran.exit_code == status, ran.output
    assert ("LKD515" in ran.output) is (status == 1)


@pytest.mark.parametrize(("names", "status"), [("guide,driver", 0), ("guide,rider", 1)])
def test_who_came_as_a_role_is_expected_by_the_name_of_the_role(names: str, status: int) -> None:
    """The workers are guide-agent and driver-agent; guide and driver is how they stand in the room."""
    ran = call("check", case("custom-identity") / "server.log", "--expect", names, "-q")
    assert ran.exit_code == status, ran.output
    assert ran.output.count("LKD515") == status


@pytest.mark.parametrize(("names", "told"), [("dispatcher,driver", False), ("dispatcher", True)])
def test_unnamed_workers_that_compete_are_told_once(names: str, told: bool) -> None:
    """LKD204 tells of several names in their place; a single name that nobody has is told beside it."""
    ran = call("check", case("story-1-two-unnamed-workers"), "--expect", names)
    assert ("LKD515" in ran.output) is told, ran.output
    assert "LKD204" in ran.output


@pytest.mark.parametrize(
    ("programs", "plan", "severity"),
    [
        (("english.py", "german.py"), None, "warning"),
        (("english.py", "english.py"), None, "info"),
        (("english.py", "german.py"), 1, "warning"),
        (("english.py", "german.py"), 2, "info"),
    ],
)
def test_services_of_one_name_are_told_once_by_their_files_and_their_containers(
    tmp_path: Path, programs: tuple[str, str], plan: int | None, severity: str
) -> None:
    folder = tmp_path / "case"
    shutil.copytree(case("containers-two-services"), folder)
    made = json.loads((folder / "containers.json").read_text("utf-8").splitlines()[0])["compose"]
    text = "services:\n"
    for name, program in zip(("english", "german"), programs, strict=True):
        text += f"  {name}:\n    build: .\n    command: python {program} start\n"
        text += "    environment: {LIVEKIT_AGENT_NAME: inbound-agent}\n"
        (folder / program).write_text(AGENT, "utf-8")
    file = folder / Path(made["config_files"][0]).name
    file.write_text(text, "utf-8")
    if plan is not None:
        (folder / "lkdoctor.toml").write_text(f'[[agents]]\nname = "inbound-agent"\nworkers = {plan}\n', "utf-8")
    report = json.loads(call("check", folder, "--format", "json").stdout)
    (found,) = [one for one in (*report["findings"], *report["symptoms"]) if one["code"] == "LKD802"]
    assert found["severity"] == severity
    assert "container voice-german-1 as AW_" in found["message"]
    assert len(found["values"]["containers"]) == 2
    proof = {Path(one["source"]).name for one in found["proof"]}
    assert {file.name, "containers.json", "worker-voice-english-1.log"} <= proof
    # Without the file the containers speak for themselves, and the plan says what is meant.
    file.unlink()
    report = json.loads(call("check", folder, "--format", "json").stdout)
    (found,) = [one for one in (*report["findings"], *report["symptoms"]) if one["code"] == "LKD802"]
    assert found["severity"] == ("info" if plan == 2 else "warning")
    assert found["subject"]["kind"] == "container"


def test_projects_that_have_a_server_each_are_kept_apart(tmp_path: Path) -> None:
    """One key with two secrets, a load limit in one of them, a key that one of them does not know."""
    folders = []
    for name, secret in (("a", "made-up-0123456789abcdefghijklmnop"), ("b", "another-9876543210abcdefghijklmnop")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "docker-compose.yml").write_text(
            f"services:\n  {name}:\n    build: .\n    command: python agent.py start\n    environment:\n"
            f"      LIVEKIT_AGENT_NAME: {name}\n      LIVEKIT_URL: ws://livekit:7880\n      LIVEKIT_API_KEY: devkey\n"
            f"      LIVEKIT_API_SECRET: {secret}\n",
            "utf-8",
        )
        (folder / "agent.py").write_text(AGENT, "utf-8")
        more = "agents: {target_load: 0}\n" if name == "b" else ""
        (folder / "livekit.yaml").write_text(f"port: 7880\nkeys: {{devkey: {secret}}}\n{more}", "utf-8")
        folders.append(folder)
    assert call("check", *folders, "-q").exit_code == 0
    (folders[0] / "livekit.yaml").write_text("port: 7880\nkeys: {devkey: mistyped-0123456789abcdefghijklm}\n", "utf-8")
    ran = call("check", *folders, "--format", "json")
    (found,) = json.loads(ran.stdout)["findings"]
    assert (found["code"], found["values"]["service"]) == ("LKD513", "a")
    (folders[0] / "livekit.yaml").write_text("port: 7880\nagents: {target_laod: 0}\nkeys: {devkey: x}\n", "utf-8")
    assert "target_laod" in call("check", *folders, "-q").output


def test_a_server_and_its_file_in_another_folder_are_one(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "livekit.yaml").write_text("port: 7880\nagents: {target_load: 0}\n", "utf-8")
    (tmp_path / "docker-compose.yml").write_text(
        "services:\n  livekit:\n    image: livekit/livekit-server:v1.13.5\n    deploy: {replicas: 2}\n", "utf-8"
    )
    (tmp_path / "lkdoctor.toml").write_text('[[agents]]\nname = "a"\ndispatched_by = "api"\n', "utf-8")
    ran = call("check", tmp_path, tmp_path / "conf", "-q")
    assert "LKD406" in ran.output
    assert "2 replicas of the server are started" in ran.output
