"""The catalogue: numbers and names are unique, `explains` makes sense, statuses say what the recorded cases prove."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lkdoctor.dispatch.model import SourceNote, Stories
from lkdoctor.doctor import engine, fence, gate, loader
from lkdoctor.doctor.codes import CODES, FAMILIES
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Code, Severity

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
BY_NUMBER = {one.number: one for one in CODES}


def expectations() -> tuple[set[str], set[str]]:
    """Codes that some recorded case raises, and codes that some case with their look must not raise."""
    raised: set[str] = set()
    spared: set[str] = set()
    for path in FIXTURES.glob("*/scenario.toml"):
        expect = tomllib.loads(path.read_text("utf-8"))["expect"]
        raised |= {*expect.get("codes", []), *expect.get("infos", [])}
        spared |= set(expect.get("absent", []))
    return raised, spared


FOLDERS = {"acme_lkdoctor": "sample", "acme_rude": "rude"}


def own_failures(package: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The codes of lkdoctor's own failures that this package of checks brings about."""
    monkeypatch.syspath_prepend(str(FIXTURES.parent / "tests" / "plugins" / FOLDERS[package]))
    monkeypatch.setattr(fence, "SECONDS", 1.0)
    loaded = loader.load([EntryPoint("acme", package, loader.GROUP)])
    stories = Stories(sources=[SourceNote("server.log", "server_log")])
    diagnosis = engine.run(loaded.checks, Evidence.of(stories), loaded.findings)
    for name in [one for one in sys.modules if one.partition(".")[0] == package]:
        del sys.modules[name]
    return {one.code.id for one in diagnosis.findings} & gate.OWN


def test_numbers_names_and_aliases_are_unique() -> None:
    words = [word for one in CODES for word in (one.id.lower(), one.name, *one.aliases)]
    assert len(words) == len(set(words))
    assert len(BY_NUMBER) == len(CODES)


@pytest.mark.parametrize("code", CODES, ids=lambda one: one.id)
def test_a_code_is_whole(code: Code) -> None:
    assert code.number // 100 in FAMILIES
    assert code.name == code.name.lower().replace(" ", "-")
    assert code.title.endswith(".")
    assert set(code.explains) <= set(BY_NUMBER)
    assert code.number not in code.explains


def test_explaining_never_goes_in_a_circle() -> None:
    def walk(number: int, path: tuple[int, ...]) -> None:
        assert number not in path, f"{path} -> {number}"
        for symptom in BY_NUMBER[number].explains:
            walk(symptom, (*path, number))

    for number in BY_NUMBER:
        walk(number, ())


def test_what_is_right_for_some_teams_is_info() -> None:
    assert {one.number for one in CODES if one.severity is Severity.INFO} == {
        203, 204, 310, 311, 401, 403, 506, 609, 904, 905,
    }  # fmt: skip


def test_statuses_say_what_the_recorded_cases_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    raised, spared = expectations()
    checked = {one.code.id for one in loader.load().checks}
    due = {one.id for one in CODES if one.id in raised & spared & checked}
    # No recording can show that lkdoctor itself fails; a package that does everything wrong can, and one that does not.
    due |= own_failures("acme_rude", monkeypatch) - own_failures("acme_lkdoctor", monkeypatch)
    stable = {one.id for one in CODES if one.status == "stable"}
    assert not due - stable, f"proven by recorded cases, set status='stable': {sorted(due - stable)}"
    assert not stable - due, f"no recorded case or look-alike proves: {sorted(stable - due)}"


def test_every_code_that_a_case_expects_exists_and_has_a_check() -> None:
    raised, spared = expectations()
    assert raised | spared <= {one.id for one in CODES}
    assert raised <= {one.code.id for one in loader.load().checks}
