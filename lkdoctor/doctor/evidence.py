"""The views of the stories that a check asks for by parameter type; the registry hands them in."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lkdoctor.dispatch.connection import Step
from lkdoctor.dispatch.facts import Fact
from lkdoctor.dispatch.model import (
    Coverage,
    Dispatch,
    Outcome,
    Refusal,
    Room,
    Sampled,
    ServerRun,
    SourceNote,
    Stories,
    Wanted,
    WorkerSession,
)
from lkdoctor.dispatch.probes import LiveServer, ProbeRun
from lkdoctor.dispatch.tokens import Token
from lkdoctor.dispatch.worker_model import WorkerJob, WorkerRun

F = TypeVar("F", bound=Fact)


@dataclass(frozen=True, slots=True)
class Facts(Generic[F]):
    """All facts of one class. A check asks for them with the parameter type `Facts[TheClass]`."""

    all: tuple[F, ...]

    def __iter__(self) -> Iterator[F]:
        return iter(self.all)


def fact_class(kind: object) -> type[Fact] | None:
    """`TheClass` of `Facts[TheClass]`; None for any other type."""
    if typing.get_origin(kind) is not Facts:
        return None
    (found,) = typing.get_args(kind)
    return found if isinstance(found, type) and issubclass(found, Fact) else None


@dataclass(frozen=True, slots=True)
class Dispatches:
    """Every dispatch that is kept (healthy closed ones above the report's limit are only counted, in `folded`)."""

    all: tuple[Dispatch, ...]
    folded: Mapping[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Dispatch]:
        return iter(self.all)

    def ended(self, *outcomes: Outcome) -> Iterator[Dispatch]:
        """Dispatches with one of these outcomes, and as many of those that nothing tells apart as had one of them."""
        return (one for one in self.all if one.outcome in outcomes or one.among in outcomes)


@dataclass(frozen=True, slots=True)
class Workers:
    """Every registration in the evidence."""

    all: tuple[WorkerSession, ...]
    _by_name: Mapping[str, tuple[WorkerSession, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Checks ask by name once a dispatch: thousands of dispatches times thousands of sessions would be minutes.
        groups: dict[str, list[WorkerSession]] = {}
        for one in self.all:
            if one.agent_name is not None and not one.refused:
                groups.setdefault(one.agent_name, []).append(one)
        object.__setattr__(self, "_by_name", {name: tuple(group) for name, group in groups.items()})

    def __iter__(self) -> Iterator[WorkerSession]:
        return iter(self.all)

    def named(self, agent_name: str) -> tuple[WorkerSession, ...]:
        """Sessions of exactly this name, refused registrations left out."""
        return self._by_name.get(agent_name, ())

    def names(self) -> tuple[str, ...]:
        """Registered names, sorted; the empty name is in it when an unnamed worker registered."""
        return tuple(sorted(self._by_name))


@dataclass(frozen=True, slots=True)
class Rooms:
    """Every kept room, one entry per life."""

    all: tuple[Room, ...]

    def __iter__(self) -> Iterator[Room]:
        return iter(self.all)


@dataclass(frozen=True, slots=True)
class ServerRuns:
    """Every life of every node."""

    all: tuple[ServerRun, ...]

    def __iter__(self) -> Iterator[ServerRun]:
        return iter(self.all)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Requests that the server refused."""

    all: tuple[Refusal, ...]

    def __iter__(self) -> Iterator[Refusal]:
        return iter(self.all)


@dataclass(frozen=True, slots=True)
class Steps:
    """The way to the server, step by step; empty when nobody walked it."""

    all: tuple[Step, ...]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.all)


@dataclass(frozen=True, slots=True)
class Probes:
    """Probes that ran, and what the server said of itself to the canary."""

    all: tuple[ProbeRun, ...]
    server: LiveServer | None = None

    def __iter__(self) -> Iterator[ProbeRun]:
        return iter(self.all)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens that were given."""

    all: tuple[Token, ...]

    def __iter__(self) -> Iterator[Token]:
        return iter(self.all)


@dataclass(frozen=True, slots=True)
class WorkerRuns:
    """Every life of every worker whose own log is in the evidence, with the jobs that it tells of."""

    all: tuple[WorkerRun, ...]

    def __iter__(self) -> Iterator[WorkerRun]:
        return iter(self.all)

    def jobs(self) -> Iterator[WorkerJob]:
        """Every job of every run."""
        return (job for run in self.all for job in run.jobs)


@dataclass(frozen=True, slots=True)
class Listed:
    """What the API was asked: when, how often, about which rooms. Present only with API evidence."""

    sampled: Sampled


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read, and what of it could not be used."""

    all: tuple[SourceNote, ...]

    def __iter__(self) -> Iterator[SourceNote]:
        return iter(self.all)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All views of one `Stories`, built once."""

    dispatches: Dispatches
    workers: Workers
    rooms: Rooms
    runs: ServerRuns
    refusals: Refusals
    sources: Sources
    coverage: Coverage
    steps: Steps
    probes: Probes
    tokens: Tokens
    worker_runs: WorkerRuns
    listed: Listed | None
    wanted: Wanted
    first_at: float | None
    last_at: float | None
    facts: Mapping[type[Fact], tuple[Fact, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, stories: Stories) -> Evidence:
        """Freeze the lists of `stories` into the views."""
        return cls(
            Dispatches(tuple(stories.dispatches), dict(stories.folded)),
            Workers(tuple(stories.workers.values())),
            Rooms(tuple(stories.rooms)),
            ServerRuns(tuple(stories.runs)),
            Refusals(tuple(stories.refusals)),
            Sources(tuple(stories.sources)),
            stories.coverage,
            Steps(tuple(stories.steps)),
            Probes(tuple(stories.probes), stories.server),
            Tokens(tuple(stories.tokens)),
            WorkerRuns(tuple(stories.worker_runs)),
            None if stories.sampled is None else Listed(stories.sampled),
            stories.wanted,
            stories.first_at,
            stories.last_at,
            {kind: tuple(facts) for kind, facts in stories.facts.items()},
        )

    def facts_of(self, kind: type[F]) -> tuple[F, ...]:
        """All facts of this class; empty when no source told any. For a check that gains by them and does without, too."""
        return typing.cast("tuple[F, ...]", self.facts.get(kind, ()))

    def view(self, kind: type) -> object:
        """The view of this type, for a check's parameter.

        Raises:
            LookupError: no view has this type.
        """
        if kind is Evidence:
            return self
        if (wanted := fact_class(kind)) is not None:
            return Facts(self.facts.get(wanted, ()))
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if type(value) is kind:
                return value
        raise LookupError(f"no evidence of type {kind.__name__}")
