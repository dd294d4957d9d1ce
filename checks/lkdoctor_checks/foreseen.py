"""Nothing runs yet: what will the server do with each planned dispatch, and with each sample token?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.facts import Place
from lkdoctor.dispatch.model import Outcome
from lkdoctor.dispatch.plan import Foreseen, Plan, Wish, foresee, versions_of, wishes_of
from lkdoctor.dispatch.predict import PlannedWorker
from lkdoctor.dispatch.project import Service
from lkdoctor.dispatch.settings import DEPLOYMENT, Setting
from lkdoctor.dispatch.token_claims import SEEN, entries, granted, text
from lkdoctor.doctor.codes import (
    DEPLOYMENT_ISOLATED,
    JOB_TYPE_MISMATCH,
    LIMIT_ZERO,
    NAME_NEAR_MISS,
    NAME_NOT_SERVED,
    NO_HEADROOM,
    NO_RESPONSE,
    TOKEN_AGENTS_IGNORED,
)
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Code, Confidence, Finding, Fix, Inconclusive, Severity, Subject
from lkdoctor.doctor.registry import CheckFunction, check
from lkdoctor_checks import _plan, _tokens
from lkdoctor_checks import _words as words
from lkdoctor_checks.near_miss import nearest

BY = {
    "token": "a token's roomConfig",
    "api": "CreateDispatch",
    "sip": "a SIP dispatch rule",
    "automatic": "the room's own unnamed dispatch",
    "sample": "the sample token",
}
SERVER_SAYS = {
    Outcome.NAME_NOT_SERVED: "`not dispatching agent job since no worker is available`",
    Outcome.NO_RESPONSE: "`failed to send job request`, `no response from servers`",
    Outcome.NO_HEADROOM: "`failed to send job request`, `no servers available`",
}

FORESEEN = (
    TOKEN_AGENTS_IGNORED,
    JOB_TYPE_MISMATCH,
    DEPLOYMENT_ISOLATED,
    LIMIT_ZERO,
    NO_HEADROOM,
    NO_RESPONSE,
    NAME_NOT_SERVED,
    NAME_NEAR_MISS,
)
_SETTING = {JOB_TYPE_MISMATCH: "code.type", DEPLOYMENT_ISOLATED: f"env.{DEPLOYMENT}"}  # what proves these codes


def foresees(function: CheckFunction) -> CheckFunction:
    """Marks a check that `judge`s a plan as the check for every code that can be foreseen."""
    for code in FORESEEN:
        function = check(code)(function)
    return function


@foresees
def foreseen_by_files(settings: Facts[Setting], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """From configuration files: the agents that the sample tokens and lkdoctor.toml ask for are played against the workers that
    the files configure, by the rules of the server's version (of all versions that were run, where it is not known). A
    name, type or deployment that a program computes is not known, and then nothing is claimed of it. Of LiveKit Cloud, which
    runs another dispatcher, only a name that no worker in view has is told."""
    del settings
    plan = _plan.plan_of(evidence)
    if any(plan.project.workers()):
        yield from judge(plan, evidence)


def judge(plan: Plan, evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """Play every wish against the workers, by each version's rules, and tell what cannot work."""
    workers, unclear = plan.workers()
    versions = versions_of(plan, _plan.seen_version(evidence))
    wishes = [*wishes_of(plan), *samples(plan, evidence)]
    by_version = [foresee(plan, wishes, workers, one) for one in versions]
    done: set[tuple[str, str, str]] = set()
    for wish in wishes:
        results = [next((one for one in all_of if one.wish is wish), None) for all_of in by_version]
        failed = [
            (version, one) for version, one in zip(versions, results, strict=True) if one is not None and one.fails
        ]
        key = (wish.name, wish.deployment, "".join(sorted({str(sorted(one.outcomes)) for _, one in failed})))
        if not failed or key in done or (plan.cloud and not _by_name(failed[0][1], workers)):
            continue
        done.add(key)
        sure = len(failed) == len(versions)
        same = [one for one in wishes if (one.name, one.deployment) == (wish.name, wish.deployment)]
        yield from _told(
            failed[0][1], plan, workers, unclear, versions=[one for one, _ in failed], sure=sure, same=same
        )
    yield from _limit_zero(plan, versions, wishes)


