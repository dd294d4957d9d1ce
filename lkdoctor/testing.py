"""For authors of checks: recorded cases through the whole pipeline, and the assertions that lkdoctor's own cases stand.

A case is a folder of evidence, as `lkdoctor check` reads it, with a `scenario.toml` that says what must be found:

    healthy = false
    evidence = ["server_log"]   # the kinds that it is judged by; not said: its server logs

    [expect]
    codes = ["ACME1"]           # exactly these at warning and above
    infos = ["ACME2"]           # these infos, and maybe others
    absent = ["ACME3"]          # not these, whatever their severity
    verdict = "problems"
    dispatches = [{room = "support-call-7", agent_name = "front-desk", outcome = "assigned", count = 1}]

Every function raises AssertionError with what was found. All installed checks run, lkdoctor's own as well, so `codes` may
hold theirs. Public: what stands here stays within a major version.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lkdoctor.cli import pipeline
from lkdoctor.cli.pipeline import Collected
from lkdoctor.cli.plan import wanted_of
from lkdoctor.config import FILE, ConfigFile
from lkdoctor.config import load as load_config
from lkdoctor.dispatch.model import Dispatch, Wanted
from lkdoctor.doctor import engine, gate, loader
from lkdoctor.doctor.codes import CODES
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Confidence, Finding, Severity

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Case",
    "Seen",
    "assert_absent",
    "assert_codes",
    "assert_cut_invents_nothing",
    "assert_dispatches",
    "assert_infos",
    "assert_no_crash",
    "assert_proof",
    "assert_verdict",
    "cases",
    "demo_cases",
    "explained",
    "fulfils",
    "look",
    "look_at",
    "look_at_all",
]


@dataclass(frozen=True, slots=True)
class Case:
    """A folder of evidence with its `scenario.toml`."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def scenario(self) -> dict[str, Any]:
        """The content of `scenario.toml`."""
        return _scenario(self.folder)

    @property
    def expect(self) -> dict[str, Any]:
        """Its table `[expect]`."""
        found: dict[str, Any] = self.scenario.get("expect", {})
        return found

    @property
    def evidence(self) -> list[str]:
        """The kinds of evidence that the case is judged by."""
        kinds: list[str] = self.scenario.get("evidence", ["server_log"])
        return kinds

    @property
    def server_logs(self) -> list[Path]:
        """Its server logs, in any wrapper; a worker's log is none of them."""
        return sorted(path for path in self.folder.iterdir() if path.name.startswith("server"))


@dataclass(frozen=True, slots=True)
class Seen:
    """What was made of some evidence: what was read, and what the checks said."""

    collected: Collected
    diagnosis: engine.Diagnosis

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The causes, worst first."""
        return self.diagnosis.findings

    @property
    def faults(self) -> list[Finding]:
        """Those at warning and above."""
        return [one for one in self.findings if one.severity >= Severity.WARNING]

    @property
    def verdict(self) -> str:
        """`healthy`, `problems` or `inconclusive`."""
        stories = self.collected.stories
        questions = [one.open for one in self.diagnosis.questions]
        told = gate.verdict(
            self.findings, stories.dispatches, questions=questions, hides_info=stories.coverage.hides_info
        )
        return "inconclusive" if told == "healthy" and self.collected.gaps else told

    def told(self) -> str:
        """All of it in words, for a failing test's message."""
        lines = [
            f"  {one.room} {one.agent_name!r} {one.origin.value} {one.outcome.value} {one.after and one.after.value} "
            f"{one.reason}"
            for one in self.collected.stories.dispatches
        ]
        lines += [f"  {one.code.id} {one.severity.word}/{one.confidence.word} {one.message}" for one in self.findings]
        lines += [f"    under another: {one.code.id} {one.message}" for one in self.diagnosis.symptoms]
        lines += [f"  open: {one.code.id} {one.open.missing}" for one in self.diagnosis.questions]
        return "\n" + "\n".join(lines)


def cases(folder: Path | str) -> list[Case]:
    """Every case below `folder`: each folder that has a `scenario.toml`, by name."""
    return [Case(path.parent) for path in sorted(Path(folder).rglob("scenario.toml"))]


def demo_cases() -> dict[str, Path]:
    """Server logs of recorded cases that are shipped with lkdoctor (`lkdoctor demo --list`), by name: look-alikes for
    checks of your own."""
    from lkdoctor.cli import demo  # noqa: PLC0415 - a command, imported when it is asked for

    return {one.name: one.path / "server.log" for one in demo.cases()}


@cache
def look(case: Case) -> Seen:
    """What is made of the evidence that the case is judged by: its server logs, or all that its folder holds."""
    if case.evidence != ["server_log"]:
        return look_at_all(case)
    logs = tuple(map(str, case.server_logs))
    return _seen(pipeline.Wish(logs=logs, quiet=True, wanted=_wanted(case, ConfigFile())))


@cache
def look_at_all(case: Case) -> Seen:
    """What is made of everything in the case's folder, as `lkdoctor check FOLDER` reads it."""
    own = case.folder / FILE
    config = load_config((), str(own)) if own.is_file() else ConfigFile()
    return _seen(pipeline.Wish((str(case.folder),), quiet=True, wanted=_wanted(case, config), config=config))


def _wanted(case: Case, config: ConfigFile) -> Wanted:
    """What its `[wanted]` says, as --expect and --together would, and its lkdoctor.toml."""
    wanted = case.scenario.get("wanted", {})
    groups = tuple(tuple(group) for group in wanted.get("together", ()))
    return wanted_of(config.config, tuple(wanted.get("agents", ())), groups)


