"""Files made to exhaust their reader, and another machine's files: each costs only itself, and learns nothing of this one."""

from __future__ import annotations

import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from lkdoctor.collect.case import CaseInputs, read_other
from lkdoctor.collect.config.dockerfile import read_dockerfile
from lkdoctor.collect.config.env_files import read_variables
from lkdoctor.collect.dotenv import read_dotenv
from lkdoctor.collect.gathered import Gathered
from lkdoctor.dispatch.settings import Setting
from tests.config.test_project import read

LEVELS = 40
SECONDS = 60  # each is done in a fraction of a second, or in none of a lifetime


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    def over(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def nest(*names: str) -> str:
    """Maps that hold the one before twice, under these keys; the last is `*l40`."""
    first = "x-l0: &l0 {a: b}\n"
    more = (
        f"x-l{at}: &l{at} {{{', '.join(f'{name}: *l{at - 1}' for name in names)}}}\n" for at in range(1, LEVELS + 1)
    )
    return first + "".join(more)


def values(settings: list[Setting], key: str) -> list[str]:
    return [one.value for one in settings if one.key == key]


def test_a_livekit_yaml_of_nested_aliases_is_read_as_far_as_it_matters() -> None:
    _, settings, _ = read({"livekit.yaml": nest("left", "right") + "port: 7881\nrtc: {tcp_port: *l40}\n"})
    assert values(settings, "port") == ["7881"]
    assert values(settings, "rtc.tcp_port") == [""]


@pytest.mark.parametrize("names", [("left", "right"), ("environment", "labels"), ("environment", "left")])
def test_compose_files_of_nested_aliases_are_read(names: tuple[str, ...]) -> None:
    service = "services:\n  a:\n    x: *l40\n    environment: {LIVEKIT_AGENT_NAME: driver}\n"
    text = nest(*names).replace("x-l", "l") + service
    override = text.replace("driver", "other")
    _, settings, _ = read({"docker-compose.yml": text, "docker-compose.override.yml": override})
    assert values(settings, "env.LIVEKIT_AGENT_NAME") == ["other"]


def test_files_that_include_each_other_twice_end() -> None:
    files = {f"f{at}.yml": f"include: [f{at + 1}.yml, f{at + 1}.yml]\n" for at in range(1, 20)}
    text = "include: [f1.yml]\nservices:\n  a: {environment: {LIVEKIT_AGENT_NAME: driver}}\n"
    _, settings, gathered = read({"docker-compose.yml": text, "f20.yml": "{}\n", **files})
    assert values(settings, "env.LIVEKIT_AGENT_NAME") == ["driver"]
    assert any("includes are nested too deeply, or too many" in words for one in gathered.notes for words in one.notes)


def test_merge_keys_cannot_multiply_a_file() -> None:
    keys = ", ".join(f"k{at}: v" for at in range(5000))
    text = f"x-base: &base {{{keys}}}\nx-all:\n" + "  - {<<: *base}\n" * 20_000
    _, _, gathered = read({"docker-compose.yml": text})
    assert "merges too much" in next(one.unusable for one in gathered.notes if one.name == "docker-compose.yml")


def test_values_that_double_with_each_line_stay_small(tmp_path: Path) -> None:
    lines = ["A0=0123456789", *(f"A{at}=$A{at - 1}$A{at - 1}" for at in range(1, LEVELS + 1))]
    found = read_variables("\n".join(lines), ".env", lambda _: None)
    assert (len(found["A1"].value or ""), max(len(one.value or "") for one in found.values()) < 1 << 19) == (20, True)
    stage = read_dockerfile("FROM x\n" + "".join(f"ENV {line}\n" for line in lines), "Dockerfile")
    assert stage is not None
    assert max(len(one.value or "") for one in stage.env.values()) < 1 << 19
    own = tmp_path / ".env"
    own.write_text("A0=0123456789\n" + "".join(f"A{at}=${{A{at - 1}}}${{A{at - 1}}}\n" for at in range(1, LEVELS + 1)))
    read_own = read_dotenv(own, {})
    assert len(read_own.entries["A1"].value) == 20
    assert max(len(one.value) for one in read_own.entries.values()) < 1 << 19
    assert read_own.broken, "the line that grows too long is told"


def test_a_zip_is_read_without_the_environment_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody sent would else print any variable that it names."""
    monkeypatch.setenv("MY_CI_PASS", "s3cretvalue99")
    text = "services:\n  a: {image: x, environment: {LIVEKIT_AGENT_NAME: '${MY_CI_PASS}', LIVEKIT_URL: }}\n"
    monkeypatch.setenv("LIVEKIT_URL", "ws://mine")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("docker-compose.yml", text)
    (tmp_path / "docker-compose.yml").write_text(text)
    known = {}
    for given in ("b.zip", "docker-compose.yml"):
        gathered = Gathered()
        read_other(CaseInputs.find([tmp_path / given]), gathered)
        facts = [one for one in gathered.facts.get(Setting, []) if isinstance(one, Setting)]
        known[given] = [(one.value, one.known) for one in facts if one.key.startswith("env.")]
    assert known["b.zip"] == [("", False), ("", False)]
    assert known["docker-compose.yml"] == [("s3cretvalue99", True), ("ws://mine", True)]
