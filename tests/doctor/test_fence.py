"""Other people's checks behind their fence: whatever they do, the report is the one without them, and says what they did."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lkdoctor.cli import pipeline
from lkdoctor.doctor import engine, fence, loader
from lkdoctor.doctor.loader import BUILT_IN, GROUP, Loaded
from tests.cli.running import FAULTY, call
from tests.report import valid

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
OURS = importlib.metadata.EntryPoint("builtin", BUILT_IN, GROUP)
SAMPLE = importlib.metadata.EntryPoint("acme", "acme_lkdoctor", GROUP)
RUDE = importlib.metadata.EntryPoint("rude", "acme_rude", GROUP)
GONE = importlib.metadata.EntryPoint("gone", "acme_rude_that_is_not_there", GROUP)


@pytest.fixture(autouse=True)
def _paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both packages can be imported, and nothing of them stays."""
    for name in ("sample", "rude"):
        monkeypatch.syspath_prepend(str(PLUGINS / name))
    monkeypatch.setattr(fence, "SECONDS", 2.0)
    yield
    for name in [one for one in sys.modules if one.startswith("acme_")]:
        del sys.modules[name]


@pytest.fixture
def rude() -> Loaded:
    return loader.load([OURS, RUDE, GONE])


def report_with(monkeypatch: pytest.MonkeyPatch, loaded: Loaded) -> dict[str, object]:
    monkeypatch.setattr(loader, "load", lambda **_: loaded)
    ran = call("check", FAULTY, "--format", "json")
    assert ran.exit_code == 1, ran.output  # the fault of the case comes before 4
    return valid.json_v1(ran.stdout.encode())


def test_a_good_package_is_loaded_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loader.load([SAMPLE, OURS])
    assert not loaded.findings
    found = report_with(monkeypatch, loaded)
    mine = [one for one in found["findings"] if one["code"] == "ACME1"]  # type: ignore[attr-defined]
    assert [one["subject"]["room"] for one in mine] == ["support-call-7"]
    assert "ACME1" in [one["code"] for one in found["checks"]]  # type: ignore[attr-defined]


def test_what_does_not_load_is_told_and_the_rest_loads(rude: Loaded) -> None:
    refused = {str(one.values["module"]): one.message for one in rude.findings}
    assert {one.code.id for one in rude.findings} == {"LKD902"}
    assert set(refused) == {
        "acme_rude.fails_at_import",
        "acme_rude.takes_lkd.takes_the_prefix",
        "acme_rude.takes_lkd.takes_a_name",
        "acme_rude.takes_lkd.has_an_odd_prefix",
        "acme_rude.takes_lkd.wants_a_file",
        "acme_rude_that_is_not_there",
    }
    assert "acme is not licensed" in refused["acme_rude.fails_at_import"]
    assert "the prefix LKD is lkdoctor's own" in refused["acme_rude.takes_lkd.takes_the_prefix"]
    assert "the name no-headroom is already LKD303's" in refused["acme_rude.takes_lkd.takes_a_name"]
    assert "not 2 to 12 capital letters" in refused["acme_rude.takes_lkd.has_an_odd_prefix"]
    assert "which is no evidence of this lkdoctor" in refused["acme_rude.takes_lkd.wants_a_file"]
    codes = {one.code.id for one in rude.checks}
    assert "RUDE43" in codes  # the right one beside them
    assert {one for one in codes if one.startswith("LKD")} == {one.code.id for one in loader.load([OURS]).checks}


REASONS = {
    "RUDE1": "ZeroDivisionError: by nought",
    "RUDE2": "SystemExit",
    "RUDE3": "neither Finding nor Inconclusive",
    "RUDE4": "found LKD201, which it is not marked for",
    "RUDE7": "more than 10,000 findings",
    "RUDE8": "it took longer than 2 s",
    "RUDE9": "which JSON cannot hold",
    "RUDE10": "which is no Subject",
    "RUDE11": "which is no Place",
    "RUDE12": "which is no text",
    "RUDE13": "a time that is none",
    "RUDE14": "safety",
    "RUDE16": "WordlessError",
    "RUDE17": "TypeError",
    "RUDE18": "which is no text",
}


def test_whatever_they_do_the_report_is_the_one_without_them(
    rude: Loaded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = report_with(monkeypatch, loader.load([OURS]))
    after = report_with(monkeypatch, rude)
    for key in ("dispatches", "workers", "sources", "totals", "questions", "verdict"):
        assert after[key] == before[key]

    def ours(found: dict[str, object], key: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = found[key]  # type: ignore[assignment]
        return [one for one in rows if str(one["code"])[:4] == "LKD3" or str(one["code"])[:4] == "LKD2"]

    for key in ("findings", "symptoms", "checks"):
        assert ours(after, key) == ours(before, key)


def test_each_is_told_with_what_it_did(rude: Loaded) -> None:
    collected = pipeline.collect(pipeline.Wish((str(FAULTY),), quiet=True))
    from lkdoctor.doctor.evidence import Evidence

    diagnosis = engine.run(rude.checks, Evidence.of(collected.stories))
    told = {str(one.values["check"]): one for one in diagnosis.findings if one.code.id == "LKD901"}
    assert set(told) == set(REASONS)
    for code, reason in REASONS.items():
        assert reason in told[code].message, told[code].message
        assert " of acme_rude failed with " in told[code].message
        assert "the authors of acme_rude" in told[code].fixes[0].steps[0]
    # These did nothing that the report would suffer from.
    results = {one.code.id: one.result.value for one in diagnosis.outcomes}
    assert {code: results[code] for code in ("RUDE5", "RUDE6", "RUDE15", "RUDE43")} == dict.fromkeys(
        ("RUDE5", "RUDE6", "RUDE15", "RUDE43"), "passed"
    )
    # A proof that stands nowhere is a finding without a proof.
    place = next(one for one in diagnosis.findings if one.code.id == "RUDE19")
    assert dict(collected.resolve(place.proof)) == {}


def test_stdout_holds_the_report_only(rude: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "load", lambda **_: rude)
    ran = call("check", FAULTY, "--format", "json")
    assert json.loads(ran.stdout)["schema"] == "lkdoctor.report/v1"
    assert "printed by a check" in ran.stderr


def test_a_failure_of_theirs_alone_is_status_4(rude: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    only = Loaded(tuple(one for one in rude.checks if one.code.id in {"RUDE1", "RUDE43"}))
    monkeypatch.setattr(loader, "load", lambda **_: only)
    assert call("check", FAULTY).exit_code == 4


def test_no_plugins_does_not_even_import_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [OURS, RUDE, GONE])
    for command in (["check", FAULTY, "--select", "LKD202"], ["checks"]):
        ran = call(*command, "--no-plugins")
        assert "rude" not in ran.output
        assert "acme_rude" not in sys.modules, command
    assert call("plugins").exit_code == 4
    assert "acme_rude" in sys.modules


def test_in_another_thread_there_is_no_limit_and_no_error() -> None:
    done = []

    def work() -> None:
        with fence.fenced():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
