"""Real instrumentation, over TCP, against an engine that asks for a key: spans in, evaluations out.

    python -m tests.compat.telemetry --clients DIR

An application that exports with OpenTelemetry's own exporter (`telemetry_app.py`, in this project's environment) sends
OpenInference spans; a continuous task, made with the published SDK, evaluates them; the SDK reads the evaluations
back (`telemetry_calls.py`, inside `DIR/venv`). And what a wrong key and a rate limit look like from there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from tests.compat.part import show
from tests.compat.rows import KEY

SECONDS_MAX = 120
HERE = Path(__file__).parent
WRONG_KEY = "unknown-key-0123456789abcdef"
# Each call with the reason why it fails, a key of `rows.WHY_NOT`, or None if it succeeds.
CALLS: Mapping[str, str | None] = {
    "tasks.create_evaluation_task(is_continuous=True)": None,
    "OTLPSpanExporter (OpenTelemetry SDK, OTLP/HTTP, key in OTEL_EXPORTER_OTLP_HEADERS)": None,
    "spans.list, with the continuous task's evaluations": None,
    "spans.export_to_df, with the continuous task's evaluations": None,
    "OTLPSpanExporter, wrong key": "refused",
    "spaces.list, wrong key": "refused",
    "spans.export_to_df, wrong key": "refused",
    "spaces.list, 15 times under --rate-limit 5/3": None,
}


@contextmanager
def _engine(folder: Path, *arguments: str) -> Iterator[list[str]]:
    """Run an engine and yield its addresses: REST, and Flight if it was requested."""
    command = [sys.executable, "-m", "evaltasks", "engine", "--port", "0", "--store", str(folder / "s.sqlite")]
    environment = {**os.environ, "EVALTASKS_ENGINE_KEY": KEY}
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield [process.stdout.readline().strip() for _ in range(1 + arguments.count("--flight-port"))]
        finally:
            process.terminate()


def _printed(command: list[str], environment: dict[str, str]) -> list[tuple[str, str]]:
    """Return the lines of a program that prints `{"call": …, "wrong": …}` for each of its calls."""
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS_MAX, env=environment, cwd=HERE.parents[1], check=False
    )
    found = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"call"')]
    rows = [(row["call"], row["wrong"]) for row in found]
    return rows if ended.returncode == 0 else [*rows, (Path(command[-2]).name, ended.stderr[-800:])]


def outcomes(clients: Path) -> list[tuple[str, str]]:
    """Return (call, problem or "") for each, in the order of `CALLS`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARIZE_", "OTEL_"))}
    with tempfile.TemporaryDirectory() as home:
        sdk = [str(clients / "venv" / "bin" / "python"), str(HERE / "telemetry_calls.py")]
        folder = Path(home)

        def environment(address: str, key: str, flight: str = "") -> dict[str, str]:
            return {
                **kept, "HOME": home, "COMPAT_REST": urlsplit(address).netloc, "COMPAT_KEY": key,
                "COMPAT_FLIGHT_PORT": str(urlsplit(flight).port or ""),
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{address}/v1/traces",
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={quote(f'Bearer {key}')}",
            }  # fmt: skip

        found: list[tuple[str, str]] = []
        application = [sys.executable, str(HERE / "telemetry_app.py")]
        with _engine(folder, "--flight-port", "0") as (rest, flight):
            right, wrong = (environment(rest, key, flight) for key in (KEY, WRONG_KEY))
            found += _printed([*sdk, "arrange"], right)
            found += _printed([*application, "right"], right)
            found += _printed([*sdk, "read"], right)
            found += _printed([*application, "wrong"], wrong)
            found += _printed([*sdk, "wrong"], wrong)
        with _engine(folder, "--rate-limit", "5/3") as (rest,):
            found += _printed([*sdk, "limited"], environment(rest, KEY))
    missing = [(call, "it was not run") for call in CALLS if call not in {name for name, _ in found}]
    order = list(CALLS)
    return sorted([*found, *missing], key=lambda row: order.index(row[0]) if row[0] in CALLS else len(order))


if __name__ == "__main__":
    raise SystemExit(show(__doc__, outcomes))
