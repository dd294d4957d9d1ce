"""Was the agent name served when it was asked for, and was there any worker at all?"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

from lkdoctor.dispatch.model import Coverage, Dispatch, Outcome, Refusal, WorkerSession
from lkdoctor.doctor.codes import NAME_NOT_SERVED, NO_WORKER
from lkdoctor.doctor.evidence import Dispatches, Refusals, ServerRuns, Workers
from lkdoctor.doctor.finding import Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words

KNOCKS = 5.0  # a worker that is refused this shortly after the question was on its way


@dataclass(frozen=True, slots=True)
class _Others:
    """Names other than the one asked for: there at one of the questions, only later, or gone before."""

    there: list[str]
    later: list[str]
    gone: list[str]
    unnamed: int  # workers without a name that were there

    @property
    def any(self) -> bool:
        """Is there anything to tell?"""
        return bool(self.there or self.later or self.gone or self.unnamed)


@check(NAME_NOT_SERVED)
def name_not_served(
    dispatches: Dispatches, workers: Workers, runs: ServerRuns, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """Nobody served the agent name at the moment it was asked for.

    ## What it means
    A dispatch asked for an agent by name, and no node of the server had a worker of that name for the job type that
    counts. The dispatch stays in the room's list for ever, but no job comes of it: an open-source server tries each
    launch once and never again, also when the worker registers a second later.

    ## How it is decided
    The server says so itself: `not dispatching agent job since no worker is available`, with the agent's name, the room
    and the job type (seen on 1.8.4, 1.9.12, 1.11.0 and 1.13.5). With a cold list of names the line comes 5 s after the
    question, with a warm one at once. Only the line of the job type that the name's workers register counts; one
    dispatch is tried for every job type, so two such lines beside a success are normal. Other names are told apart by
    time: those whose workers were open on this server when the name was asked for, those that came later, and those
    that had left.

    ## How to fix
    Start a worker under exactly this name, connected to this server, before the dispatch is made; or dispatch the name
    that is registered. Then ask again for rooms that are still open.

    ## When it is not a problem
    Lines of this kind for JT_PARTICIPANT and JT_PUBLISHER beside a JT_ROOM worker are harmless and are counted under
    LKD311. A dispatch that was made on trial, for a name that is not meant to exist yet, is reported all the same.
    Unnamed dispatches never print this line and are not judged here.
    """
    missed = (one for one in dispatches.ended(Outcome.NAME_NOT_SERVED) if words.wanted(one))
    for name, group in words.by_name(missed).items():
        first, last = words.when(group)
        others = _others(name, group, workers, {run.stream for run in runs if run.redis is False})
        yield Finding(
            NAME_NOT_SERVED,
            Subject("agent", agent_name=name),
            f"Nobody served the agent name {words.quoted(name)} when it was asked for "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}). "
            f"{_who_was_there(workers.named(name), others, coverage)}",
            NAME_NOT_SERVED.severity,
            words.sure(group),
            {
                "agent_name": name,
                "rooms": sorted({one.room for one in group})[:20],
                "registered_names": others.there,
                "registered_later": others.later,
                "had_left": others.gone,
                "unnamed_workers": others.unnamed,
                "sessions_of_the_name": [one.worker_id for one in workers.named(name)][:20],
            },
            words.proof_of(group, workers.named(name)),
            (_serve_it(name, others), words.ask_again(group)),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _others(name: str, group: list[Dispatch], workers: Workers, islands: set[str]) -> _Others:
    """The other names' workers at the moments of these questions; nodes without redis see only their own."""
    asks: dict[str | None, list[float]] = {}
    for one in group:
        at = words.asked(one)
        if at is not None:
            asks.setdefault(one.deciding.node if one.deciding else None, []).append(at)
    for times in asks.values():
        times.sort()
    there: set[str] = set()
    later: set[str] = set()
    gone: set[str] = set()
    unnamed = 0
    for session in workers:
        if session.refused or session.agent_name is None or session.agent_name == name:
            continue
        seen = [times for node, times in asks.items() if _reaches(session, node, islands)]
        if not asks or any(_open_at(session, times) for times in seen):  # without times nothing can be told apart
            there.add(session.agent_name)
            unnamed += not session.agent_name
        elif seen:
            came = session.registered_at is not None and session.registered_at > max(times[-1] for times in seen)
            (later if came else gone).add(session.agent_name)
    known = there | {""}
    return _Others(sorted(there - {""}), sorted(later - known), sorted(gone - later - known), unnamed)


def _reaches(session: WorkerSession, node: str | None, islands: set[str]) -> bool:
    """Could a launch of this node ask that worker?"""
    return node is None or node == session.stream or not {node, session.stream} & islands


def _open_at(session: WorkerSession, times: list[float]) -> bool:
    """Was the socket open at one of these times (sorted)?"""
    first = bisect.bisect_left(times, session.registered_at) if session.registered_at is not None else 0
    return first < len(times) and session.alive_at(times[first])


def _who_was_there(sessions: tuple[WorkerSession, ...], others: _Others, coverage: Coverage) -> str:
    """The sentences about the workers that the evidence does show."""
    if sessions:
        return f"Workers of this name in the log: {words.listed(map(_life, sessions), 3)}."
    told = [
        f"{head}: {words.listed(map(words.quoted, names))}."
        for head, names in (
            ("Registered at that time", others.there),
            ("Registered only later", others.later),
            ("Gone by then", others.gone),
        )
        if names
    ]
    if others.unnamed and not others.there:
        told.insert(0, "The only worker has no name: it gets rooms whose creation names no agent, and nothing else.")
    known = " ".join(told) if others.any else "The log shows no worker of any name."
    if coverage.starts_late:
        known += " The log begins in the middle, so a worker may have come and gone before it."
    return known


