"""Random worlds on real servers: prediction, story and what workers and the API saw must agree, for every dispatch."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path

import pytest

from fixtures.lab.worlds import Played, Truth, draw, play
from lkdoctor.collect.gathered import Gathered
from lkdoctor.collect.server_api.exchanges import read_exchanges
from lkdoctor.collect.server_log import ServerLogs
from lkdoctor.dispatch.listings import DispatchesListed, Snapshot
from lkdoctor.dispatch.model import Dispatch, Origin, Outcome
from lkdoctor.dispatch.predict import Prediction, predict_room
from lkdoctor.dispatch.stories import join

pytestmark = pytest.mark.live

# One seed for everybody, so that a red run can be played again; LKDOCTOR_SEED=random goes looking for new worlds.
SEED = os.environ.get("LKDOCTOR_SEED", "693366")
WORLDS = int(os.environ.get("LKDOCTOR_WORLDS", "100"))
NOBODY_ASKED = {Outcome.NAME_NOT_SERVED, Outcome.NO_RESPONSE, Outcome.NO_HEADROOM, Outcome.WAITING}


@pytest.mark.parametrize(
    ("version", "share", "unnamed", "json_log"),
    [
        ("1.13.5", 1.0, False, False),
        ("1.13.5", 0.5, True, True),
        ("1.11.0", 0.4, True, False),
        ("1.9.12", 0.4, False, True),
        ("1.8.4", 0.4, False, False),
    ],
)
def test_random_worlds(version: str, share: float, unnamed: bool, json_log: bool, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6) if SEED == "random" else int(SEED)
    dice = random.Random(f"{seed}-{version}-{unnamed}")
    deployments = version == "1.13.5"  # tokens with a deployment are refused up to 1.11.0
    worlds = [draw(dice, f"w{index}", deployments=deployments) for index in range(round(WORLDS * share))]
    played = asyncio.run(play(worlds, version=version, folder=tmp_path, unnamed=unnamed, json_log=json_log))
    dispatches = stories_of(played)
    disagreements = [
        f"{truth.room}: {line}" for truth in played.truths for line in disagree(truth, played, version, dispatches)
    ]
    with_api = stories_of(played, listings_of(played))
    disagreements += [line for truth in played.truths for line in disagree_with_api(truth, played, with_api, version)]
    left = Counter(one.outcome.value for listed in with_api.values() for one in listed)
    seen = Counter(one.outcome.value for listed in dispatches.values() for one in listed)
    words = f"{len(worlds)} worlds, {len(played.truths)} rooms on {version}, seed {seed}: {dict(seen)}"
    print(f"\n{words}; with the API {dict(left)}")  # noqa: T201  (how many worlds were played belongs in the record)
    assert not disagreements, f"seed {seed}:\n" + "\n".join(disagreements)
    assert seen["unknown"] <= sum(seen.values()) / 10, f"seed {seed}: too much is left open: {dict(seen)}"


def stories_of(played: Played, snapshots: Iterable[Snapshot] = ()) -> dict[str, list[Dispatch]]:
    found: dict[str, list[Dispatch]] = defaultdict(list)
    for one in join(ServerLogs([played.log]).events(), snapshots=snapshots).dispatches:
        found[one.room].append(one)
    return found


def listings_of(played: Played) -> list[Snapshot]:
    """What ListDispatch answered at the end."""
    gathered = Gathered()
    with played.log.with_name("api.jsonl").open("rb") as lines:
        read_exchanges(lines, "api.jsonl", gathered)
    return [one for one in gathered.snapshots if isinstance(one.data, DispatchesListed)]


def disagree_with_api(truth: Truth, played: Played, stories: dict[str, list[Dispatch]], version: str) -> list[str]:
    """Every dispatch of which log and listing together, which know its id, say what is not true of this very one."""
    by_id = {one.dispatch_id: one for one in stories.get(truth.room, []) if one.dispatch_id}
    predictions, _ = predict_room(truth.steps, played.workers, version)
    problems = []
    for entry in truth.listed:
        story = by_id.get(entry["id"])
        if story is None:
            problems.append(f"{truth.room}: with the API no story of {entry}")
            continue
        predicted = next(one for one in predictions if _entry_of(entry, one, version))
        happened = what_happened(entry, truth, predicted, played)
        open_ = {Outcome.UNKNOWN} if entry["state"].get("jobs") else {Outcome.UNKNOWN, Outcome.NOT_ASSIGNED}
        if story.outcome not in happened | open_:
            problems.append(
                f"{truth.room}: {story.agent_name!r} {entry['id']}: with the API {story.outcome.value}, truth {_set(happened)}"
            )
    return problems


def disagree(truth: Truth, played: Played, version: str, stories: dict[str, list[Dispatch]]) -> list[str]:
    """Every way in which prediction, story and truth differ for one room."""
    predictions, ignored = predict_room(truth.steps, played.workers, version)
    told = list(stories.get(truth.room, []))
    listed = sorted(truth.listed, key=lambda one: int(one["state"].get("created_at", 0)))  # as the steps made them
    problems = []
    readings: dict[str, list[tuple[Dispatch, set[Outcome]]]] = defaultdict(list)
    blind = version == "1.8.4"  # its CreateDispatch lines name neither room nor agent
    for predicted in predictions:
        entry = next((one for one in listed if _entry_of(one, predicted, version)), None)
        if entry is None:
            problems.append(f"{predicted.agent_name!r} was predicted, ListDispatch has none: {truth.listed}")
            continue
        listed.remove(entry)
        happened = what_happened(entry, truth, predicted, played)
        fitting = [one for one in told if _told_of(one, predicted, happened, blind)]
        twins = [one for one in fitting if one.asked_at == fitting[0].asked_at]  # entries of one call
        story = next((one for one in twins if one.outcome in happened), fitting[0] if fitting else None)
        if story is None and blind and (predicted.origin is not Origin.ROOM):
            story = _stray(stories, predicted)
            if story is None:
                continue
        elif story is None:
            problems.append(f"{predicted.agent_name!r} ({predicted.origin.value}): no story; told are {_words(told)}")
            continue
        else:
            told.remove(story)
        readings[story.agent_name].append((story, happened))
        if story.outcome is Outcome.UNKNOWN and namesakes(truth, played, version, story.agent_name) > 1:
            continue  # a line without a room, or without a deployment, fits several requests of one name and moment
        if story.outcome not in predicted.outcomes:
            problems.append(
                f"{predicted.agent_name!r}: story {story.outcome.value}, predicted {_set(predicted.outcomes)}"
            )
        if story.outcome not in happened:
            problems.append(f"{predicted.agent_name!r}: story {story.outcome.value}, truth {_set(happened)}")
        problems += _workers(story, predicted, truth, played)
    for name, pairs in readings.items():
        if any(story.among is not None for story, _ in pairs) and not _fits_somehow(pairs):
            problems.append(
                f"{name!r}: no reading of {[story.came_to.value for story, _ in pairs]} is {[_set(one) for _, one in pairs]}"
            )
    problems += [f"ListDispatch has one more: {one}" for one in listed]
    if not blind:
        problems += [f"a story too many: {one.agent_name!r} {one.outcome.value}" for one in told]
    for one in ignored:
        if len([entry for entry in truth.listed if entry.get("agent_name", "") == one.agent_name]) > len(
            [other for other in predictions if other.agent_name == one.agent_name]
        ):
            problems.append(f"{one.agent_name!r} was predicted to be ignored and is listed")
    return problems


def namesakes(truth: Truth, played: Played, version: str, agent_name: str) -> int:
    """How many requests of this name the world makes."""
    rooms = [one.steps for one in played.truths if one.world is truth.world]
    return sum(
        one.agent_name == agent_name for steps in rooms for one in predict_room(steps, played.workers, version)[0]
    )


def what_happened(entry: dict, truth: Truth, predicted: Prediction, played: Played) -> set[Outcome]:  # type: ignore[type-arg]
    """The outcomes that fit what ListDispatch lists and what the workers saw."""
    jobs = entry.get("state", {}).get("jobs", [])
    # Each type that the name registers is tried, for persons once for each: a job of one says nothing of the others.
    types = {one.job_type for one in played.workers if one.agent_name == predicted.agent_name}
    others = set() if types <= {"JT_ROOM"} else set(predicted.outcomes)
    if any(job.get("state", {}).get("participant_identity") for job in jobs):
        return {Outcome.ASSIGNED} | (set() if "JT_ROOM" in types else others)
    if jobs:
        return {Outcome.REJECTED_TERMINALLY} | others
    answers = {one.worker_id: one.answer for one in played.workers}
    asked = {answers[worker] for worker, _, dispatch_id in truth.asked if dispatch_id == entry["id"]}
    if not asked:
        return set(NOBODY_ASKED)
    fits = {Outcome.ANSWER_TIMEOUT} if "silent" in asked else {Outcome.DECLINED, Outcome.WORKER_CLOSED}
    return fits | others if len(types) > 1 else fits  # the launch of another type may be the one that decides


def _fits_somehow(pairs: list[tuple[Dispatch, set[Outcome]]]) -> bool:
    """Is what the requests of one name came to true of them in some order? UNKNOWN by itself may be anything."""
    told = [story.came_to for story, _ in pairs]
    return any(
        all(one is Outcome.UNKNOWN or one in happened for one, (_, happened) in zip(order, pairs, strict=True))
        for order in permutations(told)
    )


def _entry_of(entry: dict, predicted: Prediction, version: str) -> bool:  # type: ignore[type-arg]
    same = entry.get("agent_name", "") == predicted.agent_name
    return same and (version != "1.13.5" or entry.get("deployment", "") == predicted.deployment)


def _told_of(story: Dispatch, predicted: Prediction, happened: set[Outcome], blind: bool) -> bool:
    if story.agent_name != predicted.agent_name:
        return False
    if blind:
        return story.outcome in happened
    return story.deployment == predicted.deployment and story.origin is predicted.origin


def _stray(stories: dict[str, list[Dispatch]], predicted: Prediction) -> Dispatch | None:
    return next(
        (
            one
            for one in stories.get("", [])
            if one.agent_name == predicted.agent_name and one.outcome in predicted.outcomes
        ),
        None,
    )


def _workers(story: Dispatch, predicted: Prediction, truth: Truth, played: Played) -> list[str]:
    if story.outcome is not Outcome.ASSIGNED or story.deciding is None:
        return []
    problems = []
    planned = {played.worker_ids[one]: one for one in predicted.workers}
    if story.deciding.worker_id not in planned:
        problems.append(f"{story.agent_name!r}: {story.deciding.worker_id} has the job, predicted {sorted(planned)}")
    # with two requests of one name no line says which of them a job belongs to
    same_name = [one for one in truth.listed if one.get("agent_name", "") == story.agent_name]
    jobs = {job["id"] for one in same_name for job in one.get("state", {}).get("jobs", [])}
    if story.deciding.job_id not in jobs:
        problems.append(f"{story.agent_name!r}: job {story.deciding.job_id}, ListDispatch has {sorted(jobs)}")
    return problems


def _words(told: list[Dispatch]) -> list[tuple[str, str, str]]:
    return [(one.agent_name, one.origin.value, one.outcome.value) for one in told]


def _set(outcomes: set[Outcome] | frozenset[Outcome]) -> list[str]:
    return sorted(one.value for one in outcomes)
