"""One reader for each format: what a stranger's parser would refuse, fails here."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import jsonschema
from markdown_it import MarkdownIt

import lkdoctor

DATA = Path(__file__).parent / "data"
REPORT = jsonschema.Draft202012Validator(
    json.loads((Path(lkdoctor.__file__).parent / "schemas" / "report-v1.json").read_text("utf-8"))
)
SARIF = jsonschema.Draft7Validator(
    json.loads((DATA / "sarif-2.1.0.json").read_text("utf-8")), format_checker=jsonschema.FormatChecker()
)
COMMAND = re.compile(r"::(error|warning|notice) ([^:\r\n]*)::(.*)")
TAGS = {"details", "/details", "summary", "/summary"}


def json_v1(data: bytes) -> dict[str, Any]:
    """Follows the published schema."""
    found: dict[str, Any] = json.loads(data)
    assert [error.message for error in REPORT.iter_errors(found)] == []
    return found


def sarif(data: bytes) -> dict[str, Any]:
    """Follows the standard's schema and what GitHub asks for besides; the one run in it."""
    document = json.loads(data)
    assert [f"{error.json_path}: {error.message}" for error in SARIF.iter_errors(document)] == []
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    prints = [one["partialFingerprints"]["primaryLocationLineHash"] for one in run["results"]]
    assert len(prints) == len(set(prints))
    for one in run["results"]:
        assert rules[one["ruleIndex"]]["id"] == one["ruleId"]
        assert one["message"]["text"].strip()
        assert len(one["locations"]) == 1
        for place in (*one["locations"], *one.get("relatedLocations", ())):
            file = place["physicalLocation"]["artifactLocation"]["uri"]
            assert file
            assert not urlsplit(file).scheme
            assert not file.startswith("/")
            assert ".." not in unquote(file).split("/")
            assert place["physicalLocation"]["region"]["startLine"] >= 1
    found: dict[str, Any] = run
    return found


def junit(data: bytes) -> ET.Element:
    """Is XML whose counts are right and whose test cases can be told apart; the one suite in it."""
    root = ET.fromstring(data.decode("utf-8"))
    (suite,) = root
    cases = suite.findall("testcase")
    for element in (root, suite):
        counted = {name: element.get(name) for name in ("tests", "failures", "errors", "skipped")}
        assert counted == {
            "tests": str(len(cases)),
            "failures": str(len(suite.findall("testcase/failure"))),
            "errors": str(len(suite.findall("testcase/error"))),
            "skipped": str(len(suite.findall("testcase/skipped"))),
        }
    names = [(one.get("classname"), one.get("name")) for one in cases]
    assert len(names) == len(set(names))
    assert all(one.get("message") for one in (*suite.iter("failure"), *suite.iter("error"), *suite.iter("skipped")))
    return suite


def github(data: bytes) -> list[tuple[str, dict[str, str], str]]:
    """Every line is one annotation and nothing else; (kind, properties, message), as the runner reads them."""
    text = data.decode("utf-8")
    assert text.endswith("\n")
    found = []
    for line in text[:-1].split("\n"):
        match = COMMAND.fullmatch(line)
        assert match, line
        assert line.isprintable() or not line.isascii(), line
        properties = dict(part.split("=", 1) for part in match[2].split(","))
        assert set(properties) <= {"file", "line", "title"}
        found.append((match[1], {key: _decoded(value) for key, value in properties.items()}, _decoded(match[3])))
    assert found
    return found


def _decoded(text: str) -> str:
    for code, letter in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, letter)
    return text


def markdown(data: bytes) -> list[Any]:
    """Has the few tags that the report makes, no link and no picture; its tokens, flat."""
    text = data.decode("utf-8")
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    flat = [inner for one in tokens for inner in (one, *(one.children or ()))]
    for one in flat:
        assert one.type not in {"link_open", "image"}, one
        if one.type in {"html_block", "html_inline"}:
            tags = re.findall(r"<(?!!--\s*-->)([^<>]*)>", one.content)
            assert set(tags) <= TAGS, one.content
    assert flat
    return flat


def text(data: bytes) -> str:
    """Is text without anything that moves the cursor."""
    told = data.decode("utf-8")
    assert told.strip()
    moving = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert not [letter for letter in told if letter != "\n" and unicodedata.category(letter) in moving]
    return told


READERS: dict[str, Callable[[bytes], Any]] = {
    "text": text,
    "json": json_v1,
    "sarif": sarif,
    "junit": junit,
    "github": github,
    "markdown": markdown,
}
