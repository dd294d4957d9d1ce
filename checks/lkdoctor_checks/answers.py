"""What did the worker answer when it was asked: no, nothing in time, or "no, and nobody else"?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.model import Dispatch, Outcome
from lkdoctor.doctor.codes import ANSWER_TIMEOUT, ANSWERED_TOO_LATE, DECLINED, REJECTED_TERMINALLY
from lkdoctor.doctor.evidence import Dispatches
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks._worker_words import of_job, own_words


@check(DECLINED)
def declined(dispatches: Dispatches) -> Iterator[Finding | Inconclusive]:
    """Every worker that was asked for the job said no.

    ## What it means
    The server chose a worker of the name with headroom and asked it; it declined, and so did all the others that were
    asked after it. Either the program's own request function said no, or the SDK did so on its behalf: Python from
    1.4.2 on declines by itself when it is full or draining, before it logs anything.

    ## How it is decided
    `failed to assign job to worker` with `worker not available` (retry true), one per worker, then `no worker available
    to handle job`. The server's closing words, `no workers with sufficient capacity`, are about neither load nor
    capacity when workers were asked (seen on 1.8.4, 1.9.12, 1.11.0 and 1.13.5). Without any worker asked, the same
    words are a load refusal, LKD303.

    ## How to fix
    Read the request function of these workers; look in the workers' own logs for `received job request` at these
    times. If there is none, or a line of Node that says so follows, the SDK declined: the worker was full or draining.

    ## When it is not a problem
    A name served by several programs that pick their jobs declines on purpose, as long as one of them says yes; such a
    dispatch is assigned and not reported. An unnamed worker that declines rooms which are not for it is not reported
    either, since nobody asked for it.
    """
    yield from _answers(
        DECLINED,
        dispatches,
        Outcome.DECLINED,
        lambda it: (
            f"Every worker asked for {it.name} declined ({it.hit}){it.asked}; the server's words `no workers with sufficient "
            "capacity` mean just that."
        ),
        Fix(
            "Find out who says no",
            steps=(
                "Look for `received job request` in the logs of these workers at these times.",
                "If it is there, the program's request function declined; read why.",
                "If it is not, the SDK declined because it was full or draining. Node logs the request first, and then that it drains.",
            ),
            verify=("`assigned job to worker` follows the next dispatch.",),
        ),
    )


@check(ANSWER_TIMEOUT)
def answer_timeout(dispatches: Dispatches) -> Iterator[Finding | Inconclusive]:
    """The worker that was asked did not answer within the server's 3 s, and nobody else was asked.

    ## What it means
    One worker was chosen and asked; the 3 s budget of the whole request ran out before it answered. The server does not
    turn to another worker then, so one hung worker loses its share of the jobs, beside healthy ones.

    ## How it is decided
    `failed to assign job to worker` with `context deadline exceeded` (retry false) and `failed to send job request`
    with `request timed out` or `context deadline exceeded`, 3.0 s after the launch, in any order (1.8.4, 1.9.12, 1.11.0
    and 1.13.5). `received availability response for unknown job` afterwards says that the worker did answer, too late:
    it was slow, not dead.

    ## How to fix
    Answer first, work later: accept in the request function before any call to a database or a service. Keep the
    worker's main loop free; a slow load function counts, too, since Python runs it before it answers. Node: a request
    function that neither accepts nor rejects sends no answer at all. A worker that never answers and whose host has
    vanished stays registered until TCP gives up (seen: after 938 s), and only a restart of the server ends that sooner.

    ## When it is not a problem
    There is no harmless form for a named agent. An agent that runs although the server gave up on it is LKD313.
    """
    yield from _answers(
        ANSWER_TIMEOUT,
        dispatches,
        Outcome.ANSWER_TIMEOUT,
        lambda it: (
            f"The worker asked for {it.name} did not answer within {rules.ANSWER_BUDGET:g} s ({it.hit}){it.asked}; nobody else is "
            f"asked after that.{_late(it.group)}"
        ),
        Fix(
            "Answer first, work later",
            steps=(
                "Accept or reject at the start of the request function, before any await on another service.",
                "Take blocking calls out of the worker's main loop and out of its load function.",
                "Node: make sure that the request function always accepts or rejects.",
                "If the worker's host is gone, its socket stays registered for some 16 minutes: wait for `closing worker`.",
            ),
            verify=("`assigned job to worker` comes about 0.2 s after the dispatch.",),
        ),
    )


@check(REJECTED_TERMINALLY)
def rejected_terminally(dispatches: Dispatches) -> Iterator[Finding | Inconclusive]:
    """The worker's reject ended the job as a success, so nobody else was asked and nothing was logged.

    ## What it means
    A reject can carry the word "terminate": the server then takes the job for done. Python's `reject()` sends it by
    default from 1.3.7 on. Where two programs share a name and each rejects what is not its own, the job is lost as soon
    as the wrong one is asked first.

    ## How it is decided
    By what is missing: the dispatch was made, a worker of the name was open, the log is complete and at level info, and
    yet no ending of the launch stands in it after more than 8 s, although the room's other lines do. Servers from 1.9.2
    on are silent in this case (seen on 1.9.12, 1.11.0 and 1.13.5; 1.8.4 treats it as a plain decline). Because it rests
    on silence, the confidence is medium; the API's job list shows it as a success that ended when it began. Where the
    worker's own log shows the request and nothing after it, the confidence is high.

    ## How to fix
    `await req.reject(terminate=False)`, so that the next worker is asked; or give the programs different names.

    ## When it is not a problem
    A program that refuses a job for good, for all its kind, rejects this way on purpose.
    """
    yield from _answers(
        REJECTED_TERMINALLY,
        dispatches,
        Outcome.REJECTED_TERMINALLY,
        lambda it: (
            f"The job for {it.name} ended without a line ({it.hit}): its worker most likely rejected it with `terminate`, "
            "which the server takes for a success."
        ),
        Fix(
            "Let the next worker be asked",
            steps=(
                "Python: `await req.reject(terminate=False)`.",
                "Or give programs that pick their jobs different agent names.",
            ),
            verify=("A rejected job shows `failed to assign job to worker`, then the next worker's assignment.",),
        ),
        ceiling=Confidence.MEDIUM,
    )


@check(ANSWERED_TOO_LATE)
def answered_too_late(dispatches: Dispatches) -> Iterator[Finding | Inconclusive]:
    """The server gave up on the worker in the same moment in which it took the job: an agent runs that no list shows.

    ## What it means
    The answer came at the very end of the 3 s. The worker got its assignment, the caller got a timeout: the agent is in
    the room, and the dispatch's job list stays empty. Whoever dispatches again after the timeout gets a second agent.

    ## How it is decided
    `assigned job to worker` and `failed to send job request` with `request timed out` for the same launch (seen on
    1.13.5 with an answer after 2.798 s; the window is about a millisecond wide).

    ## How to fix
    Make the worker answer faster, see LKD305. Before dispatching again look whether an agent is in the room.

    ## When it is not a problem
    The room has its agent, so users notice nothing. It matters where a program reads the job list or retries.
    """
    ghosts = [one for one in dispatches if any(launch.ghost for launch in one.launches)]
    for name, group in words.by_name(ghosts).items():
        first, last = words.when(group)
        launches = [launch for one in group for launch in one.launches if launch.ghost]
        yield Finding(
            ANSWERED_TOO_LATE,
            Subject("agent", agent_name=name),
            f"The worker for {words.quoted(name)} took the job in the moment in which the server gave up "
            f"({words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}): the agent runs, and the "
            f"dispatch lists no job.{of_job([side for one in launches if (side := one.worker_side) is not None])}",
            ANSWERED_TOO_LATE.severity,
            words.sure(group),
            {"agent_name": name, "worker_ids": sorted({one.worker_id for one in launches if one.worker_id})},
            words.spread(
                [
                    *(place for launch in launches for place in launch.proof),
                    *(place for launch in launches if launch.worker_side for place in launch.worker_side.proof[:1]),
                ]
            ),
            (
                Fix(
                    "Answer faster, and look before dispatching again",
                    steps=("Accept before any other work.", "Before a retry, list the room's participants."),
                    verify=("`assigned job to worker` comes about 0.2 s after the dispatch.",),
                ),
            ),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """What a message is made of: the agent's name, how many dispatches of which rooms, and who was asked."""

    name: str
    hit: str
    asked: str
    group: Sequence[Dispatch]


