"""The CI examples: their shell steps run, in a fresh environment, in a repository with a fault and in one without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.running import FAULTY, HEALTHY, ROOT, environment
from tests.cli.test_install import clone as clone  # noqa: PLC0414 - a fixture, used by its name
from tests.cli.test_install import ran
from tests.report import valid

pytestmark = pytest.mark.slow
CI = ROOT / "docs" / "ci"


def example(name: str) -> Any:
    return yaml.safe_load((CI / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> tuple[Path, Path]:
    """The bin folder of an environment without lkdoctor, and lkdoctor's wheel."""
    folder = tmp_path_factory.mktemp("clean")
    ran(sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", folder, clone, cwd=clone)
    venv.create(folder / "venv", with_pip=True)
    (wheel,) = folder.glob("lkdoctor-*.whl")
    return folder / "venv" / "bin", wheel


@pytest.fixture(params=[FAULTY, HEALTHY], ids=["faulty", "healthy"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A repository whose test left its logs in logs/."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "logs").mkdir()
    shutil.copy(request.param / "server.log", tmp_path / "logs" / "server.log")
    return tmp_path


def shell(script: str, cwd: Path, clean: tuple[Path, Path], **more: str) -> subprocess.CompletedProcess[str]:
    """The script as a runner runs it: `bash -e`, each in a shell of its own."""
    tools, wheel = clean
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=cwd,
        env=environment(PATH=path, LKDOCTOR=str(wheel), PYTHONPATH="", PIP_DISABLE_PIP_VERSION_CHECK="1", **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def is_faulty(repository: Path) -> bool:
    return b"Inbound Agent" in (repository / "logs" / "server.log").read_bytes()


def test_github_actions(clean: tuple[Path, Path], repository: Path) -> None:
    (job,) = example("github-actions.yml")["jobs"].values()
    steps = {step["name"]: step for step in job["steps"] if "run" in step}
    install, gate, keep = steps.values()
    summary = repository / "summary.md"
    done = shell(install["run"], repository, clean)
    assert done.returncode == 0, done.stderr
    gated = shell(gate["run"], repository, clean, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert gated.returncode == (1 if is_faulty(repository) else 0), gated.stderr
    annotations = valid.github(gated.stdout.encode())
    assert ("error" in {kind for kind, _, _ in annotations}) is is_faulty(repository)
    valid.markdown(summary.read_bytes())
    run = valid.sarif((repository / "lkdoctor.sarif").read_bytes())
    valid.junit((repository / "lkdoctor.xml").read_bytes())
    valid.json_v1((repository / "lkdoctor.json").read_bytes())
    places = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]]
    assert set(places) <= {"logs/server.log", "lkdoctor.toml"}
    if is_faulty(repository):
        assert keep["if"] == "failure()"
        assert shell(keep["run"], repository, clean).returncode == 0
        assert (repository / "lkdoctor-case.zip").exists()
        # What is known lets the next change pass, and is told.
        assert shell("lkdoctor baseline write logs", repository, clean).returncode == 0
        again = shell(gate["run"], repository, clean)
        assert again.returncode == 0, again.stdout
        (suppressed,) = json.loads((repository / "lkdoctor.json").read_text())["suppressed"]
        assert suppressed["by"] == "lkdoctor-baseline.json"
    uploads = {step["with"].get("sarif_file") or step["with"].get("path") for step in job["steps"] if "with" in step}
    assert "lkdoctor.sarif" in uploads


def test_gitlab(clean: tuple[Path, Path], repository: Path) -> None:
    job = example("gitlab-ci.yml")["dispatch"]
    # One shell for all lines, as the runner does.
    done = shell("\n".join(job["before_script"] + job["script"]), repository, clean, CI="true")
    assert done.returncode == (1 if is_faulty(repository) else 0), done.stderr
    suite = valid.junit((repository / job["artifacts"]["reports"]["junit"]).read_bytes())
    assert (suite.get("failures") == "0") is not is_faulty(repository)
    for name in job["artifacts"]["paths"]:
        assert (repository / name).exists()
    valid.markdown((repository / "lkdoctor.md").read_bytes())


def test_pre_commit(clean: tuple[Path, Path], repository: Path) -> None:
    import re

    (hook,) = example("pre-commit-config.yaml")["repos"][0]["hooks"]
    assert re.search(hook["files"], "logs/server.log")
    assert re.search(hook["files"], "lkdoctor.toml")
    assert not re.search(hook["files"], "src/agent.py")
    assert shell("python -m pip install --quiet $LKDOCTOR", repository, clean).returncode == 0
    done = shell(hook["entry"], repository, clean)
    assert done.returncode == (1 if is_faulty(repository) else 0), done.stderr
    assert len(done.stdout.splitlines()) < 10


def test_the_page_names_every_example_and_every_format() -> None:
    from lkdoctor.cli.reporting import FORMATS

    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    assert all(f"(ci/{path.name})" in page for path in CI.iterdir())
    assert all(f"| `{form}` |" in page for form in FORMATS)
