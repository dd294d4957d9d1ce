"""How much does the evidence show, and what is missing?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lkdoctor.dispatch.model import Coverage, Dispatch, Outcome, SourceNote
from lkdoctor.doctor.codes import EVIDENCE_THIN, INPUT_UNREADABLE, VERSION_UNKNOWN
from lkdoctor.doctor.evidence import Dispatches, ServerRuns, Sources
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(INPUT_UNREADABLE)
def input_unreadable(sources: Sources) -> Iterator[Finding | Inconclusive]:
    """A source, or records of it, could not be read.

    ## What it means
    What could not be read was not judged: the report is about the rest. A source that is wholly unusable is mostly a
    file of another kind, such as a worker's log given as a server's.

    ## How it is decided
    While reading: a file that is empty, of another kind or damaged is unusable as a whole, which is a warning; records
    that are cut, garbled or without a known form are counted and skipped, which is information.

    ## How to fix
    Give the file that was meant; for a damaged one, copy it again.

    ## When it is not a problem
    The first and the last record of a rotated or growing file are often cut. Lines of other programs in one stream
    (start scripts, proxies) are skipped as well.
    """
    for one in sources:
        if "://" in one.name:
            continue  # a live server: why it could not be asked is what the checks of the connection tell
        if one.name == one.kind:
            continue  # this machine's engine or its processes: what could not be asked is a gap, with what to do
        if one.unusable:
            empty = one.unusable.startswith("empty")
            yield Finding(
                INPUT_UNREADABLE,
                Subject("file", id=one.name),
                # The report's head says the reason in full; what an empty file lacks stands in the fix.
                f"{one.name} is empty." if empty else f"{one.name} could not be used: {one.unusable}",
                Severity.WARNING,
                Confidence.HIGH,
                {"source": one.name, "bytes": one.bytes},
                words.spread(one.proof),
                (_fetch_the_log() if empty else _mend(one) if one.kind == "config" else _other_file(one.name),),
            )
        elif sum(one.skipped.values()):
            number = sum(one.skipped.values())
            yield Finding(
                INPUT_UNREADABLE,
                Subject("file", id=one.name),
                f"{words.counted(number, 'record')} of {one.name} {'was' if number == 1 else 'were'} skipped: "
                f"{words.listed(f'{reason} ({times:,})' for reason, times in sorted(one.skipped.items()))}.",
                Severity.INFO,
                Confidence.HIGH,
                {"source": one.name, "skipped": dict(sorted(one.skipped.items()))},
                words.spread(one.proof),
                count=number,
            )


def _other_file(name: str) -> Fix:
    """Mostly another file was meant."""
    return Fix("Give the file that was meant", steps=(f"Look at the first lines of {name}.",))


def _mend(one: SourceNote) -> Fix:
    """A configuration file is the one that was meant."""
    line = re.search(r"\bline (\d+)", one.unusable)
    return Fix(
        "Correct the file",
        steps=(f"Correct {one.name}{f', line {line[1]}' if line else ''}.",),
        verify=("`lkdoctor check .` reads it.",),
    )


def _fetch_the_log() -> Fix:
    """The usual way to an empty file is to catch standard output only."""
    return Fix(
        "Fetch the log again, with standard error",
        steps=(
            "livekit-server writes its log to standard error: redirect that too.",
            "In Docker, NAME is the server's container; under systemd use `journalctl -u livekit-server -o cat`.",
        ),
        commands=("docker logs NAME >server.log 2>&1",),
        verify=("The file has the line `starting LiveKit server`.",),
    )


@check(EVIDENCE_THIN)
def evidence_thin(dispatches: Dispatches, coverage: Coverage, runs: ServerRuns) -> Iterator[Finding | Inconclusive]:
    """The evidence cannot show everything, and some dispatches stay undecided for it.

    ## What it means
    A log that begins in the middle, hides the info level, lacks a node or has no times cannot prove that something did
    *not* happen. lkdoctor then does not guess: a dispatch whose ending is not in the evidence stays `unknown` (or
    `pending`, when the evidence simply ends too early), with what to fetch.

    ## How it is decided
    By what the log shows of itself: its start, its levels, its nodes, its times. Each undecided dispatch is a question
    of its own; questions with the same answer are asked once per agent name.

    ## How to fix
    Fetch what the question names: mostly the server's log from before the room was made, at `logging.level: info`, from
    all nodes, and 10 s more of it.

    ## When it is not a problem
    If every dispatch is decided, a late start only means that the report is about the time in the log. The unnamed
    dispatch of a room that names no agent leaves no line where nobody serves it; it is not asked about.
    """
    open_ones = [
        one
        for one in dispatches.ended(Outcome.UNKNOWN, Outcome.PENDING)
        # The unnamed dispatch was made by no one's wish: not knowing how it ended is no gap.
        if words.wanted(one)
    ]
    groups: dict[tuple[str, str, str], list[Dispatch]] = {}
    for one in open_ones:
        groups.setdefault((one.agent_name, one.reason, one.missing), []).append(one)
    for (name, reason, missing), group in sorted(groups.items()):
        single = group[0]
        subject = words.subject_of(single) if len(group) == 1 else Subject("agent", agent_name=name)
        yield Inconclusive(
            subject,
            f"{words.counted(len(group), 'dispatch', 'dispatches')} of {words.quoted(name)} "
            f"({words.rooms_of(group)}) stay{'s' if len(group) == 1 else ''} undecided: "
            f"{reason or 'the evidence ends before the launch must have ended'}.",
            f"Fetch {missing or 'a log that goes on for at least 10 s after the dispatch'}.",
            words.spread(place for one in group for place in one.proof),
        )
    yield from _given_twice(runs)
    if coverage.complete and not coverage.reasons:
        return
    unknown = sum(1 for one in open_ones if one.outcome is Outcome.UNKNOWN)
    yield Finding(
        EVIDENCE_THIN,
        Subject("server"),
        f"The evidence does not show everything: {'; '.join(coverage.reasons)}."
        + (f" {words.counted(unknown, 'dispatch', 'dispatches')} stayed undecided." if unknown else ""),
        # Never above info: what is undecided makes the verdict inconclusive, and a thin log is no fault of the system.
        EVIDENCE_THIN.severity,
        Confidence.HIGH,
        {
            "starts_late": coverage.starts_late,
            "hides_info": coverage.hides_info,
            "nodes_missing": coverage.nodes_missing,
            "sampled": coverage.sampled,
            "timeless": coverage.timeless,
            "undecided": unknown,
        },
        (),
        (Fix("Fetch more of the log", steps=tuple(one[:1].upper() + one[1:] for one in coverage.reasons)),),
        count=max(1, unknown),
    )


def _given_twice(runs: ServerRuns) -> Iterator[Finding]:
    """Two sources with one node's lines of the same time: everything in them is told twice."""
    for node_id, streams in words.copies(runs).items():
        yield Finding(
            EVIDENCE_THIN,
            Subject("server", id=node_id),
            f"The same node's log was given twice ({words.listed(streams, 10)}, node {node_id}), so its rooms, workers and "
            "dispatches may be counted twice.",
            EVIDENCE_THIN.severity,
            Confidence.HIGH,
            {"node_id": node_id, "streams": streams},
            (),
            (Fix("Give each node's log once", steps=(f"Leave out {words.listed(streams[1:], 10)}.",)),),
            count=len(streams),
        )


@check(VERSION_UNKNOWN)
def version_unknown(runs: ServerRuns) -> Iterator[Finding | Inconclusive]:
    """The server's version is not in the log, so all rules that differ by version stay open.

    ## What it means
    The load limit, the job types that are tried, what a terminal reject does and whether deployments count all depend
    on the version. Without it every rule that is possible is applied, and where they disagree nothing is said.

    ## How it is decided
    No `starting LiveKit server` line, which carries the version, stands in the log of that run.

    ## How to fix
    Add the log from the server's start, or its first ten lines.

    ## When it is not a problem
    If the findings do not depend on the version, nothing is lost.
    """
    blind = [run for run in runs if not run.version and not run.config_refused]
    if not blind:
        return
    streams = sorted({run.stream for run in blind})
    yield Finding(
        VERSION_UNKNOWN,
        Subject("server"),
        f"The server's version is not in the log ({words.listed(streams)}), so limits and rules that differ by version "
        "stay open.",
        VERSION_UNKNOWN.severity,
        Confidence.HIGH,
        {"streams": streams},
        (),
        (Fix("Add the server's first lines", steps=("Fetch the log from `starting LiveKit server` on.",)),),
        count=len(streams),
    )
