"""Containers, processes and engines: what is read of them, what is masked, and what is said where nothing can be asked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest

from lkdoctor.collect.config.project import read_project
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.log.source import LogInput
from lkdoctor.collect.machine import container_logs, signs
from lkdoctor.collect.machine.containers import container_of, moment
from lkdoctor.collect.machine.endpoints import of_process
from lkdoctor.collect.machine.engine import EngineError, connect
from lkdoctor.collect.machine.environment import allowed, command, pairs
from lkdoctor.dispatch.machine import HostProcess, Port
from lkdoctor.dispatch.settings import SHOWN, TOKENS, Setting
from lkdoctor.redact import mask

PLANTED = "planted-secret-0123456789"


@contextmanager
def listening(path: Path, *, accept: bool = True) -> Iterator[Path]:
    """A socket at `path`; without `accept` nobody listens behind it any more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        if accept:
            bound.listen(8)
        yield path


def refused(**environ: str) -> str:
    with pytest.raises(EngineError) as caught:
        connect(environ, 2.0)
    return str(caught.value)


# -- engines ----------------------------------------------------------------------------------------------------------
def test_no_engine_names_the_place_and_what_to_do(tmp_path: Path) -> None:
    said = refused(DOCKER_HOST=f"unix://{tmp_path}/none.sock", HOME=str(tmp_path))
    assert f"{tmp_path}/none.sock" in said
    assert "DOCKER_HOST" in said


def test_another_engine_s_socket_is_offered(tmp_path: Path) -> None:
    with listening(tmp_path / "run" / "podman" / "podman.sock") as podman:
        said = refused(DOCKER_HOST=f"unix://{tmp_path}/none.sock", XDG_RUNTIME_DIR=str(tmp_path / "run"))
    assert f"DOCKER_HOST=unix://{podman} lkdoctor check --docker" in said


def test_a_dead_socket_says_that_nobody_answers(tmp_path: Path) -> None:
    with listening(tmp_path / "d.sock", accept=False) as path:
        said = refused(DOCKER_HOST=f"unix://{path}")
    assert "nobody answers" in said
    assert "systemctl start docker" in said


def test_a_silent_engine_is_not_waited_for(tmp_path: Path) -> None:
    with listening(tmp_path / "d.sock") as path:
        assert "does not answer in time" in refused(DOCKER_HOST=f"unix://{path}")


def test_something_else_that_answers_is_no_engine(tmp_path: Path) -> None:
    with listening(tmp_path / "d.sock") as path, socket.socket(socket.AF_UNIX) as other:
        path.unlink()
        other.bind(str(path))
        other.listen()

        def greet() -> None:
            caller, _ = other.accept()
            with caller:
                caller.sendall(b"220 mail.example.com ESMTP\r\n")

        greeter = Thread(target=greet)
        greeter.start()
        assert "is no Docker engine" in refused(DOCKER_HOST=f"unix://{path}")
        greeter.join()


def test_a_file_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "d.sock").write_text("")
    assert "is no socket" in refused(DOCKER_HOST=f"unix://{tmp_path}/d.sock")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_without_permission_it_says_who_may(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for one in tmp_path.parents:
        if one.stat().st_mode & 0o005 != 0o005:
            one.chmod(one.stat().st_mode | 0o005)
    import docker

    assert docker.__version__  # that other user may not read where it is installed
    with listening(tmp_path / "d.sock") as path:
        path.chmod(0o660)
        os.seteuid(65534)
        try:
            said = refused(DOCKER_HOST=f"unix://{path}")
        finally:
            os.seteuid(0)
    assert "this user may not open" in said
    assert "group docker" in said


def test_an_engine_behind_ssh_is_stated() -> None:
    said = refused(DOCKER_HOST="ssh://deploy@voice.example.com")
    assert "deploy@voice.example.com" in said
    assert "DOCKER_HOST=unix:///tmp/far.sock" in said


@pytest.mark.parametrize("password", ["hunter2pw", "hunt/er2", "p@ss/word:1"])
@pytest.mark.parametrize(
    "host", ["ssh://bob:{}@127.0.0.1:2222", "tcp://bob:{}@127.0.0.1:9", "bob:{}@127.0.0.1", "ftp://bob:{}@h"]
)
def test_the_password_of_an_address_is_told_nowhere(host: str, password: str) -> None:
    said = refused(DOCKER_HOST=host.format(password))
    assert "bob@" in said
    assert not any(part in said for part in (password, "hunt", "p@ss"))


def test_a_port_of_ssh_is_given_as_ssh_wants_it() -> None:
    assert ".sock -p 2222 bob@voice.example.com`" in refused(DOCKER_HOST="ssh://bob@voice.example.com:2222")


def test_a_remote_engine_that_is_not_there() -> None:
    assert "nobody answers" in refused(DOCKER_HOST="tcp://127.0.0.1:9")


def test_a_scheme_that_is_none() -> None:
    assert "write unix:///path/to/docker.sock" in refused(DOCKER_HOST="docker.sock")


def test_the_chosen_context_is_followed(tmp_path: Path) -> None:
    meta = tmp_path / "contexts" / "meta" / "0abc"
    meta.mkdir(parents=True)
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "far"}))
    described = {"Name": "far", "Endpoints": {"docker": {"Host": "ssh://voice.example.com"}}}
    (meta / "meta.json").write_text(json.dumps(described))
    assert "the docker context 'far'" in refused(DOCKER_CONFIG=str(tmp_path))
    assert "'gone' is not in" in refused(DOCKER_CONFIG=str(tmp_path), DOCKER_CONTEXT="gone")


