"""The published SDK's bulk calls against `evaltasks engine` with its further ports, over TCP.

    python -m tests.compat.bulk --clients DIR

`DIR/venv` holds `arize` and `arize-ax-cli` (the same as for `python -m tests.compat`). One line for each call says
whether it works; exit code 1 when one does not. The SDK's calls are in `bulk_calls.py`, which runs inside `DIR/venv`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.compat.part import show
from tests.compat.rows import KEY

SECONDS_MAX = 120
ROWS = 5000
PROFILE = """[profile]
name = "embedded"
[auth]
auth_method = "api-key"
api_key = "{key}"
[routing]
api_scheme = "http"
api_host = "{rest}"
otlp_scheme = "http"
otlp_host = "{otlp}"
flight_scheme = "grpc+tcp"
flight_host = "127.0.0.1"
flight_port = "{flight}"
[output]
format = "json"
[update]
enabled = false
"""
TASK = "def task(dataset_row):\n    return 'said ' + dataset_row['question']\n"


@dataclass(frozen=True)
class Ports:
    """Where the engine answers: host and port of REST and OTLP, the port of Flight."""

    rest: str
    flight: str
    otlp: str


@contextmanager
def _engine(folder: Path) -> Iterator[Ports]:
    ports = ("--port", "0", "--flight-port", "0", "--otlp-grpc-port", "0")
    command = [sys.executable, "-m", "evaltasks", "engine", *ports, "--store", str(folder / "store.sqlite")]
    environment = {**os.environ, "EVALTASKS_ENGINE_KEY": KEY}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        rest, flight, otlp = (urlsplit(process.stdout.readline().strip()) for _ in range(3))
        try:
            yield Ports(rest.netloc, str(flight.port), otlp.netloc)
        finally:
            process.terminate()


class Ax:
    """Runs `ax` as a user does, in a separate home directory."""

    def __init__(self, clients: Path, home: Path, environment: dict[str, str]) -> None:
        self._command = clients / "venv" / "bin" / "ax"
        self._home = home
        self._environment = environment

    def __call__(self, *arguments: str) -> list[object] | dict[str, object] | None:
        """Run a command and return its output. Raises AssertionError with its message if it failed."""
        ended = subprocess.run(
            [self._command, *arguments],
            capture_output=True, text=True, timeout=SECONDS_MAX, cwd=self._home, env=self._environment, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-400:]
        found: list[object] | dict[str, object] | None = json.loads(ended.stdout) if ended.stdout.strip() else None
        return found


def _ax_calls(ax: Ax, home: Path) -> Iterator[tuple[str, str]]:
    """Return (call, problem or "") for each."""
    (home / "rows.json").write_text(json.dumps([{"question": f"q{i}"} for i in range(ROWS)]))
    (home / "task.py").write_text(TASK)
    small = json.dumps([{"question": f"q{i}"} for i in range(3)])
    ax("profiles", "create", "embedded", "--from-file", "embedded.toml")
    space = ("--space", "default")
    ax("datasets", "create", "--name", "small", *space, "--json", small)

    def tried(call: str, rows: int | None, *arguments: str) -> tuple[str, str]:
        try:
            found = ax(*arguments)
        except (AssertionError, ValueError, subprocess.TimeoutExpired) as error:
            return call, str(error) or "failed"
        wrong = rows is not None and (not isinstance(found, list) or len(found) != rows)
        return call, f"expected {rows} rows" if wrong else ""

    yield tried(f"ax datasets create ({ROWS} rows)", None,
                "datasets", "create", "--name", "big", *space, "--file", "rows.json")  # fmt: skip
    yield tried("ax datasets export --all", ROWS, "datasets", "export", "big", *space, "--all", "--stdout")
    yield tried("ax experiments run", None,
                "experiments", "run", "--name", "e", "--dataset", "small", *space, "--task", "task.py")  # fmt: skip
    yield tried("ax experiments export --all", 3,
                "experiments", "export", "e", "--dataset", "small", *space, "--all", "--stdout")  # fmt: skip
    # Created by bulk_calls.py.
    yield tried("ax spans export --all", 3, "spans", "export", "logged", *space, "--all", "--stdout")


def outcomes(clients: Path) -> list[tuple[str, str]]:
    """Return (call, problem or "") for each, those of the SDK first."""
    with tempfile.TemporaryDirectory() as folder, _engine(Path(folder)) as listeners:
        home = Path(folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ARIZE_")}
        environment = {**kept, "COMPAT_KEY": KEY, "HOME": folder, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        (home / "embedded.toml").write_text(
            PROFILE.format(rest=listeners.rest, flight=listeners.flight, otlp=listeners.otlp, key=KEY)
        )
        calls = subprocess.run(
            [clients / "venv" / "bin" / "python", Path(__file__).with_name("bulk_calls.py"),
             listeners.rest, listeners.flight, listeners.otlp],
            capture_output=True, text=True, timeout=2 * SECONDS_MAX, env=environment, check=False,
        )  # fmt: skip
        found = [(row["call"], row["wrong"]) for row in map(json.loads, calls.stdout.splitlines())]
        if calls.returncode != 0:
            found.append(("bulk_calls.py", calls.stderr[-800:]))
        found += _ax_calls(Ax(clients, home, environment), home)
    return found


if __name__ == "__main__":
    raise SystemExit(show(__doc__, outcomes))
