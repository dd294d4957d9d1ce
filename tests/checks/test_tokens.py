"""Edges of the checks of tokens: what depends on the version, on the clock, on what else stands in the token."""

from __future__ import annotations

from typing import Any

import pytest

from lkdoctor.dispatch import token_rules
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import ServerRun, SourceNote, Stories
from lkdoctor.dispatch.probes import LiveServer
from lkdoctor.dispatch.tokens import Token
from lkdoctor.doctor import engine
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.loader import load
from lkdoctor.redact import Redactor
from lkdoctor.report import tokens as report

NOW = 1_800_000_000.0
VIDEO = {"roomJoin": True, "room": "call"}
AGENTS = {"agents": [{"agentName": "a"}]}


def token(version: str = "", *, length: int = 300, header: Any = None, **claims: Any) -> Token:
    every = {"iss": "key", "sub": "alice", "exp": NOW + 600, "video": VIDEO, "roomConfig": AGENTS, **claims}
    kept = {key: value for key, value in every.items() if value is not None}
    alg = header or {"alg": "HS256"}
    return Token("t", Place("t"), length, header=alg, claims=kept, read_at=NOW, server_version=version)


def judged(*given: Token, **facts: Any) -> tuple[dict[str, tuple[str, str]], set[str]]:
    """Findings with severity and confidence, and the codes of open questions."""
    stories = Stories()
    stories.tokens, stories.sources = list(given), [SourceNote("t", "token")]
    for name, value in facts.items():
        setattr(stories, name, value)
    done = engine.run(load().checks, Evidence.of(stories))
    assert not [one.reason for one in done.outcomes if one.result is engine.Result.CRASHED]
    found = {one.code.id: (one.severity.word, one.confidence.word) for one in done.findings}
    return found, {one.code.id for one in done.questions}


SURE, LIKELY = ("error", "high"), ("error", "medium")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (token(), {}),
        # time: the border, this machine's clock near it, and `iat`, at which only old servers look
        (token(exp=NOW - 59), {}),
        (token(exp=NOW - 61), {"LKD503": LIKELY}),
        (token(exp=NOW - 9999), {"LKD503": SURE}),
        (token(nbf=NOW + 59), {}),
        (token(nbf=NOW + 61), {"LKD503": LIKELY}),
        (token(exp=None), {}),
        (token(iat=NOW + 9999), {"LKD503": ("warning", "medium")}),
        (token("1.13.5", iat=NOW + 9999), {}),
        (token("1.11.0", iat=NOW + 9999), {"LKD503": SURE}),
        (token(exp=float("inf")), {}),
        # size: what a proxy may refuse is shown, what common ones refuse counts, what the server refuses is an error
        (token(length=7000), {}),
        (token(length=9000), {"LKD510": ("warning", "low")}),
        (token(length=20_000), {"LKD510": ("warning", "medium")}),
        (token(length=1_200_000), {"LKD510": SURE}),
        # grants
        (token(video={"roomJoin": True}), {"LKD504": LIKELY}),
        (token("1.8.4", video={"roomJoin": True}), {}),
        (token(video={"RoomJoin": True, "room": "call"}), {"LKD504": ("warning", "medium")}),
        (token("1.13.5", video={"RoomJoin": True, "room": "call"}), {}),
        (token(sub=None, jti="alice"), {}),
        (token(sub="a" * 257), {"LKD504": SURE}),
        (token(video={"roomList": True}, roomConfig=None), {}),
        (token(video=None, roomConfig=None, sip={"admin": True}), {}),
        (token(video=None, roomConfig=None, inference={"perform": True}), {}),
        (token(video=None, roomConfig=None), {"LKD504": SURE}),
        (token(video={**VIDEO, "agent": True}), {"LKD508": ("warning", "high")}),
        (token(video={**VIDEO, "agent": True}, kind="agent"), {}),
        (token(video={**VIDEO, "agent": True}, sub="agent-AJ_1"), {}),
        # agents: what is lost, and what only looks like it
        (token(roomConfig=None, agents=[{"agentName": "a"}]), {"LKD505": SURE}),
        (token(RoomConfig=AGENTS), {}),
        (token(roomConfig=None, RoomConfig=AGENTS), {"LKD505": ("warning", "medium")}),
        (token(roomConfig=None, room_preset="p"), {"LKD505": SURE}),
        (token(roomConfig=None, roomPreset="p", room_preset="p"), {}),
        (token(roomConfig={"Agents": [{"agentName": "a"}]}), {"LKD505": SURE}),
        (token(roomConfig={"agents": [{"agent_name": "a"}]}), {}),
        (token(roomConfig={"agents": []}), {"LKD506": ("info", "high")}),
        (token(roomConfig=None, video={**VIDEO, "hidden": True}), {}),
        (token(roomConfig=None, kind="agent"), {}),
        (token(roomConfig={"agents": [{"agentName": "a"}] * 2}), {"LKD507": ("warning", "high")}),
        # fields: never known, known to some, of a server that nobody ran
        (token(roomConfig={**AGENTS, "odd": 1}), {"LKD509": ("warning", "medium")}),
        (token("1.13.5", roomConfig={**AGENTS, "odd": 1}), {"LKD509": ("warning", "high")}),
        (token("1.9.12", roomConfig={**AGENTS, "odd": 1}), {"LKD509": SURE}),
        (token("1.99.0", roomConfig={**AGENTS, "odd": 1}), {}),
        (token("1.10.0", roomConfig={**AGENTS, "tags": {"a": "b"}}), {}),
        (token("1.9.12", roomConfig={**AGENTS, "tags": {"a": "b"}}), {"LKD509": SURE}),
        # form and type
        (token(metadata=["m"]), {"LKD501": SURE}),
        (token(roomConfig={"agents": ["a"]}), {"LKD501": SURE}),
        (token(header={"alg": "RS256"}), {"LKD502": SURE}),
        (token(header={"alg": "HS512"}), {"LKD502": LIKELY}),
        (token(iss=None), {"LKD502": SURE}),
    ],
    ids=range(50),
)  # fmt: skip
def test_edges(given: Token, found: dict[str, tuple[str, str]]) -> None:
    assert judged(given) == (found, set())