def _life(one: WorkerSession) -> str:
    """From when to when a worker was there."""
    since = f"registered {words.clock(one.registered_at)}" if one.registered_at is not None else "there before the log"
    return since if one.closed_at is None else f"{since} (gone {words.clock(one.closed_at)})"


def _serve_it(name: str, others: _Others) -> Fix:
    """Make the two names the same."""
    steps = [
        (
            f"Start a worker whose agent name is exactly {words.quoted(name)}; case, blanks and hyphens count: "
            f"`agent_name={words.quoted(name)}` (Python), `agentName: '{name}'` (Node), or LIVEKIT_AGENT_NAME={words.shell(name)} "
            "in its environment where the code has none."
        )
    ]
    if others.there:
        steps.append(f"Or dispatch a name that was registered then: {words.listed(map(words.quoted, others.there))}.")
    if others.unnamed:
        steps.append("Or keep the worker unnamed, and take the agent's name out of the token and of the dispatch call.")
    steps.append("Check that the worker's LIVEKIT_URL is this server, and that the worker logs `registered worker`.")
    steps.append("To see whether all else is right, let the reference worker serve the name for a while: the command.")
    return Fix(
        f"Serve the name {words.quoted(name)}",
        steps=tuple(steps),
        commands=(words.worker_command(name),),
        caveats=(
            "LIVEKIT_AGENT_NAME_OVERRIDE in the worker's environment beats the name in its code.",
            words.NAME_VARIABLE,
        ),
        verify=(f"The server logs `worker registered` with agentName {words.quoted(name)}.",),
    )


@check(NO_WORKER)
def no_worker(
    dispatches: Dispatches, workers: Workers, runs: ServerRuns, refusals: Refusals, coverage: Coverage
) -> Iterator[Finding | Inconclusive]:
    """Dispatches were made while no worker of any name was registered.

    ## What it means
    The server had nobody to ask. Either no worker was started, or none reached this server: a wrong LIVEKIT_URL, a key
    that the server does not know, a container without network, another server of the same name.

    ## How it is decided
    The log holds the server from its start, at level info, with every node; somebody asked for an agent by name; the
    server had nobody to ask; and no worker session of any name was open at that time. A name whose worker came later
    or had left is not counted here: LKD207 and LKD208 say it more exactly.

    ## How to fix
    Start the worker and read its own first lines: it must say that it registered, and with which URL. A worker that the
    server refused leaves `error handling request` with path `/agent` in the server's log; those lines are named here.

    ## When it is not a problem
    A server without agents makes the unnamed dispatch for each room, finds nobody, and logs nothing: that is how a
    server without agents works, so rooms alone never raise this. An excerpt that begins in the middle never raises it
    either, because workers may have registered before.
    """
    if coverage.starts_late or coverage.hides_info or coverage.nodes_missing or coverage.timeless:
        return
    if not any(run.start_seen for run in runs):
        return
    alone: list[Dispatch] = []
    for one in dispatches.ended(Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE):
        at = words.asked(one)
        if not words.wanted(one) or at is None or workers.named(one.agent_name):
            continue
        # A session that registered while the launch was still waiting is LKD207's or LKD202's business.
        if not any(session.alive_at(at) for session in workers.all if not session.refused):
            alone.append(one)
    if not alone:
        return
    first, last = words.when(alone)
    names = sorted({one.agent_name for one in alone})
    turned_away = _turned_away(refusals, last)
    attempts = sum(one.count for one in turned_away)
    yield Finding(
        NO_WORKER,
        Subject("server"),
        f"No worker of any name was registered while {words.counted(len(alone), 'dispatch', 'dispatches')} asked for "
        f"{words.listed(words.quoted(name) for name in names)}.{_attempts_text(turned_away, attempts)}",
        NO_WORKER.severity,
        words.sure(alone),
        {"agent_names": names, "refused_registrations": attempts, "workers_in_log": len(workers.all)},
        words.spread([*words.proof_of(alone, limit=4), *(one.place for one in turned_away[-2:])]),
        (
            Fix(
                "Start a worker that reaches this server",
                steps=(
                    "Start the worker and wait for its line `registered worker`; it names the URL it reached.",
                    "Compare LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET with the server's own configuration.",
                ),
                verify=("The server logs `worker registered` with the agent's name.",),
            ),
            words.ask_again(alone),
        ),
        folds=words.folds_of(alone),
        count=len(alone),
        first_at=first,
        last_at=last,
    )


def _turned_away(refusals: Refusals, last: float | None) -> list[Refusal]:
    """Workers that were refused before the last of the questions, or while it may still have waited."""
    knocks = [one for one in refusals if one.path.startswith("/agent")]
    return [one for one in knocks if one.at is None or last is None or one.at <= last + KNOCKS]


def _attempts_text(turned_away: list[Refusal], attempts: int) -> str:
    """How many workers knocked in vain, and each reason once."""
    if not turned_away:
        return ""
    reasons = words.listed((one.error for one in turned_away), 3)
    return f" {words.counted(attempts, 'attempt')} to register {'was' if attempts == 1 else 'were'} refused: {reasons}."
