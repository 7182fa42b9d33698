"""Compare the latency of one `get_task` call with a bare one-tool server of the SDK, in one run, in alternation.

python -m bench.tool_latency [--calls 400] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from bench.wire import BARE_SERVER, Pipe, evaltasks_server


def measure(pipe: Pipe, task: str, calls: int) -> list[float]:
    """Call the tool one call after another, and return the milliseconds of each."""
    times = []
    for _ in range(calls):
        started_at = time.perf_counter()
        pipe.call("get_task", task=task)
        times.append((time.perf_counter() - started_at) * 1000)
    return times


def make_task(pipe: Pipe) -> str:
    moment = "2026-01-01T00:00:00Z"
    pipe.call("import_spans", project="bench", rows=[{"name": "a", "start_time": moment, "attributes": {}}])
    pipe.call("create_evaluator", name="json", kind="managed_code", managed="json_parseable", variables=["output"])
    made = pipe.call(
        "create_evaluation_task", name="bench", task_type="code_evaluation", project="bench",
        evaluators=[{"evaluator_id": "json"}],
    )  # fmt: skip
    return str(made["task"]["task_id"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Pipe(evaltasks_server(str(Path(folder) / "bench.sqlite"))) as ours,
        Pipe(BARE_SERVER) as bare,
    ):
        task = make_task(ours)
        measure(ours, task, 50)
        measure(bare, task, 50)
        ratios = []
        for number in range(options.rounds):
            floor = statistics.median(measure(bare, task, options.calls))
            mine = statistics.median(measure(ours, task, options.calls))
            ratios.append(mine / floor)
            print(f"round {number + 1}: bare {floor:.3f} ms, get_task {mine:.3f} ms, ratio {mine / floor:.2f}")
        print(f"get_task / bare, median of {options.rounds} rounds: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