def samples(plan: Plan, evidence: Evidence) -> list[Wish]:
    """The agents of sample tokens, as the server reads them."""
    version = _plan.version_of(plan, evidence) or None
    found: list[Wish] = []
    for token in _tokens.readable(evidence):
        room = text(granted(token.claims, "room", version))
        for entry in entries(token.claims, version):
            wanted = entry.wanted
            place = token.at("roomConfig")
            found.append(Wish(wanted.agent_name, wanted.deployment, "sample", f"token:{room}", token.where, place))
    return found


def _by_name(one: Foreseen, workers: Sequence[PlannedWorker]) -> bool:
    """Does it fail for the name alone? Only so much is claimed of LiveKit Cloud, whose dispatcher is another one."""
    served = any(each.agent_name == one.wish.name for each in workers)
    return bool(one.wish.name) and one.outcomes == {Outcome.NAME_NOT_SERVED} and not served


def _told(
    one: Foreseen,
    plan: Plan,
    workers: Sequence[PlannedWorker],
    unclear: Sequence[Service],
    *,
    versions: Sequence[str],
    sure: bool,
    same: Sequence[Wish],
) -> Iterator[Finding | Inconclusive]:
    wish = one.wish
    subject = Subject("agent", agent_name=wish.name)
    if one.ignored:
        yield _ignored(wish, plan)
        return
    outcome = min(one.outcomes)
    if unclear and outcome in {Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE}:
        yield Inconclusive(
            subject,
            f"Whether {words.quoted(wish.name)} will be served is open: the agent name of "
            f"{words.listed(f'{each.name or each.first.file}' for each in unclear)} is not known "
            f"({unclear[0].agent_name.why or 'its job type or deployment is computed'}).",
            "Set LIVEKIT_AGENT_NAME in the service's environment, or check the running system with --url.",
            (wish.place,),
        )
        return
    if outcome is Outcome.NO_HEADROOM and plan.target_load == 0:
        return  # LKD406 tells of it once
    mine = [each for each in workers if each.agent_name == wish.name]
    code, why, fix = _cause(outcome, wish, plan, workers, mine)
    asked = list(dict.fromkeys(f"{BY[each.way]} ({each.where})" for each in same[:3]))
    ask = "asks" if len(asked) == 1 else "ask"
    told = outcome in SERVER_SAYS and wish.name and not plan.cloud
    said = f" The server will say {SERVER_SAYS[outcome]}." if told else ""
    only = "" if sure or plan.cloud else f" (livekit-server {', '.join(versions)})"
    yield Finding(
        code,
        subject,
        f"{words.quoted(wish.name)} will not come: {' and '.join(asked)} {ask} for it, and {why}{only}.{said}",
        Severity.ERROR if sure or versions[0] == _newest() else Severity.WARNING,
        Confidence.HIGH if sure and not plan.cloud else Confidence.MEDIUM,
        {
            "agent_name": wish.name,
            "outcome": outcome.value,
            "asked_by": [each.way for each in same[:5]],
            "predicted": True,
        },
        words.spread([*(each.place for each in same[:3]), *_proof_of(plan, wish, code)]),
        (fix,),
        # Half a repair: that the worker has no name is one cause, whatever else it does without one.
        folds=(Subject("agent", agent_name=""),) if {each.agent_name for each in workers} == {""} else (),
    )


def _newest() -> str:
    """The newest version that was run: the one that most people have."""
    return SEEN[0]


def _proof_of(plan: Plan, wish: Wish, code: Code) -> list[Place]:
    """What sets the workers of the name apart, and where workers get their names (or begin, when nothing names them)."""
    key = _SETTING.get(code, "")
    services = list(plan.project.workers())
    apart = [one.settings[key].place for one in services if one.agent_name.value == wish.name and key in one.settings]
    return [*apart, *((one.agent_name.setting or one.first).place for one in services)][:4]


