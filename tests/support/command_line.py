"""Runs the command `evaltasks` to its end, in this process or as a user starts it.

A start costs a second of imports: `run_command` is for what a command does, `start_command` for how it starts and ends
(or, with `quick_command`, for a separate process).
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from evaltasks.cli import main
from tests.support.starts import true_command

ROOT = Path(__file__).parents[2]


def run_command(*arguments: str, **environment: str) -> CompletedProcess[str]:
    """Run the command line in this process, with this process's environment but its EVALTASKS_ variables.

    An exception that the command lets out is raised here, where a started command would print its stack.
    """
    out, errors = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, _environment(environment), clear=True),
        redirect_stdout(out),
        redirect_stderr(errors),
        _root_logger_kept(),
    ):
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse exits this way
            code = int(ended.code or 0)
    return CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Restore the log handlers, because the command replaces them and would close those of pytest."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def start_command(
    *arguments: str, start: Callable[..., list[str]] = true_command, **environment: str
) -> CompletedProcess[str]:
    """Start the command in the repository folder and wait for its end. `start` returns its command line."""
    return subprocess.run(
        start(*arguments),
        capture_output=True, text=True, timeout=50, env=_environment(environment), cwd=ROOT, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("EVALTASKS_")} | dict(more)
