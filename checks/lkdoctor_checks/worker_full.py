"""Did the worker itself say why it was refused: full, or about to stop?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import Dispatch, WorkerSession
from lkdoctor.dispatch.worker_model import Full
from lkdoctor.doctor.codes import WORKER_DRAINING, WORKER_SAID_FULL
from lkdoctor.doctor.evidence import Dispatches, WorkerRuns, Workers
from lkdoctor.doctor.finding import Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks._refusals import SOON, refused, start_before_stop


@check(WORKER_SAID_FULL)
def worker_said_full(dispatches: Dispatches, workers: Workers, runs: WorkerRuns) -> Iterator[Finding | Inconclusive]:
    """The worker had marked itself full when the server refused the dispatch.

    ## What it means
    A worker measures its load and calls itself full above its own threshold (0.7 in production; infinite in dev mode,
    and in Node unless `loadThreshold` is set). The server then does not ask it. Requests that are not answered yet count,
    too: one slow request function can make an idle worker full.

    ## How it is decided
    `no servers available` in the server's log while every worker of the name stood between `worker is at full capacity,
    marking as unavailable` and `worker is below capacity, marking as available` in its own log. Seen with livekit-agents
    1.8.9 and @livekit/agents 1.9.0 on livekit-server 1.13.5. The load in the message is the one that the worker judges
    itself by; the server is sent the measured one.

    ## How to fix
    Find out what keeps the machine busy, add a worker, or raise the threshold if the machine can do more, and
    with it the server's limit where that is not higher (LKD402). Answer requests at once.

    ## When it is not a problem
    A worker that is full for a moment in which nobody asks loses nothing and is not reported. A fleet that is full on
    purpose refuses; the dispatcher must then ask again.
    """
    del runs  # asked for so that the check is skipped without a worker's log
    found = _explained(dispatches, workers, _full_at)
    for name, group in words.by_name(found.dispatches).items():
        first, last = words.when(group)
        spans = [span for one in group for _, span, _ in found.by(one) if span is not None]
        loads = sorted({span.load for span in spans if span.load is not None})
        limits = sorted({span.threshold for span in spans if span.threshold is not None})
        who = list(dict.fromkeys(session.worker_id for one in group for session, _, _ in found.by(one)))
        measured = f" (load {', '.join(f'{one:g}' for one in loads)}" if loads else ""
        measured += (
            f" over its own threshold {', '.join(f'{one:g}' for one in limits)})"
            if loads and limits
            else ")"
            if loads
            else ""
        )
        yield Finding(
            WORKER_SAID_FULL,
            Subject("agent", agent_name=name),
            f"Every worker for {words.quoted(name)} had marked itself full{measured} when it was refused "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}): {words.listed(who)}.",
            WORKER_SAID_FULL.severity,
            words.sure(group),
            {"agent_name": name, "worker_ids": who[:20], "loads": loads, "thresholds": limits},
            _proof(group, found),
            (
                Fix(
                    "Make room",
                    steps=(
                        "Look at the CPU of the worker's machine at these times; start jobs of one room one after another.",
                        "Answer requests at once: Python counts one that is not answered yet as load.",
                        "Add a worker of this name on another machine.",
                        (
                            "Or, where the CPU allows it, raise `load_threshold` (Node: `loadThreshold`) and with it the server's "
                            "`agents.target_load` (0.7 from 1.11.0 on): the lower of the two counts."
                        ),
                    ),
                    verify=("`worker is below capacity` in the worker's log, then a dispatch that is assigned.",),
                ),
                words.ask_again(group),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


@check(WORKER_DRAINING)
def worker_said_draining(
    dispatches: Dispatches, workers: Workers, runs: WorkerRuns
) -> Iterator[Finding | Inconclusive]:
    """The worker's own log says `draining worker`: every worker of the name was shutting down when it was refused."""
    del runs
    found = _explained(dispatches, workers, _draining_at)
    for name, group in words.by_name(found.dispatches).items():
        first, last = words.when(group)
        gone = {session.worker_id: session for one in group for session, _, _ in found.by(one)}
        since = [
            f"{each.worker_id} since {words.clock(each.run.draining_at)}"
            for each in gone.values()
            if each.run is not None
        ]
        yield Finding(
            WORKER_DRAINING,
            Subject("agent", agent_name=name),
            f"Every worker for {words.quoted(name)} was shutting down when it was refused "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}), by its own log: "
            f"{words.listed(since)}.",
            WORKER_DRAINING.severity,
            words.sure(group),
            {"agent_name": name, "worker_ids": list(gone)[:20]},
            _proof(group, found),
            (start_before_stop(), words.ask_again(group)),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


_Said = tuple[WorkerSession, Full | None, tuple[Place, ...]]


@dataclass(slots=True)
class _Found:
    """Refused dispatches, and who said why, by the dispatch's `id()`."""

    dispatches: list[Dispatch] = field(default_factory=list)
    said: dict[int, list[_Said]] = field(default_factory=dict)

    def by(self, one: Dispatch) -> list[_Said]:
        """What the workers said at this dispatch."""
        return self.said[id(one)]


def _explained(
    dispatches: Dispatches, workers: Workers, said: Callable[[WorkerSession, float], _Said | None]
) -> _Found:
    """Refused dispatches at which every worker of the name that was open said so in its own log."""
    found = _Found()
    for one, at, there in refused(dispatches, workers):
        answers = [said(session, at) for session in there]
        if all(answer is not None for answer in answers):
            found.said[id(one)] = [answer for answer in answers if answer is not None]
            found.dispatches.append(one)
    return found


def _full_at(session: WorkerSession, at: float) -> _Said | None:
    run = session.run
    if run is None or not run.dated or (run.draining_at is not None and run.draining_at <= at):
        return None
    for span in run.full:
        if span.since is not None and span.since <= at + SOON and (span.until is None or at <= span.until + SOON):
            return session, span, tuple(span.proof)
    return None


def _draining_at(session: WorkerSession, at: float) -> _Said | None:
    run = session.run
    if run is None or not run.dated or run.draining_at is None or run.draining_at > at + SOON:
        return None
    return session, None, tuple(run.proof[-1:])


def _proof(group: list[Dispatch], found: _Found) -> tuple[Place, ...]:
    return words.spread(
        [
            *words.proof_of(group, limit=3),
            *(place for one in group for _, _, places in found.by(one) for place in places),
        ]
    )
