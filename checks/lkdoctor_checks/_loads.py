"""What the checks of measured load share: which server judges a reading, which refusals fall to it, and the fixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.addresses import on_cloud
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.intentions import PlannedServer
from lkdoctor.dispatch.load import WINDOW, LoadReading
from lkdoctor.dispatch.load_rules import Limit, limit_of
from lkdoctor.dispatch.model import Dispatch, Outcome
from lkdoctor.doctor.evidence import Evidence
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor_checks import _words as words

AROUND = 2 * WINDOW  # s by which a reading may miss the moment of a refusal: reported at most 2.5 s late, of 2.5 s


def groups(readings: Iterable[LoadReading]) -> Iterator[list[LoadReading]]:
    """One list, oldest first, for each function that measured at one place."""
    found: dict[tuple[str, str | None, str, str, str], list[LoadReading]] = {}
    for one in sorted(readings, key=lambda reading: reading.at):
        if one.measures:
            found.setdefault((one.where, one.agent_name, one.sdk, one.version, one.function), []).append(one)
    yield from found.values()


def limit(one: LoadReading, evidence: Evidence) -> Limit | None:
    """The limit of the server that judges this reading; None on LiveKit Cloud, whose limits are not known."""
    server = evidence.probes.server
    measured = next((run.refused_load for run in evidence.probes if run.refused_load is not None), None)
    planned = not version(one, evidence) and any(on_cloud(each.url) for each in evidence.facts_of(PlannedServer))
    if measured is None and (one.cloud or planned or (server is not None and server.is_cloud)):
        return None
    return limit_of(version(one, evidence) or None, one.target_load, measured)


def version(one: LoadReading, evidence: Evidence) -> str:
    """The server's version: as it was said, else that of the only servers in the evidence; empty when not known."""
    return one.server_version or only_version(evidence)


def only_version(evidence: Evidence) -> str:
    """The version of the only servers in the evidence; empty when it is not known, or there are several."""
    known = {run.version for run in evidence.runs.all if run.version}
    server = evidence.probes.server
    if not known and server is not None:
        return server.version
    return known.pop() if len(known) == 1 else ""


def refused(one: LoadReading, evidence: Evidence, outcome: Outcome = Outcome.NO_HEADROOM) -> list[Dispatch]:
    """Dispatches to this worker's name that were refused for want of headroom (or ended so) while this reading was taken.

    Where nobody said whose worker was measured, it is that of the only name that was refused.
    """
    every = [each for each in evidence.dispatches.ended(outcome) if words.wanted(each)]
    names = {each.agent_name for each in every}
    if one.agent_name is None and len(names) != 1:
        return []
    return [
        each
        for each in every
        if (one.agent_name is None or each.agent_name == one.agent_name)
        and (at := words.asked(each)) is not None
        and one.at - one.seconds - AROUND <= at <= one.at + AROUND
    ]


def all_refused(
    readings: Iterable[LoadReading], evidence: Evidence, outcome: Outcome = Outcome.NO_HEADROOM
) -> list[Dispatch]:
    """Of several readings, each dispatch once."""
    found = {id(each): each for one in readings for each in refused(one, evidence, outcome)}
    return list(found.values())


def finding(
    code: Code,
    readings: Sequence[LoadReading],
    message: str,
    fixes: tuple[Fix, ...],
    *,
    hit: Sequence[Dispatch] = (),
    severity: Severity | None = None,
    confidence: Confidence = Confidence.HIGH,
    **values: object,
) -> Finding:
    """A finding proven by readings of one function at one place; `hit` are the refused dispatches that it accounts for."""
    last = readings[-1]
    name = last.agent_name if last.agent_name is not None else hit[0].agent_name if hit else None
    proof: list[Place] = [*words.spread((one.place for one in readings), 3), *words.proof_of(list(hit), limit=3)]
    told = {
        "where": last.where,
        "measured_by": last.measures,
        "load": last.load,
        "divisor": last.divisor,
        "usable_cpus": last.usable,
        "quota": last.quota,
        "host_cpus": last.host_cpus,
        "host_busy": last.host_busy,
        "group_used": last.group_used,
        **values,
    }
    return Finding(
        code,
        Subject("worker", agent_name=name, id=last.measures),
        message,
        code.severity if severity is None else severity,
        confidence,
        {key: value for key, value in told.items() if value is not None},
        tuple(dict.fromkeys(proof)),
        fixes,
        folds=words.folds_of(hit),
        count=len(readings),
        first_at=readings[0].at - readings[0].seconds,
        last_at=last.at,
    )


