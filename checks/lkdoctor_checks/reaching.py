"""Can the server be reached: does something answer at the address, in the right protocol, and do websockets get through?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from lkdoctor.dispatch.connection import Step
from lkdoctor.doctor.codes import SERVER_UNREACHABLE, UPGRADE_BLOCKED, URL_SCHEME
from lkdoctor.doctor.evidence import Steps
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _way as way
from lkdoctor_checks import _words as words

_LOCAL: Final = ("localhost", "127.", "[::1]")


@check(SERVER_UNREACHABLE)
def server_unreachable(steps: Steps) -> Iterator[Finding]:
    """Nothing answers at the server's address, or what answers is no livekit-server.

    ## What it means
    The way to a server has steps: its name becomes an address, the address takes a TCP connection, TLS is agreed on, `GET /`
    is answered, and an API call is. The finding names the first that failed. Workers and participants that use the same URL
    from the same machine fail at the same step.

    ## How it is decided
    Each step was tried once, with a time limit of its own. `no-address`: the name is unknown here. `refused`: the machine is
    there and nothing listens on the port. `timeout` at TCP: packets vanish, as behind a firewall. `timeout` at HTTP: the port
    takes connections and nobody speaks, as of a process that hangs or was stopped. `certificate`: TLS works, the certificate
    does not (its end, its name, who signed it). `gateway`: a proxy answers and the server behind it does not. `no-route`
    and `not-livekit`: some other program, or a wrong path. All were played on real listeners and a real nginx.

    ## How to fix
    By the step: correct the name, start the server, open the port, renew the certificate, mend the proxy's upstream or the
    URL's path. Inside a container `localhost` is the container itself.

    ## When it is not a problem
    A proxy may answer `GET /` with anything (404, a page, a redirect to a web site): only the API call counts. A slow server
    that answers within the time limit is reachable. From another network the same address may work or not, and so it may
    through a proxy that the environment names (HTTPS_PROXY), which Python workers use and lkdoctor does not: then the
    finding says so, with medium confidence.
    """
    for one in way.walks(steps):
        step = one.broken
        if step is None or step.trouble in {"not-tls", "is-tls", "redirect", *way.TOKEN}:
            continue
        host = one.host
        yield way.finding(
            SERVER_UNREACHABLE,
            Subject("server", id=one.shown),
            f"{one.shown} cannot be used: {_what(step, one)}.{f' But {one.proxied}' if one.proxied else ''}",
            [step, *(other for other in one.steps if other is not step and other.trouble == step.trouble)],
            {"step": step.name, "trouble": step.trouble, "target": step.target, "error": step.error, "url": one.shown},
            (_unreachable_fix(step, host, one),),
            confidence=Confidence.MEDIUM if one.proxied else Confidence.HIGH,
        )


def _what(step: Step, walk: way.Walk) -> str:
    """The failed step in words."""
    said = f' ("{step.error}")' if step.error else ""
    seconds = words.span(step.seconds)
    match step.name, step.trouble:
        case "dns", "timeout":
            return f"the name service did not answer within {seconds}"
        case "dns", _:
            return f"the name {step.target} is not known here{said}"
        case "tcp", "refused":
            return f"nothing listens on {step.target} (connection refused)"
        case "tcp", "timeout":
            return f"{step.target} did not take a connection within {seconds}; a firewall drops packets like this"
        case "tcp", _:
            return f"no connection to {step.target}{said}"
        case "tls", "certificate":
            return f"the certificate of {step.target} is not accepted{said}"
        case "tls", "timeout":
            return f"{step.target} takes connections and does not speak TLS within {seconds}"
        case "tls", _:
            return f"no TLS with {step.target}{said}"
        case _, "timeout":
            return f"{walk.netloc} takes connections and does not answer within {seconds}, as a process that hangs or was stopped"
        case _, "gateway":
            return f"a proxy answers {step.status} for {step.target}, so the server behind it does not answer it"
        case _, "no-route" | "not-livekit" | "not-http":
            added = f"; it ends in {walk.added_path}, which programs add themselves" if walk.added_path else ""
            return f"something answers there, and it is not LiveKit's API at this path{said}{added}"
        case _, "denied":
            return f"{step.target} is refused with {step.status}{said}, which are not livekit-server's words"
        case _:
            return f"{step.target} is not answered{said}"


def _unreachable_fix(step: Step, host: str, walk: way.Walk) -> Fix:
    verify = (f"lkdoctor check --url {words.shell(walk.shown)}",)
    port = walk.netloc.rpartition(":")[2]
    match step.name, step.trouble:
        case "dns", _:
            return Fix(
                "Use a name that this machine can resolve",
                steps=(
                    "Compare the URL letter by letter with the server's name.",
                    "A service name of docker compose or Kubernetes is known only inside that network.",
                ),
                commands=(f"getent hosts {words.shell(host)}",),
                verify=verify,
            )
        case "tcp", "refused":
            steps = [f"Start livekit-server, or correct the port: it listens on 7880 unless configured, not on {port}."]
            if port == "7880":
                steps = ["Start livekit-server, and look at `port` and `bind_addresses` in its configuration."]
            if host.startswith(_LOCAL):
                steps.append(
                    "Inside a container localhost is the container itself: use the service's name, or host.docker.internal."
                )
            return Fix(
                "Start the server or correct the port", steps=tuple(steps), commands=("ss -ltnp",), verify=verify
            )
        case "tcp", _:
            return Fix(
                "Let packets through to the port",
                steps=(
                    f"Open TCP port {port} in firewalls and security groups between here and the server.",
                    "A private address (10., 172.16., 192.168.) works only inside its own network.",
                ),
                commands=(f"nc -vz {words.shell(host)} {port}",),
                verify=verify,
            )
        case "tls", "certificate":
            return Fix(
                "Give the server a certificate that its clients accept",
                steps=(
                    "Look at the certificate's names, its end and who signed it; send the whole chain, not the last link.",
                    f"The URL must use a name that stands in the certificate, not an IP: now it is {host}.",
                    "With an authority of your own, every client needs it: SSL_CERT_FILE for Python and OpenSSL.",
                ),
                commands=(
                    (
                        f"openssl s_client -connect {walk.netloc} -servername {words.shell(host)} </dev/null | "
                        "openssl x509 -noout -subject -issuer -enddate -ext subjectAltName"
                    ),
                ),
                verify=verify,
            )
        case _, "gateway":
            return Fix(
                "Start the server behind the proxy, or correct the proxy's upstream",
                steps=(
                    "Ask livekit-server from the proxy's own machine, past the proxy.",
                    "Compare the upstream's host and port in the proxy's configuration with the server's `port`.",
                ),
                commands=("curl -i http://127.0.0.1:7880/",),
                verify=verify,
            )
        case _, "no-route" | "not-livekit" | "not-http" if walk.added_path:
            shorter = walk.shown.rstrip("/").removesuffix(walk.added_path)
            return Fix(
                f"Take {walk.added_path} off the URL",
                steps=(f"Write {shorter} wherever the URL is kept: SDKs add /rtc, /agent and /twirp themselves.",),
                verify=(f"lkdoctor check --url {words.shell(shorter)}",),
            )
        case _, "no-route" | "not-livekit" | "not-http" | "denied":
            return Fix(
                "Point the URL at livekit-server",
                steps=(
                    "livekit-server answers `GET /` with the word OK; whatever else answers is not it, or stands before it.",
                    (
                        "Behind a proxy with a path prefix the prefix belongs into the URL, for Node workers with a slash at its "
                        "end, and the proxy must take it off."
                    ),
                    "Leave /rtc, /agent and /twirp out of the URL: programs add them.",
                ),
                commands=(f"curl -i {words.shell(walk.base + '/')}",),
                verify=verify,
            )
        case _:
            return Fix(
                "Find out why the server does not answer",
                steps=(
                    "Look whether the process runs and is not stopped (state T) or swapped out, and read its last log lines.",
                    "Ask it on its own machine: where that works, something between drops the answers.",
                ),
                commands=("ps -o pid,stat,etime,args -C livekit-server", f"curl -im 5 {words.shell(walk.base + '/')}"),
                verify=verify,
            )


@check(URL_SCHEME)
def url_scheme(steps: Steps) -> Iterator[Finding]:
    """The URL's scheme does not fit: TLS against a plain port, plain against TLS, a redirect, or no scheme at all.

    ## What it means
    `ws` and `http` are plain, `wss` and `https` are TLS; for LiveKit `ws` and `http` mean the same server, and so do `wss`
    and `https`. A URL of the other kind reaches the port and is not understood there. A redirect from one to the other
    does not help: SDKs follow it and leave the token behind, because it leads to another origin.

    ## How it is decided
    `wss` against plain: the handshake fails because the answer is no TLS. `ws` against TLS: the server or proxy says that it
    got plain HTTP on its TLS port, or answers in TLS. Redirects: an API call is answered with 301, 302, 307 or 308. Tried
    with livekit-api, an agent worker's websocket and a participant of the Python SDKs, on own ports and on 80 to 443: after
    301 and 302 an API call becomes a GET (`bad_route`), after 307 and 308 it has no token, and both websockets get 401.
    No scheme: lkdoctor assumes one and says so; SDKs take the URL as it stands and fail.

    ## How to fix
    Write the URL as the server is really reached; the finding names it where it is known.

    ## When it is not a problem
    A redirect of `/` alone, such as to a web site, disturbs nobody as long as API calls are answered. A URL typed without a
    scheme on lkdoctor's own command line harms nobody else and is information. Plain `ws` behind a proxy that does the
    TLS is right for whoever is behind it, too.
    """
    for one in way.walks(steps):
        if one.url is not None and one.url.trouble == "no-scheme":
            yield _no_scheme(one.url)
        step = one.broken
        if step is None or step.trouble not in {"not-tls", "is-tls", "redirect"}:
            continue
        if step.trouble == "redirect":
            meant = str(step.values.get("location", "")).partition("/twirp/")[0]
            text = f"answers API calls with a redirect to {meant}, on which SDKs lose the token or turn the call into a GET"
        else:
            meant = _other_scheme(one.base)
            text = (
                "asks for TLS, and the port answers in plain text"
                if step.trouble == "not-tls"
                else "is plain, and the port speaks TLS"
            )
        shown = meant.replace("http", "ws", 1) if meant.startswith("http") else meant
        yield way.finding(
            URL_SCHEME,
            Subject("server", id=one.shown),
            f"{one.shown} {text}: it should be {shown}.",
            [step],
            {"trouble": step.trouble, "url": one.shown, "meant": shown, "error": step.error},
            (
                Fix(
                    "Correct the scheme of the URL",
                    steps=(
                        f"Write {shown} wherever the URL is kept: the environment of workers, the backend, the clients.",
                        "Restart what read the old one.",
                    ),
                    commands=(f"export LIVEKIT_URL={words.shell(shown)}",),
                    verify=(f"lkdoctor check --url {words.shell(shown)}",),
                ),
            ),
        )


def _other_scheme(base: str) -> str:
    scheme, _, rest = base.partition("://")
    return f"{'ws' if scheme in {'wss', 'https'} else 'wss'}://{rest}"


def _no_scheme(step: Step) -> Finding:
    """What is typed for lkdoctor alone harms nobody; what workers read does."""
    origin = way.origin(step, "url")
    harmless = origin.startswith("--") or not origin
    given, assumed = str(step.values.get("given", step.target)), str(step.values.get("url", step.target))
    return way.finding(
        URL_SCHEME,
        Subject("env", id=origin or "--url"),
        f"The URL {given} of {origin or '--url'} has no scheme; lkdoctor took it as {assumed}, SDKs do not.",
        [step],
        {"url": given, "assumed": assumed, "origin": origin},
        (Fix("Write the URL with its scheme", steps=(f"Write {assumed}, or the scheme that the server really has.",)),),
        severity=Severity.INFO if harmless else URL_SCHEME.severity,
    )


_DOORS: Final = {
    "/agent": ("workers cannot register", "the agents"),
    "/rtc": ("participants and agents cannot join rooms", "everybody"),
}
_NGINX: Final = (
    "proxy_http_version 1.1;",
    "proxy_set_header Upgrade $http_upgrade;",
    'proxy_set_header Connection "upgrade";',
    "proxy_set_header Host $host;",
    "proxy_read_timeout 1h;",
)


@check(UPGRADE_BLOCKED)
def upgrade_blocked(steps: Steps) -> Iterator[Finding]:
    """The API answers, but websockets do not get through: a proxy drops the upgrade, or does not know the path.

    ## What it means
    Workers keep a websocket on `/agent`, participants one on `/rtc` (newer clients on `/rtc/v1`). A proxy must pass the
    Upgrade header on for each of these paths. Where only `/agent` lacks it, people talk in rooms and no worker ever
    registers; where only `/rtc` lacks it, workers register, take jobs, and their agents never join.

    ## How it is decided
    An API call was answered by livekit-server. On `/agent` a websocket with the agent grant opens when all is well. On
    `/rtc` the server answers `identity cannot be empty` to a token without one, which it does only for an upgrade. Asked
    without an Upgrade header it answers 404 with an empty body on both, seen on 1.8.4 to 1.13.5: that is what a proxy gets
    that dropped the header. Any other answer (404 with a page, 200, 403, 426, 502) is the proxy's own: it has no route
    for the path, or forbids it.

    ## How to fix
    nginx passes the header only when told, in every `location` that leads to the server:

        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_read_timeout 1h;

    Caddy (`reverse_proxy 127.0.0.1:7880`) and Traefik pass it by themselves: there a matcher or router rule leaves the path
    out; it must cover `/agent`, `/rtc` and `/twirp`. Apache needs mod_proxy_http with `upgrade=websocket` on ProxyPass, or
    mod_proxy_wstunnel. A CDN may have websockets switched off for the site.

    ## When it is not a problem
    A server that is meant for participants only may hide `/agent` from the outside, when its workers come from the inside.
    Servers up to 1.8.4 have no `/rtc/v1`; its 404 `page not found` is not reported.
    """
    for one in way.walks(steps):
        if not any(step.ok for step in one.calls):
            continue
        failed = [step for step in one.upgrades if not step.ok and step.trouble != "not-tried"]
        for door, (harm, who) in _DOORS.items():
            mine = [step for step in failed if step.target == door or step.target.startswith(f"{door}/")]
            if not mine:
                continue
            partly = all(step.target != door for step in mine)
            yield _blocked(one, door, mine, harm, who, partly=partly)


def _blocked(walk: way.Walk, door: str, failed: Sequence[Step], harm: str, who: str, *, partly: bool) -> Finding:
    paths = words.listed(step.target for step in failed)
    first = failed[0]
    if first.trouble == "not-upgraded":
        why = "the Upgrade header is lost on the way (the server answers 404 with an empty body, as to a plain request)"
    elif first.trouble == "timeout":
        why = f"there is no answer within {words.span(first.seconds)}"
    elif first.trouble == "no-route":
        why = f'a proxy does not know the path (404 "{first.error}")'
    else:
        why = f'the answer is {first.status or "none"} "{first.error}", which is not livekit-server\'s'
    effect = "newer clients have to fall back to /rtc" if partly else harm
    proxy = str(first.values.get("server", ""))
    behind = f" The answer names {proxy}." if proxy else ""
    return way.finding(
        UPGRADE_BLOCKED,
        Subject("server", id=f"{walk.shown}{door}"),
        f"The API answers, but no websocket gets through on {paths}: {why}; so {effect}.{behind}",
        failed,
        {"door": door, "trouble": first.trouble, "status": first.status, "proxy": proxy, "who": who},
        (_upgrade_fix(walk, door, proxy.lower(), first.trouble),),
        severity=Severity.WARNING if partly else UPGRADE_BLOCKED.severity,
    )


def _upgrade_fix(walk: way.Walk, door: str, proxy: str, trouble: str) -> Fix:
    path = f"{walk.prefix}{door}"
    nginx = f"nginx, in the `location` that matches {path}: {' '.join(_NGINX)}"
    others = (
        f"Caddy: `reverse_proxy 127.0.0.1:7880` for every path, or a matcher that covers {path}*.",
        f"Traefik: a router rule that covers PathPrefix(`{path}`), and no middleware that buffers or compresses it.",
        "Apache: `ProxyPass / http://127.0.0.1:7880/ upgrade=websocket`.",
        "A CDN or load balancer: switch websockets on, and set its idle timeout to an hour.",
    )
    if trouble == "no-route":
        nginx = f"nginx: a `location {path}` with proxy_pass to livekit-server and these lines: {' '.join(_NGINX)}"
    steps = (nginx,) if "nginx" in proxy or "openresty" in proxy else (nginx, *others)
    return Fix(
        f"Let websockets through the proxy on {door}",
        steps=steps,
        commands=("nginx -t && nginx -s reload",) if "nginx" in proxy else (),
        caveats=("A reload keeps running websockets; a restart drops them.",),
        verify=(f"lkdoctor check --url {words.shell(walk.shown)}",),
    )
