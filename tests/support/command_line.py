"""The command `evaltasks`, run to its end: in this process, or started as a person starts it.

A start costs a second of imports: `run_command` is for what a command does, `start_command` for how it starts and ends.
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from evaltasks.cli import main

ROOT = Path(__file__).parents[2]


def run_command(*arguments: str, **environment: str) -> CompletedProcess[str]:
    """Run the command line in this process, with this process's environment but its EVALTASKS_ variables.

    An exception that the command lets out is raised here, where a started command would print its stack.
    """
    out, errors = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # the command sets up its own, and would close pytest's
    with (
        patch.dict(os.environ, _environment(environment), clear=True),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse's way out
            code = int(ended.code or 0)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
    return CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())


def start_command(*arguments: str, **environment: str) -> CompletedProcess[str]:
    """Start `python -m evaltasks` in the repository's folder and wait for its end."""
    return subprocess.run(
        [sys.executable, "-m", "evaltasks", *arguments],
        capture_output=True, text=True, timeout=50, env=_environment(environment), cwd=ROOT, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("EVALTASKS_")} | dict(more)
