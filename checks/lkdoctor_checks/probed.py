"""What a test call of a user's agent proves: did it get its job, come, speak, and is it the only worker of its name?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.measured import missed_worker
from lkdoctor.dispatch.probes import ProbeRun, StepName
from lkdoctor.doctor.codes import (
    ASSIGNED_NEVER_JOINED,
    DUPLICATE_AGENT_NAME,
    NO_AUDIO_TRACK,
    NOT_ASSIGNED,
    REJECTED_TERMINALLY,
)
from lkdoctor.doctor.evidence import Probes
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks._probes import SERVER, by_name, canaries, proof


def _subject(name: str) -> Subject:
    return Subject("agent", agent_name=name)


def _of(failed: list[ProbeRun], runs: list[ProbeRun]) -> str:
    return "" if len(runs) == 1 else f" ({len(failed)} of {words.counted(len(runs), 'call')})"


@check(NOT_ASSIGNED)
def agent_not_assigned(probes: Probes) -> Iterator[Finding | Inconclusive]:
    """A test call of the agent got no job, although a person with a microphone was in the room; or the canary got none.

    The probe makes a room with the name among its agents, joins as a visible person, publishes a track, and reads
    ListDispatch for 9 s. When the canary got its job a moment before, this is said with high confidence: server, URL, key,
    network and message bus work, for a new room, on the node that took the canary. It does not prove media, other nodes,
    rooms that exist already, the worker's own key, or that no jam was there before. Without the canary it is said with
    medium confidence; without a person in the room with low, for workers of the types participant and publisher are only
    called by one. When the canary failed too, its failure is the cause, and this stays open.

    Of the canary it is said, with medium confidence, when the server never asked it within 8 s, unless the load limit
    explains it (LKD406); when it asked and the canary's yes was not taken (the answer has 3 s to get back); or when a second
    name, dispatched into the same room, was not asked although the first one was. No worker and no agent of anybody else
    takes part in that, so what fails is the server, its nodes or the way between.
    """
    yield from _canary_not_assigned(probes)
    flights = list(canaries(probes))
    works = any(one.reached("assigned") for one in flights)
    for name, runs in by_name(probes).items():
        failed = [one for one in runs if (step := one.step("assigned")) is not None and step.trouble == "never"]
        if not failed:
            continue
        if flights and not works:
            yield Inconclusive(
                _subject(name),
                f"{words.quoted(name)} got no job, and neither did the canary, so nothing is known about the agent itself.",
                "Mend what keeps the canary from its job, then probe again.",
                proof(failed[0], "assigned"),
            )
            continue
        visited = all(one.visitor for one in failed)
        sure = Confidence.LOW if not visited else Confidence.HIGH if works else Confidence.MEDIUM
        proves = (
            " The canary got its job just before, so server, URL, key and network work for a new room: the cause lies with "
            "the worker (its name, type, load, deployment or code)."
            if works
            else ""
        )
        lonely = (
            "" if visited else " Nobody was in the room: a worker of type participant or publisher is not called then."
        )
        deployment = failed[0].deployment
        asked = f" in the deployment {words.marked(deployment)}" if deployment else ""
        yield Finding(
            NOT_ASSIGNED,
            _subject(name),
            f"{words.quoted(name)}{asked} was called and got no job{_of(failed, runs)}.{proves}{lonely}",
            NOT_ASSIGNED.severity,
            sure,
            {
                "agent_name": name,
                "deployment": deployment,
                "calls": len(runs),
                "without_job": len(failed),
                "canary": works,
            },
            tuple(place for one in failed[:2] for place in proof(one, "visitor", "assigned"))
            + tuple(place for one in flights[:1] for place in proof(one, "assigned")),
            (_where_to_look(name, failed[0].room),),
            count=len(failed),
            first_at=failed[0].started_at,
            last_at=failed[-1].started_at,
        )


def _where_to_look(name: str, room: str) -> Fix:
    return Fix(
        "Look at the worker, in this order",
        steps=(
            (
                f"Is one registered under exactly {words.quoted(name)}, at this server? Its log says `registered worker` with "
                "its agent_name and url; case, blanks and hyphens count, and LIVEKIT_AGENT_NAME_OVERRIDE beats the code."
            ),
            "Does it serve a deployment (LIVEKIT_AGENT_DEPLOYMENT) that the call does not name? Then add `--deployment`.",
            (
                "Is its load at the limit that the canary measured, or did it mark itself full? Its log says the one, `lkdoctor load` and "
                "`GET :8081/worker` (livekit-agents from 1.3.3 on) the other."
            ),
            "Does its request function answer? A decline or a silence of 3 s loses the job.",
        ),
        commands=(f"grep {words.shell(room)} server.log",),
        caveats=(
            (
                "The canary proves one new room on one node at one moment: not media, not other nodes, not rooms that existed "
                "already, not the worker's own key, and not a jam of the past."
            ),
        ),
        verify=(f"`lkdoctor probe {words.shell(name)}` shows a job.",),
    )


@check(REJECTED_TERMINALLY)
def agent_rejected(probes: Probes) -> Iterator[Finding | Inconclusive]:
    """A worker answered the test call with a reject that ends the dispatch for good.

    ListDispatch then shows a job that has ended without ever having an identity. A worker may reject lkdoctor's room on
    purpose, by its name or for want of metadata: then call it with `--metadata`. Seen on 1.13.5; 1.8.4 asks the next worker.
    """
    for name, runs in by_name(probes).items():
        failed = [one for one in runs if (step := one.step("assigned")) is not None and step.trouble == "refused"]
        if not failed:
            continue
        yield Finding(
            REJECTED_TERMINALLY,
            _subject(name),
            f"A worker of {words.quoted(name)} rejected the test call for good{_of(failed, runs)}: no other worker was asked.",
            REJECTED_TERMINALLY.severity,
            Confidence.HIGH,
            {"agent_name": name, "calls": len(runs), "rejected": len(failed)},
            tuple(place for one in failed[:3] for place in proof(one, "assigned")),
            (
                Fix(
                    "Look at the worker's request function",
                    steps=(
                        (
                            "`reject()` of the Python SDK ends the dispatch by default; `reject(terminate=False)` lets the next "
                            "worker be asked."
                        ),
                        "If it rejects calls without its own metadata, give some with `--metadata`.",
                    ),
                    verify=(f"`lkdoctor probe {words.shell(name)}` shows a job.",),
                ),
            ),
            count=len(failed),
            first_at=failed[0].started_at,
        )


@check(ASSIGNED_NEVER_JOINED)
def agent_never_joined(probes: Probes) -> Iterator[Finding | Inconclusive]:
    """A worker took the test call's job, and its agent did not come into the room.

    The agent is known by the identity that the worker gave for it, and waited for as long as `--timeout` says (15 s) after
    the job was listed. A cold process on a busy machine took 4.2 s. It is said with medium confidence, for an agent that
    loads its models first may need longer. Agents that came and left again are not meant here.
    """
    for name, runs in by_name(probes).items():
        failed = [one for one in runs if (step := one.step("joined")) is not None and step.trouble == "never"]
        unknown = [one for one in failed if not one.identity]
        if unknown:
            yield Inconclusive(
                _subject(name),
                f"{words.quoted(name)} has a job whose agent has no identity, so it cannot be told from others.",
                "The worker's log says whether it joined.",
                proof(unknown[0], "assigned", "joined"),
            )
        failed = [one for one in failed if one.identity]
        if not failed:
            continue
        workers = words.listed(one.worker_id or "a worker that is not named" for one in failed)
        yield Finding(
            ASSIGNED_NEVER_JOINED,
            _subject(name),
            f"{workers} took the job of {words.quoted(name)}, and no agent came into the room{_of(failed, runs)}.",
            ASSIGNED_NEVER_JOINED.severity,
            Confidence.MEDIUM,
            {
                "agent_name": name,
                "calls": len(runs),
                "workers": sorted({one.worker_id for one in failed if one.worker_id}),
            },
            tuple(place for one in failed[:3] for place in proof(one, "assigned", "joined")),
            (
                Fix(
                    "Read the worker's log for this job",
                    steps=(
                        f"Look for {failed[0].job_id}: `received job request`, then an exception, `process exiting`, or nothing.",
                        "The entrypoint must call `ctx.connect()` (or start a session, which does).",
                    ),
                    caveats=("An agent that needs longer to start: probe again with a larger --timeout.",),
                    verify=(f"`lkdoctor probe {words.shell(name)}` shows the agent in the room.",),
                ),
            ),
            count=len(failed),
            first_at=failed[0].started_at,
        )


@check(NO_AUDIO_TRACK)
def agent_silent(probes: Probes) -> Iterator[Finding | Inconclusive]:
    """The agent came into the room of the test call, where a visible person with a microphone was, and published no audio.

    An agent with an AgentSession publishes its track as soon as it has linked a person, whether it speaks or not. But one
    that writes only (`audio_output` off) looks the same, down to `lk.agent.state` at `listening`, and so does an agent
    without AgentSession, such as a transcriber: both were played. So this is said with low confidence, unless the same name
    published audio in another of the calls; then with medium. An agent that left the room again is left open.
    """
    for name, runs in by_name(probes).items():
        left = [one for one in runs if (step := one.step("audio")) is not None and step.trouble == "lost"]
        if left and not any(one.error for one in left):
            yield Inconclusive(
                _subject(name),
                f"{words.quoted(name)} came into the room of the test call and left it again, without an audio track.",
                "The worker's log says why its job ended.",
                proof(left[0], "joined", "audio"),
            )
        failed = [
            one for one in runs if one.visitor and (step := one.step("audio")) is not None and step.trouble == "never"
        ]
        if not failed:
            continue
        states = list(dict.fromkeys(state for one in failed for state in one.states))
        heard = [one for one in runs if one.reached("audio")]
        if heard:
            told = f" In {words.counted(len(heard), 'other call')} it did."
        elif states:
            told = f" Its lk.agent.state was {words.listed(states)}: fine if it only writes (audio output off)."
        else:
            told = " It shows no lk.agent.state: fine if it is not meant to speak."
        yield Finding(
            NO_AUDIO_TRACK,
            _subject(name),
            f"{words.quoted(name)} was in the room with a visible person, and published no audio track{_of(failed, runs)}.{told}",
            NO_AUDIO_TRACK.severity,
            Confidence.MEDIUM if heard else Confidence.LOW,
            {"agent_name": name, "calls": len(runs), "silent": len(failed), "states": states},
            tuple(place for one in failed[:2] for place in proof(one, "visitor", "joined", "state", "audio")),
            (
                Fix(
                    "Look at whom the session links, and at its output",
                    steps=(
                        "`participant_identity` in RoomOptions makes it wait for one person by name; the visitor is another.",
                        "`participant_kinds` without STANDARD makes it deaf to people.",
                        "`audio_output=False`, or worker permissions without can_publish, leave it without a track.",
                    ),
                    verify=(f"`lkdoctor probe {words.shell(name)}` shows its first audio track.",),
                ),
            ),
            count=len(failed),
            first_at=failed[0].started_at,
        )


@check(DUPLICATE_AGENT_NAME)
def several_workers_answered(probes: Probes) -> Iterator[Finding | Inconclusive]:
    """Test calls of one name were answered by several workers, or by one that is not yours.

    Each call's job names the worker that took it (servers of 1.8 do not tell). Two ids are two registrations of one name;
    that is a pool, or somebody else's worker under your name. With `--mine AW_…` an id that is not among yours is a
    stranger's, and is said as a warning. The ids are new at each start of a worker: one that restarted between two calls
    shows two, so give ids from the workers' logs of this hour.
    """
    for name, runs in by_name(probes).items():
        taken = [one for one in runs if one.worker_id]
        ids = list(dict.fromkeys(one.worker_id for one in taken))
        mine = {worker for one in runs for worker in one.mine}
        strangers = [worker for worker in ids if mine and worker not in mine]
        if len(ids) < 2 and not strangers:
            continue
        counts = words.listed(
            f"{worker} {words.counted(sum(one.worker_id == worker for one in taken), 'job')}" for worker in ids
        )
        if strangers:
            told = f"{words.listed(strangers)} served {words.quoted(name)} and is none of yours ({counts})."
        else:
            told = (
                f"{len(ids)} workers share the agent name {words.quoted(name)}: {counts} of "
                f"{words.counted(len(taken), 'call')}. Fine if scale-out is meant. A further worker with an equal share "
                f"would have been missed with a chance of {missed_worker(1 / (len(ids) + 1), len(taken)):.0%}."
            )
        yield Finding(
            DUPLICATE_AGENT_NAME,
            _subject(name),
            told,
            Severity.WARNING if strangers else DUPLICATE_AGENT_NAME.severity,
            Confidence.HIGH,
            {"agent_name": name, "workers": ids, "strangers": strangers, "calls": len(taken)},
            tuple(place for one in taken[:4] for place in proof(one, "assigned")),
            (
                Fix(
                    "Find the other worker by its id, and stop it or give it a name of its own",
                    steps=(
                        f"Each worker logs its id as `registered worker`: {words.listed(strangers or ids)}.",
                        "The server's log shows its SDK version and, at its end, how long it was there.",
                    ),
                    commands=("lkdoctor workers server.log",),
                    verify=(f"`lkdoctor probe {words.shell(name)} --times 8 --mine AW_…` shows yours only.",),
                ),
            ),
            count=len(ids),
            first_at=taken[0].started_at,
            last_at=taken[-1].started_at,
        )


def _canary_not_assigned(probes: Probes) -> Iterator[Finding]:
    """The canary's own job did not come, although its worker was registered and idle."""
    for run in canaries(probes):
        asked, assigned, second = run.step("asked"), run.step("assigned"), run.step("second name")
        if run.limit_zero or run.interrupted:
            continue
        if asked is not None and not asked.ok and asked.trouble == "never":
            late = any(was for load, was in run.asked_loads if load == 0.0)
            if late:
                told = "The canary's first job never came, a second one into the same room did: this server loses jobs."
            else:
                told = "The server never asked the canary, an idle registered worker, for a job of its own name."
            yield _lost(
                run, told, Severity.WARNING if late else NOT_ASSIGNED.severity, "register", "room", "asked", "limit"
            )
        elif assigned is not None and not assigned.ok and assigned.trouble == "never":
            told = "The server asked the canary, the canary said yes at once, and was not given the job: its answer was late or lost."
            yield _lost(run, told, NOT_ASSIGNED.severity, "asked", "assigned")
        elif second is not None and not second.ok and second.trouble == "never":
            told = "The canary got its job; a second name, dispatched into the same room, did not. Rooms with two agents fail here."
            yield _lost(run, told, NOT_ASSIGNED.severity, "assigned", "second name")


def _lost(run: ProbeRun, told: str, severity: Severity, *names: StepName) -> Finding:
    return Finding(
        NOT_ASSIGNED,
        SERVER,
        told,
        severity,
        Confidence.MEDIUM,
        {"room": run.room, "worker_id": run.worker_id},
        proof(run, *names),
        (
            Fix(
                "Read the server's log of this minute for the canary's name",
                steps=(
                    f"The lines that name {run.room} say how its launch ended; `lkdoctor check` leaves lkdoctor's own rooms out.",
                    "Behind a load balancer, the canary's worker and its room may be on two nodes that share no redis (LKD109).",
                ),
                verify=("`lkdoctor probe` shows `asked` after about 0.2 s.",),
            ),
        ),
        first_at=run.started_at,
    )
