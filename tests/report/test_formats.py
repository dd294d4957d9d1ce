"""Every code in every format with every exit status, and names that try to break out of each format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkdoctor.cli import output, reporting
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import SourceNote, Stories
from lkdoctor.doctor import engine, gate, handbook, loader
from lkdoctor.doctor.codes import CODES
from lkdoctor.doctor.engine import Diagnosis
from lkdoctor.doctor.evidence import Sources
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.loader import Loaded
from lkdoctor.doctor.registry import describe
from lkdoctor.report import json_v1, words
from lkdoctor.report.build import RunFacts, build
from lkdoctor.report.suppress import LeftOut
from tests.cli.running import FAULTY, HEALTHY, call
from tests.report import valid

FORMATS = reporting.FORMATS
OTHERS = [form for form in FORMATS if form != "text"]
PAGES = handbook.pages(loader.load().checks)


def test_every_format_has_a_reader() -> None:
    assert set(valid.READERS) == set(FORMATS)


# -- the table: code x format x exit status -------------------------------------------------------------------------


def raising(code: Code, confidence: Confidence = Confidence.HIGH, *, asks: bool = False) -> Loaded:
    """Checks of which the one for this code finds something in any evidence, or cannot tell."""

    def finds(sources: Sources) -> Iterator[Finding | Inconclusive]:
        (log,) = (one for one in sources if one.kind == "server_log")
        if asks:
            yield Inconclusive(Subject("server"), "Something is missing.", "Fetch it.")
            return
        place = Place(log.name, 0)
        fix = Fix("Do it", steps=("First this.",), commands=("lk room list",))
        yield Finding(
            code, Subject("agent", agent_name="a"), "It is so.", code.severity, confidence, {}, (place,), (fix,)
        )

    return Loaded((describe(code, finds),))


def expected(code: Code, confidence: Confidence, fail_on: Severity) -> int:
    if code.id in gate.OWN:
        return 4
    return 1 if code.severity >= fail_on and confidence >= Confidence.MEDIUM else 0


def documents(tmp_path: Path, *options: str) -> tuple[int, dict[str, bytes]]:
    """`check` on a recorded case, all formats at once: the exit status, and each document."""
    files = {form: tmp_path / f"report.{form}" for form in OTHERS}
    written = [part for form, file in files.items() for part in ("-o", f"{form}={file}")]
    ran = call("check", FAULTY / "server.log", *options, *written)
    return ran.exit_code, {"text": ran.stdout.encode(), **{form: file.read_bytes() for form, file in files.items()}}


@pytest.mark.parametrize("code", CODES, ids=lambda one: one.id)
def test_every_code_in_every_format(code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for confidence in (Confidence.HIGH, Confidence.LOW):
        monkeypatch.setattr(loader, "load", lambda confidence=confidence: raising(code, confidence))
        for fail_on in Severity:
            status, found = documents(tmp_path, "--fail-on", fail_on.word)
            assert status == expected(code, confidence, fail_on)
            assert set(found) == set(FORMATS)
            same_in_all(found, code, confidence, red=status != 0)


def same_in_all(found: dict[str, bytes], code: Code, confidence: Confidence, *, red: bool) -> None:
    """Each document is valid, tells of the code, and of whether it fails the gate."""
    read = {form: valid.READERS[form](found[form]) for form in FORMATS}
    assert code.id in read["text"]
    assert [one["code"] for one in read["json"]["findings"]] == [code.id]
    (result,) = read["sarif"]["results"]
    levels = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    own = code.id in gate.OWN
    assert result["level"] == (levels[code.severity] if own or confidence > Confidence.LOW else "note")
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "fixtures/name-near-miss/server.log"
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 1
    assert read["sarif"]["tool"]["driver"]["rules"][0]["help"]["markdown"].startswith(f"# {code.id} {code.name}")
    assert read["sarif"]["invocations"][0]["executionSuccessful"] is not own
    suite = read["junit"]
    assert (int(suite.get("failures")) + int(suite.get("errors")) > 0) is red
    assert suite.find(f"testcase[@classname='lkdoctor.{code.id}']") is not None
    (verdict, annotation) = read["github"]
    assert verdict[1]["title"] == f"lkdoctor: {read['json']['verdict']}"
    kinds = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
    assert annotation[0] == (kinds[code.severity] if own or confidence > Confidence.LOW else "notice")
    assert annotation[1]["title"].startswith(f"{code.id} {code.name}")
    assert (annotation[1]["file"], annotation[1]["line"]) == ("fixtures/name-near-miss/server.log", "1")
    assert any(code.id in one.content for one in read["markdown"])


@pytest.mark.parametrize("form", FORMATS)
def test_the_status_is_the_same_whatever_stands_on_stdout(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(one for one in CODES if one.severity is Severity.ERROR)
    for loaded, status in ((raising(code), 1), (raising(code, Confidence.LOW), 0), (raising(CODES[-5]), 4)):
        monkeypatch.setattr(loader, "load", lambda loaded=loaded: loaded)
        ran = call("check", FAULTY / "server.log", "--format", form)
        assert ran.exit_code == status
        assert valid.READERS[form](ran.stdout.encode()) is not None


@pytest.mark.parametrize("form", FORMATS)
def test_a_writer_that_fails_says_so_in_its_own_format(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of what every writer asks for breaks; the document is valid all the same, and the status is 4."""
    from lkdoctor.report import github, junit, markdown, sarif, text

    real: Callable[[json_v1.Report], str] = words.headline
    calls = []

    def breaks(report: json_v1.Report) -> str:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the writer is broken")
        return real(report)

    for module in (github, junit, markdown, sarif, text):
        monkeypatch.setattr(module, "headline", breaks)
    if form == "json":
        encode = json_v1.pieces

        def pieces(report: json_v1.Report) -> Iterator[bytes]:
            breaks(report)
            return encode(report)

        monkeypatch.setattr(json_v1, "pieces", pieces)
    ran = call("check", HEALTHY, "--format", form)
    assert ran.exit_code == 4
    valid.READERS[form](ran.stdout.encode())
    assert "the writer is broken" in ran.stdout
    assert "Traceback" not in ran.stderr


