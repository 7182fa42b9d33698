"""Scripts for `judge_server` that reject requests for a while, as providers do.

A script gets the requests in order and returns None (the usual answer) or a 429.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable

from tests.support.judges import Answer, Script, SeenRequest


def storm(share: float, retry_after: str | None = "0") -> Script:
    """Return a 429 for a share of the prompts, once each; the same prompts in every run."""
    seen: Counter[str] = Counter()

    def script(request: SeenRequest) -> Answer | None:
        prompt = request.first_prompt
        seen[prompt] += 1
        drawn = int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "replace")).digest()[:4]) / 2**32
        return Answer.rate_limited(retry_after) if seen[prompt] == 1 and drawn < share else None

    return script


class Admission:
    """A token bucket: `per_second` requests, `burst` at once; further requests get a 429. `num_refused` counts them."""

    def __init__(
        self,
        per_second: float,
        burst: int = 20,
        retry_after: str | None = "1",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.num_refused = 0
        self._per_second = per_second
        self._burst = burst
        self._retry_after = retry_after
        self._now = now
        self._tokens = float(burst)
        self._filled_at = now()

    def __call__(self, request: SeenRequest) -> Answer | None:
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        self.num_refused += 1
        return Answer.rate_limited(self._retry_after)