def _cause(
    outcome: Outcome, wish: Wish, plan: Plan, workers: Sequence[PlannedWorker], mine: Sequence[PlannedWorker]
) -> tuple[Code, str, Fix]:
    """Code, words behind "and", and the fix."""
    names = sorted({one.agent_name for one in workers})
    services = list(plan.project.workers())
    if outcome is Outcome.NAME_NOT_SERVED and not mine:
        near = nearest(wish.name, [one for one in names if one])
        held = words.listed(words.quoted(one) for one in names) if names else "no agent at all"
        if near is not None and near[0] != wish.name:
            other = next((one for one in services if one.agent_name.value == near[0]), None)
            place = f" ({_plan.name_place(other)})" if other is not None else ""
            return (
                NAME_NEAR_MISS,
                f'the worker will register as "{near[0]}"{place}; names are compared letter for letter',
                _one_name(wish, near[0], other),
            )
        if not wish.name:
            return (
                NAME_NOT_SERVED,
                f"every worker has a name ({held}), which such a dispatch never reaches",
                _ask_by_name(names),
            )
        if names == [""] and services:  # half a repair: the name was taken off the worker, and not off the dispatch
            each = "the worker" if len(services) == 1 else "every worker"
            return (
                NAME_NOT_SERVED,
                f"{each} will register without a name: {_plan.called(services[:3])}",
                _serve(plan, wish, services),
            )
        return NAME_NOT_SERVED, f"the workers will register as {held}", _serve(plan, wish, services)
    if outcome is Outcome.NO_RESPONSE and mine and {one.deployment for one in mine} != {wish.deployment}:
        theirs = sorted({one.deployment for one in mine})
        service = next((one for one in services if one.agent_name.value == wish.name), None)
        setting = service.get("env.LIVEKIT_AGENT_DEPLOYMENT") if service is not None else None
        told = words.listed(f'"{one}"' if one else "no deployment" for one in theirs)
        asked = f'"{wish.deployment}"' if wish.deployment else "none"
        return (
            DEPLOYMENT_ISOLATED,
            f"its workers register under {told}{f' ({setting.where})' if setting else ''}, while the dispatch names {asked}",
            _one_deployment(wish, theirs[0]),
        )
    if outcome is Outcome.WAITING or (mine and outcome in {Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE}):
        kinds = words.listed(sorted({one.job_type for one in mine}))
        said = [
            one.settings["code.type"].where
            for one in services
            if one.agent_name.value == wish.name and one.get("code.type")
        ]
        at = f" ({', '.join(said[:3])})" if said else ""
        return JOB_TYPE_MISMATCH, f"its workers take {kinds}{at}, which that dispatch never raises", _room_type()
    if outcome is Outcome.NO_RESPONSE:
        return (
            NO_RESPONSE,
            "no worker of that name listens",
            _ask_by_name(names) if not wish.name else _serve(plan, wish, services),
        )
    return NO_HEADROOM, "each of its workers reports a load at or over the server's limit", _lower_load()


def _ignored(wish: Wish, plan: Plan) -> Finding:
    room = next((one for one in plan.rooms if one.called == wish.room), None)
    maker = (
        "a CreateRoom call makes the room first"
        if room and room.made_by == "create-room"
        else "the room is there before"
    )
    if wish.way == "automatic":
        why = "the unnamed dispatch is made only for rooms whose creation names no agent, and this one names some"
    else:
        why = f"{maker}, and the agents of {BY[wish.way]} are read only by the join that makes it"
    return Finding(
        TOKEN_AGENTS_IGNORED,
        Subject("agent", agent_name=wish.name),
        f"{words.quoted(wish.name)} will not come into {words.marked(wish.room) or 'its room'}: {why} ({wish.where}).",
        Severity.ERROR,
        Confidence.HIGH,
        {"agent_name": wish.name, "rooms": [wish.room], "asked_by": [wish.way], "predicted": True},
        (wish.place,),
        (
            Fix(
                "Name the agent where the room is made",
                steps=(
                    (
                        "Give its worker a name, and name it beside the others where the room is made.",
                        "Or name no agent there, and dispatch the others with CreateDispatch once the room is there.",
                    )
                    if wish.way == "automatic"
                    else (
                        "Name it in CreateRoom's `agents`, or dispatch it with CreateDispatch once the room is there.",
                        "Or drop the call that makes the room before, and let the first join make it.",
                    )
                ),
                verify=("`lkdoctor check .` finds nothing.",),
            ),
        ),
    )