# -- environments and commands ----------------------------------------------------------------------------------------
def test_an_environment_passes_by_allow_list() -> None:
    given = {
        "LIVEKIT_URL": "wss://key:pass-in-url@voice.example.com",
        "LIVEKIT_API_SECRET": PLANTED,
        "LIVEKIT_API_KEY": "devkey-1",
        "OPENAI_API_KEY": "sk-other",
        "PATH": "/usr/bin",
        "AGENT_NAME": "inbound-agent",
    }
    kept = allowed(given)
    assert set(kept) == {"LIVEKIT_URL", "LIVEKIT_API_SECRET", "LIVEKIT_API_KEY", "AGENT_NAME"}
    assert PLANTED not in str(kept)
    assert "pass-in-url" not in str(kept)
    assert kept["AGENT_NAME"] == "inbound-agent"
    again = allowed({"LIVEKIT_API_SECRET": PLANTED, "LIVEKIT_API_KEY": "devkey-2"})
    assert again["LIVEKIT_API_SECRET"] == kept["LIVEKIT_API_SECRET"]
    assert again["LIVEKIT_API_KEY"] != kept["LIVEKIT_API_KEY"]


def test_an_engine_lists_an_environment_as_lines() -> None:
    assert pairs(["A=b=c", "EMPTY=", "no-value"]) == {"A": "b=c", "EMPTY": ""}
    assert pairs(None) == {}


def test_a_secret_on_a_command_line_is_a_token() -> None:
    shown = command(
        ["python", "agent.py", "start", "--api-secret", PLANTED, f"--api-key={PLANTED}x", "--url", "ws://h"]
    )
    assert PLANTED not in shown
    assert shown.startswith("python agent.py start --api-secret <secret:")
    assert shown.endswith("--url ws://h")


# -- containers -------------------------------------------------------------------------------------------------------
def described(**more: object) -> dict[str, object]:
    """As `docker inspect` of 20.10 has it, shortened."""
    return {
        "Id": "a13d6008e94c3567f81637768231a42e37dcf0c0c51987a5dce2158bf1b4cf39",
        "Created": "2026-11-21T17:59:03.061130508Z",
        "Name": "/voice-agent-1",
        "Path": "python",
        "Args": ["agent.py", "start"],
        "Image": "sha256:841b671d4f2cb9e5d9dcf5d4f7e43162cdc5ba5d1f29468c8c286ad605330bdd",
        "RestartCount": 3,
        "State": {"Status": "running", "OOMKilled": False, "ExitCode": 0, "FinishedAt": "0001-01-01T00:00:00Z"},
        "HostConfig": {
            "NetworkMode": "voice_default",
            "NanoCpus": 500000000,
            "Memory": 268435456,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
        },
        "Config": {
            "Image": "voice:latest",
            "Env": ["LIVEKIT_AGENT_NAME=inbound-agent"],
            "Labels": {
                "com.docker.compose.project": "voice",
                "com.docker.compose.service": "agent",
                "com.docker.compose.container-number": "1",
                "com.docker.compose.oneoff": "False",
                "com.docker.compose.project.config_files": "/srv/voice/compose.yml,/srv/voice/prod.yml",
            },
        },
        "NetworkSettings": {
            "Ports": {"8081/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9081"}], "9000/tcp": None},
            "Networks": {"voice_default": {"NetworkID": "0123456789abcdef"}},
        },
        **more,
    }


