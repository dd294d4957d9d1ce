"""Which alarming lines are harmless, and why?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lkdoctor.dispatch.model import Outcome
from lkdoctor.doctor.codes import OTHER_TYPE_NOISE
from lkdoctor.doctor.evidence import Dispatches, Workers
from lkdoctor.doctor.finding import Confidence, Finding, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words


@check(OTHER_TYPE_NOISE)
def other_type_noise(dispatches: Dispatches, workers: Workers) -> Iterator[Finding | Inconclusive]:
    """Lines that read like failures, for job types that the name's workers do not register, are harmless.

    ## What it means
    Every dispatch is tried for every job type: JT_ROOM when the room or the dispatch is made, JT_PARTICIPANT at each
    person's join (1.8.4 and later), JT_PUBLISHER at each person's first track. A worker registers one type, so the
    other tries find nobody, and the server logs `not dispatching agent job since no worker is available` for them. The
    agent is in the room all the same. Likewise an unnamed dispatch beside named workers only ends with `no response
    from servers` and an empty agentName.

    ## How it is decided
    The launch that counts is the one of the type that the name's workers register; lines of its other launches are
    counted here. Their order proves nothing: with a warm list of names they come 0.2 s *before* the assignment, with a
    cold one 5 s after it (seen on 1.8.4, 1.9.12, 1.11.0 and 1.13.5).

    ## How to fix
    Nothing to fix. Taking the agent's name away makes the lines vanish, because unnamed dispatches do not print them,
    and that is why it looks like a cure. For a worker that registers JT_PARTICIPANT the JT_ROOM line is the noise.

    ## When it is not a problem
    Always: this is information, so that nobody looks for the fault here.
    """
    kinds: Counter[tuple[str, str, str]] = Counter()
    # The unnamed dispatch beside named workers: its line decides it, and still nothing is wrong.
    unnamed = [
        one
        for one in dispatches.ended(Outcome.NO_RESPONSE)
        if not words.wanted(one) and not workers.named("")  # one that has left meanwhile is LKD208
    ]
    hit = [*(one for one in dispatches if one.noise_lines), *unnamed]
    total = sum(one.noise_lines for one in hit) + len(unnamed)
    if not total:
        return
    for one in unnamed:
        kinds["", words.launch_type(one), one.outcome.value] += 1
    for one in hit:
        for launch in one.launches:
            if not launch.decides and launch.outcome in (Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE):
                kinds[one.agent_name, launch.job_type, launch.outcome.value] += 1
    first, last = words.when(hit)
    told = words.listed(f"{words.quoted(name)} {job_type}" for name, job_type, _ in sorted(kinds))
    yield Finding(
        OTHER_TYPE_NOISE,
        Subject("server"),
        f"{words.counted(total, 'alarming line')} {'is' if total == 1 else 'are'} harmless"
        f"{f' ({told})' if told else ''}: every dispatch is tried for every job type, and only the type that the name's "
        "worker registers counts.",
        OTHER_TYPE_NOISE.severity,
        Confidence.HIGH,
        {
            "lines": total,
            "kinds": [
                {"agent_name": name, "job_type": job_type, "outcome": outcome, "lines": number}
                for (name, job_type, outcome), number in sorted(kinds.items())[:20]
            ],
        },
        words.spread(place for one in hit for place in (one.noise or words.ending(one))),
        count=total,
        first_at=first,
        last_at=last,
    )
