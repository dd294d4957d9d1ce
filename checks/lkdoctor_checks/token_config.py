"""Which agents does the token bring, and is what it says of them read?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lkdoctor.dispatch import rules, token_claims, token_rules
from lkdoctor.dispatch.token_claims import CASE_BLIND, SEEN, SKIPS_UNKNOWN_FIELDS
from lkdoctor.dispatch.token_lost import Lost, lost
from lkdoctor.dispatch.tokens import Token
from lkdoctor.doctor.codes import ROOM_CONFIG_KEY, TOKEN_AGENTS_DOUBLED, TOKEN_NO_AGENTS, UNKNOWN_FIELDS
from lkdoctor.doctor.evidence import Evidence, Tokens
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _tokens
from lkdoctor_checks import _words as words

SPELLING = 'Write it exactly so, beside `video`: "roomConfig": {"agents": [{"agentName": "…"}]}.'


@check(ROOM_CONFIG_KEY)
def room_config_key(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token's roomConfig (or roomPreset) is misspelt or in the wrong place, so its agents never come.

    ## What it means
    The server looks for `roomConfig` and `roomPreset` beside `video`, spelt exactly so, and reads over everything else
    without a word. The join works, the room is made, and only workers without a name are asked.

    ## How it is decided
    `room_config`, `roomConfiguration`, `agents` outside of it, and `roomConfig` inside of `video` are read by no version.
    Other letter case (`RoomConfig`) is read by 1.13.5 and ignored by 1.11.0, 1.9.12 and 1.8.4. Inside of roomConfig a
    misspelt `agents` or `agentName` makes servers up to 1.11.0 refuse the token (401 `unknown field`), and is read over
    by 1.13.5: an entry without a name then asks for the worker without a name. All seen.

    ## How to fix
    Write `"roomConfig": {"agents": [{"agentName": "…"}]}` beside `video`, or let an SDK write it
    (`with_room_config(RoomConfiguration(agents=[RoomAgentDispatch(agent_name="…")]))`).

    ## When it is not a problem
    `agent_name` inside of an entry is read like `agentName`. Where the same also stands in its right place nothing is
    lost. `RoomConfig` on a server from 1.13.0 on is read.
    """
    del tokens
    for token in _tokens.readable(evidence):
        if token_rules.purpose(token.claims) not in {"person", "recorder"}:
            continue
        version = _tokens.version_of(token, evidence)
        found = [one for one in lost(token.claims) if not (one.case_only and rules.since(version, CASE_BLIND))]
        if not found:
            continue
        surely = version or not all(one.case_only for one in found)
        first = found[0]
        yield _tokens.finding(
            ROOM_CONFIG_KEY,
            token,
            f"has {words.listed(f'`{one.path}`' for one in found)}, which {_what_happens(found, version)}; its right place is "
            f"`{first.right}`.",
            _tokens.inspect_again("Put it where the server looks", SPELLING),
            at=first.path.split(".")[0],
            severity=Severity.ERROR if surely else Severity.WARNING,
            confidence=Confidence.HIGH if surely else Confidence.MEDIUM,
            paths=[one.path for one in found],
            belongs=[one.right for one in found],
        )


def _what_happens(found: list[Lost], version: str) -> str:
    if all(one.case_only for one in found):
        return "the server does not read" if version else "servers before 1.13.0 do not read"
    if not any(one.inside for one in found):
        return "no server reads"
    skips = rules.since(version, SKIPS_UNKNOWN_FIELDS)
    if skips is None:
        return "servers up to 1.11.0 refuse the token for (401) and newer ones do not read"
    return "the server does not read" if skips else "the server refuses the token for (401)"