def test_a_container_as_the_engine_describes_it() -> None:
    found = container_of(described(), at=1.0, source="docker")
    assert (found.name, found.id, found.status, found.exit_code) == ("voice-agent-1", "a13d6008e94c", "running", None)
    assert (found.cpus, found.memory, found.restarts, found.restart_policy) == (0.5, 268435456, 3, "on-failure:5")
    assert found.ports == (Port(8081, 9081, "0.0.0.0"),)
    assert found.networks == ("0123456789ab",)
    assert found.finished_at is None
    assert found.compose is not None
    assert found.compose.config_files == ("/srv/voice/compose.yml", "/srv/voice/prod.yml")
    assert not found.compose.oneoff


def test_what_an_engine_leaves_out_is_not_known() -> None:
    found = container_of({"Name": "bare"}, at=1.0, source="docker")
    assert (found.name, found.cpus, found.memory, found.compose, found.created_at) == ("bare", None, None, None, None)


def test_a_quota_in_its_older_spelling() -> None:
    host = {"CpuQuota": 150000, "CpuPeriod": 100000}
    assert container_of(described(HostConfig=host), at=1.0, source="docker").cpus == 1.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21T17:59:03.061130508Z", 1795283943.061130508),
        ("2026-11-21T17:59:03Z", 1795283943.0),
        ("2026-11-21T18:59:03.5+01:00", 1795283943.5),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("soon", None),
        (None, None),
    ],
)
def test_an_engine_s_times(text: str | None, seconds: float | None) -> None:
    assert moment(text) == (None if seconds is None else pytest.approx(seconds))


def test_a_log_s_name_is_never_one_of_a_rotated_set() -> None:
    assert container_logs.log_name("agent-1", ("worker",)) == "worker-agent-1.log"
    assert container_logs.log_name("agent-20261121", ("worker",)) == "worker-agent-20261121_.log"
    assert container_logs.log_name("livekit", ("server", "worker")) == "server-livekit.log"


# -- processes --------------------------------------------------------------------------------------------------------
FORK_SERVER = (
    "/venv/bin/python -B -c from multiprocessing.forkserver import main; main(11, 13, ['livekit.agents.ipc._preload'])"
)


def test_who_started_the_sdk_s_helpers_is_a_worker() -> None:
    listed = [
        signs.Running(10, 1, "/bin/sh ./entrypoint.sh"),
        signs.Running(11, 10, "python agent.py start"),
        signs.Running(12, 11, FORK_SERVER),
        signs.Running(13, 12, FORK_SERVER),  # a job's process, forked from the server
        signs.Running(20, 1, "node agent.js start"),
        signs.Running(
            21, 20, "/usr/bin/node /app/node_modules/@livekit/agents/dist/ipc/job_proc_lazy_main.js /app/agent.js"
        ),
    ]
    assert signs.mains(listed) == {11: "python", 20: "node"}


def test_a_program_that_is_run_with_start_is_none() -> None:
    listed = [
        signs.Running(11, 1, "python livekit_worker.py start"),
        signs.Running(12, 1, "node /srv/livekit-agents/server.js start"),
        signs.Running(30, 1, "python train.py"),
        signs.Running(
            31, 30, "/venv/bin/python -B -c from multiprocessing.forkserver import main; main(16, 18, ['av'])"
        ),
    ]
    assert signs.mains(listed) == {}
    assert signs.possible(listed) == [30]


class Recorded:
    """A container's log as an engine hands it out: in pieces, of which it counts those that were taken."""

    def __init__(self, *lines: bytes) -> None:
        self.lines = lines
        self.taken = 0

    def logs(self, *, tail: int | None = None, stream: bool, follow: bool) -> Iterator[bytes]:
        assert stream
        assert not follow
        for line in self.lines if tail is None else self.lines[-tail:]:
            self.taken += len(line)
            yield line


WORKER_LINE = b'{"message": "registered worker", "level": "INFO", "name": "livekit.agents", "agent_name": "inbound-agent", "deployment": "", "id": "AW_AWYoYgEJb8pm", "url": "ws://127.0.0.1:33893", "region": "", "protocol": 17, "timestamp": "2026-11-21T18:54:45.489730+00:00"}\n'  # of livekit-agents
ROW = b"LOG:  checkpoint complete: wrote 42 buffers (0.3%); 0 WAL file(s) added, 0 removed, 0 recycled\n"


