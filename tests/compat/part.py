"""A part of the suite as a separate program: `python -m tests.compat.<part> --clients DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def show(description: str | None, outcomes: Callable[[Path], Sequence[tuple[str, str]]]) -> int:
    """Print one line per call, with its problem, and return the exit code."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=Path, required=True, metavar="DIR")
    found = outcomes(parser.parse_args().clients)
    for call, wrong in found:
        sys.stdout.write(f"{'no  ' if wrong else 'yes '} {call}{': ' + wrong if wrong else ''}\n")
    return int(any(wrong for _, wrong in found))
