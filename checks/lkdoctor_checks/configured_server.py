"""By the project's files: will the server start with its livekit.yaml, and does that allow what is planned?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch import server_keys
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.plan import Plan
from lkdoctor.dispatch.project import Server
from lkdoctor.dispatch.settings import Setting
from lkdoctor.dispatch.token_claims import preset
from lkdoctor.doctor.codes import SERVER_CONFIG, UNKNOWN_PRESET
from lkdoctor.doctor.evidence import Evidence, Facts, Tokens
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _plan, _tokens
from lkdoctor_checks import _words as words


@check(SERVER_CONFIG)
def server_file(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files: livekit.yaml holds a key that the server's version refuses to start over (the keys were asked
    of 1.8.4, 1.9.12, 1.11.0 and 1.13.5, two levels deep), is no YAML, lets nobody make the room that a planned dispatch
    needs, has `${NAME}` for a key or a secret (1.7.0 and 1.13.5 take that text itself; medium confidence, as something may fill
    the file in before), or several replicas of the server have no redis between them
    (neither there nor by `--redis-host` or REDIS_HOST). Between two of those versions a key that only one
    of them knows is not judged."""
    del settings
    plan = _plan.plan_of(evidence)
    for server in plan.project.servers.values():
        yield from _of_server(server, plan, evidence)
    if plan.project.server.files:
        yield from _no_room(plan)


def _of_server(server: Server, plan: Plan, evidence: Evidence) -> Iterator[Finding]:
    for one in server.files:
        if one.key == "server.not_yaml":
            yield _finding(
                one,
                f"livekit.yaml is no valid YAML ({one.where}: {one.value}): the server prints one bare line and ends, with exit "
                "status 0.",
                Fix(
                    "Correct the file", steps=(f"Correct {one.where}.",), verify=("`starting LiveKit server` appears.",)
                ),
                Confidence.HIGH,
            )
    if server.files:
        yield from _unknown_keys(server, _plan.version_of(plan, evidence) or _own_version(server))
        yield from _unfilled(server)
    yield from _islands(server)


def _own_version(server: Server) -> str:
    """What its image says, where there are several servers."""
    return server.version.value if server.version is not None and server.version.known else ""


def _unknown_keys(server: Server, version: str) -> Iterator[Finding]:
    sections = server_keys.known_sections()
    refused_sections: set[str] = set()
    for key, one in sorted(server.settings.items(), key=lambda item: (item[1].file, item[1].line)):
        section, _, name = key.partition(".")
        if section in refused_sections or (name and section not in sections):
            continue
        if server_keys.refuses(key, version or None) is not True:
            continue
        refused_sections.add(key)
        since = server_keys.since_words(key)
        meant = "" if since else server_keys.meant(key)
        which = f"livekit-server {version}" if version else "livekit-server"
        advice = f" It is known by others: {since}." if since else f" Did you mean `{meant}`?" if meant else ""
        yield _finding(
            one,
            f"{which} does not know `{key}` ({one.where}): it prints one bare line and ends, with exit status 0.{advice}",
            Fix(
                f"Write `{meant}`" if meant else f"Take `{key}` out" + (", or update the server" if since else ""),
                steps=(
                    f"Change {one.where}.",
                    "Let the server's supervisor restart it always, not on failure only: it ends with status 0.",
                ),
                verify=("`starting LiveKit server` appears.",),
            ),
            Confidence.HIGH,
        )


def _unfilled(server: Server) -> Iterator[Finding]:
    """Compose fills in its own file only; a file that is mounted comes to the server as it is written."""
    names = list(dict.fromkeys(one.value for one in server.unfilled))
    if not names or "server.entrypoint" in server.settings:
        return
    first = server.unfilled[0]
    yield _finding(
        first,
        f"livekit.yaml has {words.listed([f'`{one}`' for one in names])} where a key or its secret belongs ({first.where}): the "
        "server fills in no variables, so that this text itself is the key or the secret, and who has the real ones is refused.",
        Fix(
            "Give the server its real keys",
            steps=(
                (
                    "Take `keys` out of livekit.yaml, and give the server key and secret, with a colon and a blank between, "
                    "in its variable LIVEKIT_KEYS: that one Compose fills in."
                ),
                "Or fill the file in before the server starts (`envsubst`), where nothing does that yet.",
            ),
            verify=("`lkdoctor check --url URL` with the worker's variables finds the way open.",),
        ),
        Confidence.MEDIUM,  # something may fill it in before it is mounted
    )


