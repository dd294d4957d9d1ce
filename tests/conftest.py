"""What every test has: Hypothesis without a deadline (on a busy machine an example is late, not wrong), and a redactor that
remembers nothing of the test before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from lkdoctor.redact import of_this_run

settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _forgotten_secrets() -> Iterator[None]:
    """Secrets that a test gives to the redactor of this process do not mask the words of the next test."""
    redactor = of_this_run()
    known = dict(redactor._known)
    yield
    if redactor._known != known:
        redactor._known = known
        redactor._values = None
        redactor._clean.clear()