def question(one: LoadReading, missing: str, how: str, *, weighs: bool = False) -> Inconclusive:
    """What this reading leaves open: `missing`, and `how` to get it."""
    subject = Subject("worker", agent_name=one.agent_name, id=one.measures)
    return Inconclusive(subject, missing, how, (one.place,), weighs=weighs)


def met(hit: Sequence[Dispatch], how: str = "refused for want of headroom") -> str:
    """The dispatches that were refused meanwhile, as a sentence; empty without any."""
    if not hit:
        return ""
    return (
        f" {words.counted(len(hit), 'dispatch', 'dispatches')} to {words.quoted(hit[0].agent_name)} "
        f"({words.rooms_of(hit)}) {'was' if len(hit) == 1 else 'were'} {how} meanwhile."
    )


def who(one: LoadReading) -> str:
    """`livekit-agents 1.8.9 on this machine`."""
    if one.where != "this machine":
        return f"{one.measures} of {one.where}"
    return f"{one.measures} {'in this container' if one.contained else 'on this machine'}"


def reads(one: LoadReading) -> str:
    """What it measured, or what its rule makes of the kernel's counters."""
    load = "no load" if one.load is None else f"load {one.load:.2f}"
    return f"by its rule has {load}" if one.by == "rule" else f"measured {load}"


def number(cpus: float) -> str:
    """`half a CPU`-like words: `0.5 CPUs`, `1 CPU`."""
    return f"{cpus:g} CPU{'' if cpus == 1 else 's'}"


def set_num_cpus(one: LoadReading) -> Fix:
    """Tell the SDK how many CPUs it may use."""
    return Fix(
        "Tell the SDK how many CPUs the worker may use",
        steps=(f"Set NUM_CPUS={one.usable:g} in the worker's environment (of its container), and start it anew.",),
        caveats=(
            (
                "livekit-agents reads it from 1.2.6 on, @livekit/agents from 1.0.49 on. It replaces what the SDK divides by, so "
                "change it together with the quota."
            ),
        ),
        verify=("`lkdoctor load` in the same place then divides by that number.",),
        undo=("Take NUM_CPUS out again.",),
    )


def threshold_fixes(versions: Sequence[str] = ()) -> tuple[Fix, ...]:
    """For a worker whose own threshold is above the limit of a server of these versions; none: not known."""
    fixed = bool(versions) and not any(rule.configurable for one in versions for rule in rules.headrooms(one))
    less = (
        Fix(
            "Bring the load down",
            steps=(
                "`lkdoctor load` beside the worker says what its load is, and of what.",
                "Start the agents of one room one after another; put other programs elsewhere; give the worker more CPUs.",
            ),
            verify=("`assigned job to worker` follows a dispatch made under the same conditions.",),
        ),
        Fix(
            "Let the worker say when it is full",
            steps=(
                (
                    "Set `load_threshold` (Node: `loadThreshold`) to the server's limit or less: its log then says `worker is at "
                    "full capacity`, and when it is over."
                ),
            ),
            caveats=("It does not get more jobs by this: the server's limit stays.",),
        ),
        Fix(
            "Raise the server's limit, where the machine can do more",
            safety="unsafe",
            steps=("livekit.yaml: `agents: {target_load: 0.9}`, then restart the server (1.11.0 and later).",),
            caveats=(
                "Measure first: jobs on a machine that is full stutter. Older servers refuse to start with this key.",
            ),
            undo=("Take the key out again; the default is 0.7.",),
        ),
    )
    return less[:-1] if fixed else less
