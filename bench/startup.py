"""Compare the time from the start of the process to the first `tools/list` with a bare one-tool server of the SDK.

python -m bench.startup [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.wire import BARE_SERVER, Pipe, evaltasks_server


def start_seconds(command: Sequence[str]) -> float:
    with Pipe(command) as pipe:
        pipe.ask("tools/list")
        return time.perf_counter() - pipe.started_at


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = evaltasks_server(str(Path(folder) / "bench.sqlite"))
        start_seconds(ours), start_seconds(BARE_SERVER)
        ratios = []
        for number in range(options.rounds):
            floor, mine = start_seconds(BARE_SERVER), start_seconds(ours)
            ratios.append(mine / floor)
            print(f"round {number + 1}: bare {floor:.2f} s, evaltasks {mine:.2f} s, ratio {mine / floor:.2f}")
        print(f"evaltasks / bare, median of {options.rounds} rounds: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
