"""Joins what the API listed into the stories: it confirms what a log tells, and alone tells what an API can."""

from __future__ import annotations

from collections.abc import Iterable

from lkdoctor.dispatch.listings import Snapshot
from lkdoctor.dispatch.model import Stories


def confirm(stories: Stories, snapshots: Iterable[Snapshot]) -> None:
    """Complete `stories` by what the API listed."""
    del stories, snapshots
