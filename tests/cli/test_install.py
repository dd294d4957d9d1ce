"""The wheel and the editable install work in a fresh environment, as a stranger would make it."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.cli.running import ROOT, environment

pytestmark = pytest.mark.slow


def ran(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        [str(one) for one in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=environment(PIP_DISABLE_PIP_VERSION_CHECK="1"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new virtual environment."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that are in git or would be, copied: a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("clone")
    listed = ran("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        source = ROOT / name
        if source.is_file() and not name.startswith(("fixtures/", "tests/", "bench/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(source.read_bytes())
    return folder


def works(bin_folder: Path, cwd: Path) -> None:
    assert "Fault found: " in ran(bin_folder / "lkdoctor", "demo", cwd=cwd)
    assert "LKD303 no-headroom" in ran(bin_folder / "lkdoctor", "explain", "303", cwd=cwd)
    assert "LKD202" in ran(bin_folder / "python", "-m", "lkdoctor", "demo", "-q", cwd=cwd)


def test_wheel(fresh: Path, clone: Path, tmp_path: Path) -> None:
    ran(sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", tmp_path, clone, cwd=clone)
    (wheel,) = tmp_path.glob("lkdoctor-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"lkdoctor", "lkdoctor_checks"}
    for name in ("lkdoctor/py.typed", "lkdoctor/schemas/report-v1.json", "lkdoctor/demo/index.json"):
        assert name in names
    assert any(re.fullmatch(r"lkdoctor-.*\.dist-info/licenses/LICENSE", name) for name in names)
    ran(fresh / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    works(fresh, tmp_path)


def test_editable_install(fresh: Path, clone: Path, tmp_path: Path) -> None:
    ran(fresh / "python", "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", "-e", clone, cwd=clone)
    where = ran(
        fresh / "python",
        "-c",
        "import lkdoctor, lkdoctor_checks as c; print(lkdoctor.__file__, c.__file__)",
        cwd=tmp_path,
    )
    assert where.split() == [str(clone / "lkdoctor/__init__.py"), str(clone / "checks/lkdoctor_checks/__init__.py")]
    works(fresh, tmp_path)
