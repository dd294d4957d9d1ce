"""The one door for checks: ours load whole; a broken or rude package costs only itself."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from lkdoctor.doctor.loader import BUILT_IN, load

HEAD = """
from lkdoctor.doctor.registry import check
from lkdoctor.doctor.evidence import Workers, Dispatches
from lkdoctor.doctor.finding import Code, Severity
"""
GOOD = (
    HEAD
    + 'C = Code(1, "acme-one", Severity.INFO, "One.", prefix="ACME")\n@check(C)\ndef one(w: Workers):\n    yield from ()\n'
)


@dataclass
class Point:
    """An entry point of a package written for the test."""

    name: str
    value: str
    path: Path | None = None

    def load(self) -> ModuleType:
        if self.path is None:
            return importlib.import_module(self.value)
        spec = importlib.util.spec_from_file_location(self.value, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.value] = module
        spec.loader.exec_module(module)
        return module


OURS = Point("builtin", BUILT_IN)


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Point]:
    point = Point("acme", "acme_lkdoctor_checks", tmp_path / "acme.py")
    yield point
    sys.modules.pop(point.value, None)


def written(point: Point, source: str) -> Point:
    assert point.path is not None
    point.path.write_text(source)
    return point


def test_the_installed_checks_load_without_a_complaint() -> None:
    loaded = load()
    assert not loaded.findings, [one.message for one in loaded.findings]
    assert len(loaded.checks) >= 25
    assert {one.code.prefix for one in loaded.checks} == {"LKD"}
    assert [one.code.number for one in loaded.checks] == sorted(one.code.number for one in loaded.checks)


def test_another_package_goes_through_the_same_door(theirs: Point) -> None:
    loaded = load([OURS, written(theirs, GOOD)])
    assert not loaded.findings
    assert loaded.checks[-1].code.id == "ACME1"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('broken at import')", "broken at import"),
        ("import a_module_that_does_not_exist", "a_module_that_does_not_exist"),
        (GOOD.replace('prefix="ACME"', 'prefix="LKD"'), "the prefix LKD is lkdoctor's own"),
        (GOOD.replace('"acme-one"', '"no-headroom"'), "the name no-headroom is already LKD303's"),
        (GOOD.replace("w: Workers", "w: int"), "which is no evidence of this lkdoctor"),
        (GOOD.replace("w: Workers", "w"), "has no type"),
        (GOOD + "@check(C)\ndef two(w: Workers):\n    yield from ()\n", "ACME1 is already checked"),
    ],
)
def test_a_bad_package_costs_only_itself(theirs: Point, source: str, reason: str) -> None:
    ours = len(load([OURS]).checks)
    loaded = load([written(theirs, source), OURS])
    assert [one.code.id for one in loaded.findings] == ["LKD902"]
    assert reason in loaded.findings[0].message
    assert "Traceback" in loaded.findings[0].values["traceback"]
    assert "Traceback" not in loaded.findings[0].message
    assert len([one for one in loaded.checks if one.code.prefix == "LKD"]) == ours


def test_what_is_no_module_is_refused() -> None:
    class Odd:
        name = "odd"
        value = "odd:thing"

        def load(self) -> object:
            return 3

    assert "odd:thing is not a module" in load([Odd()]).findings[0].message