@check(TOKEN_NO_AGENTS)
def token_no_agents(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token names no agent: only workers without a name will come.

    ## What it means
    A room that is made by a join without agents asks for the worker without a name, once. A worker that registers with a
    name is not asked. That is right where agents come by CreateDispatch, by CreateRoom or for SIP calls.

    ## How it is decided
    The token of a visible person has neither agents nor a preset. An empty list and entries without a name do the same
    (seen on 1.13.5, 1.11.0, 1.9.12 and 1.8.4).

    ## How to fix
    To bring a named agent with the join, put it into `roomConfig.agents`.

    ## When it is not a problem
    Where the backend makes the dispatch, or the worker has no name on purpose. Tokens of agents, recorders, hidden
    watchers, workers and the API are not meant to bring an agent, and are not reported.
    """
    del tokens
    for token in _tokens.readable(evidence):
        claims = token.claims
        version = _tokens.version_of(token, evidence)
        named = any(one.wanted.agent_name for one in token_claims.entries(claims, version or None))
        if (
            token_rules.purpose(claims) != "person"
            or named
            or token_claims.preset(claims, version or None)
            or lost(claims)
            or token_claims.granted(claims, "hidden", None)
            or token_rules.dependent(claims, None)
            or all(token_rules.fate(token, one).refused for one in _tokens.versions(token, evidence))
        ):
            continue
        yield _tokens.finding(
            TOKEN_NO_AGENTS,
            token,
            "names no agent: when its join makes the room, a worker without a name is asked, and none with a name.",
            Fix(
                "Name the agent, if one is to come with the join",
                steps=(SPELLING, "Or make the dispatch in the backend (CreateDispatch, or agents in CreateRoom)."),
            ),
            at="video",
        )


@check(TOKEN_AGENTS_DOUBLED)
def token_agents_doubled(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token names the same agent twice, so two of it come.

    ## What it means
    Each entry is a dispatch of its own: two entries of one name bring two agents into the room, which talk over each
    other. Lists that are put together from defaults and from the request end like that.

    ## How it is decided
    Two entries have the same name, deployment, metadata and attributes. Two jobs of that name were launched on 1.13.5,
    1.11.0, 1.9.12 and 1.8.4.

    ## How to fix
    Name it once, in the list of defaults or in the request, not in both.

    ## When it is not a problem
    Entries of one name with different metadata are two roles of one worker, which is a good way to bring two agents;
    so are entries for different deployments.
    """
    del tokens
    for token in _tokens.readable(evidence):
        version = _tokens.version_of(token, evidence)
        number = Counter(token_claims.entries(token.claims, version or None))
        doubled = {one.wanted: count for one, count in number.items() if count > 1}
        if not doubled or token_rules.purpose(token.claims) not in {"person", "recorder"}:
            continue
        names = words.listed(f"{words.quoted(one.agent_name)} {count} times" for one, count in doubled.items())
        yield _tokens.finding(
            TOKEN_AGENTS_DOUBLED,
            token,
            f"names {names}: each entry brings an agent of its own into a new room.",
            _tokens.inspect_again("Name it once", "Two roles of one agent are told apart by different metadata."),
            at="roomConfig",
            agent_names=[one.agent_name for one in doubled],
        )


@check(UNKNOWN_FIELDS)
def token_unknown_fields(tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """The token itself shows the field: it is held against the server's version where that is known."""
    del tokens
    for token in _tokens.readable(evidence):
        version = _tokens.version_of(token, evidence)
        misspelt = {one.path for one in lost(token.claims)}
        by_version = {
            one: [each for each in token_claims.unknown_fields(token.claims, one) if each.path not in misspelt]
            for one in _tokens.versions(token, evidence)
        }
        never = by_version.get(SEEN[0], []) if not version else []
        fields = never or by_version.get(version, [])
        if rules.since(version, SKIPS_UNKNOWN_FIELDS) and rules.parse_version(version) != rules.parse_version(SEEN[0]):
            continue  # the server may know what was not run
        if fields:
            refused = rules.since(version, SKIPS_UNKNOWN_FIELDS) is False
            effect = {
                True: "the server refuses the token for it (401)",
                False: "servers up to 1.11.0 refuse the token for it (401), newer ones read over it",
            }[refused]
            if version and not refused:
                effect = "the server reads over it"
            yield _fields(token, [one.path for one in fields], effect, refused=refused, sure=bool(version))
        elif not version and any(by_version.values()):
            some = next(found for found in by_version.values() if found)
            refusing = [one for one, found in by_version.items() if found]
            yield Inconclusive(
                _tokens.subject(token),
                f"Whether it is refused depends on the server: {words.listed(f'`{one.path}`' for one in some)} is not known "
                f"to livekit-server {', '.join(refusing)}, which answered 401 to such tokens.",
                "Give the server's version (--server-version), or its log.",
                (token.at("roomConfig"),),
            )


def _fields(token: Token, paths: list[str], effect: str, *, refused: bool, sure: bool) -> Finding:
    return _tokens.finding(
        UNKNOWN_FIELDS,
        token,
        f"has {words.listed(f'`{one}`' for one in paths)}: {effect}.",
        _tokens.inspect_again("Leave the field out", "Or update livekit-server to a version that knows it."),
        at="roomConfig",
        severity=Severity.ERROR if refused else Severity.WARNING,
        confidence=Confidence.HIGH if sure else Confidence.MEDIUM,
        fields=paths,
    )