def _limit_zero(plan: Plan, versions: Sequence[str], wishes: Sequence[Wish]) -> Iterator[Finding]:
    if plan.target_load != 0 or not wishes or plan.cloud:
        return
    setting = plan.project.server.settings.get("agents.target_load")
    if all(rules.since(one, (1, 11, 0)) is False for one in versions):
        return
    where = setting.where if setting is not None else plan.server.where if plan.server is not None else ""
    place = setting.place if setting is not None else plan.server.place if plan.server is not None else None
    yield Finding(
        LIMIT_ZERO,
        Subject("server"),
        f"`agents.target_load` is 0 ({where}): the server will refuse every worker at every load, and no agent will come.",
        LIMIT_ZERO.severity,
        Confidence.HIGH,
        {"target_load": 0, "predicted": True},
        () if place is None else (place,),
        (
            Fix(
                "Take the limit out, or set it between 0.5 and 1",
                steps=(f"Change it in {where}, and restart the server.",),
                verify=("`lkdoctor probe` gets its job.",),
            ),
        ),
        folds=tuple(Subject("agent", agent_name=one.name) for one in wishes),
    )


def _one_name(wish: Wish, other: str, service: Service | None) -> Fix:
    steps = [f'Write "{other}" instead of "{wish.name}" where the agent is asked for ({wish.where}).']
    if service is not None:
        steps.append(f'Or let the worker register as "{wish.name}": {_plan.name_place(service)}.')
    return Fix("Write one name on both sides", steps=tuple(steps), verify=("`lkdoctor check .` finds nothing.",))


def _serve(plan: Plan, wish: Wish, services: Sequence[Service]) -> Fix:
    if len(services) == 1:
        return _plan.set_name(plan, services[0], wish.name)
    return Fix(
        f"Let a worker serve {words.quoted(wish.name)}, or ask for one that is there",
        steps=(
            f"Set LIVEKIT_AGENT_NAME={wish.name} for the worker that is meant ({_plan.called(services[:3])})."
            if services
            else f"Add a worker that registers as {words.quoted(wish.name)}.",
            f"Or change the name where it is asked for ({wish.where}).",
        ),
        caveats=(words.NAME_VARIABLE,) if services else (),
        verify=("`lkdoctor check .` finds nothing.",),
    )


def _ask_by_name(names: Sequence[str]) -> Fix:
    return Fix(
        "Ask for the agent by its name, or take the name off its worker",
        steps=(
            f"Put {words.quoted(names[0]) if names else 'the name'} into the token's roomConfig.agents or CreateDispatch.",
            "Or start the worker without a name: it then comes to every room whose creation names no agent.",
        ),
        verify=("`lkdoctor check .` finds nothing.",),
    )


def _one_deployment(wish: Wish, deployment: str) -> Fix:
    return Fix(
        "Name one deployment on both sides, or none",
        steps=(
            f'Put `deployment: "{deployment}"` into the dispatch of {words.quoted(wish.name)} ({wish.where}).'
            if deployment
            else f"Set LIVEKIT_AGENT_DEPLOYMENT={wish.deployment} for its workers.",
            "Or take LIVEKIT_AGENT_DEPLOYMENT out of the worker's environment, and the deployment out of the dispatch.",
        ),
        caveats=("Servers up to 1.11.0 know no deployments, and refuse a token that names one (LKD509).",),
        verify=("`lkdoctor check .` finds nothing.",),
    )


def _room_type() -> Fix:
    return Fix(
        "Register for rooms",
        steps=(
            "Let the worker register for rooms (`WorkerType.ROOM`, Node `JobType.JT_ROOM`): one job for each dispatch.",
            "A job for a participant needs a person who joins, one for a publisher a person who publishes.",
        ),
        verify=("`lkdoctor check .` finds nothing.",),
    )


def _lower_load() -> Fix:
    return Fix(
        "Report the load as it is",
        steps=("Let the load function return less than the server's limit while the worker is idle.",),
        verify=("`lkdoctor load` shows a load below the limit.",),
    )
