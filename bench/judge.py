"""A judge for benchmarks, in its own process: `python -m bench.judge --latency-ms 50`.

It prints `{"base_url": …}` and serves until it is killed. `--refuse 0.1` answers that share of the calls, chosen at
random, with 429 and `Retry-After: 1`. `--admit 200` admits 200 calls a second (a token bucket of 20) and answers the
rest in the same way. `GET <base_url>/counts` returns how many calls were accepted and rejected since the last request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.judges import Answer, SeenRequest, judge_server

_SAVED_CALLS_MAX = 20.0


class Admission:
    """A script of the judge: None for a call that is admitted, else a 429."""

    def __init__(self, refuse: float, admit: float) -> None:
        self._refuse = refuse
        self._admit = admit
        self._random = random.Random(7)
        self._saved = _SAVED_CALLS_MAX
        self._saved_at = time.monotonic()
        self.counts = {"accepted": 0, "refused": 0}

    def __call__(self, request: SeenRequest) -> Answer | None:
        if request.path.endswith("/counts"):
            body, self.counts = json.dumps(self.counts).encode(), {"accepted": 0, "refused": 0}
            return Answer(body=body)
        is_accepted = self._is_accepted()
        self.counts["accepted" if is_accepted else "refused"] += 1
        return None if is_accepted else Answer.rate_limited("1")

    def _is_accepted(self) -> bool:
        if self._refuse and self._random.random() < self._refuse:
            return False
        if not self._admit:
            return True
        now = time.monotonic()
        self._saved = min(_SAVED_CALLS_MAX, self._saved + (now - self._saved_at) * self._admit)
        self._saved_at = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


@contextmanager
def judge(latency_ms: float, *options: str) -> Iterator[str]:
    """Start a judge that answers after `latency_ms`, and yield its address."""
    command = [sys.executable, "-m", "bench.judge", "--latency-ms", str(latency_ms), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["base_url"]
        finally:
            process.terminate()


async def _serve(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--refuse", type=float, default=0.0)
    parser.add_argument("--admit", type=float, default=0.0)
    options = parser.parse_args(arguments)
    admission = Admission(options.refuse, options.admit)
    async with judge_server(options.latency_ms / 1000, admission) as server:
        print(json.dumps({"base_url": server.base_url}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