def look_at(*paths: Path | str, logs: Sequence[Path | str] = ()) -> Seen:
    """What is made of files and folders; `logs` are server logs whatever they look like."""
    return _seen(pipeline.Wish(tuple(map(str, paths)), tuple(map(str, logs)), quiet=True))


def _seen(wish: pipeline.Wish) -> Seen:
    loaded = loader.load()
    assert not loaded.findings, [one.message for one in loaded.findings]
    collected = pipeline.collect(wish)
    return Seen(collected, engine.run(loaded.checks, Evidence.of(collected.stories)))


def fulfils(case: Case) -> None:
    """The case is told exactly as its `[expect]` says; all assertions below, but for the cuts."""
    seen, expect = look(case), case.expect
    assert_no_crash(seen)
    assert_codes(seen, expect.get("codes", ()))
    assert_infos(seen, expect.get("infos", ()))
    assert_absent(seen, expect.get("absent", ()))
    if "verdict" in expect:
        assert_verdict(seen, expect["verdict"])
    assert_dispatches(seen, expect.get("dispatches", ()))
    assert_proof(seen)


def assert_no_crash(seen: Seen) -> None:
    """Every check ran to its end."""
    crashed = [one for one in seen.diagnosis.outcomes if one.result is engine.Result.CRASHED]
    assert not crashed, [f"{one.code.id}: {one.reason}" for one in crashed]


def assert_codes(seen: Seen, codes: Iterable[str]) -> None:
    """The codes at warning and above are these and no other, once for each subject."""
    found = {one.code.id for one in seen.faults}
    assert found == set(codes), f"found {sorted(found)}, expected {sorted(set(codes))}{seen.told()}"
    assert len({one.fingerprint for one in seen.faults}) == len(seen.faults), f"one fault twice{seen.told()}"


def assert_infos(seen: Seen, codes: Iterable[str]) -> None:
    """These infos are there."""
    missing = set(codes) - {one.code.id for one in seen.findings if one.severity is Severity.INFO}
    assert not missing, f"not found: {sorted(missing)}{seen.told()}"


def assert_absent(seen: Seen, codes: Iterable[str]) -> None:
    """None of these codes is claimed, at any severity."""
    claimed = {one.code.id for one in seen.findings} & set(codes)
    assert not claimed, f"must not be found: {sorted(claimed)}{seen.told()}"


def assert_verdict(seen: Seen, verdict: str) -> None:
    """The verdict is this one."""
    assert seen.verdict == verdict, f"{seen.verdict}, expected {verdict}{seen.told()}"


def assert_dispatches(seen: Seen, rows: Iterable[Mapping[str, Any]]) -> None:
    """Each dispatch that a row describes is there, as often as its `count` says (else once)."""
    for row in rows:
        number = sum(_matches(row, one) for one in seen.collected.stories.dispatches)
        assert number == row.get("count", 1), f"{dict(row)}: found {number} times{seen.told()}"


def assert_proof(seen: Seen) -> None:
    """Every fault quotes lines that stand in the evidence."""
    proofs = seen.collected.resolve({place for one in seen.faults for place in one.proof})
    for one in seen.faults:
        assert one.proof, f"{one.code.id} has no proof: {one.message}"
        for place in one.proof:
            found = proofs.get(place)
            assert found is not None, f"{one.code.id}: nothing stands at {place}"
            assert found.text, f"{one.code.id}: an empty line at {place}"


def assert_cut_invents_nothing(case: Case, parts: int = 6) -> None:
    """Without its head or its tail a log shows the same causes, their symptoms, or less; never another cause.

    For a healthy case that means: no fault at all, wherever the log is cut. The case has one server log.
    """
    (log,) = case.server_logs
    lines = log.read_bytes().splitlines(keepends=True)
    allowed = explained(case.expect["codes"]) | {"LKD903"}  # half a record may be left over
    if "LKD208" in allowed:
        # Cut at the server's second start, the log is whole, and the worker that returns is one that comes late.
        allowed.add("LKD207")
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / "server.log"
        for number in sorted({max(1, len(lines) * part // parts) for part in range(1, parts)}):
            for kept in (lines[number:], lines[:number]):
                cut.write_bytes(b"".join(kept))
                seen = look_at(logs=[cut])
                sure = [one for one in seen.faults if one.confidence >= Confidence.MEDIUM]
                invented = [f"{one.code.id} {one.message}" for one in sure if one.code.id not in allowed]
                reasons = seen.collected.stories.coverage.reasons
                assert not invented, f"{len(kept)} of {len(lines)} lines kept, {reasons}: {invented}"


def explained(codes: Iterable[str]) -> set[str]:
    """These codes and all that they explain, which is what remains of them when the cause is cut away."""
    installed = {one.code.id: one.code for one in loader.load().checks}
    by_id = {**installed, **{one.id: one for one in CODES}}
    every = set(codes)
    while more := {f"LKD{number}" for code in every if code in by_id for number in by_id[code].explains} - every:
        every |= more
    return every


@cache
def _scenario(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "scenario.toml").read_text("utf-8"))


def _matches(expected: Mapping[str, Any], one: Dispatch) -> bool:
    """Does this dispatch have everything that the row says?"""
    launch = one.deciding
    seen = {
        "room": one.room,
        "agent_name": one.agent_name,
        "outcome": one.outcome.value,
        "after": one.after.value if one.after else None,
        "job_type": launch.job_type if launch else None,
    }
    return all(seen[key] == value for key, value in expected.items() if key != "count")