def _no_room(plan: Plan) -> Iterator[Finding]:
    found = plan.project.server.settings.get("room.auto_create")
    if found is None or found.value.lower() != "false":
        return
    hit = [one for one in plan.rooms if one.made_by != "create-room"]
    if not hit:
        return
    yield _finding(
        found,
        f"`room.auto_create` is off ({found.where}), and {words.listed(words.marked(one.called) for one in hit)} "
        f"{'is' if len(hit) == 1 else 'are'} to be made by {'a join' if hit[0].made_by == 'join' else 'CreateDispatch'} "
        f"({hit[0].where}): joins end with 404, CreateDispatch with 503, and nothing is dispatched.",
        Fix(
            "Let the room be made",
            steps=("Call CreateRoom first, or set `room: {auto_create: true}`, and restart the server.",),
            caveats=("From 1.12.0 on a token with the grant `roomCreate` makes the room all the same.",),
            verify=("`lkdoctor check .` finds nothing.",),
        ),
        Confidence.MEDIUM,
        *(one.place for one in hit[:2]),
    )


def _islands(server: Server) -> Iterator[Finding]:
    count = int(server.replicas.value) if server.replicas is not None and server.replicas.value.isdigit() else 1
    if (
        count < 2
        or server.replicas is None
        or not server.files
        or any(key.partition(".")[0] == "redis" or key == "server.redis" for key in server.settings)
    ):
        return
    yield _finding(
        server.replicas,
        f"{count} replicas of the server are started ({server.replicas.where}) and livekit.yaml has no `redis`: each of them "
        "sees only its own workers and rooms.",
        Fix(
            "Give the servers one redis",
            steps=("Set `redis: {address: …}` in livekit.yaml, or start one server.",),
            verify=("`connecting to redis` stands in each server's log.",),
        ),
        Confidence.HIGH,
    )


def _finding(one: Setting, message: str, fix: Fix, confidence: Confidence, *more: Place) -> Finding:
    return Finding(
        SERVER_CONFIG,
        Subject("file", id=f"{one.file.rpartition('/')[2]} {one.key}"),
        message,
        Severity.ERROR,
        confidence,
        {"key": one.key, "file": one.file, "line": one.line},
        (one.place, *more),
        (fix,),
    )


@check(UNKNOWN_PRESET)
def preset_of_a_token(settings: Facts[Setting], tokens: Tokens, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files and a sample token: the token names a room preset that livekit.yaml, which is in view whole, does
    not have under `room.room_configurations`. The join then ends with status 500 (seen on 1.13.5 and 1.8.4)."""
    del settings, tokens
    plan = _plan.plan_of(evidence)
    servers = plan.project.servers.values()
    whole = [one for server in servers for one in server.files if one.key == "server.file"]
    if not whole:
        return
    known = sorted({one.value for server in servers for one in server.presets if one.key == "preset"})
    for token in _tokens.readable(evidence):
        name = preset(token.claims, _plan.version_of(plan, evidence) or None)
        if not name or name in known:
            continue
        yield _tokens.finding(
            UNKNOWN_PRESET,
            token,
            f"names the room preset {words.quoted(name)}, which {whole[0].file} does not have"
            + (f" (it has {words.listed(words.quoted(one) for one in known)})." if known else "."),
            Fix(
                "Name a preset that is there",
                steps=(
                    f"Add it under `room.room_configurations` in {whole[0].file}, or take `roomPreset` out of the token.",
                ),
                verify=("`lkdoctor check .` finds nothing.",),
            ),
            at="roomPreset",
            preset=name,
            known=known,
        )
