"""An engine as a program of its own, to be killed: `python -m tests.support.engine_process STORE --lease-seconds 0.5`.

It prints `ready` once it is open and works until it is killed or its standard input ends.
"""

from __future__ import annotations

import argparse
import sys

import anyio
from anyio import to_thread

from evaltasks.engine.engine import Engine
from evaltasks.engine.runs.executor import ExecutorLimits


async def serve(path: str, limits: ExecutorLimits) -> None:
    async with Engine.open(path, limits=limits, environment={}):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--lease-seconds", type=float, default=10.0)
    parser.add_argument("--in-flight", type=int, default=10)
    arguments = parser.parse_args()
    anyio.run(
        serve,
        arguments.store,
        ExecutorLimits(
            in_flight_max=arguments.in_flight,
            lease_seconds=arguments.lease_seconds,
            heartbeat_seconds=arguments.lease_seconds / 4,
            poll_seconds=0.02,
            rows_per_fetch=20,
        ),
    )