# -- names that try to break out ------------------------------------------------------------------------------------

HOSTILE = [
    "a\n::error::owned",
    "%0A::error file=x::owned",
    "]]><failure/>",
    "\x00\x08\x1b[31m\u202e\ufffe\uffff",
    "``` \n```\n# owned",
    "`a` **b** [x](http://evil.example) ![p](http://evil.example/x.png)",
    "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;",
    "@octocat see #1 and https://evil.example www.evil.example",
    "| a | b |\n|---|---|",
    "--> <!-- ]] ${{ secrets.TOKEN }} %25",
    "1. one\n2) two",
    "- x",
    "file=a,line=1::b",
    '"><testcase name="x"/>',
    "[a](b)\\](c) {0}",
    "</summary></details>",
]


def report_of(name: str) -> json_v1.Report:
    """A report in which everything that a stranger can name is called `name`."""
    place = Place("server.log", 0)
    said = f"{name} it is."
    finding = Finding(
        CODES[0],
        Subject("dispatch", room=name, agent_name=name, id=name),
        f'Nobody served "{name}" {name}',
        Severity.ERROR,
        values={"room": name, name: [name]},
        proof=(place, Place("server.log", 1)),
        fixes=(Fix(name, "unsafe", (name, name), (f"lk room delete {name}", name), (name,), (name,), (name,)),),
        count=3,
        first_at=1.0,
        last_at=2.0,
    )
    other = Finding(CODES[1], Subject("room", room=name), said, Severity.INFO, Confidence.LOW)
    beneath = Finding(CODES[2], Subject("agent", agent_name=name), said, Severity.ERROR)
    from dataclasses import replace

    cause = replace(finding, explains=(beneath.fingerprint,))
    question = engine.Question(CODES[3], Inconclusive(Subject("room", room=name), said, said, (place,)))
    outcome = engine.CheckOutcome(CODES[4], engine.Result.SKIPPED, said)
    left = LeftOut(replace(other, code=CODES[5]), "lkdoctor.toml line 3", said)

    class Quoted:
        source, offset, line, text = name, 0, 1, f"{name} in a line"

    return build(
        Stories(
            sources=[SourceNote(name, "server_log", lines=3, notes=[name]), SourceNote("b", "unknown", unusable=said)]
        ),
        Diagnosis((cause, other), (beneath,), (question,), (outcome,)),
        resolve=lambda places: dict.fromkeys(places, Quoted()),
        run=RunFacts(0.0, 0.1, errors=(said,), gaps=(said,), suppressed=(left,), reminders=(said,)),
    )


def written(report: json_v1.Report, form: str) -> bytes:
    return b"".join(output.document(report, form, output.Look(), to_file=True))


@given(st.text(max_size=60) | st.text("`]>[<(!*_|@:%#&\n\r\\-~$\"'{} /w.h", max_size=40))
@pytest.mark.parametrize("form", FORMATS)
def test_no_name_breaks_out_of_a_format(form: str, name: str) -> None:
    unbroken(form, name)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names(form: str, name: str) -> None:
    unbroken(form, name)


