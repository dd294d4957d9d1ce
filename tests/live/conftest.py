"""Live tests need real livekit-servers, some a Docker engine too: where these cannot be had they are reported as not run,
by name and reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.lab import docker_engine
from fixtures.lab.binaries import VERSIONS, missing
from fixtures.lab.compose import compose_binary, compose_missing
from fixtures.lab.docker_engine import Engine
from fixtures.lab.paths import LabUnavailableError


def _absent() -> str | None:
    """What a live test would lack on this machine; None when nothing."""
    for version in VERSIONS:
        reason = missing(version)
        if reason:
            return reason
    return None if shutil.which("redis-server") else "redis-server is not on PATH"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips live tests with the reason; fails them instead where LKDOCTOR_REQUIRE_LIVE=1 says that they must run."""
    if item.get_closest_marker("live") is None:
        return
    reason = _absent()
    if reason is not None:
        _not_run(item.name, reason)


def _not_run(name: str, reason: str) -> None:
    if os.environ.get("LKDOCTOR_REQUIRE_LIVE") == "1":
        pytest.fail(f"not run although LKDOCTOR_REQUIRE_LIVE=1: {reason}", pytrace=False)
    pytest.skip(f"{name} was not run: {reason}")  # with the name, or pytest folds all into one line


@pytest.fixture(scope="session")
def _one_engine() -> Iterator[Engine | str]:
    """The engine of this test process, or why there is none."""
    try:
        with docker_engine.running() as engine:
            yield engine
    except LabUnavailableError as error:
        yield str(error)


@pytest.fixture
def compose(request: pytest.FixtureRequest) -> Path:
    """Docker Compose, built when it is not there yet."""
    if (reason := compose_missing()) is not None:
        _not_run(request.node.name, reason)
    return compose_binary()


@pytest.fixture
def engine(request: pytest.FixtureRequest, _one_engine: Engine | str) -> Iterator[Engine]:
    """A private Docker engine without containers."""
    if isinstance(_one_engine, str):
        _not_run(request.node.name, _one_engine)
        return
    yield _one_engine
    _one_engine.clear()
