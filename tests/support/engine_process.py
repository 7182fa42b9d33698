"""An engine in a separate process, to be killed: `python -m tests.support.engine_process STORE --lease-seconds 0.5`.

It prints `ready` once it is open and works until it is killed or its standard input ends. With `--nursery` it prints
`ready` at once, and for each line that comes in it forks an engine, which takes no time for imports, and prints
`born <pid>`, then `open <pid>`; they die with it. With `--ingest PROJECT --first N --count N` it also sends spans.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import BinaryIO

import anyio
import httpx2
from anyio import to_thread

from evaltasks.engine.engine import Engine
from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import EngineInTest


def say(*words: object) -> None:
    # One write per line, because several processes share this output.
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


async def serve(options: argparse.Namespace, limits: ExecutorLimits, lifeline: BinaryIO, *opened: object) -> None:
    async with Engine.open(options.store, limits=limits, environment={}) as engine:
        say(*opened)
        if options.ingest is not None:
            await ingest(engine, options.ingest, options.first, options.count)
        await to_thread.run_sync(lifeline.read, abandon_on_cancel=True)


async def ingest(engine: Engine, project: str, first: int, count: int) -> None:
    """Ingest a few spans per request, so that two processes alternate."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=engine.app), base_url="http://engine") as http:
        it = EngineInTest(engine, http)
        for start in range(first, first + count, 5):
            await it.seed_spans(project, min(5, first + count - start), first=start)


def nurse(options: argparse.Namespace, limits: ExecutorLimits) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    theirs, ours = os.pipe()  # reaches its end in the children when this process ends
    say("ready")
    for _ in sys.stdin:
        pid = os.fork()
        if pid:
            say("born", pid)
            continue
        os.close(ours)
        with os.fdopen(theirs, "rb") as lifeline:
            anyio.run(serve, options, limits, lifeline, "open", os.getpid())
        os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--lease-seconds", type=float, default=10.0)
    parser.add_argument("--in-flight", type=int, default=10)
    parser.add_argument("--nursery", action="store_true")
    parser.add_argument("--ingest")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    arguments = parser.parse_args()
    bounds = ExecutorLimits(
        in_flight_max=arguments.in_flight,
        lease_seconds=arguments.lease_seconds,
        heartbeat_seconds=arguments.lease_seconds / 4,
        poll_seconds=0.02,
        rows_per_fetch=20,
        continuous_seconds=0.2,
    )
    if arguments.nursery:
        nurse(arguments, bounds)
    else:
        anyio.run(serve, arguments, bounds, sys.stdin.buffer, "ready")
