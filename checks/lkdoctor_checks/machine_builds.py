"""Do the containers run what they should: the image that its name means now, and one version for one name?"""

from __future__ import annotations

from collections.abc import Iterator

from lkdoctor.dispatch.machine import Container
from lkdoctor.dispatch.versions import oldest_first
from lkdoctor.doctor.codes import CONTAINER_STALE, VERSION_SPLIT
from lkdoctor.doctor.evidence import Evidence, Facts
from lkdoctor.doctor.finding import Confidence, Finding, Fix, Inconclusive, Subject
from lkdoctor.doctor.registry import check
from lkdoctor_checks import _words as words
from lkdoctor_checks._machine import KILLED, Placed, described, groups, proof_of, up, workers_of

ROLLOUT = 300.0  # s; a rolling deploy runs two versions side by side about this long
SHARED_JOBS = 2  # each; both versions work


@check(CONTAINER_STALE)
def container_stale(containers: Facts[Container]) -> Iterator[Finding | Inconclusive]:
    """A container runs an older image, or has an older environment, than what is written now.

    ## What it means
    The image was built or pulled anew, or a variable was changed in the Compose file or an `env_file`, and the container was
    not made anew: it runs the old code under the old name. `docker compose restart` and `docker restart` do not change that.

    ## How it is decided
    Image: the container's own image id differs from the id that its image's name has on this engine now. Environment: a
    variable that LiveKit's SDKs read has another value in the container than in the file that its labels name, and that file
    was changed after the container was made. Values that hold a variable of the shell are not compared. For workers and
    servers only.

    ## How to fix
    Make the container anew: `docker compose up -d --force-recreate SERVICE`.

    ## When it is not a problem
    A deploy that is under way. A tag that was given to another image on purpose while the old one goes on.
    """
    for one in containers:
        if not one.running or not one.role:
            continue
        older = []
        if one.image_now and one.image_id and one.image_now != one.image_id:
            older.append(
                f"its image {one.image} was {_short(one.image_id)} when it was made, and is {_short(one.image_now)} now"
            )
        older += [
            f"{each.name} is {_shown(one.environment.get(each.name))} in it, and {_shown(each.says)} in {each.where}, which was "
            f"changed at {words.clock(each.changed_at)}"
            for each in one.declared
        ]
        if not older:
            continue
        command = up(one)
        yield Finding(
            CONTAINER_STALE,
            Subject("container", id=one.name),
            f"Container {one.name} is older than what is written: {'; '.join(older)}.",
            CONTAINER_STALE.severity,
            Confidence.HIGH,
            {
                "container": one.name, "image": one.image, "runs": one.image_id, "now": one.image_now, "role": one.role,
                "environment": [
                    {
                        "name": each.name, "has": one.environment.get(each.name), "says": each.says, "where": each.where,
                    }
                    for each in one.declared
                ],
            },
            (one.place,),
            (
                Fix(
                    "Make the container anew",
                    steps=() if command else ("Remove it and run it again with the same options.",),
                    commands=(command,) if command else (f"docker stop {words.shell(one.name)}",),
                    caveats=(
                        KILLED,
                        "`restart` keeps the old image and the old environment.",
                    ),
                    verify=("`lkdoctor check --docker` no longer tells it.",),
                ),
            ),
            first_at=one.started_at,
        )  # fmt: skip


def _shown(value: str | None) -> str:
    return "not set" if value is None else f'"{value}"'


@check(VERSION_SPLIT)
def containers_split(containers: Facts[Container], evidence: Evidence) -> Iterator[Finding | Inconclusive]:
    """Containers of one agent name run different SDK versions.

    ## What it means
    As for workers of a server log: two builds answer for one name, and chance decides which of them a user meets.

    ## How it is decided
    Containers that run now serve one name at one server, and their own logs or endpoints name different versions of the
    SDK. Both have been up side by side for more than 5 minutes, or each has got two jobs or more.

    ## How to fix
    Build all from one version, and make the older containers anew.

    ## When it is not a problem
    A rolling deploy, which passes within minutes; a canary release.
    """
    del containers
    for group in groups([one for one in workers_of(evidence) if one.container is not None]):
        known = [one for one in group if one.sdk]
        versions = oldest_first(one.sdk for one in known)
        if len(versions) < 2 or not _lasting(known):
            continue
        name = group[0].name or ""
        yield Finding(
            VERSION_SPLIT,
            Subject("agent", agent_name=name),
            f"Containers of {words.quoted(name)} run different SDK versions: "
            f"{words.listed(f'{one.title} {one.sdk}' for one in known)}.",
            VERSION_SPLIT.severity,
            Confidence.HIGH,
            {"agent_name": name, "sdk_versions": versions, "containers": [described(one) for one in known]},
            proof_of(known),
            (
                Fix(
                    "Leave one version running",
                    steps=(
                        f"Build the containers of {versions[0]} anew with {versions[-1]}, or stop them.",
                        "Where the image is not built from the Compose file, pull or build it first: the old one would be run again.",
                    ),
                    commands=tuple(
                        dict.fromkeys(
                            command
                            for one in known
                            if one.sdk == versions[0]
                            and one.container is not None
                            and (command := up(one.container, build=True))
                        )
                    ),
                    verify=("Each container's log names one version at `starting worker`.",),
                ),
            ),
            count=len(known),
        )


def _lasting(known: list[Placed]) -> bool:
    """Side by side for longer than a deploy takes, or both at work."""
    for one in known:
        for other in known:
            if one.sdk == other.sdk:
                continue
            if min(one.jobs or 0, other.jobs or 0) >= SHARED_JOBS:
                return True
            started = max(one.since or one.at, other.since or other.at)
            if min(one.at, other.at) - started > ROLLOUT:
                return True
    return False


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]
