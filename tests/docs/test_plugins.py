"""docs/plugins.md, done as it says; and a package of others, built, installed, found, run, fenced and refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.cli.running import FAULTY, ROOT, environment
from tests.cli.test_install import clone as clone  # noqa: PLC0414 - a fixture, used by its name
from tests.cli.test_install import ran
from tests.report import valid

pytestmark = pytest.mark.slow
PLUGINS = ROOT / "tests" / "plugins"


def blocks(language: str) -> list[str]:
    page = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", page)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> Path:
    """The bin folder of a clean environment with lkdoctor, and with the page's package, built as wheels."""
    folder = tmp_path_factory.mktemp("plugins")
    package = folder / "acme-checks"
    (package / "acme_checks").mkdir(parents=True)
    pyproject, scenario = blocks("toml")
    check, test = blocks("python")
    (package / "pyproject.toml").write_text(pyproject)
    (package / "acme_checks" / "__init__.py").write_text("")
    (package / "acme_checks" / "capacity.py").write_text(check)
    case = folder / "tests" / "cases" / "near-miss"
    case.mkdir(parents=True)
    shutil.copy(FAULTY / "server.log", case / "server.log")
    (case / "scenario.toml").write_text(scenario)
    (folder / "tests" / "test_cases.py").write_text(test)
    wheels = folder / "wheels"
    for source in (clone, package, *(_copied(PLUGINS / name, folder / name) for name in ("sample", "rude"))):
        ran(sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", wheels, source, cwd=folder)
    venv.create(folder / "venv", with_pip=True)
    tools = folder / "venv" / "bin"
    pip: list[str | Path] = [tools / "python", "-m", "pip", "install", "--quiet"]
    ran(*pip, *wheels.glob("lkdoctor-*.whl"), "pytest", "tomli", cwd=folder)
    ran(*pip, "--no-deps", *wheels.glob("acme_checks-*.whl"), cwd=folder)
    return tools


def _copied(source: Path, target: Path) -> Path:
    """A build leaves folders behind, so it is done elsewhere."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def lkdoctor(tools: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tools / "lkdoctor"), *map(str, arguments)],
        env=environment(PYTHONPATH=""),
        cwd=tools,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_page(installed: Path) -> None:
    folder = installed.parent.parent
    rows = json.loads(lkdoctor(installed, "plugins", "--format", "json").stdout)
    assert [(one["package"], one["version"], one["refused"]) for one in rows][1:] == [("acme-checks", "1.0", [])]
    assert "ACME1" in rows[1]["codes"]
    assert "acme-one-worker" in lkdoctor(installed, "explain", "ACME1").stdout
    found = valid.json_v1(lkdoctor(installed, "check", FAULTY / "server.log", "--format", "json").stdout.encode())
    assert "ACME1" in [one["code"] for one in found["findings"]]
    without = lkdoctor(installed, "check", FAULTY / "server.log", "--no-plugins").stdout
    assert "LKD202" in without
    assert "ACME1" not in without
    # Its own tests pass, and would fail without the finding.
    tests: list[str | Path] = [installed / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", folder / "tests"]
    assert "2 passed" in ran(*tests, cwd=folder)


def test_others_are_found_run_fenced_and_refused(installed: Path) -> None:
    wheels = installed.parent.parent / "wheels"
    pip: list[str | Path] = [installed / "python", "-m", "pip"]
    ran(*pip, "uninstall", "-q", "-y", "acme-checks", cwd=wheels)  # it has the code of the sample
    ran(*pip, "install", "-q", "--no-deps", *wheels.glob("acme_lkdoctor-*"), *wheels.glob("acme_rude-*"), cwd=wheels)
    listed = lkdoctor(installed, "plugins")
    assert listed.returncode == 4
    assert re.search(r"acme-lkdoctor\s+1\.2\.3", listed.stdout)
    assert re.search(r"acme-rude\s+0\.0\.1", listed.stdout)
    assert "LKD902" in listed.stderr
    assert "the prefix LKD is lkdoctor's own" in listed.stderr
    assert "Traceback" not in listed.stderr
    report = lkdoctor(installed, "check", FAULTY / "server.log", "--format", "json")
    assert report.returncode == 1
    found = valid.json_v1(report.stdout.encode())
    codes = {one["code"] for one in found["findings"]}
    assert {"LKD202", "LKD901", "LKD902", "ACME1"} <= codes
    assert any("took longer than 30 s" in one["message"] for one in found["findings"])
    assert "printed by a check" in report.stderr
    assert lkdoctor(installed, "check", FAULTY / "server.log", "--no-plugins", "-q").returncode == 1
