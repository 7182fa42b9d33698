"""Compare rows judged and stored per second with a bare `httpx2` loop on the same judge, in alternation.

    python -m bench.judge_throughput [--rows 2000] [--latency-ms 50] [--in-flight 20 50 100] [--rounds 3]
    python -m bench.judge_throughput --refuse 0.1     a tenth of the calls gets 429 with Retry-After: 1
    python -m bench.judge_throughput --admit 200      the judge admits 200 calls a second

The judge and each side have their own process. The loop sends the same request as the engine, with as many workers as
the engine has calls in flight, and discards the answers. With `--peers`, ragas and arize-phoenix-evals are measured too
if they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
from collections.abc import Sequence

import httpx2

from bench.judge import judge
from bench.judging import Measured, measure

_PEERS = {"ragas": "ragas", "phoenix": "phoenix.evals"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--in-flight", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--refuse", type=float, default=0.0)
    parser.add_argument("--admit", type=float, default=0.0)
    parser.add_argument("--peers", action="store_true")
    options = parser.parse_args()
    if options.refuse or options.admit:
        for in_flight in options.in_flight or [50]:
            limited(options, in_flight)
        return
    with judge(options.latency_ms) as base_url:
        for in_flight in options.in_flight or [20, 50, 100]:
            clean(options, base_url, in_flight)
        if options.peers:
            peers(options, base_url)


def clean(options: argparse.Namespace, base_url: str, in_flight: int) -> None:
    loops, mine = [], []
    for _ in range(options.rounds):
        loops.append(measure("bare", base_url, options.rows, in_flight))
        mine.append(measure("engine", base_url, options.rows, in_flight))
        print(
            f"{in_flight:>4} in flight: loop {loops[-1].rows_per_second:5.0f} rows/s "
            f"{loops[-1].cpu_ms_per_row:.2f} ms CPU a row; engine {mine[-1].rows_per_second:5.0f} rows/s "
            f"{mine[-1].cpu_ms_per_row:.2f} ms, {mine[-1].resident_mb:.0f} MB",
            flush=True,
        )
    rates = [one.rows_per_second / loop.rows_per_second for one, loop in zip(mine, loops, strict=True)]
    cpu = [one.cpu_ms_per_row / loop.cpu_ms_per_row for one, loop in zip(mine, loops, strict=True)]
    print(
        f"{in_flight:>4} in flight: rows/s {_spread(rates)} of the loop's, CPU a row {_spread(cpu)} of the loop's, "
        f"resident memory at most {max(one.resident_mb for one in mine):.0f} MB",
        flush=True,
    )
    watched = measure("watched", base_url, options.rows, in_flight)
    print(
        f"{in_flight:>4} in flight: no callback held the event loop for longer than {watched.longest_block_ms:.1f} ms"
    )


def limited(options: argparse.Namespace, in_flight: int) -> None:
    """Compare with the loop's time without rejections (`--refuse`), or with the time of the limit (`--admit`)."""
    judge_options = ["--refuse", str(options.refuse)] if options.refuse else ["--admit", str(options.admit)]
    floor_name = "the loop's clean time" if options.refuse else "the ideal"
    ratios, own, shares, loops = [], [], [], []
    with judge(options.latency_ms) as free, judge(options.latency_ms, *judge_options) as busy:
        for _ in range(options.rounds):
            floor = (
                options.rows / options.admit
                if options.admit
                else measure("bare", free, options.rows, in_flight).seconds
            )
            clean = measure("engine", free, options.rows, in_flight).seconds
            httpx2.get(f"{busy}/counts")
            mine = measure("engine", busy, options.rows, in_flight)
            counts = httpx2.get(f"{busy}/counts").json()
            ratios.append(mine.seconds / floor)
            own.append(mine.seconds / clean)
            shares.append(counts["refused"] / (counts["accepted"] + counts["refused"]))
            loops.append(measure("bare", busy, options.rows, in_flight).seconds / floor)
            print(
                f"{in_flight:>4} in flight {' '.join(judge_options)}: {mine.seconds:.2f} s, {ratios[-1]:.2f} times "
                f"{floor_name}, {own[-1]:.2f} times its own; {counts['refused']} calls refused, {mine.rows} of "
                f"{options.rows} rows judged; a loop that sleeps in its place: {loops[-1]:.2f} times {floor_name}",
                flush=True,
            )
    print(
        f"{in_flight:>4} in flight {' '.join(judge_options)}: {_spread(ratios)} times {floor_name}, "
        f"{_spread(own)} times its own clean time, refused {_spread(shares)} of the calls; "
        f"the simple loop {_spread(loops)}"
    )


def peers(options: argparse.Namespace, base_url: str) -> None:
    for side, package in _PEERS.items():
        if importlib.util.find_spec(package.split(".")[0]) is None:
            print(f"{side}: not installed beside evaltasks")
            continue
        try:
            loop = measure("bare", base_url, options.rows, 50)
            peer: Measured = measure(side, base_url, options.rows, 50)
        except RuntimeError as error:
            print(error)
            continue
        print(
            f"{side}: {peer.rows_per_second:.0f} rows/s, {peer.rows_per_second / loop.rows_per_second:.2f} of the "
            f"loop's; {peer.cpu_ms_per_row:.2f} ms CPU a row; {peer.resident_mb:.0f} MB"
        )


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


if __name__ == "__main__":
    main()
