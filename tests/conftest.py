"""How Hypothesis plays here: without a deadline, for on a busy machine an example is late and not wrong."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")
