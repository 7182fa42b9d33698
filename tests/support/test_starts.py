"""A command run by the nursery behaves like a started command."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.starts import quick_command, true_command

Start = Callable[..., list[str]]
STARTS = pytest.mark.parametrize("start", [true_command, quick_command])


@STARTS
def test_a_background_command_has_its_own_streams_environment_and_exit_code(start: Start, tmp_path: Path) -> None:
    refused = subprocess.run(
        start("serve"), capture_output=True, text=True, timeout=30, env={**os.environ, "EVALTASKS_BACKEND": "mars"},
        check=False, stdin=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("evaltasks: EVALTASKS_BACKEND: backend must be")


@STARTS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_background_command_and_closes_its_streams(start: Start, number: int, tmp_path: Path) -> None:
    command = start("engine", "--port", "0", "--store", str(tmp_path / "s.sqlite"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(number)
        assert process.stdout.read() == ""  # returns once no process holds the stream any more
    # A signal before the engine installs its handler has the default effect of the operating system.
    assert process.returncode in ({143, -number} if number == signal.SIGTERM else {-number})
