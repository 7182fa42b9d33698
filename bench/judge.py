"""The judge that is measured against, in a process of its own: `python -m bench.judge --latency-ms 50`.

It prints `{"base_url": …}` and serves until killed. `--refuse 0.1` answers that share of the calls, picked at random,
429 with `Retry-After: 1`; `--admit 200` admits so many a second (a token bucket that holds 20) and refuses the rest
likewise. `GET <base_url>/counts` says how many calls were answered and refused since it was asked last.
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
    """Answers None for a call that is let through."""

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
    """The address of a judge that answers after `latency_ms`."""
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
    given = parser.parse_args(arguments)
    admission = Admission(given.refuse, given.admit)
    async with judge_server(given.latency_ms / 1000, admission) as server:
        print(json.dumps({"base_url": server.base_url}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
