"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long one example takes is the machine's affair; pytest's own time-out ends what hangs.
settings.register_profile("evaltasks", deadline=None)
settings.load_profile("evaltasks")
