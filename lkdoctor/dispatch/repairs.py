"""Which agent names a project's files should set otherwise, and what speaks against letting a machine do it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lkdoctor.dispatch.plan import Plan, Wish, wishes_of
from lkdoctor.dispatch.project import Service, sharing


@dataclass(frozen=True, slots=True)
class Repair:
    """One service that should register under another name. `blockers`: why it is only shown; empty for a safe one."""

    service: str
    name: str
    before: str
    code: str
    why: str
    blockers: tuple[str, ...] = ()
    announce: bool = False  # the new name is to be added to lkdoctor.toml


def repairs_of(plan: Plan, more: Iterable[Wish] = ()) -> list[Repair]:
    """Slips of a planned name, planned names that an unnamed service should have, and names that two programs share.

    `more` are agents that sample tokens ask for. The plan says who asks for what; a name that it does not have may be
    asked for by somebody who is not in view, so a change of it is never safe.
    """
    wishes = [*wishes_of(plan), *more]
    services = [one for one in plan.project.workers() if one.get("service") is not None]
    named = {one.name: one.agent_name.value for one in services}
    open_names = [one.name for one in plan.agents if one.name and one.name not in named.values()]
    found: list[Repair] = []
    taken: set[str] = set()
    for one in services:
        value = one.agent_name.value
        slip = [name for name in open_names if value and plain(name) == plain(value) and name not in taken]
        if value and plan.agent(value) is None and len(slip) == 1:
            asked = any(wish.name == value for wish in wishes)
            blockers = _blockers(one) + ((f'somebody in view asks for "{value}" as well',) if asked else ())
            found.append(Repair(one.name, slip[0], value, "LKD202", f'the plan asks for "{slip[0]}"', blockers))
            taken.add(slip[0])
    unnamed = [one for one in services if one.agent_name.value == ""]
    left = [name for name in open_names if name not in taken]
    if len(unnamed) == 1 and len(left) == 1 and plan.agent("") is None:
        open_ones = [one for one in (*services, *plan.project.unseen()) if one.agent_name.value is None]
        hidden = tuple(f'service {one.name} may serve "{left[0]}": {one.agent_name.why}' for one in open_ones)
        why = f'nobody serves "{left[0]}", and this service has no name'
        found.append(Repair(unnamed[0].name, left[0], "", "LKD204", why, _blockers(unnamed[0]) + hidden))
    return found + _shared(plan, services)


def plain(name: str) -> str:
    """The name without case, blanks, hyphens, underscores and dots."""
    return re.sub(r"[\s\-_.]+", "", name).casefold()


def _shared(plan: Plan, services: list[Service]) -> list[Repair]:
    used = {one.agent_name.value for one in services} | {one.name for one in plan.agents}
    found: list[Repair] = []
    for name, together in sharing(services):
        agent = plan.agent(name)
        programs = {one.program for one in together}
        planned = None if agent is None else agent.workers
        if not name or (planned is not None and planned >= sum(one.replicas or 1 for one in together)):
            continue
        if len(programs) == 1 and planned is None:
            continue  # one program in several services is scale-out
        keeper = _keeper(together, name, "" if agent is None else agent.service)
        blockers: tuple[str, ...] = ()
        if agent is None or not agent.ways:
            blockers += (f'who asks for "{name}" is not in view; say it in lkdoctor.toml (`dispatched_by`)',)
        if keeper is None:
            blockers += (f'which service is to keep "{name}" is not said; say it in lkdoctor.toml (`service`)',)
        for one in together:
            if one is (keeper or together[0]):
                continue
            new = f"{name}-{one.name}"
            why = f'"{name}" is also the name of service {(keeper or together[0]).name}'
            clash = (f'"{new}" is taken',) if new in used else ()
            found.append(
                Repair(one.name, new, name, "LKD802", why, blockers + clash + _blockers(one), bool(plan.agents))
            )
    return found


def _keeper(group: list[Service], name: str, chosen: str) -> Service | None:
    """The service that keeps the name: the plan's, else the only one that is called like the agent."""
    if chosen:
        return next((one for one in group if one.name == chosen), None)
    same = [one for one in group if plain(one.name) == plain(name)]
    return same[0] if len(same) == 1 else None


def _blockers(one: Service) -> tuple[str, ...]:
    found = one.agent_name
    if one.get("code.sdk") is None:
        return (f"the program of service {one.name} is not in view, and may have a name of its own",)
    if found.source == "program" and found.setting is not None:
        return (f"the program itself names the agent ({found.setting.where}); programs are not edited",)
    if found.source == "variable" and found.setting is not None and found.setting.scope == "code":
        return (f"the name is a default of the program ({found.setting.where})",)
    return ()