def _answers(
    code: Code,
    dispatches: Dispatches,
    outcome: Outcome,
    say: Callable[[_Told], str],
    fix: Fix,
    *,
    ceiling: Confidence = Confidence.HIGH,
) -> Iterator[Finding]:
    """One finding per agent name for an ending that the worker itself brought about."""
    for name, group in words.by_name(one for one in dispatches.ended(outcome) if _meant(one)).items():
        first, last = words.when(group)
        launches = [launch for one in group if (launch := one.deciding)]
        sides = [side for one in group for launch in one.launches if (side := launch.worker_side) is not None]
        # What the server is silent about the worker's log settles, if it tells of every one of these requests.
        settled = ceiling < Confidence.HIGH and all(any(each.worker_side for each in one.launches) for one in group)
        asked = [
            worker for launch in launches for worker in (*launch.asked_workers, launch.worker_id) if worker is not None
        ]
        asked = list(dict.fromkeys(asked))
        hit = f"{words.counted(len(group), 'dispatch', 'dispatches')}, {words.rooms_of(group)}"
        yield Finding(
            code,
            Subject("agent", agent_name=name),
            say(_Told(words.quoted(name), hit, f", asked: {words.listed(asked)}" if asked else "", group))
            + own_words(sides),
            code.severity,
            Confidence.HIGH if settled else min(ceiling, words.sure(group)),
            {
                "agent_name": name,
                "rooms": sorted({one.room for one in group})[:20],
                "workers_asked": asked[:20],
                "late_answers": sum(launch.late_answer for launch in launches),
            },
            words.spread([*words.proof_of(group), *(place for side in sides for place in side.proof)], 10),
            (fix, words.ask_again(group)),
            folds=words.folds_of(group),
            count=len(group),
            first_at=first,
            last_at=last,
        )


def _late(group: Sequence[Dispatch]) -> str:
    """The sentence about answers that came after the server had given up."""
    late = sum(launch.late_answer for one in group for launch in one.launches)
    return f" {words.counted(late, 'answer')} came later: the worker is slow, not dead." if late else ""


def _meant(one: Dispatch) -> bool:
    """Named dispatches always; unnamed ones only where a hung worker swallowed them.

    An unnamed worker that declines or rejects a room does so by its own choice, and nobody had asked for it.
    """
    return words.wanted(one) or one.came_to is Outcome.ANSWER_TIMEOUT
