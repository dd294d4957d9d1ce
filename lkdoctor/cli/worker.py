"""`lkdoctor worker`: the reference worker, and batches of conversations between two of its agents."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

import click

from lkdoctor.cli import live_options

if TYPE_CHECKING:
    from lkdoctor.collect.target import Target


_LONGEST_PREFIX: Final = 64


class _RefusedError(click.ClickException):
    exit_code = 2


@click.command("worker")
@click.option("--name", default="", metavar="NAME", help="The agent name, one for all replicas of a deployment.")
@click.option("--auto-dispatch", is_flag=True, help="Register without a name: one such worker gets each new room.")
@click.option("--role", metavar="ROLE", help="Role of jobs whose metadata names none [default: the agent name].")
@click.option("--zero-load", is_flag=True, help="Always report load 0: for one worker that shall never be refused.")
@click.option("--stt", default="offline", show_default=True, metavar="MODEL", help="As deepgram/nova-3.")
@click.option("--llm", default="offline", show_default=True, metavar="MODEL", help="As openai/gpt-4o-mini.")
@click.option("--tts", default="offline", show_default=True, metavar="MODEL", help="As openai/gpt-4o-mini-tts.")
@click.option("--voice", "voices", multiple=True, metavar="ROLE=VOICE", help="Voice of a role. Repeatable.")
@click.option("--turns", default=6, show_default=True, type=click.IntRange(1), help="Turns of two agents with models.")
@click.option("--log-text", is_flag=True, help="Write real speech into the log (the offline voice's words always are).")
@click.option("--vad", metavar="off|0..1", help="Voice detection: none, or one of this threshold.")
@click.option("--manual-turns", is_flag=True, help="Never end a turn: it understands, and does not answer.")
@click.option("--no-echo", is_flag=True, help="The offline voice listens, and does not answer.")
@click.option("--http-host", default="127.0.0.1", show_default=True, help="Where its HTTP endpoint listens.")
@click.option("--http-port", default=8081, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--idle", default=2, show_default=True, type=click.IntRange(0, 32), help="Processes kept warm.")
@click.option("--drain", default=60, show_default=True, type=click.IntRange(1), help="Seconds for jobs when stopped.")
@live_options.server()
@click.option("--conversations", type=click.IntRange(1, 10_000), metavar="N", help="Run N conversations and report.")
@click.option("--parallel", default=2, show_default=True, type=click.IntRange(1, 100), metavar="M", help="At once.")
@click.option("--shape", type=click.Choice(["a", "b", "c"]), default="b", show_default=True, help="See docs/worker.md.")
@click.option("--lines", default=2, show_default=True, type=click.IntRange(1, 50), help="Words a conversation.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(5), help="For one conversation.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--room-prefix", default="talk-", show_default=True, metavar="TEXT", help="Of rooms and agents in a batch."
)
@click.option("-o", "--output", metavar="FILE.zip|DIR", help="Write the batch as a case that `lkdoctor check` reads.")
@click.option("--force", is_flag=True, help="Replace an older case of that name.")
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
def command(server: live_options.Live, **given: Any) -> None:
    """Run a LiveKit agent that simply works; or prove that two agents hear each other, many times over.

    Without --conversations it serves jobs until it is stopped (Ctrl-C). With it, it starts the workers that it needs, lets
    N pairs of agents talk in rooms of their own, and tells who came and who heard what; exit status 1 when one failed.
    """
    from lkdoctor.collect.credentials import CredentialsError, resolve

    batch = given["conversations"] is not None
    if batch and (given["vad"] or given["manual_turns"] or given["no_echo"]):
        raise click.UsageError(
            "--vad, --manual-turns and --no-echo are for a worker that `lkdoctor talk` watches, not for a batch"
        )
    if batch and (given["name"] or given["auto_dispatch"]):
        raise click.UsageError("--conversations names its workers itself: leave out --name and --auto-dispatch")
    if not batch and bool(given["name"]) == given["auto_dispatch"]:
        raise click.UsageError(
            "give --name NAME, the agent name that dispatches and tokens ask for (one for all replicas of a deployment); "
            "or --auto-dispatch for a worker without a name, which gets new rooms unasked"
        )
    _shown("--name", given["name"])
    threshold = _threshold(given["vad"])
    try:
        import lkdoctor.worker.server  # noqa: F401 - here, so that a missing extra is told once
    except ImportError as error:
        lacks = (
            f"{error.name}, which is not installed" if isinstance(error, ModuleNotFoundError) else f"newer ({error})"
        )
        raise click.UsageError(f"the reference worker needs {lacks}: pip install -U 'lkdoctor[worker]'") from None
    try:
        target = resolve(url=server.url, key=server.key, secret=server.secret, project=server.project)
    except CredentialsError as error:
        raise click.UsageError(str(error)) from None
    click.get_current_context().exit(_converse(target, given) if batch else _serve(target, given, threshold))


def _serve(target: Target, given: dict[str, Any], vad: str) -> int:
    import asyncio

    from livekit.agents.cli.log import setup_logging

    from lkdoctor.cli import output
    from lkdoctor.worker import server
    from lkdoctor.worker.settings import VOICES, Settings

    settings = Settings(
        role=given["role"] or given["name"] or "agent",
        stt=given["stt"],
        llm=given["llm"],
        tts=given["tts"],
        voices=tuple({**VOICES, **_voices(given["voices"])}.items()),
        turns=given["turns"],
        log_text=given["log_text"],
        vad=vad,
        manual=given["manual_turns"],
        echo=not given["no_echo"],
    )
    plan = server.Deployment(
        given["name"],
        settings,
        zero_load=given["zero_load"],
        host=given["http_host"],
        port=given["http_port"],
        idle=given["idle"],
        drain=given["drain"],
    )
    for note in target.notes:
        output.hint(note)
    setup_logging("INFO", devmode=False, console=False)
    try:
        return asyncio.run(server.run(target, plan, output.hint, until_stdin_closes=given["until_stdin_closes"]))
    except server.RefusedError as error:
        raise _RefusedError(str(error)) from None


def _threshold(given: str | None) -> str:
    """The value of --vad.

    Raises:
        click.UsageError: it is neither `off` nor a number from 0 to 1.
    """
    if given is None or given == "off":
        return given or ""
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise click.UsageError(f"--vad {given}: write off, or a threshold above 0 and up to 1 (0.5 is the SDK's own)")
    return given


def _voices(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    if any(not role or not voice for role, _, voice in pairs):
        raise click.UsageError("--voice is ROLE=VOICE, as in --voice dispatcher=alloy")
    return {role: voice for role, _, voice in pairs}


def _converse(target: Target, given: dict[str, Any]) -> int:
    import asyncio
    from pathlib import Path

    from lkdoctor.cli import conversations, output
    from lkdoctor.collect.snapshot.case_file import CaseFile, CaseFileError
    from lkdoctor.probe.calls import ProbeError
    from lkdoctor.worker.batch import Batch, Wish
    from lkdoctor.worker.processes import WorkerFailedError

    prefix = _prefix(given["room_prefix"])

    models = [part for kind in ("stt", "llm", "tts") if given[kind] != "offline" for part in (f"--{kind}", given[kind])]
    if models:
        models += ["--turns", str(given["turns"]), *(part for one in given["voices"] for part in ("--voice", one))]
    wish = Wish(
        given["conversations"],
        given["parallel"],
        given["shape"],
        given["lines"],
        given["seconds"],
        tuple(models),
        prefix,
    )
    case = CaseFile(Path(given["output"]), given["force"]) if given["output"] else None
    batch = Batch(target, wish, output.hint, case)
    failed = ""
    try:
        if case is not None:
            case.begin()
        try:
            asyncio.run(batch.run())
        except (WorkerFailedError, ProbeError) as error:
            failed = str(error)  # what was learned until then is kept
        document = conversations.document(batch)
        if case is not None and failed and not batch.began:
            case.abandon()
        elif case is not None:
            conversations.finish(case, batch)
    except CaseFileError as error:
        raise click.UsageError(str(error)) from None
    except BaseException as error:
        if case is not None:
            case.abandon()
        if isinstance(error, OSError):
            raise click.ClickException(str(error)) from None
        raise
    if failed:
        raise click.ClickException(failed)
    output.to_stdout(
        conversations.as_json(document) if given["form"] == "json" else conversations.as_text(batch, document)
    )
    for room in batch.left_over:
        output.hint(f"could not delete {room}")
    if case is not None:
        output.hint(f"wrote {case.path}; `lkdoctor check {shlex.quote(str(case.path))}` reads it")
    return conversations.status(batch)


def _prefix(text: str) -> str:
    """How names of rooms and agents shall begin.

    Raises:
        click.UsageError: no server would take such names, or no report would show them.
    """
    if not text or len(text) > _LONGEST_PREFIX or not text.isprintable() or text != text.strip():
        raise click.UsageError(
            f"--room-prefix {text!r}: give 1 to {_LONGEST_PREFIX} printable characters, no blank around"
        )
    _shown("--room-prefix", text)
    return text


def _shown(option: str, name: str) -> None:
    """Refuses names that are kept for lkdoctor's own probes.

    Raises:
        click.UsageError: every report would leave it out.
    """
    from lkdoctor.dispatch.rules import OWN_PREFIX

    if name.startswith(OWN_PREFIX):
        raise click.UsageError(
            f"{option} {name}: names that begin with {OWN_PREFIX} are those of lkdoctor's probes, and every report leaves them "
            "out, so nothing of it could be judged; take another name"
        )
