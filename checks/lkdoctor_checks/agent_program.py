"""In an agent's own program: hooks that nothing calls, a wait for people among agents, a log file that jobs overwrite."""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.agent_code import CodeTrap
from lkdoctor.dispatch.suspicions import SETTLED, starts_nothing
from lkdoctor.dispatch.talks import Presence, TalkRun, watches
from lkdoctor.doctor.codes import HOOK_NEVER_CALLED, LOG_OVERWRITTEN, WAITS_FOR_A_PERSON
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks.talk_links import wait_for_agent


@check(HOOK_NEVER_CALLED)
def hook_never_called(traps: Facts[CodeTrap], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A class derived from Agent defines a hook that the SDK never calls.

    ## What it means
    An `Agent` of livekit-agents has the hooks `on_enter`, `on_exit`, `on_user_turn_completed` and, from 1.5 on,
    `on_user_turn_exceeded`. Other methods called `on_…`, such as `on_user_message` or `on_agent_speech_committed`, are
    ordinary methods: nothing calls them, and what they print never appears. Two agents may well talk while the log says
    that nobody heard or said anything.

    ## How it is decided
    The program is given as a file (`lkdoctor check agent.py`); it is parsed, not run. A class whose bases all lead to the
    SDK's `Agent` or `AgentTask` defines a method that begins with `on_`, is none of these hooks, has no decorator, and is
    named nowhere else in the file; a file that looks attributes up by names that it makes (`getattr(agent, "on_" + name)`) is not
    judged. Another file may still call the method, so by the file alone this is a suspicion, which fails no gate. A watch of
    the room (`lkdoctor talk`) that shows words said and understood makes it certain.

    ## How to fix
    Use the session's events: `session.on("user_input_transcribed", …)` for what was heard, `session.on(
    "conversation_item_added", …)` for what was said; or override `on_user_turn_completed`.

    ## When it is not a problem
    A method that another file calls by its name. A class with a mixin is not judged, for the mixin may call it.
    """
    talked = _talked(evidence)
    by_file: dict[str, list[CodeTrap]] = {}
    for one in traps:
        if one.trap == "dead-hook":
            by_file.setdefault(one.file, []).append(one)
    for file, group in sorted(by_file.items()):
        hooks = list(dict.fromkeys(f"{one.owner}.{one.name}" for one in group))
        yield Finding(
            HOOK_NEVER_CALLED,
            Subject("file", id=file),
            f"{file} defines {words.listed(hooks)}: livekit-agents has no such hook, so nothing calls "
            f"{'it' if len(hooks) == 1 else 'them'}.{f' {talked}' if talked else ''}",
            HOOK_NEVER_CALLED.severity,
            Confidence.HIGH if talked else Confidence.LOW,
            {"file": file, "hooks": sorted({one.name for one in group}), "lines": [one.line for one in group][:20]},
            words.spread(one.place for one in group),
            (
                Fix(
                    "Listen to the session's events",
                    steps=(
                        'Heard: `session.on("user_input_transcribed", lambda event: …)`; `event.is_final`, `event.transcript`.',
                        'Said: `session.on("conversation_item_added", lambda event: …)`; `event.item.role`, `.text_content`.',
                        (
                            "To act before the answer: `async def on_user_turn_completed(self, turn_ctx, new_message)` in the "
                            "Agent."
                        ),
                    ),
                    verify=("The markers appear in the worker's log as soon as somebody speaks.",),
                ),
            ),
            count=len(group),
        )


def _talked(evidence: Evidence) -> str:
    """What a watch proves of the conversation that the log does not show."""
    said = understood = 0
    for watch in watches(evidence.facts_of(TalkRun), evidence.facts_of(Presence)):
        said += sum(len(one.said()) for one in watch.agents)
        understood += sum(len(one.understood()) for one in watch.agents)
    if not said and not understood:
        return ""
    return f"Its agents did talk: {words.counted(said, 'utterance')} said, {understood:,} understood."


@check(LOG_OVERWRITTEN)
def log_overwritten(traps: Facts[CodeTrap]) -> Iterator[Finding | Inconclusive]:
    """All jobs open one log file with mode "w", and each empties it for the others.

    ## What it means
    Each job runs in a process of its own. The second one that opens the file throws away what the first had written, and
    then both write, each at its own place: the file tells of one agent only, and is garbled. So "only one agent started"
    may be what the log says, while two did (seen with livekit-agents 1.8.9).

    ## How it is decided
    The program is given as a file, and parsed: `FileHandler(…, mode="w")` or `basicConfig(filemode="w")` with a file name
    that holds nothing of the job or the process (its id, the pid, a time, a uuid), outside of `if __name__ == "__main__"`.

    ## How to fix
    Let the lines go through `logging` to stderr: the SDK carries those of each job to the worker's one log, with the job's
    id. Or give each job a file of its own: `f"{ctx.job.id}.log"`; or open it with mode "a".

    ## When it is not a problem
    A worker that never runs two jobs at a time. A name that comes from elsewhere is not judged.
    """
    for one in traps:
        if one.trap != "log-overwritten":
            continue
        yield Finding(
            LOG_OVERWRITTEN,
            Subject("file", id=f"{one.file}:{one.owner}"),
            f'{one.file} opens the log file {one.name} with mode "w" in every job: each job\'s process empties it for the '
            "others, and it tells of one agent only.",
            LOG_OVERWRITTEN.severity,
            Confidence.MEDIUM,
            {"file": one.file, "line": one.line, "path": one.name},
            (one.place,),
            (
                Fix(
                    "Give each job its own file, or none",
                    steps=(
                        "Log through `logging` only: the worker's log holds every job's lines, each with its job id.",
                        'Or: `logging.FileHandler(f"{ctx.job.id}.log")`.',
                    ),
                    verify=("Two jobs of one room leave lines of both.",),
                ),
            ),
        )


@check(WAITS_FOR_A_PERSON)
def waits_in_program(traps: Facts[CodeTrap], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """A program that means agents to hear each other waits for a person first.

    ## What it means
    `wait_for_participant()` without a kind returns for people only. Beside agents alone nobody comes whom it would take, and
    the session below it never starts.

    ## How it is decided
    The program is given as a file, and parsed: it calls the job's `wait_for_participant()` without a `kind`. That is a
    fault only among agents: when the same program names `PARTICIPANT_KIND_AGENT`, or when a watch (`lkdoctor talk`) saw an
    agent stand beside another one for 15 s without a session, and no person.

    ## How to fix
    Leave the wait out, or name whom to wait for: `wait_for_participant(kind=[rtc.ParticipantKind.PARTICIPANT_KIND_AGENT])`.
    The session, too, must accept agents (LKD701).

    ## When it is not a problem
    A program whose agents serve callers: it names no agent kind, and nobody watched one wait in vain.
    """
    waiting = [
        (watch, one)
        for watch in watches(evidence.facts_of(TalkRun), evidence.facts_of(Presence))
        for one in watch.agents
        if starts_nothing(one) and watch.stayed(one) >= SETTLED and not watch.persons and len(watch.agents) > 1
    ]
    for trap in traps:
        if trap.trap != "waits-for-person" or not (trap.hears_agents or waiting):
            continue
        seen = (
            f"; {words.listed(words.quoted(one.called) for _, one in waiting)} stood there without a session"
            if waiting
            else ""
        )
        yield Finding(
            WAITS_FOR_A_PERSON,
            Subject("file", id=f"{trap.file}:{trap.owner}"),
            f"{trap.file} waits for a person before its session starts (line {trap.line}): without a `kind`, "
            f"wait_for_participant() takes no agent{seen}.",
            WAITS_FOR_A_PERSON.severity,
            Confidence.HIGH if trap.hears_agents and waiting else Confidence.MEDIUM,
            {"file": trap.file, "line": trap.line, "waiting": sorted({one.called for _, one in waiting})},
            words.spread((trap.place, *(one.place for _, one in waiting))),
            (wait_for_agent(),),
        )