def unbroken(form: str, name: str) -> None:
    report = report_of(name)
    data = written(report, form)
    assert data == written(report, form)
    found: Any = valid.READERS[form](data)
    plain = report_of("plain")
    # The shape of the document does not depend on the name.
    if form == "junit":
        assert [one.tag for one in found.iter()] == [one.tag for one in valid.junit(written(plain, form)).iter()]
    elif form == "github":
        shape_of = [(one[0], sorted(one[1])) for one in found]
        assert shape_of == [(one[0], sorted(one[1])) for one in valid.github(written(plain, form))]
    elif form == "markdown":
        blocks = [one.type for one in found if one.block]
        if name.strip():
            assert blocks == [one.type for one in valid.markdown(written(plain, form)) if one.block]
    elif form == "sarif":
        assert len(found["results"]) == 3
        # SARIF reads `[words](target)` as a link unless the bracket is escaped.
        assert not re.search(r"(?<!\\)\[[^\[\]]*\]\(", found["results"][0]["message"]["text"])


def test_a_mention_rings_no_bell() -> None:
    data = written(report_of("@octocat"), "markdown").decode()
    outside = re.sub(r"(?ms)^```.*?^```$", "", data)  # in a code block a name is no mention
    assert "octocat" in outside
    assert "@octocat" not in outside


# -- places ---------------------------------------------------------------------------------------------------------


def test_what_has_no_file_gets_a_place_that_a_code_host_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub").mkdir()

    def place(config: str = "") -> tuple[str, int]:
        look = output.Look(config=config)
        run = valid.sarif(b"".join(output.document(report_of("x"), "sarif", look, to_file=True)))
        at = run["results"][0]["locations"][0]["physicalLocation"]
        return at["artifactLocation"]["uri"], at["region"]["startLine"]

    assert place() == ("lkdoctor.toml", 1)  # nobody has written it yet
    (tmp_path / "b").write_text("evidence")
    assert place() == ("b", 1)
    (tmp_path / "lkdoctor.toml").write_text("")
    assert place() == ("lkdoctor.toml", 1)
    (tmp_path / "sub" / "lkdoctor.toml").write_text("")
    assert place("sub/lkdoctor.toml") == ("sub/lkdoctor.toml", 1)
    (tmp_path / "x").write_text("the proof itself")
    assert place() == ("x", 1)
    monkeypatch.chdir(tmp_path / "sub")  # proof is told relative to the repository, not to the current folder
    (tmp_path / "sub" / "x").write_text("the proof itself")
    assert place() == ("sub/x", 1)


def test_proof_outside_of_the_repository_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / ".git").mkdir()
    log = tmp_path / "server.log"
    log.write_bytes((FAULTY / "server.log").read_bytes())
    monkeypatch.chdir(repository)
    run = valid.sarif(call("check", log, "--format", "sarif").stdout.encode())
    first = run["results"][0]
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "lkdoctor.toml"
    assert "relatedLocations" not in first
    assert any(f"{log}:7" in one for one in first["properties"]["lkdoctor/proof"])
    annotations = valid.github(call("check", log, "--format", "github").stdout.encode())
    assert "file" not in annotations[1][1]


def test_a_zip_is_told_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("case.zip", "w") as archive:
        archive.write(FAULTY / "server.log", "server.log")
    run = valid.sarif(call("check", "case.zip", "--format", "sarif").stdout.encode())
    at = run["results"][0]["locations"][0]["physicalLocation"]
    assert (at["artifactLocation"]["uri"], at["region"]["startLine"]) == ("case.zip", 1)


# -- the summary of a step ------------------------------------------------------------------------------------------


def test_the_step_summary_is_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    call("check", FAULTY, "--format", "json")
    assert summary.read_text() == "# before\n"  # only who asks for GitHub's format gets its summary
    call("check", FAULTY, "-o", f"github={tmp_path / 'annotations'}")
    told = summary.read_text()
    assert told.startswith("# before\n")
    assert "LKD202" in told
    valid.markdown(told.encode())


def test_a_summary_that_cannot_be_written_changes_no_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary.md"))
    ran = call("check", FAULTY, "--format", "github")
    assert ran.exit_code == 1
    assert "the summary was not written" in ran.stderr
    valid.github(ran.stdout.encode())


def test_a_summary_is_never_longer_than_github_takes() -> None:
    from lkdoctor.report import markdown

    report = report_of("x" * 600)
    import msgspec

    many = msgspec.structs.replace(report, findings=[report.findings[0]] * 2000)
    assert len(markdown.write(many)) > 0
    assert len(markdown.summary(many)) <= markdown.LARGEST
    valid.markdown(markdown.summary(many))


def test_several_at_once_are_the_same_as_one_at_a_time(tmp_path: Path) -> None:
    status, found = documents(tmp_path)
    for form in FORMATS:
        alone = call("check", FAULTY / "server.log", "--format", form)
        assert alone.exit_code == status == 1
        if form in {"text", "github", "markdown"}:
            assert alone.stdout.encode() == found[form] or form == "text"  # text fits the terminal
    one, other = (
        json.loads(found["json"])["findings"],
        json.loads(call("check", FAULTY / "server.log", "--format", "json").stdout)["findings"],
    )
    assert one == other