def test_a_field_that_only_old_servers_refuse_stays_open_until_the_version_is_known() -> None:
    given = token(roomConfig={"agents": [{"agentName": "a", "deployment": "blue"}]})
    assert judged(given) == ({}, {"LKD509"})
    assert judged(given, server=LiveServer("ws://x", "1.13.5")) == ({}, set())
    assert judged(given, server=LiveServer("ws://x", "1.11.0")) == ({"LKD509": SURE}, set())
    assert judged(given, server=LiveServer("ws://x", "1.11.0", edition="Cloud")) == ({}, {"LKD509"})
    run = ServerRun("server.log", version="1.11.0")
    assert judged(given, runs=[run])[0]["LKD509"] == SURE


def test_the_sentences_say_what_the_server_does() -> None:
    def said(one: Token) -> str:
        return " ".join(report.sentences(report.shown(one, one.server_version, Redactor())))

    assert '"a", 2 times are dispatched' in said(token("1.13.5", roomConfig={"agents": [{"agentName": "a"}] * 2}))
    assert 'the agents of the preset "p" are dispatched' in said(token("1.13.5", roomConfig=None, roomPreset="p"))
    assert "a worker without a name gets it" in said(token("1.13.5", roomConfig=None))
    assert "does not keep the room open" in said(token("1.13.5", kind="egress"))
    assert "hidden from the other participants" in said(token("1.13.5", video={**VIDEO, "hidden": True}))
    assert "A server refuses it (1.13.5), HTTP 401: It expired" in said(token("1.13.5", exp=NOW - 999))
    several = said(token(roomConfig=None, RoomConfig=AGENTS))
    assert 'New room (1.13.5): "alice" makes room "call": "a" is dispatched.' in several
    assert "New room (1.11.0, 1.9.12, 1.8.4)" in several


def test_a_known_version_has_one_fate_and_an_unknown_one_as_many_as_differ() -> None:
    assert len(token_rules.fates(token("1.12.3"), "1.12.3")) == 1
    assert [len(versions) for versions in token_rules.fates(token(), "").values()] == [4]