def test_a_log_of_something_else_is_looked_at_and_not_copied() -> None:
    folder = container_logs.LogFolder()
    database = Recorded(*[ROW] * 50_000)
    found = container_logs.fetch(cast("Any", database), "db", folder)
    assert found.kinds == ()
    assert list(folder.path.iterdir()) == []
    assert database.taken < 1 << 20


@pytest.mark.parametrize("lines", [(WORKER_LINE, *[ROW] * 9000), (*[ROW] * 9000, WORKER_LINE)])
def test_a_worker_s_log_is_known_by_its_beginning_or_its_end(lines: tuple[bytes, ...]) -> None:
    folder = container_logs.LogFolder()
    found = container_logs.fetch(cast("Any", Recorded(*lines)), "agent-1", folder)
    assert found.kinds == ("worker",)
    assert [one.read_bytes() for one in folder.path.iterdir()] == [b"".join(lines)]


def test_all_copies_together_are_bounded() -> None:
    folder = container_logs.LogFolder()
    folder.left = 3 * len(WORKER_LINE)
    first = container_logs.fetch(cast("Any", Recorded(WORKER_LINE, WORKER_LINE)), "agent-1", folder)
    second = container_logs.fetch(cast("Any", Recorded(WORKER_LINE, WORKER_LINE)), "agent-2", folder)
    third = container_logs.fetch(cast("Any", Recorded(WORKER_LINE, WORKER_LINE)), "agent-3", folder)
    assert sum(one.stat().st_size for one in folder.path.iterdir()) == 3 * len(WORKER_LINE)
    assert (first.notes, first.worker is None) == ((), False)
    assert ("--since" in second.notes[0], second.worker is None) == (True, False)
    assert ("was not read" in third.notes[0], third.worker, third.kinds) == (True, None, ("worker",))


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces")
def test_a_process_in_a_network_of_its_own_is_not_asked_here() -> None:
    """Its port on 127.0.0.1 is another program's here."""
    apart = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", "print('ready', flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert apart.stdout is not None
        if apart.stdout.readline() != b"ready\n":
            pytest.skip("this user may make no network namespace")
        assert of_process(HostProcess(at=0.0, pid=apart.pid, ports=(8081,), container="c0ffee")).urls == ()
        assert of_process(HostProcess(at=0.0, pid=apart.pid, ports=(8081,))).urls == ()
    finally:
        apart.communicate(b"\n", timeout=20)
    # One of a container on this machine's network is asked like any other.
    own = HostProcess(at=0.0, pid=os.getpid(), ports=(8081,), container="c0ffee")
    assert of_process(own).urls == ("http://127.0.0.1:8081",)
    assert of_process(HostProcess(at=0.0, pid=2**22 + 1, ports=(8081,), container="c0ffee")).urls == ()


# -- one list for files and for containers ----------------------------------------------------------------------------
def test_files_and_containers_tell_the_same_variables(tmp_path: Path) -> None:
    """What one knows and the other does not could never be compared."""
    given = {name: f"value-of-{name.lower()}" for name in (*SHOWN, *TOKENS, "X_AGENT_NAME", "OPENAI_API_KEY", "PATH")}
    lines = "".join(f"      {name}: {value}\n" for name, value in given.items())
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  agent:\n    image: agent\n    environment:\n{lines}", encoding="utf-8"
    )
    gathered = Gathered()
    file = tmp_path / "compose.yaml"
    read_project([(LogInput(str(file), file), "compose")], gathered, {})
    told = {
        one.key.removeprefix("env."): one.value
        for one in gathered.facts[Setting]
        if isinstance(one, Setting) and one.key.startswith("env.")
    }
    assert told == allowed(given)
    assert set(told) == {*SHOWN, *TOKENS, "X_AGENT_NAME"}


def test_each_secret_of_a_server_s_keys_is_masked_alone() -> None:
    allowed({"LIVEKIT_KEYS": f"APIfirst: {PLANTED}-one\nAPIsecond: '{PLANTED}-two'"})
    assert PLANTED not in mask(f"signed with {PLANTED}-one, then {PLANTED}-two")
