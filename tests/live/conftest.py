"""Live tests need real livekit-servers: where these cannot be had they are reported as not run, by name and reason."""

from __future__ import annotations

import os
import shutil

import pytest

from fixtures.lab.binaries import VERSIONS, missing


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
    if reason is None:
        return
    if os.environ.get("LKDOCTOR_REQUIRE_LIVE") == "1":
        pytest.fail(f"not run although LKDOCTOR_REQUIRE_LIVE=1: {reason}", pytrace=False)
    pytest.skip(f"{item.name} was not run: {reason}")  # with the name, or pytest folds all into one line
