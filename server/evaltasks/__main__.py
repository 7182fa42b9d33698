"""The command `evaltasks`, also `python -m evaltasks`.

Some thousand classes are made while the protocol's and our modules are imported, all of which live as long as the
process. Python's cyclic collector would walk them over and over meanwhile: it rests until they stand, and then leaves
them out of its rounds. That is a tenth of the start, and hosts wait for the start.
"""

from __future__ import annotations

import gc


def start() -> int:
    """Run the command line; the exit code."""
    gc.disable()
    from evaltasks.cli import main  # noqa: PLC0415  after the collector was told to rest

    return main()


if __name__ == "__main__":
    raise SystemExit(start())
