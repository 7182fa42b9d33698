"""What holds for all tests."""

from __future__ import annotations

import os
import sys

from hypothesis import settings

# How long one example takes is the machine's affair; pytest's own time-out ends what hangs.
settings.register_profile("evaltasks", deadline=None)
settings.load_profile("evaltasks")

# A hundred interpreters are started by these tests; without bytecode each of them compiles the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
