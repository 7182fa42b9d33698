"""The command `evaltasks`, also `python -m evaltasks`.

The imports create some thousand classes that live as long as the process. The garbage collector would traverse them
again and again, so it is off during the imports and skips these objects afterwards (`gc.freeze`). That saves a tenth of
the start-up time, which hosts wait for.
"""

from __future__ import annotations

import gc


def start() -> int:
    """Run the command line and return its exit code."""
    gc.disable()
    from evaltasks.cli import main  # noqa: PLC0415  after gc.disable()

    return main()


if __name__ == "__main__":
    raise SystemExit(start())
